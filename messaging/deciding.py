"""What people decide about a message before it leaves: yes, no, stop; and looking at whom it is for."""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from messaging.models import EventKind, Message, MessageEvent
from messaging.moving import StateConflict, move, record
from messaging.states import CANCELLABLE, Delivery
from messaging.waking import nudge_on_commit
from registry.models import User

# Who did any of these to a message has prepared it.
PREPARING = (EventKind.COMPOSED, EventKind.DRAFTED, EventKind.SUBMITTED)


class OwnMessage(Exception):
    """Whoever prepared a message may not approve it."""


def has_prepared(message: Message, person: User) -> bool:
    return message.events.filter(kind__in=PREPARING, actor=person).exists()


def is_own(message: Message, *, by: User) -> bool:
    """Whether this person prepared it, alone or with others: then another must approve it."""
    return message.sender_id == by.pk or has_prepared(message, by)


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
