"""How tests write to the register: any method, a body as JSON unless it is text or bytes already."""

import json
from typing import Any

from tests.api.integrator import Integrator

_TYPES = {"PATCH": "application/json-patch+json"}


def send(
    api: Integrator,
    method: str,
    path: str,
    body: Any = b"",
    *,
    content_type: str | None = None,
    headers: dict[str, str] | None = None,
) -> Any:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return api.client.generic(
        method,
        f"/api/v1/{path}",
        data,
        content_type=content_type or _TYPES.get(method, "application/json"),
        headers=api.headers(headers),
    )
