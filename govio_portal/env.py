"""Typed readers of the environment: the only way in for configuration.

Every variable read here has its row in `docs/configuration.md`; a test compares the two. A value that cannot be
read stops the start with one sentence that names the variable, never with a traceback.
"""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def env_str(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def env_bool(name: str, *, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None or raw.strip() == "":
        return default
    word = raw.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {raw!r}.")


def env_int(name: str, *, default: int, minimum: int | None = None, maximum: int | None = None) -> int:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        number = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ImproperlyConfigured(f"{name} must be between {minimum} and {maximum}, not {number}.")
    return number


def env_float(name: str, *, default: float, minimum: float) -> float:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        number = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number of seconds, not {raw!r}.") from None
    if not number >= minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, not {raw}.")
    return number


def env_choice(name: str, choices: tuple[str, ...], *, default: str) -> str:
    """One of some words, in any case."""
    word = os.environ.get(name, "").strip().lower() or default
    if word not in choices:
        raise ImproperlyConfigured(f"{name} must be {' or '.join(choices)}, not {word!r}.")
    return word


def env_list(name: str, *, default: tuple[str, ...] = ()) -> list[str]:
    """Comma-separated words; blanks around them are dropped."""
    raw = os.environ.get(name)
    if raw is None:
        return list(default)
    return [word.strip() for word in raw.split(",") if word.strip()]


def env_networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Comma-separated addresses and networks, as 10.1.2.3 and 10.1.0.0/16."""
    words = env_list(name)
    try:
        return [ip_network(word) for word in words]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be addresses or networks such as 10.1.0.0/16: {error}.") from None


def env_secret(name: str, default: str = "") -> str:
    """The value of NAME, or the content of the file named by NAME_FILE (as container platforms mount secrets)."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    if path and os.environ.get(name):
        raise ImproperlyConfigured(f"Set either {name} or {name}_FILE, not both.")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error.strerror}.") from None
    return os.environ.get(name, default).strip()


def env_database(name: str) -> dict[str, Any] | None:
    """A database URL as Django's settings dictionary, or None where the variable is not set."""
    url = env_secret(name)
    if not url:
        return None
    config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    if config.get("ENGINE") not in {"django.db.backends.postgresql", "django.db.backends.sqlite3"}:
        raise ImproperlyConfigured(
            f"{name} must start with postgresql:// (or sqlite:///): other databases are not supported."
        )
    return config
