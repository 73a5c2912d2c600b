"""An integrator at the door, as tests drive one."""

import itertools
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from messaging.models import ServiceInstance
from registry.models import AmountUnit, User
from tests import factories

HEADER = "GovHub-Consumer-Principal"
_keys = itertools.count(1)


@dataclass
class Integrator:
    """A program with a key. Each POST has a fresh idempotency key unless it is given one."""

    key: str | None
    instance: ServiceInstance
    client: Client = field(default_factory=lambda: Client(raise_request_exception=True))

    def headers(self, more: dict[str, str] | None = None) -> dict[str, str]:
        return {**({HEADER: self.key} if self.key else {}), **(more or {})}

    def post(
        self,
        body: Any,
        *,
        service_instance: Any = None,
        idempotency_key: Any = None,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
        query: str | None = None,
    ) -> Any:
        instance = self.instance.pk if service_instance is None else service_instance
        key = idempotency_key or fresh_key()
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        asked = f"service_instance={instance}&idempotency_key={key}" if query is None else query
        return self.client.generic(
            "POST", f"/api/v1/messages?{asked}", data, content_type=content_type, headers=self.headers(headers)
        )

    def get(self, path: str, query: dict[str, Any] | None = None, *, headers: dict[str, str] | None = None) -> Any:
        return self.client.get(f"/api/v1/{path}", query, headers=self.headers(headers))


def fresh_key() -> str:
    return str(uuid.UUID(int=next(_keys) + (4 << 76) + (8 << 60)))


def problem(response: Any, status: int, *codes: str) -> dict[str, Any]:
    """The problem, once checked: its status, its media type and (where given) exactly these error codes."""
    assert response.status_code == status, response.content.decode()
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    if codes:
        assert [error["code"] for error in body["errors"]] == list(codes), body
    return body


def pointers(body: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in body["errors"]]


def valid_body(**changes: Any) -> dict[str, Any]:
    """A message without oddities: no warning. A change to None leaves the member out."""
    body = {
        "taxcode": "RSSMRA80A01H501U",
        "payment": {"amount": 62.12, "notice_number": "300012548634478225", "payee_taxcode": "10000000001"},
        "email": "name@example.it",
        "scheduled_expedition_date": "2090-07-01T08:00:00Z",
        "due_date": "2090-07-07T21:59:00Z",
        "placeholders": [{"name": "cie", "value": "CA000000AA"}],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def program_of(user: User, instance: ServiceInstance, *, unit: str = AmountUnit.EURO, **options: Any) -> Integrator:
    return Integrator(factories.consumer_key(factories.consumer(user=user, amount_unit=unit), **options), instance)
