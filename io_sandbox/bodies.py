"""The body of POST /messages, read as IO reads it: unknown fields dropped in silence, every other fault named.

IO's own codecs do the same, so a typing error in an optional field goes unnoticed there and here.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from io_sandbox.ulids import ULID

FISCAL_CODE: Final = re.compile(
    r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]", re.ASCII
)
_ORGANIZATION: Final = re.compile(r"[0-9]{11}", re.ASCII)
_NOTICE: Final = re.compile(r"[0123][0-9]{17}", re.ASCII)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_TIMESTAMP: Final = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)

# A reader takes a value and gives what IO keeps of it, or raises _Wrong.
Reader = Callable[[object, str], object]


class InvalidBody(Exception):
    """IO's codec would refuse the body; `faults` name fields, never values."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


class _Wrong(Exception):
    def __init__(self, *faults: str) -> None:
        super().__init__()
        self.faults = faults


def read_message(body: object) -> dict[str, object]:
    """The message as IO keeps it. Raises InvalidBody."""
    try:
        message = _NEW_MESSAGE(body, "root")
    except _Wrong as wrong:
        raise InvalidBody(list(wrong.faults)) from wrong
    assert isinstance(message, dict)
    return message


def read_fiscal_code(body: object) -> str:
    """The code of POST /profiles. Raises InvalidBody."""
    try:
        payload = _object(required={"fiscal_code": _text(FISCAL_CODE)})(body, "root")
    except _Wrong as wrong:
        raise InvalidBody(list(wrong.faults)) from wrong
    assert isinstance(payload, dict)
    return str(payload["fiscal_code"])


def _object(*, required: Mapping[str, Reader], optional: Mapping[str, Reader] | None = None) -> Reader:
    """An object of these fields. A null counts as absent, as it does for IO's optional fields."""
    readers = {**required, **(optional or {})}

    def read(value: object, where: str) -> object:
        if not isinstance(value, dict):
            raise _Wrong(f"{where}: not an object")
        kept: dict[str, object] = {}
        faults: list[str] = []
        for name, reader in readers.items():
            if value.get(name) is None:
                if name in required:
                    faults.append(f"{where}.{name}: missing")
                continue
            try:
                kept[name] = reader(value[name], f"{where}.{name}")
            except _Wrong as wrong:
                faults += wrong.faults
        if faults:
            raise _Wrong(*faults)
        return kept

    return read


def _text(pattern: re.Pattern[str], complaint: str = "does not match its pattern") -> Reader:
    def read(value: object, where: str) -> object:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _Wrong(f"{where}: {complaint}")
        return value

    return read


def _sized(lowest: int, highest: int | None = None) -> Reader:
    """A text of so many UTF-16 units, which is what JavaScript calls its length."""

    def read(value: object, where: str) -> object:
        length = len(value.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(value, str) else -1
        if length < lowest or (highest is not None and length > highest):
            raise _Wrong(f"{where}: not a text of {lowest} to {highest or '∞'} characters")
        return value

    return read


def _whole(lowest: int, highest: int) -> Reader:
    def read(value: object, where: str) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise _Wrong(f"{where}: not a whole number from {lowest} to {highest}")
        return value

    return read


def _boolean(value: object, where: str) -> object:
    if not isinstance(value, bool):
        raise _Wrong(f"{where}: not true or false")
    return value


def _timestamp(value: object, where: str) -> object:
    """Kept as IO writes it: UTC, milliseconds, `Z`."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        raise _Wrong(f"{where}: not an ISO 8601 date with seconds")
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Wrong(f"{where}: no such date") from error
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _one_of(*words: str) -> Reader:
    def read(value: object, where: str) -> object:
        if value not in words:
            raise _Wrong(f"{where}: not one of {', '.join(words)}")
        return value

    return read


_PAYMENT: Final = _object(
    required={"amount": _whole(1, 9_999_999_999), "notice_number": _text(_NOTICE)},
    optional={
        "invalid_after_due_date": _boolean,
        "payee": _object(required={"fiscal_code": _text(_ORGANIZATION)}),
    },
)
_THIRD_PARTY: Final = _object(
    required={"id": _sized(1)},
    optional={
        "configuration_id": _text(ULID, "not a ULID"),
        "has_remote_content": _boolean,
        "has_attachments": _boolean,
        "has_precondition": _one_of("ALWAYS", "ONCE", "NEVER"),
        "original_sender": _sized(1),
        "original_receipt_date": _timestamp,
        "summary": _sized(1),
    },
)
# `prescription_data` and `legal_data` are in IO's published file but no longer in its back end: dropped like any
# other unknown field. `eu_covid_cert` is still read, and opens to nobody.
_CONTENT: Final = _object(
    required={"subject": _sized(10, 120), "markdown": _sized(80, 10_000)},
    optional={
        "require_secure_channels": _boolean,
        "due_date": _timestamp,
        "payment_data": _PAYMENT,
        "third_party_data": _THIRD_PARTY,
        "eu_covid_cert": _object(required={"auth_code": _sized(0)}),
    },
)
_NEW_MESSAGE: Final = _object(
    required={"content": _CONTENT},
    optional={
        "fiscal_code": _text(FISCAL_CODE),
        "time_to_live": _whole(3600, 604_800),
        "feature_level_type": _one_of("STANDARD", "ADVANCED"),
        "default_addresses": _object(required={}, optional={"email": _text(_EMAIL, "not an e-mail address")}),
    },
)
