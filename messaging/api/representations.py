"""How messages and service instances look in answers: GovIO's fields and more. Keys at IO never appear.

Plain functions and not serializers: a page of a hundred messages with everything embedded must stay quick.
The serializers of `messaging.api.schema` describe the same shape, and a test holds the two together.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from messaging.models import Message, MessageContent, ServiceInstance
from messaging.states import API_STATUS
from registry.api import representations as registry
from registry.models import AmountUnit
from rest.hal import Links, utc_milliseconds
from templates_app.api import representations as templates

SENDER = "sender"
SERVICE_INSTANCE = "service-instance"
EMBEDDABLE = (SENDER, SERVICE_INSTANCE)


def message(
    message: Message, *, links: Links, amount_unit: AmountUnit, embed: Collection[str] = EMBEDDABLE
) -> dict[str, Any]:
    """One message. Its content, sender and service instance must be loaded as far as `embed` asks for them.

    What retention deleted is null. `amount_unit` is the reader's, and decides how `payment.amount` is written.
    """
    content: MessageContent | None = getattr(message, "content", None)
    shown: dict[str, Any] = {
        "id": message.pk,
        "taxcode": message.taxcode or None,
        "payment": _payment(content, amount_unit=amount_unit) if content and content.has_payment else None,
        "email": (content.email or None) if content else None,
        "scheduled_expedition_date": utc_milliseconds(message.scheduled_at),
        "due_date": _moment(message.due_date),
        "status": API_STATUS[message.delivery],
        "delivery_state": message.delivery_state,
        "status_detail": message.status_detail or None,
        "appio_message_id": message.appio_message_id or None,
        "creation_date": utc_milliseconds(message.created_at),
        "expedition_date": _moment(message.expedition_date),
        "last_update_status": utc_milliseconds(message.updated_at),
        "subject": (content.subject or None) if content else None,
        "markdown": (content.markdown or None) if content else None,
        "sender_id": message.sender_id,
        "service_instance_id": message.service_instance_id,
        "warnings": [_warning(warning) for warning in content.warnings] if content else [],
        "_links": _links(message, links=links),
    }
    embedded: dict[str, Any] = {}
    if SERVICE_INSTANCE in embed:
        embedded[SERVICE_INSTANCE] = service_instance(message.service_instance, links=links)
    if SENDER in embed:
        embedded[SENDER] = registry.user(message.sender, links=links)
    if embedded:
        shown["_embedded"] = embedded
    return shown


def service_instance(instance: ServiceInstance, *, links: Links) -> dict[str, Any]:
    """GovIO's GovioServiceInstance without its apiKey, with service, organization and template embedded."""
    service, organization, template = instance.service, instance.organization, instance.template
    return {
        "id": instance.pk,
        "service_id": service.pk,
        "organization_id": organization.pk,
        "template_id": template.pk,
        "io_service_id": instance.io_service.io_service_id,
        "enabled": instance.enabled,
        "_links": {
            "self": links.to("service-instances", instance.pk),
            "service": links.to("services", service.pk),
            "organization": links.to("organizations", organization.pk),
            "template": links.to("templates", template.pk),
        },
        "_embedded": {
            "service": registry.service(service, links=links),
            "organization": registry.organization(organization, links=links),
            "template": templates.template(template, links=links),
        },
    }


def _links(message: Message, *, links: Links) -> dict[str, dict[str, str]]:
    instance = links.to("service-instances", message.service_instance_id)
    return {
        "self": links.to("messages", message.pk),
        # GovIO's schema spells it one way and its examples the other: clients of either find it.
        "service_instance": instance,
        SERVICE_INSTANCE: instance,
        "sender": links.to("users", message.sender_id),
    }


def _payment(content: MessageContent, *, amount_unit: AmountUnit) -> dict[str, Any]:
    cents = content.amount_cents or 0
    # Two decimals of at most ten digits survive a double exactly as written: 6212 is 62.12 and never 62.1199…
    amount = float(Decimal(cents) / 100) if amount_unit == AmountUnit.EURO else cents
    return {
        "amount": amount,
        "amount_cents": cents,
        "amount_unit": str(amount_unit),
        "notice_number": content.notice_number,
        "invalid_after_due_date": content.invalid_after_due_date,
        "payee_taxcode": content.payee_taxcode or None,
    }


def _warning(stored: dict[str, str]) -> dict[str, str]:
    """In one order of members: a database that keeps JSON parsed has forgotten the one it was stored in."""
    return {name: stored[name] for name in ("code", "pointer", "detail")}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else utc_milliseconds(moment)
