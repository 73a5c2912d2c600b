"""The one door in: whatever becomes a message, from the API, the portal or a file, is checked and stored here.

Text is rendered once, by the one validator, and frozen: what was previewed and approved is what is stored and sent.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from messaging.models import EventKind, IdempotencyKey, Message, MessageContent, MessageEvent, ServiceInstance
from messaging.states import Delivery, Priority
from messaging.storing import Whole, rows
from messaging.validating import SendingRules, ValidMessage, Verdict, validate
from messaging.waking import nudge_on_commit
from registry.models import AmountUnit, Consumer, User
from templates_app.findings import Finding


class ComposeRefused(Exception):
    """The input cannot become a message; `verdict` says what is wrong, where and how to cure it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{len(verdict.errors)} errors")
        self.verdict = verdict


class InstanceDisabled(Exception):
    """The service instance is switched off: nothing new is composed through it."""

    cure = _("Il collegamento a IO è disabilitato: riabilitalo o usane un altro.")


class TemplateMissing(Exception):
    """The template of the service instance has no published version yet."""

    cure = _("Il modello di questo collegamento a IO non ha ancora una versione pubblicata.")


class MayNotSend(Exception):
    """Whoever asks may see the service instance and send nothing through it."""

    cure = _("Il collegamento a IO è visibile, ma manca il ruolo Invio per il suo ente e servizio: chiedilo.")


class KeyReused(Exception):
    """The idempotency key was used with another request."""

    cure = _("La chiave di idempotenza è già servita per una richiesta diversa: usane una nuova.")


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The caller's key, and the hash of all that makes the request what it is (`messaging.idempotency`)."""

    key: uuid.UUID
    body_hash: str


@dataclass(frozen=True, slots=True)
class Composed:
    """The stored message, and whether this call made it (or a former one with the same key)."""

    message: Message
    is_new: bool


def rules_for(instance: ServiceInstance, *, amount_unit: str) -> SendingRules:
    """What the validator must know of a service instance. Raises TemplateMissing.

    Costs one query for the placeholders, and one for the closure days where the ente observes holidays.
    """
    version = instance.template.current_version
    if version is None:
        raise TemplateMissing
    return SendingRules(
        text=version.as_text(),
        amount_unit="euro" if amount_unit == AmountUnit.EURO else "cents",
        payment_cap_cents=instance.io_service.payment_cap_cents,
        hours=instance.organization.opening_hours(),
    )


def check(data: object, *, instance: ServiceInstance, amount_unit: str, at: datetime) -> Verdict:
    """What would become of this input: the message with its rendered text, or all the errors. Stores nothing."""
    return validate(data, rules=rules_for(instance, amount_unit=amount_unit), at=at)


def find_replay(key: uuid.UUID, *, by: User, consumer: Consumer | None) -> IdempotencyKey | None:
    """The earlier request of this principal with this key. Whether its message may still be seen is the caller's to ask."""
    return IdempotencyKey.objects.filter(of_principal(by, consumer), key=key).select_related("message").first()


def find_same(asked: Idempotency, *, by: User, consumer: Consumer | None) -> Message | None:
    """The message that this very request made before, for whom could not make it now. Whether they may still see it is the
    caller's to ask."""
    earlier = find_replay(asked.key, by=by, consumer=consumer)
    return earlier.message if earlier is not None and earlier.body_hash == asked.body_hash else None


def of_principal(by: User, consumer: Consumer | None) -> Q:
    """Whose keys these are: the consumer's, or the person's where there is no consumer."""
    return Q(consumer=consumer) if consumer is not None else Q(user=by)


def compose(
    data: object,
    *,
    instance: ServiceInstance,
    by: User,
    amount_unit: str,
    at: datetime,
    consumer: Consumer | None = None,
    idempotency: Idempotency | None = None,
    first_event_data: Mapping[str, Any] | None = None,
) -> Composed:
    """Check the input and store it as a message: `scheduled`, or `pending_approval` where a rule asks for it.

    With an idempotency key, the same request gives the message made the first time, whatever happened since; refused
    requests use up no key. `first_event_data` goes into the event with which its history begins. Raises ComposeRefused,
    InstanceDisabled, TemplateMissing, KeyReused.
    """
    try:
        verdict = _accepted(data, instance=instance, amount_unit=amount_unit, at=at)
    except (ComposeRefused, InstanceDisabled, TemplateMissing):
        # What is refused now may have been accepted before. What is accepted now meets its own key when it is stored.
        earlier = None if idempotency is None else find_replay(idempotency.key, by=by, consumer=consumer)
        if earlier is None or idempotency is None:
            raise
        return _replay(earlier, idempotency=idempotency)
    assert verdict.message is not None  # accepted
    message = new_message(verdict.message, instance=instance, by=by, consumer=consumer, at=at)
    new = Whole(
        message=message,
        content=new_content(verdict.message, warnings=verdict.warnings, instance=instance),
        event=MessageEvent(
            at=at,
            kind=EventKind.COMPOSED,
            state=message.delivery_state,
            actor=by,
            data=dict(first_event_data or {}),
        ),
        key=new_key(idempotency, instance=instance, by=by, consumer=consumer, at=at) if idempotency else None,
    )
    if not rows().add(new):
        assert idempotency is not None  # only a key is ever taken
        earlier = find_replay(idempotency.key, by=by, consumer=consumer)
        assert earlier is not None  # keys are kept for ever
        return _replay(earlier, idempotency=idempotency)
    nudge_on_commit()
    return Composed(message, is_new=True)


def _accepted(data: object, *, instance: ServiceInstance, amount_unit: str, at: datetime) -> Verdict:
    """What `check` says, when it is a message. Raises ComposeRefused, InstanceDisabled, TemplateMissing."""
    if not instance.enabled:
        raise InstanceDisabled
    verdict = check(data, instance=instance, amount_unit=amount_unit, at=at)
    if verdict.message is None:
        raise ComposeRefused(verdict)
    return verdict


def _replay(earlier: IdempotencyKey, *, idempotency: Idempotency) -> Composed:
    if earlier.body_hash != idempotency.body_hash:
        raise KeyReused
    return Composed(earlier.message, is_new=False)


def new_message(
    valid: ValidMessage, *, instance: ServiceInstance, by: User, consumer: Consumer | None, at: datetime
) -> Message:
    """The row to store, one of many or the only one: `scheduled`, or `pending_approval` where a rule asks for it.

    Its instants are the database's to say when it is stored, and so are those of what is stored with it.
    """
    return Message(
        service_instance=instance,
        sender=by,
        consumer=consumer,
        io_account_id=instance.io_service.io_account_id,
        delivery_state=Delivery.PENDING_APPROVAL if instance.needs_approval else Delivery.SCHEDULED,
        created_at=at,
        updated_at=at,
        **columns_of(valid, at=at),
    )


def new_content(valid: ValidMessage, *, warnings: tuple[Finding, ...], instance: ServiceInstance) -> MessageContent:
    """Likewise what it says; its message is the caller's to set, once it has an id."""
    version = instance.template.current_version
    assert version is not None  # the rules that the text was rendered with came from it
    return MessageContent(version=version, **content_of(valid, warnings=warnings))


def new_key(
    idempotency: Idempotency, *, instance: ServiceInstance, by: User, consumer: Consumer | None, at: datetime
) -> IdempotencyKey:
    """Likewise that the request was honoured."""
    return IdempotencyKey(
        consumer=consumer,
        user=None if consumer is not None else by,
        key=idempotency.key,
        body_hash=idempotency.body_hash,
        service_instance=instance,
        created_at=at,
    )


def first_event(message: Message) -> dict[str, Any]:
    """How its history begins, as `messaging.moving` records it."""
    return {
        "kind": EventKind.COMPOSED,
        "at": message.created_at,
        "state": message.delivery_state,
        "by": message.sender,
    }


def columns_of(valid: ValidMessage, *, at: datetime) -> dict[str, Any]:
    """The columns of `Message` that what was validated sets."""
    return {
        "taxcode": valid.taxcode,
        "scheduled_at": valid.scheduled_at,
        "not_before": valid.scheduled_at,
        "due_date": valid.due_date,
        "expires_at": valid.expires_at,
        "priority": Priority.INTERACTIVE if valid.scheduled_at <= at else Priority.SCHEDULED,
    }


def content_of(valid: ValidMessage, *, warnings: tuple[Finding, ...]) -> dict[str, Any]:
    """Likewise those of `MessageContent`."""
    payment = valid.payment
    return {
        "subject": valid.subject,
        "markdown": valid.markdown,
        "values": valid.values,
        "amount_cents": payment.amount_cents if payment else None,
        "notice_number": payment.notice_number if payment else "",
        "invalid_after_due_date": payment.invalid_after_due_date if payment else False,
        "payee_taxcode": (payment.payee_taxcode or "") if payment else "",
        "email": valid.email or "",
        "warnings": [
            {"code": finding.code, "pointer": finding.pointer, "detail": str(finding.detail)} for finding in warnings
        ],
    }
