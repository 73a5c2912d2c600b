"""Messages in every state, made as rows: for tests of what comes after composing."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from messaging.models import Message, MessageContent, ServiceInstance
from messaging.states import Delivery
from registry.models import User
from tests.factories.cast import user
from tests.factories.setting import service_instance

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
# Well formed with the right check character, and invented.
CODES = ("RSSMRA80A01H501U", "VRDLGU75B02F205A", "BNCNNA90C43L219W")
SUBJECT = "Scadenza CIE n. CA000000AA"
MARKDOWN = (
    "Salve, con la presente la informiamo che in data 31/12/2026 23:59 scadrà la Carta di Identità elettronica "
    "numero CA000000AA."
)


def message(
    *,
    instance: ServiceInstance | None = None,
    sender: User | None = None,
    content: dict[str, Any] | None = None,
    **fields: Any,
) -> Message:
    """Due a minute ago by this machine's clock, so that a dispatch of now takes it up."""
    instance = instance or service_instance()
    at = datetime.now(UTC) - timedelta(minutes=1)
    made = Message.objects.create(
        **{
            "service_instance": instance,
            "io_account_id": instance.io_service.io_account_id,
            "sender": sender or user(),
            "taxcode": CODES[0],
            "delivery_state": Delivery.SCHEDULED,
            "created_at": at,
            "updated_at": at,
            "scheduled_at": at,
            "not_before": at,
            **fields,
        }
    )
    MessageContent.objects.create(
        message=made,
        **{
            "version": instance.template.current_version,
            "subject": SUBJECT,
            "markdown": MARKDOWN,
            "values": {"cie": "CA000000AA"},
            **(content or {}),
        },
    )
    return made


_FIELDS_OF_STATE: dict[Delivery, dict[str, Any]] = {
    Delivery.RECIPIENT_ALLOWED: {"profile_checked_at": "now"},
    Delivery.SENDING: {"attempt_id": "new", "marked_at": "now", "lease_until": "soon", "io_service": "own"},
    Delivery.UNCERTAIN: {"attempt_id": "new", "marked_at": "now", "io_service": "own"},
    **{
        state: {
            "attempt_id": "new",
            "marked_at": "now",
            "io_service": "own",
            "expedition_date": "now",
            "appio_message_id": "id",
        }
        for state in (
            Delivery.SENT,
            Delivery.ACCEPTED,
            Delivery.THROTTLED,
            Delivery.PROCESSED,
            Delivery.REJECTED,
            Delivery.FAILED,
        )
    },
}


def message_in(state: Delivery, *, instance: ServiceInstance | None = None, **fields: Any) -> Message:
    """A message in this state, with what the state implies."""
    instance = instance or service_instance()
    now = datetime.now(UTC)
    meaning = {
        "now": now,
        "soon": now + timedelta(seconds=30),
        "new": uuid.uuid4(),
        "own": instance.io_service,
        "id": "01" + uuid.uuid4().hex[:24].upper(),
    }
    implied = {name: meaning[word] for name, word in _FIELDS_OF_STATE.get(state, {}).items()}
    return message(instance=instance, delivery_state=state, **{**implied, **fields})
