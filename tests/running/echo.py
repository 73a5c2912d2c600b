"""A program that tells which headers reached it, to be run by our servers."""

import json
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    told = {name: value for name, value in environ.items() if name.startswith("HTTP_") or name == "REMOTE_ADDR"}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
