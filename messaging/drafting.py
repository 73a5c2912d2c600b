"""Drafts: what a person is still writing, kept however incomplete, until they confirm exactly what they saw."""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from messaging.composing import ComposeRefused, InstanceDisabled, TemplateMissing, check, columns_of, content_of
from messaging.deciding import has_prepared
from messaging.models import EventKind, Message, MessageContent, ServiceInstance
from messaging.moving import StateConflict, move, record
from messaging.states import Delivery
from messaging.storing import rows
from messaging.validating import ValidMessage
from messaging.waking import nudge_on_commit
from registry.models import AmountUnit, User


class PreviewOutdated(Exception):
    """The text is no longer the one that the person saw (the template changed): show it again."""


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
            [place] = rows().numbers(Message, 1)
            draft = Message.objects.create(
                pk=place.number,
                service_instance=instance,
                sender=by,
                io_account_id=instance.io_service.io_account_id,
                delivery_state=Delivery.DRAFT,
                created_at=place.at,
                updated_at=place.at,
                scheduled_at=at,
                not_before=at,
            )
            MessageContent.objects.create(
                message=draft, version=instance.template.current_version, draft_form=dict(form)
            )
            record([draft.pk], kind=EventKind.DRAFTED, at=place.at, state=Delivery.DRAFT, by=by)
            return draft
        changed = Message.objects.filter(pk=draft.pk, delivery_state=Delivery.DRAFT).update(
            service_instance=instance, io_account_id=instance.io_service.io_account_id, updated_at=at
        )
        if not changed:
            raise StateConflict
        MessageContent.objects.filter(message=draft).update(
            version=instance.template.current_version, draft_form=dict(form)
        )
        if not has_prepared(draft, by):
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
                **columns_of(verdict.message, at=at),
                "sender": by,
                "io_account": instance.io_service.io_account_id,
            },
        )
        if not moved:
            raise StateConflict
        MessageContent.objects.filter(message=draft).update(
            version=instance.template.current_version, **content_of(verdict.message, warnings=verdict.warnings)
        )
        nudge_on_commit()
    return Message.objects.get(pk=draft.pk)
