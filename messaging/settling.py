"""A person decides about doubts, one or many at once: they arrived, or send them again.

One is many of one. Many go 500 at a time, each group with its events in a transaction of its own, so that 100,000 doubts
neither fill the memory nor hold locks for long; what is not committed when a process dies is still in doubt.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import F

from messaging.models import EventKind, Message
from messaging.moving import StateConflict, move
from messaging.querysets import MessageQuerySet
from messaging.states import FOLLOWED, WAITING, Delivery, Priority, WaitingReason
from messaging.waking import nudge_on_commit
from registry.models import User

GROUP = 500
# When the request left, in the events of a settlement: the row forgets it when it is sent again.
REQUESTED_AT = "requested_at"

# What makes a doubt wait again as if never tried. The old attempt no longer owns the row: whatever it still says becomes an
# event, and stops the second sending where it proves the first (recording).
AS_IF_NEVER_TRIED: Mapping[str, Any] = {
    "attempt_id": None,
    "marked_at": None,
    "io_service": None,
    "profile_checked_at": None,
    "waiting_reason": WaitingReason.NONE,
    "retries": 0,
    "status_detail": "",
}


class Meanwhile(Enum):
    """What had become of a message that was no longer in doubt when its turn came."""

    # A late answer of IO: it has it, or it refused it.
    ANSWERED = "answered"
    TAKEN_AS_ARRIVED = "taken_as_arrived"
    # Waiting or leaving: a person or the rule sends it again, or IO's late answer gave it back to the queue.
    SENDING_AGAIN = "sending_again"
    # In another way: cancelled or past its due date after somebody sent it again.
    CLOSED = "closed"


@dataclass(slots=True)
class Outcome:
    """The exact account of a settlement."""

    settled: list[int] = field(default_factory=list)
    # Message id -> what it is now, of those that were no longer in doubt.
    too_late: dict[int, Delivery] = field(default_factory=dict)
    meanwhile: Counter[Meanwhile] = field(default_factory=Counter)


def settle_arrived(message: Message, *, by: User, at: datetime, reason: str) -> None:
    """Somebody knows that the citizen has it. It is not followed (IO never told its id), and counted apart.

    Raises StateConflict when it is no longer in doubt.
    """
    if not settle_many_arrived([message.pk], by=by, at=at, reason=reason).settled:
        raise StateConflict


def settle_resend(message: Message, *, by: User, at: datetime, reason: str) -> None:
    """Send it again at once, knowing that the citizen may then have it twice.

    Raises StateConflict when it is no longer in doubt.
    """
    if not _resend([message.pk], by=by, at=at, reason=reason, among=None, priority=Priority.INTERACTIVE).settled:
        raise StateConflict


def settle_many_arrived(
    messages: Iterable[int] | MessageQuerySet,
    *,
    by: User,
    at: datetime,
    reason: str,
    among: MessageQuerySet | None = None,
) -> Outcome:
    """The citizens have them. `messages` are ids, each once and read as they are needed, or a queryset, of which only
    doubts are taken.

    `among` is what this person may settle: of anything else nothing is done and nothing is told.
    """
    return _settle(
        messages,
        to=Delivery.SENT,
        kind=EventKind.SETTLED_ARRIVED,
        by=by,
        at=at,
        reason=reason,
        among=among,
        # The attempt stays: should IO's answer come after all, it fills the id and following starts.
        columns={"is_taken_as_arrived": True, "expedition_date": F("marked_at")},
    )


def settle_many_resend(
    messages: Iterable[int] | MessageQuerySet,
    *,
    by: User,
    at: datetime,
    reason: str,
    among: MessageQuerySet | None = None,
) -> Outcome:
    """Send them again, after single messages and the planned ones: a crowd that was late already overtakes nobody."""
    return _resend(messages, by=by, at=at, reason=reason, among=among, priority=Priority.BULK)


def _resend(
    messages: Iterable[int] | MessageQuerySet,
    *,
    by: User,
    at: datetime,
    reason: str,
    among: MessageQuerySet | None,
    priority: Priority,
) -> Outcome:
    outcome = _settle(
        messages,
        to=Delivery.SCHEDULED,
        kind=EventKind.SETTLED_RESEND,
        by=by,
        at=at,
        reason=reason,
        among=among,
        columns={**AS_IF_NEVER_TRIED, "not_before": at, "priority": priority},
    )
    if outcome.settled:
        nudge_on_commit()
    return outcome


def _settle(
    messages: Iterable[int] | MessageQuerySet,
    *,
    to: Delivery,
    kind: EventKind,
    by: User,
    at: datetime,
    reason: str,
    among: MessageQuerySet | None,
    columns: Mapping[str, Any],
) -> Outcome:
    outcome = Outcome()
    permitted = Message.objects.all() if among is None else among
    for group in _groups(messages):
        with transaction.atomic():
            requested = requests_of(permitted.filter(pk__in=group))
            settled = move(
                list(requested),
                to=to,
                kind=kind,
                sources=[Delivery.UNCERTAIN],
                at=at,
                by=by,
                data={pk: {"reason": reason, **facts} for pk, facts in requested.items()},
                columns=columns,
            )
            done = set(settled)
            _note_late(outcome, permitted.filter(pk__in=[pk for pk in group if pk not in done]))
        outcome.settled += settled
    return outcome


def requests_of(rows: MessageQuerySet) -> dict[int, dict[str, str]]:
    """Of those in doubt, locked until the transaction ends: id -> the fact of when exactly the request left."""
    doubts = rows.uncertain().order_by("pk").select_for_update(of=("self",)).values_list("pk", "marked_at")
    return {pk: {REQUESTED_AT: marked_at.isoformat()} if marked_at else {} for pk, marked_at in doubts}


def _groups(messages: Iterable[int] | MessageQuerySet) -> Iterator[list[int]]:
    if isinstance(messages, MessageQuerySet):
        doubts = messages.uncertain().order_by("pk").values_list("pk", flat=True)
        last = 0
        # By the id after the last: what is settled leaves the queryset, so that no page number would hold.
        while group := list(doubts.filter(pk__gt=last)[:GROUP]):
            last = group[-1]
            yield group
    else:
        ids = iter(messages)
        while group := list(islice(ids, GROUP)):
            yield group


def _note_late(outcome: Outcome, rows: MessageQuerySet) -> None:
    for pk, state, taken_as_arrived in rows.values_list("pk", "delivery_state", "is_taken_as_arrived"):
        if pk in outcome.too_late:
            continue
        now = Delivery(state)
        outcome.too_late[pk] = now
        outcome.meanwhile[_meanwhile(now, taken_as_arrived=taken_as_arrived)] += 1


def _meanwhile(now: Delivery, *, taken_as_arrived: bool) -> Meanwhile:
    if taken_as_arrived:
        return Meanwhile.TAKEN_AS_ARRIVED
    if now in WAITING or now is Delivery.SENDING:
        return Meanwhile.SENDING_AGAIN
    if now in FOLLOWED or now in _ANSWERS:
        return Meanwhile.ANSWERED
    return Meanwhile.CLOSED


_ANSWERS = frozenset({Delivery.PROCESSED, Delivery.REJECTED, Delivery.FAILED, Delivery.BAD_REQUEST, Delivery.FORBIDDEN})
