"""One request for each operation of the API that succeeds where the caller may make it: the way tables are walked.

A key is the method and the route as docs/api/permissions.md writes them, with the case in brackets where it tells some
apart: `GET /templates/{id} (shared)`.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from messaging.models import IOService, SuspensionReason
from messaging.states import Delivery
from registry.models.logo import Logo, LogoKind
from tests.api.place import PLAIN_BODY, Call, Place
from tests.api.routes import plain

JSON_PATCH = "application/json-patch+json"
KEY = "9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11"
# One transparent point.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
TEMPLATE = {
    "name": "Chiusura dello sportello",
    "subject": "Chiusura dello sportello",
    "message_body": PLAIN_BODY,
    "has_payment": False,
    "has_due_date": False,
}
PLACEHOLDER = {"name": "anno", "type": "integer", "example": "2026"}
GRANT = {"role": "govio_viewer", "organizations": [1], "services": [1]}
MESSAGE: dict[str, Any] = {
    "taxcode": "RSSMRA80A01H501U",
    "payment": {"amount": 62.12, "notice_number": "300012548634478225"},
    "due_date": "2090-07-07T21:59:00Z",
    "placeholders": [{"name": "cie", "value": "CA000000AA"}],
}


@dataclass(frozen=True, slots=True)
class Probe:
    """What to send, once the place has been prepared for it."""

    query: dict[str, Any] | None = None
    body: Any = None
    content_type: str = "application/json"
    # The parameters of the route, in their order; 1 for those that are not said.
    ids: tuple[Any, ...] = ()
    prepare: Callable[[Place], object] | None = None
    # Of a list: the member that is 1 in the item in question.
    lists: str = ""


def patch(path: str, value: Any, **more: Any) -> Probe:
    return Probe(body=[{"op": "replace", "path": path, "value": value}], content_type=JSON_PATCH, **more)


def message(state: Delivery) -> Callable[[Place], object]:
    return lambda place: place.message(state)


def resendable(place: Place) -> None:
    payment = {"amount_cents": 6212, "notice_number": "300012548634478225"}
    content = {"values": {"cie": "CA000000AA"}, **payment}
    place.message(Delivery.REJECTED, due_date=datetime(2090, 7, 7, tzinfo=UTC), content=content)


def suspend(place: Place) -> None:
    at = timezone.now()
    IOService.objects.filter(pk=1).update(suspended_at=at, suspended_reason=SuspensionReason.KEY_REFUSED)


def with_images(place: Place) -> None:
    for owner in (place.instance.organization, place.instance.service):
        for kind in LogoKind:
            picture = Logo.objects.create(
                media_type="image/png", content=PIXEL, digest=hashlib.sha256(PIXEL).hexdigest()
            )
            setattr(owner, kind.value, picture)
        owner.save()


PROBES: dict[str, Probe] = {
    # --- Messages
    "GET /messages": Probe(lists="id", prepare=message(Delivery.SCHEDULED)),
    "POST /messages": Probe(query={"service_instance": 1, "idempotency_key": KEY}, body=MESSAGE),
    "POST /messages/bulk": Probe(query={"service_instance": 1}, body={"items": [{"idempotency_key": KEY, **MESSAGE}]}),
    "GET /messages/export": Probe(lists="id", prepare=message(Delivery.SCHEDULED)),
    "GET /messages/{id}": Probe(prepare=message(Delivery.SCHEDULED)),
    "GET /messages/{id}/events": Probe(prepare=message(Delivery.SCHEDULED)),
    "POST /messages/{id}/cancel": Probe(body={"reason": "Importo sbagliato"}, prepare=message(Delivery.SCHEDULED)),
    "POST /messages/{id}/resend": Probe(query={"idempotency_key": KEY}, prepare=resendable),
    "POST /messages/{id}/settle": Probe(
        body={"outcome": "arrived", "reason": "Lo mostra il cittadino"}, prepare=message(Delivery.UNCERTAIN)
    ),
    # --- What one sends through
    "GET /service-instances": Probe(lists="id"),
    "POST /service-instances": Probe(
        body={
            "organization_id": 1,
            "service_id": 1,
            "template_id": 2,
            "io_service_id": "01EXAMPLESERVICE0000000002",
            "apiKey": "a-key-of-the-tests",
        }
    ),
    "GET /service-instances/{id}": Probe(),
    "PATCH /service-instances/{id}": patch("/enabled", value=False),
    "GET /io-services": Probe(lists="id"),
    "GET /io-services/{id}": Probe(),
    "PATCH /io-services/{id}": patch("/payment_cap_cents", value=50_000),
    "PUT /io-services/{id}/keys/{slot}": Probe(body={"key": "a-key-of-the-tests"}, ids=(1, "secondary")),
    "POST /io-services/{id}/active-key": Probe(body={"active_key": "secondary"}),
    "POST /io-services/{id}/resume": Probe(prepare=suspend),
    # --- Templates and placeholders
    "GET /templates": Probe(lists="id"),
    "POST /templates": Probe(body={**TEMPLATE, "organization_id": 1}),
    "POST /templates (no organization named)": Probe(body=TEMPLATE),
    "GET /templates/{id}": Probe(),
    "GET /templates/{id} (shared)": Probe(ids=(3,)),
    "PATCH /templates/{id}": patch("/description", value="Avvisa della scadenza."),
    "PATCH /templates/{id} (shared)": patch("/description", value="Avvisa della scadenza.", ids=(3,)),
    "GET /templates/{id}/placeholders": Probe(lists="placeholder_id"),
    "POST /templates/{id}/placeholders": Probe(query={"placeholder_id": 2}, body={"mandatory": False, "position": 2}),
    "PUT /templates/{id}/placeholders": Probe(
        body={"items": [{"placeholder_id": 1, "mandatory": True, "position": 1}]}
    ),
    "DELETE /templates/{id}/placeholders/{placeholder_id}": Probe(),
    "GET /placeholders": Probe(lists="id"),
    "POST /placeholders": Probe(body={**PLACEHOLDER, "organization_id": 1}),
    "GET /placeholders/{id}": Probe(),
    "GET /placeholders/{id} (shared)": Probe(ids=(3,)),
    "PATCH /placeholders/{id}": patch("/description", value="Il numero della CIE."),
    "PATCH /placeholders/{id} (shared)": patch("/description", value="Il numero di protocollo.", ids=(3,)),
    # --- Enti and services
    "GET /organizations": Probe(lists="id"),
    "POST /organizations": Probe(body={"tax_code": "01234567899", "legal_name": "Comune di Montechiaro"}),
    "GET /organizations/{id}": Probe(),
    "PATCH /organizations/{id}": patch("/office_zip", value="00100"),
    "PATCH /organizations/{id} (name or fiscal code)": patch("/legal_name", value="Comune di Montechiaro"),
    "GET /services": Probe(lists="id"),
    "POST /services": Probe(body={"service_name": "Mensa scolastica"}),
    "GET /services/{id}": Probe(),
    "PATCH /services/{id}": patch("/description", value="Iscrizioni e pagamenti della mensa."),
    **{
        f"{method} /{owner}/{{id}}/{kind}": probe
        for owner in ("organizations", "services")
        for kind in ("logo", "logo-miniature")
        for method, probe in (
            ("GET", Probe(prepare=with_images)),
            ("PUT", Probe(body=PIXEL, content_type="image/png")),
            ("DELETE", Probe(prepare=with_images)),
        )
    },
    # --- People
    "GET /profile": Probe(),
    "GET /roles": Probe(),
    "GET /users": Probe(lists="id"),
    "POST /users": Probe(body={"principal": "lucia.verdi", "full_name": "Lucia Verdi", "email": "lucia@example.it"}),
    "GET /users/{id}": Probe(),
    "PATCH /users/{id}": patch("/enabled", value=False),
    "POST /users/{id}/invitation": Probe(),
    "GET /users/{id}/authorizations": Probe(lists="id"),
    "POST /users/{id}/authorizations": Probe(body=GRANT),
    "POST /users/{id}/authorizations (on all)": Probe(
        body={"role": "govio_viewer", "all_organizations": True, "all_services": True}
    ),
    "GET /users/{id}/authorizations/{authorization_id}": Probe(),
    "PUT /users/{id}/authorizations/{authorization_id}": Probe(body=GRANT),
    "DELETE /users/{id}/authorizations/{authorization_id}": Probe(),
    "GET /consumers": Probe(lists="id"),
    "POST /consumers": Probe(body={"name": "Anagrafe", "user_id": 1, "amount_unit": "euro"}),
    "GET /consumers/{id}": Probe(),
    "PATCH /consumers/{id}": patch("/enabled", value=False),
    "GET /consumers/{id}/keys": Probe(lists="id"),
    "POST /consumers/{id}/keys": Probe(body={"scopes": ["admin:write"]}),
    "GET /consumers/{id}/keys/{key_id}": Probe(),
    "DELETE /consumers/{id}/keys/{key_id}": Probe(),
    # --- The portal itself
    "GET /status": Probe(),
    "GET /schema": Probe(),
    "GET /docs": Probe(),
}


def name_of(method: str, route: str) -> str:
    """The name of an operation's probe: of the first, where cases are told apart."""
    asked = (method, plain(route))
    return next(name for name in PROBES if (name.split(" ")[0], plain(name.split(" ")[1])) == asked)


def call_of(operation: str) -> Call:
    """The request of an operation, at a place that `prepare` has made ready."""
    probe = PROBES[operation]
    method, route = operation.split(" ")[:2]
    ids = iter(probe.ids)
    path = re.sub(r"\{[^}]+\}", lambda _: str(next(ids, 1)), route)
    return Call(method, path, probe.query or {}, probe.body, probe.content_type)


def prepare(place: Place, operation: str) -> None:
    ready = PROBES[operation].prepare
    if ready is not None:
        ready(place)
