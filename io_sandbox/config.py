"""The configuration file: who may call, and how fast IO is."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")


class ConfigError(Exception):
    """The file cannot be used; the text is one sentence for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as IO knows it. The cap is in euro cents; IO's own default is 0, which refuses every payment."""

    service_id: str
    name: str
    organization_name: str
    organization_fiscal_code: str
    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)
    max_allowed_payment_amount: int = 0
    premium: bool = False
    require_secure_channels: bool = False
    # A service in trial may write to these only; None is a service in production.
    authorized_recipients: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Calls that the account may make in a window of so many seconds, over all its services."""

    calls: int = 150
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds: how long a message stays ACCEPTED; the delay of a slow answer; how long silence lasts before the
    connection is cut; the pause asked of who is throttled; the delay of every other answer.
    """

    accepted_for: float = 2.0
    slow_answer: float = 10.0
    silence: float = 120.0
    throttle: float = 2.0
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Config:
    services: tuple[Service, ...]
    data: Path
    account_limit: Limit | None = field(default_factory=Limit)
    speeds: Speeds = field(default_factory=Speeds)
    # Remote configurations that exist; None means that any well-formed id does.
    remote_configurations: frozenset[str] | None = None


_DATA: Final = "io-sandbox.sqlite3"


def read(path: Path) -> Config:
    """Reads the file; a relative `data` lies beside it. Raises ConfigError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    return parse(content, folder=path.parent)


def parse(content: object, *, folder: Path) -> Config:
    """The configuration from parsed JSON. Raises ConfigError on an unknown name, so that no typing error passes."""
    top = _object(content, "the file", allowed={"services", "data", "account_limit", "speeds", "remote_configurations"})
    services = tuple(_service(item, number) for number, item in enumerate(_list(top.get("services"), "services")))
    if not services:
        raise ConfigError("services: at least one is needed")
    _all_different([service.service_id for service in services], "services: two have the same service_id")
    keys = [key for service in services for key in (service.primary_key, service.secondary_key)]
    _all_different(keys, "services: two keys are equal")
    known = top.get("remote_configurations")
    return Config(
        services=services,
        data=folder / _get(top, "data", str, "the file", default=_DATA),
        account_limit=_limit(top["account_limit"]) if "account_limit" in top else Limit(),
        speeds=_speeds(top.get("speeds", {})),
        remote_configurations=None if known is None else frozenset(_texts(known, "remote_configurations")),
    )


def _service(item: object, number: int) -> Service:
    where = f"services[{number}]"
    names = set(Service.__dataclass_fields__)
    fields = _object(item, where, allowed=names)
    recipients = fields.get("authorized_recipients")
    cap = _get(fields, "max_allowed_payment_amount", int, where, default=0)
    if cap < 0:
        raise ConfigError(f"{where}.max_allowed_payment_amount: cents, from 0")
    return Service(
        service_id=_get(fields, "service_id", str, where),
        name=_get(fields, "name", str, where),
        organization_name=_get(fields, "organization_name", str, where),
        organization_fiscal_code=_get(fields, "organization_fiscal_code", str, where),
        primary_key=_get(fields, "primary_key", str, where),
        secondary_key=_get(fields, "secondary_key", str, where),
        max_allowed_payment_amount=cap,
        premium=_get(fields, "premium", bool, where, default=False),
        require_secure_channels=_get(fields, "require_secure_channels", bool, where, default=False),
        authorized_recipients=None if recipients is None else frozenset(_texts(recipients, where)),
    )


def _limit(value: object) -> Limit | None:
    """An object `{calls, seconds}`, a number of calls every 5 seconds, or null for no limit."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        limit = Limit(calls=value)
    else:
        fields = _object(value, "account_limit", allowed={"calls", "seconds"})
        calls = _get(fields, "calls", int, "account_limit", default=Limit().calls)
        limit = Limit(calls, _seconds(fields, "seconds", "account_limit", default=Limit().seconds))
    if limit.calls < 1 or limit.seconds <= 0:
        raise ConfigError("account_limit: calls and seconds must be positive; null means no limit")
    return limit


def _speeds(value: object) -> Speeds:
    names = list(Speeds.__dataclass_fields__)
    fields = _object(value, "speeds", allowed=set(names))
    usual = Speeds()
    return Speeds(**{name: _seconds(fields, name, "speeds", default=getattr(usual, name)) for name in names})


def _object(value: object, where: str, *, allowed: set[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must be an object")
    if unknown := sorted(set(value) - allowed):
        raise ConfigError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(allowed))}")
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: must be a list")
    return value


def _texts(value: object, where: str) -> list[str]:
    items = _list(value, where)
    if not all(isinstance(item, str) for item in items):
        raise ConfigError(f"{where}: must be a list of texts")
    return [str(item) for item in items]


def _get(fields: Mapping[str, object], name: str, kind: type[T], where: str, *, default: T | None = None) -> T:
    value = fields.get(name, default)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) and value != "":
        return value
    missing = name not in fields
    raise ConfigError(f"{where}.{name}: " + ("is missing" if missing else f"must be {_NAMES[kind]}"))


_NAMES: Final[Mapping[type, str]] = {str: "a text that is not empty", int: "a whole number", bool: "true or false"}


def _seconds(fields: Mapping[str, object], name: str, where: str, *, default: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"{where}.{name}: must be a number of seconds, from 0")
    return float(value)


def _all_different(values: list[str], complaint: str) -> None:
    if len(set(values)) < len(values):
        raise ConfigError(complaint)
