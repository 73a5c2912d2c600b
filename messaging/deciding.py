"""What people decide about a message before it leaves: yes, no, stop (one or many); and looking at whom it is for."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from messaging.models import EventKind, Message, MessageEvent, ServiceInstance
from messaging.moving import StateConflict, move, record
from messaging.querysets import MessageQuerySet
from messaging.states import CANCELLABLE, Delivery
from messaging.waking import nudge_on_commit
from registry.models import User
from registry.permissions import Action

# Who did any of these to a message has prepared it.
PREPARING = (EventKind.COMPOSED, EventKind.DRAFTED, EventKind.SUBMITTED)
# Of many that are stopped at once, so many in each transaction: neither long locks nor a full memory.
GROUP = 500
# Stopping what was confirmed needs another right than throwing a draft away: one must not become the other.
DRAFTS = frozenset({Delivery.DRAFT})
CONFIRMED = CANCELLABLE - DRAFTS


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
    sources = DRAFTS if message.delivery is Delivery.DRAFT else CONFIRMED
    if not _stop([message.pk], sources=sources, by=by, at=at, reason=reason):
        raise StateConflict


@dataclass(slots=True)
class Stopped:
    """The exact account of a cancellation of many."""

    cancelled: list[int] = field(default_factory=list)
    # Message id -> what it is now, of those for which it was too late.
    too_late: dict[int, Delivery] = field(default_factory=dict)

    @property
    def late_by_state(self) -> Counter[Delivery]:
        return Counter(self.too_late.values())


def cancellable_by(person: User) -> MessageQuerySet:
    """What this person may stop now: messages with the right to send them, drafts with the right to write them."""
    sendable = ServiceInstance.objects.open_to(person, Action.SEND_MESSAGES).values("pk")
    writable = ServiceInstance.objects.open_to(person, Action.WRITE_DRAFTS).values("pk")
    return Message.objects.filter(
        Q(delivery_state__in=sorted(CONFIRMED), service_instance__in=sendable)
        | Q(delivery_state__in=sorted(DRAFTS), service_instance__in=writable)
    )


def cancel_many(messages: Iterable[int], *, by: User, at: datetime, reason: str = "") -> Stopped:
    """Stop these messages, given by id, as far as they have not left. Each follows the rule of `cancel`, and its rights.

    Goes by groups, each with its events in a transaction of its own: what is committed when a process dies stays
    cancelled, and asking again does the rest. Ids that this person could stop in no state are as good as absent.
    """
    account = Stopped()
    mine = Message.objects.visible_to(by, action=Action.WRITE_DRAFTS)
    may_stop = cancellable_by(by)
    ids = iter(dict.fromkeys(messages))
    while group := list(islice(ids, GROUP)):
        with transaction.atomic():
            found = may_stop.filter(pk__in=group).values_list("pk", "delivery_state")
            drafts = {pk for pk, state in found if state in DRAFTS}
            confirmed = {pk for pk, state in found if state not in DRAFTS}
            done = {
                *_stop(drafts, sources=DRAFTS, by=by, at=at, reason=reason),
                *_stop(confirmed, sources=CONFIRMED, by=by, at=at, reason=reason),
            }
            # Read after the locks were held: what was being marked meanwhile shows what it has become.
            left = mine.filter(pk__in=[pk for pk in group if pk not in done]).values_list("pk", "delivery_state")
            late = {pk: Delivery(state) for pk, state in left}
        account.cancelled += sorted(done)
        account.too_late |= late
    return account


def _stop(ids: Collection[int], *, sources: Collection[Delivery], by: User, at: datetime, reason: str) -> list[int]:
    return move(
        ids,
        to=Delivery.CANCELLED,
        kind=EventKind.CANCELLED,
        sources=sources,
        at=at,
        by=by,
        data={"reason": reason} if reason else None,
        columns={"waiting_reason": ""},
    )


def reveal(message: Message, *, by: User, at: datetime) -> str:
    """The full fiscal code of the recipient, for a person who needs it; the history says who looked."""
    record([message.pk], kind=EventKind.REVEALED, at=at, by=by)
    return message.taxcode
