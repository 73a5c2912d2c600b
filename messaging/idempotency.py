"""What makes two requests "the same": a hash of everything the caller said, and of how it is understood."""

import hashlib
import json
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import Any


def canonical_hash(body: Any, *, service_instance_id: int, amount_unit: str) -> str:
    """SHA-256, hexadecimal, of the parsed body before any default.

    The order of names does not count, nor how a number is spelt (62.1, 62.10, 6.21e1); its own `idempotency_key` is
    left out, so that the same message hashes the same singly and in bulk.
    """
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name != "idempotency_key"}
    text = f"{service_instance_id}\n{amount_unit}\n{_canonical(body)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    match value:
        case str():
            return encode_basestring_ascii(value)
        case dict():
            members = [f"{encode_basestring_ascii(name)}:{_canonical(value[name])}" for name in sorted(value)]
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(_canonical, value)) + "]"
        case Decimal():
            return _number(value)
    # Whole numbers, true, false, null.
    return json.dumps(value)


def _number(value: Decimal) -> str:
    """A whole value as the integer that it equals, any other as its shortest exact decimal."""
    if value == value.to_integral_value():
        return str(int(value))
    return format(value.normalize(), "f")
