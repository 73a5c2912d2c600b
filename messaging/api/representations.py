"""How messages, service instances and IO services look in answers: GovIO's fields and more. Keys at IO never appear.

Plain functions and not serializers: a page of a hundred messages with everything embedded must stay quick.
The serializers of `messaging.api.schema` describe the same shape, and a test holds the two together.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from messaging.masking import masked
from messaging.models import IOService, Message, MessageContent, ServiceInstance
from messaging.states import API_STATUS
from messaging.suspending import KEY_UNREADABLE, NO_KEY
from registry.api import representations as registry
from registry.models import AmountUnit
from rest.hal import Links, utc_milliseconds
from templates_app.api import representations as templates

SENDER = "sender"
SERVICE_INSTANCE = "service-instance"
EMBEDDABLE = (SENDER, SERVICE_INSTANCE)
# What a service instance embeds.
INSTANCE_EMBEDDABLE = ("service", "organization", "template")


def message(
    message: Message,
    *,
    links: Links,
    amount_unit: AmountUnit,
    reveals: bool,
    embed: Collection[str] = EMBEDDABLE,
) -> dict[str, Any]:
    """One message. Its content, sender and service instance must be loaded as far as `embed` asks for them.

    What retention deleted is null; whoever may not reveal recipients reads a masked code. `amount_unit` is the reader's, and decides how `payment.amount` is written.
    """
    content: MessageContent | None = getattr(message, "content", None)
    shown: dict[str, Any] = {
        "id": message.pk,
        "taxcode": (message.taxcode if reveals else masked(message.taxcode)) or None,
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


def service_instance(
    instance: ServiceInstance, *, links: Links, embed: Collection[str] = INSTANCE_EMBEDDABLE
) -> dict[str, Any]:
    """GovIO's GovioServiceInstance without its apiKey. Its IO service must be loaded, and the rest as far as `embed` asks."""
    shown: dict[str, Any] = {
        "id": instance.pk,
        "service_id": instance.service_id,
        "organization_id": instance.organization_id,
        "template_id": instance.template_id,
        "io_service_id": instance.io_service.io_service_id,
        "enabled": instance.enabled,
        "_links": {
            "self": links.to("service-instances", instance.pk),
            "service": links.to("services", instance.service_id),
            "organization": links.to("organizations", instance.organization_id),
            "template": links.to("templates", instance.template_id),
            "io_service": links.to("io-services", instance.io_service_id),
        },
    }
    embedded: dict[str, Any] = {}
    if "service" in embed:
        embedded["service"] = registry.service(instance.service, links=links)
    if "organization" in embed:
        embedded["organization"] = registry.organization(instance.organization, links=links)
    if "template" in embed:
        embedded["template"] = templates.template(instance.template, links=links)
    if embedded:
        shown["_embedded"] = embedded
    return shown


def io_service(io_service: IOService, *, links: Links, may_configure: bool) -> dict[str, Any]:
    """Which keys there are and which one is in use, never a key."""
    return {
        "id": io_service.pk,
        "organization_id": io_service.organization_id,
        "io_service_id": io_service.io_service_id,
        "active_key": io_service.active_key,
        "has_primary_key": bool(io_service.primary_key),
        "has_secondary_key": bool(io_service.secondary_key),
        "payment_cap_cents": io_service.payment_cap_cents,
        "require_secure_channels": io_service.require_secure_channels,
        "test_taxcode": io_service.test_taxcode or None,
        "suspended_at": _moment(io_service.suspended_at),
        "suspended_reason": io_service.suspended_reason or None,
        "suspended_detail": _suspended_detail(io_service),
        "is_probing": io_service.is_probing,
        "permissions": {"configure": may_configure},
        "_links": {
            "self": links.to("io-services", io_service.pk),
            "organization": links.to("organizations", io_service.organization_id),
        },
    }


def _suspended_detail(io_service: IOService) -> str | None:
    """IO's own words as they came; ours in the reader's language."""
    detail = io_service.suspended_detail
    return str(_(detail)) if detail in (NO_KEY, KEY_UNREADABLE) else detail or None


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
