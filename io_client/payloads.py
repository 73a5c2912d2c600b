"""What IO accepts in a message: limits, patterns and the JSON body. Comments name the fields of IO's OpenAPI file."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

# `fiscal_code`: a natural person's code; letters in digit positions are the omocodia variants. IO's codec anchors the
# pattern although its YAML does not, and does not verify the check character.
FISCAL_CODE: Final = re.compile(
    r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]", re.ASCII
)
# `payment_data.notice_number`: 18 digits, text because of leading zeros and of JavaScript's 2^53.
NOTICE_NUMBER: Final = re.compile(r"[0123][0-9]{17}", re.ASCII)
# `payment_data.payee.fiscal_code` and `organization_fiscal_code`.
ORGANIZATION_CODE: Final = re.compile(r"[0-9]{11}", re.ASCII)
# `content.subject` and `content.markdown`: UTF-16 code units, both ends included.
SUBJECT_LENGTH: Final = (10, 120)
MARKDOWN_LENGTH: Final = (80, 10_000)
# `payment_data.amount`: euro cents.
AMOUNT: Final = (1, 9_999_999_999)
# `feature_level_type`. IO may add values to this list; we never send one that we do not know.
FEATURE_LEVELS: Final = frozenset({"STANDARD", "ADVANCED"})


def utf16_length(text: str) -> int:
    """Length as IO counts it (JavaScript's `length`): an emoji counts 2."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, slots=True)
class PaymentData:
    """`content.payment_data`. Amount in euro cents; no payee means IO uses the sender's own fiscal code."""

    amount: int
    notice_number: str = field(repr=False)
    invalid_after_due_date: bool = False
    payee_fiscal_code: str | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """`NewMessage`, as we use it. The repr tells nothing about the citizen, so that no log can."""

    fiscal_code: str = field(repr=False)
    subject: str = field(repr=False)
    markdown: str = field(repr=False)
    due_date: datetime | None = None
    payment: PaymentData | None = field(default=None, repr=False)
    # None leaves the choice to the service's own setting at IO.
    require_secure_channels: bool | None = None
    feature_level: str = "STANDARD"


def problems(message: NewMessage) -> list[str]:
    """Every limit of IO that the message breaks, naming the field and never its value; empty when it may be sent."""
    found = []
    if not FISCAL_CODE.fullmatch(message.fiscal_code):
        found.append("fiscal_code: not a natural person's fiscal code (16 characters, upper case)")
    found += _text_problems("content.subject", message.subject, bounds=SUBJECT_LENGTH)
    found += _text_problems("content.markdown", message.markdown, bounds=MARKDOWN_LENGTH)
    if message.due_date is not None and _in_utc(message.due_date) is None:
        found.append("content.due_date: needs a time zone and a year that UTC can express")
    if message.feature_level not in FEATURE_LEVELS:
        found.append(f"feature_level_type: not one of {', '.join(sorted(FEATURE_LEVELS))}")
    if message.payment is not None:
        found += _payment_problems(message.payment)
    return found


def body_of(message: NewMessage) -> bytes:
    """The JSON body of POST /messages. The message must have no problems."""
    content: dict[str, object] = {"subject": message.subject, "markdown": message.markdown}
    if message.require_secure_channels is not None:
        content["require_secure_channels"] = message.require_secure_channels
    if message.due_date is not None:
        content["due_date"] = _in_utc(message.due_date)
    if message.payment is not None:
        content["payment_data"] = _payment_body(message.payment)
    return json_bytes(
        {"fiscal_code": message.fiscal_code, "feature_level_type": message.feature_level, "content": content}
    )


def json_bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _payment_body(payment: PaymentData) -> dict[str, object]:
    body: dict[str, object] = {
        "amount": payment.amount,
        "notice_number": payment.notice_number,
        "invalid_after_due_date": payment.invalid_after_due_date,
    }
    if payment.payee_fiscal_code is not None:
        body["payee"] = {"fiscal_code": payment.payee_fiscal_code}
    return body


def _text_problems(name: str, text: str, *, bounds: tuple[int, int]) -> list[str]:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return [f"{name}: holds half of a surrogate pair, which is no character"]
    lowest, highest = bounds
    length = utf16_length(text)
    if lowest <= length <= highest:
        return []
    return [f"{name}: {length} characters as IO counts them, must be {lowest} to {highest}"]


def _payment_problems(payment: PaymentData) -> list[str]:
    found = []
    lowest, highest = AMOUNT
    # JSON would write a boolean as true, which Python counts as 1.
    if isinstance(payment.amount, bool) or not lowest <= payment.amount <= highest:
        found.append(f"content.payment_data.amount: must be {lowest} to {highest} euro cents")
    if not NOTICE_NUMBER.fullmatch(payment.notice_number):
        found.append("content.payment_data.notice_number: must be 18 digits, the first from 0 to 3")
    if payment.payee_fiscal_code is not None and not ORGANIZATION_CODE.fullmatch(payment.payee_fiscal_code):
        found.append("content.payment_data.payee.fiscal_code: must be 11 digits")
    return found


def _in_utc(moment: datetime) -> str | None:
    """ISO 8601 in UTC with a final `Z`, seconds precision; None when the moment has no zone or leaves the calendar."""
    if moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
    except OverflowError:
        return None
