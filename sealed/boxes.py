"""Sealing: text that must be used again (IO's keys) is encrypted before it reaches the database.

A sealed value is `<key id>:<Fernet token>`. The key id (eight hexadecimal digits of the key's SHA-256) tells which key
sealed it, so that rotation can find what is left to reseal and a wrong key is named instead of guessed.
`SEALING_KEYS` lists the keys, newest first: the first seals, all of them open.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

_KEY_ID = re.compile(r"[0-9a-f]{8}")


class SealBroken(Exception):
    """A stored value cannot be opened with any key of SEALING_KEYS. The message never holds the value."""


def new_key() -> str:
    """A fresh key in the form that SEALING_KEYS takes (url-safe base64 of 32 random bytes)."""
    return Fernet.generate_key().decode()


def key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def is_usable(key: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key.encode())) == 32
    except ValueError:
        return False


@lru_cache(maxsize=4)
def _boxes(keys: tuple[str, ...]) -> dict[str, Fernet]:
    return {key_id(key): Fernet(key) for key in keys}


def seal(text: str) -> str:
    keys = tuple(settings.SEALING_KEYS)
    token = _boxes(keys)[key_id(keys[0])].encrypt(text.encode()).decode()
    return f"{key_id(keys[0])}:{token}"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it lies in the database. It opens only when asked, so printing or serialising a row shows nothing."""

    token: str = ""

    @classmethod
    def close(cls, text: str) -> "Sealed":
        return cls(seal(text)) if text else cls()

    def open(self) -> str:
        """The clear text; raises SealBroken where no configured key opens it."""
        return unseal(self.token) if self.token else ""

    def __bool__(self) -> bool:
        return bool(self.token)

    def __repr__(self) -> str:
        return "Sealed(...)" if self.token else "Sealed()"

    __str__ = __repr__


def unseal(sealed: str) -> str:
    """The clear text. Raises SealBroken when the key is missing or the value was tampered with."""
    name, separator, token = sealed.partition(":")
    if not separator or not _KEY_ID.fullmatch(name):
        raise SealBroken("a stored secret is damaged: it does not say which key sealed it")
    box = _boxes(tuple(settings.SEALING_KEYS)).get(name)
    if box is None:
        raise SealBroken(f"a stored secret was sealed with key {name}, which is not in SEALING_KEYS")
    try:
        return box.decrypt(token.encode()).decode()
    except InvalidToken:
        raise SealBroken(f"a stored secret sealed with key {name} is damaged") from None
