"""The one door in: whatever becomes a message, from the API, the portal or a file, is checked and stored here.

Text is rendered once, by the one validator, and frozen: what was previewed and approved is what is stored and sent.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q

from messaging.models import EventKind, IdempotencyKey, Message, MessageContent, MessageEvent, ServiceInstance
from messaging.moving import StateConflict, move, record
from messaging.states import CANCELLABLE, Delivery, Priority
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


class TemplateMissing(Exception):
    """The template of the service instance has no published version yet."""


class KeyReused(Exception):
    """The idempotency key was used with another request."""


class PreviewOutdated(Exception):
    """The text is no longer the one that the person saw (the template changed): show it again."""


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
    """What the validator must know of a service instance. Costs one query for the placeholders. Raises TemplateMissing."""
    version = instance.template.current_version
    if version is None:
        raise TemplateMissing
    return SendingRules(
        text=version.as_text(),
        amount_unit="euro" if amount_unit == AmountUnit.EURO else "cents",
        payment_cap_cents=instance.io_service.payment_cap_cents,
    )


def check(data: object, *, instance: ServiceInstance, amount_unit: str, at: datetime) -> Verdict:
    """What would become of this input: the message with its rendered text, or all the errors. Stores nothing."""
    return validate(data, rules=rules_for(instance, amount_unit=amount_unit), at=at)


def find_replay(key: uuid.UUID, *, by: User, consumer: Consumer | None) -> IdempotencyKey | None:
    """The earlier request of this principal with this key. Whether its message may still be seen is the caller's to ask."""
    principal = Q(consumer=consumer) if consumer is not None else Q(user=by)
    return IdempotencyKey.objects.filter(principal, key=key).select_related("message").first()


def compose(
    data: object,
    *,
    instance: ServiceInstance,
    by: User,
    amount_unit: str,
    at: datetime,
    consumer: Consumer | None = None,
    idempotency: Idempotency | None = None,
) -> Composed:
    """Check the input and store it as a message: `scheduled`, or `pending_approval` where a rule asks for it.

    With an idempotency key, the same request gives the message made the first time, whatever happened since; refused
    requests use up no key. Raises ComposeRefused, InstanceDisabled, TemplateMissing, KeyReused.
    """
    if idempotency is not None and (earlier := find_replay(idempotency.key, by=by, consumer=consumer)) is not None:
        return _replay(earlier, idempotency=idempotency)
    if not instance.enabled:
        raise InstanceDisabled
    verdict = check(data, instance=instance, amount_unit=amount_unit, at=at)
    if verdict.message is None:
        raise ComposeRefused(verdict)
    try:
        with transaction.atomic():
            message = _store(
                verdict.message, warnings=verdict.warnings, instance=instance, by=by, consumer=consumer, at=at
            )
            if idempotency is not None:
                IdempotencyKey.objects.create(
                    consumer=consumer,
                    user=None if consumer is not None else by,
                    key=idempotency.key,
                    body_hash=idempotency.body_hash,
                    service_instance=instance,
                    message=message,
                    created_at=at,
                )
            nudge_on_commit()
    except IntegrityError:
        # A simultaneous call with the same key was faster; anything else is a fault of ours and must be seen.
        earlier = find_replay(idempotency.key, by=by, consumer=consumer) if idempotency is not None else None
        if earlier is None or idempotency is None:
            raise
        return _replay(earlier, idempotency=idempotency)
    return Composed(message, is_new=True)


def _replay(earlier: IdempotencyKey, *, idempotency: Idempotency) -> Composed:
    if earlier.body_hash != idempotency.body_hash:
        raise KeyReused
    return Composed(earlier.message, is_new=False)


def _store(
    valid: ValidMessage,
    *,
    warnings: tuple[Finding, ...],
    instance: ServiceInstance,
    by: User,
    consumer: Consumer | None,
    at: datetime,
) -> Message:
    state = Delivery.PENDING_APPROVAL if instance.needs_approval else Delivery.SCHEDULED
    version = instance.template.current_version
    assert version is not None  # the rules that the text was rendered with came from it
    message = Message.objects.create(
        service_instance=instance,
        sender=by,
        consumer=consumer,
        io_account_id=instance.io_service.io_account_id,
        delivery_state=state,
        created_at=at,
        updated_at=at,
        **_columns(valid, at=at),
    )
    MessageContent.objects.create(message=message, version=version, **_content(valid, warnings=warnings))
    record([message.pk], kind=EventKind.COMPOSED, at=at, state=state, by=by)
    return message


def _columns(valid: ValidMessage, *, at: datetime) -> dict[str, Any]:
    return {
        "taxcode": valid.taxcode,
        "scheduled_at": valid.scheduled_at,
        "not_before": valid.scheduled_at,
        "due_date": valid.due_date,
        "expires_at": valid.expires_at,
        "priority": Priority.INTERACTIVE if valid.scheduled_at <= at else Priority.SCHEDULED,
    }


def _content(valid: ValidMessage, *, warnings: tuple[Finding, ...]) -> dict[str, Any]:
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


# --- drafts --------------------------------------------------------------------------------------------------------


def save_draft(
    form: Mapping[str, str], *, instance: ServiceInstance, by: User, at: datetime, draft: Message | None = None
) -> Message:
    """Keep what a person typed, complete or not: a new draft, or the same one changed (its service instance too).

    Raises InstanceDisabled, TemplateMissing, and StateConflict when the draft was confirmed or cancelled meanwhile.
    """
    if not instance.enabled:
        raise InstanceDisabled
    if instance.template.current_version is None:
        raise TemplateMissing
    with transaction.atomic():
        if draft is None:
            draft = Message.objects.create(
                service_instance=instance,
                sender=by,
                io_account_id=instance.io_service.io_account_id,
                delivery_state=Delivery.DRAFT,
                created_at=at,
                updated_at=at,
                scheduled_at=at,
                not_before=at,
            )
            MessageContent.objects.create(
                message=draft, version=instance.template.current_version, draft_form=dict(form)
            )
            record([draft.pk], kind=EventKind.DRAFTED, at=at, state=Delivery.DRAFT, by=by)
            return draft
        changed = Message.objects.filter(pk=draft.pk, delivery_state=Delivery.DRAFT).update(
            service_instance=instance, io_account_id=instance.io_service.io_account_id, updated_at=at
        )
        if not changed:
            raise StateConflict
        MessageContent.objects.filter(message=draft).update(
            version=instance.template.current_version, draft_form=dict(form)
        )
        if not _has_prepared(draft, by):
            # Whoever put a hand to it is on record, and may not approve it.
            record([draft.pk], kind=EventKind.DRAFTED, at=at, by=by)
    return Message.objects.get(pk=draft.pk)


def fingerprint(valid: ValidMessage, *, instance: ServiceInstance, at: datetime) -> str:
    """What a person saw before confirming, as one word to hand back: who, what, through whom, when, how much."""
    payment = valid.payment
    seen = (
        instance.pk,
        # "As soon as possible" is another instant each time one looks.
        valid.scheduled_at.isoformat() if valid.scheduled_at > at else "now",
        valid.taxcode,
        valid.subject,
        valid.markdown,
        valid.due_date.isoformat() if valid.due_date else "",
        (payment.amount_cents, payment.notice_number, payment.invalid_after_due_date, payment.payee_taxcode)
        if payment
        else "",
    )
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogatepass")).hexdigest()


def confirm_draft(
    draft: Message, data: object, *, by: User, at: datetime, amount_unit: str = AmountUnit.EURO, seen: str | None = None
) -> Message:
    """Turn a draft into a message on its way: `scheduled`, or `pending_approval` where a rule asks for it.

    `seen` is the `fingerprint` of the preview that was confirmed. Raises ComposeRefused, InstanceDisabled,
    TemplateMissing, PreviewOutdated, and StateConflict when it was confirmed already (a double click).
    """
    instance = ServiceInstance.objects.with_everything().get(pk=draft.service_instance_id)
    if not instance.enabled:
        raise InstanceDisabled
    verdict = check(data, instance=instance, amount_unit=amount_unit, at=at)
    if verdict.message is None:
        raise ComposeRefused(verdict)
    if seen is not None and seen != fingerprint(verdict.message, instance=instance, at=at):
        raise PreviewOutdated
    asks = instance.needs_approval
    with transaction.atomic():
        moved = move(
            [draft.pk],
            to=Delivery.PENDING_APPROVAL if asks else Delivery.SCHEDULED,
            kind=EventKind.SUBMITTED if asks else EventKind.SCHEDULED,
            sources=[Delivery.DRAFT],
            at=at,
            by=by,
            # Another tab may have changed what it is sent through: then this is not the text that was confirmed.
            condition=Q(service_instance=instance),
            # The service instance may have moved to an IO service of another account since the draft was saved.
            columns={
                **_columns(verdict.message, at=at),
                "sender": by,
                "io_account": instance.io_service.io_account_id,
            },
        )
        if not moved:
            raise StateConflict
        MessageContent.objects.filter(message=draft).update(
            version=instance.template.current_version, **_content(verdict.message, warnings=verdict.warnings)
        )
        nudge_on_commit()
    return Message.objects.get(pk=draft.pk)


# --- people's decisions before sending -----------------------------------------------------------------------------


# Who did any of these to a message has prepared it.
PREPARING = (EventKind.COMPOSED, EventKind.DRAFTED, EventKind.SUBMITTED)


class OwnMessage(Exception):
    """Whoever prepared a message may not approve it."""


def _has_prepared(message: Message, person: User) -> bool:
    return message.events.filter(kind__in=PREPARING, actor=person).exists()


def is_own(message: Message, *, by: User) -> bool:
    """Whether this person prepared it, alone or with others: then another must approve it."""
    return message.sender_id == by.pk or _has_prepared(message, by)


def reading_of(message: Message) -> str:
    """Names what an approver is being shown, to be handed back with the yes."""
    return message.updated_at.isoformat()


def approve(message: Message, *, by: User, at: datetime, read: str) -> None:
    """Let a message leave, as it was when this person read it (`reading_of`).

    One given back, changed and submitted again meanwhile is another text. Raises OwnMessage, and StateConflict when it is
    no longer waiting for approval or no longer what was read.
    """
    if read != reading_of(message):
        raise StateConflict
    if is_own(message, by=by):
        raise OwnMessage
    prepared = MessageEvent.objects.filter(message=OuterRef("pk"), kind__in=PREPARING, actor=by)
    with transaction.atomic():
        moved = move(
            [message.pk],
            to=Delivery.SCHEDULED,
            kind=EventKind.APPROVED,
            sources=[Delivery.PENDING_APPROVAL],
            at=at,
            by=by,
            condition=Q(updated_at=message.updated_at) & ~Q(sender=by) & ~Q(Exists(prepared)),
        )
        if not moved:
            raise StateConflict
        nudge_on_commit()


def refuse(message: Message, *, by: User, at: datetime, reason: str, read: str) -> None:
    """Give a message back as a draft, with the reason.

    Raises StateConflict when it is no longer waiting for approval, or no longer what was read (`reading_of`).
    """
    if read != reading_of(message):
        raise StateConflict
    moved = move(
        [message.pk],
        to=Delivery.DRAFT,
        kind=EventKind.REFUSED_BY_APPROVER,
        sources=[Delivery.PENDING_APPROVAL],
        at=at,
        by=by,
        data={"reason": reason},
        condition=Q(updated_at=message.updated_at),
    )
    if not moved:
        raise StateConflict


def cancel(message: Message, *, by: User, at: datetime, reason: str = "") -> None:
    """Stop a message that has not left. Raises StateConflict when it is too late, or it was stopped already."""
    moved = move(
        [message.pk],
        to=Delivery.CANCELLED,
        kind=EventKind.CANCELLED,
        # Stopping what was confirmed needs another right than throwing a draft away: one must not become the other.
        sources=[Delivery.DRAFT] if message.delivery is Delivery.DRAFT else CANCELLABLE - {Delivery.DRAFT},
        at=at,
        by=by,
        data={"reason": reason} if reason else None,
        columns={"waiting_reason": ""},
    )
    if not moved:
        raise StateConflict


def reveal(message: Message, *, by: User, at: datetime) -> str:
    """The full fiscal code of the recipient, for a person who needs it; the history says who looked."""
    record([message.pk], kind=EventKind.REVEALED, at=at, by=by)
    return message.taxcode
