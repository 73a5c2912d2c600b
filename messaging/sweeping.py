"""Housekeeping of the queue: requests whose answer never came become doubts, waiting messages past their due date end.

Each run takes all there is, in groups with a transaction and a breath each, until its time is over: 100,000 messages that
expire together end in a few runs, and nobody waits long for a row, a lock or a thread meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from messaging.engine import stopping
from messaging.late_answers import stop_what_arrived
from messaging.models import EventKind, Message
from messaging.moving import move
from messaging.querysets import MessageQuerySet
from messaging.states import WAITING, Delivery, WaitingReason

BATCH = 500
# So many are looked up at once: the index is read once for all of them.
LOOK = 10_000
# Then the other sweep has its turn, and this one goes on at the next tick.
RUN_SECONDS = 5.0
# Between two groups: where one writer holds the whole database, this is when the others write.
BREATH_SECONDS = 0.01


def sweep(*, at: datetime) -> int:
    """Rows `sending` past their lease: the process that sent them is gone, or cannot tell. Returns how many."""

    def end(lost: list[int]) -> list[int]:
        with transaction.atomic():
            moved = move(
                lost,
                to=Delivery.UNCERTAIN,
                kind=EventKind.OUTCOME_UNKNOWN,
                sources=[Delivery.SENDING],
                at=at,
                data={"reason": "no answer recorded"},
                columns={"lease_until": None},
                skip_locked=True,
                # Not one that was released and marked again since we looked.
                condition=Q(lease_until__lt=Now()),
            )
            attempts = dict(Message.objects.filter(pk__among=moved).values_list("pk", "attempt_id"))
            # Sent again, while the answer to the first time said that it had arrived: no doubt is left.
            stop_what_arrived(moved, attempts={pk: each for pk, each in attempts.items() if each}, at=at)
        return moved

    lost = Message.objects.filter(delivery_state=Delivery.SENDING, lease_until__lt=Now()).order_by("lease_until")
    return _drain(lost, end)


def expire(*, at: datetime) -> int:
    """Waiting rows whose due date passed in the queue: sending them now would only mislead. Returns how many."""

    def end(over: list[int]) -> list[int]:
        return move(
            over,
            to=Delivery.EXPIRED,
            kind=EventKind.EXPIRED,
            at=at,
            columns={"waiting_reason": WaitingReason.NONE},
            skip_locked=True,
        )

    over = Message.objects.filter(delivery_state__in=sorted(WAITING), expires_at__lte=Now()).order_by("expires_at")
    return _drain(over, end)


def _drain(rows: MessageQuerySet, end: Callable[[list[int]], list[int]]) -> int:
    """End these rows group by group until none is left, the time is over or the process stops; returns how many."""
    until = time.monotonic() + RUN_SECONDS
    ended = 0
    while found := list(rows.values_list("pk", flat=True)[:LOOK]):
        before = ended
        for group in _groups(found):
            ended += len(end(group))
            if time.monotonic() > until or stopping.is_set():
                return ended
            if len(found) > BATCH:
                time.sleep(BREATH_SECONDS)
        # What is left is held by somebody else, who stands still perhaps: the next run asks again.
        if len(found) < LOOK or ended == before:
            break
    return ended


def _groups(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
