"""How tests decide about one message over the API."""

import json
from typing import Any

from messaging.models import Message, ServiceInstance
from messaging.states import Delivery
from registry.models import Scope
from tests import factories
from tests.api.integrator import Integrator, fresh_key, program_of

FINAL_BUT_PROCESSED = (
    Delivery.REJECTED,
    Delivery.FAILED,
    Delivery.PROFILE_NOT_EXISTS,
    Delivery.SENDER_NOT_ALLOWED,
    Delivery.FORBIDDEN,
    Delivery.BAD_REQUEST,
    Delivery.CANCELLED,
    Delivery.EXPIRED,
)
ROLES = ("viewer", "editor", "sender", "approver", "configurator", "administrator")


def act(
    api: Integrator,
    message: Message | int,
    deed: str,
    body: Any = None,
    *,
    idempotency_key: str | None = None,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Any:
    """POST to what can be done with this message. Without a body none is sent; a resend has a fresh key unless given one."""
    pk = message if isinstance(message, int) else message.pk
    query = f"?idempotency_key={idempotency_key or fresh_key()}" if deed == "resend" else ""
    data = b"" if body is None else body if isinstance(body, str | bytes) else json.dumps(body)
    return api.client.generic(
        "POST", f"/api/v1/messages/{pk}/{deed}{query}", data, content_type=content_type, headers=api.headers(headers)
    )


def program_without(scope: Scope, sender: Any, instance: ServiceInstance) -> Integrator:
    """With every scope but this one."""
    key = factories.consumer_key(
        factories.consumer(user=sender), scopes=[other for other in Scope.values if other != scope]
    )
    return Integrator(key, instance)


def programs_of(cast: "factories.Cast", instance: ServiceInstance) -> dict[str, Integrator]:
    return {role: program_of(getattr(cast, role), instance) for role in ROLES}
