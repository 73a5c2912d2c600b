"""Ids as IO makes them: ULIDs, 26 Crockford characters that sort by time."""

import re
import secrets
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID: Final = re.compile(r"[0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{26}", re.ASCII)


def new(at: float) -> str:
    """A ULID for a moment given in seconds since 1970."""
    number = (int(at * 1000) << 80) | secrets.randbits(80)
    characters = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        characters = _ALPHABET[digit] + characters
    return characters
