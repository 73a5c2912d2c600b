"""The lanes: the right to serve one IO account for a while, and the account's pause, slowdown and breaker.

A lane only avoids waste: two workers serving one account would share its bucket and never send a message twice, since
the mark is a conditional UPDATE. Instants are the database's.
"""

import logging
import random
import uuid
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Greatest, Now

from messaging.breaker import Breaker
from messaging.database_clock import DatabaseClock, now_plus
from messaging.models import Message
from registry.models import Lane

log = logging.getLogger(__name__)

# Longer than a slice, so that a lane is not lost between renewals, short enough that a dead worker's is soon free.
HELD_FOR_SECONDS = 20.0
# A 429 without a hint: this long, and up to a fifth longer, so that accounts throttled together do not return together.
DEFAULT_PAUSE_SECONDS = 5.0
PAUSE_JITTER = 0.2
LONGEST_PAUSE_SECONDS = 3600.0
SLOWED_FOR_SECONDS = 60.0
SLOWEST_FACTOR = 0.1


@dataclass(frozen=True, slots=True)
class TakenLane:
    """What the holder needs to know, as the database told it when the lane was taken."""

    io_account: int
    rate: float
    breaker: Breaker
    clock: DatabaseClock


def take_lanes(*, holder: uuid.UUID, limit: int) -> list[TakenLane]:
    """Take up to `limit` free lanes of accounts that have something due and are not paused."""
    due = Message.objects.due(at=Now()).filter(io_account=OuterRef("pk"))
    free = Lane.objects.filter(
        Q(holder=None) | Q(held_until__lt=Now()),
        Q(paused_until=None) | Q(paused_until__lte=Now()),
        Q(opened_at=None) | Q(probe_at__lte=Now()),
        Exists(due),
    )
    with transaction.atomic():
        taken = list(
            # The one that waited longest since it was last served goes first.
            free.order_by(F("held_until").asc(nulls_first=True))
            .select_for_update(skip_locked=True, of=("self",))
            .values_list("pk", flat=True)[:limit]
        )
        if not taken:
            return []
        Lane.objects.filter(pk__in=taken).update(holder=holder, held_until=now_plus(HELD_FOR_SECONDS))
        rows = Lane.objects.filter(pk__in=taken, holder=holder).select_related("io_account").annotate(now=Now())
        return [_taken(lane, now=lane.now) for lane in rows]


def _taken(lane: Lane, *, now: datetime) -> TakenLane:
    return TakenLane(
        io_account=lane.pk,
        rate=effective_rate(lane, now=now),
        breaker=_breaker(lane),
        clock=DatabaseClock(now),
    )


def _breaker(lane: Lane) -> Breaker:
    return Breaker(
        failures_in_row=lane.failures_in_row,
        send_failures_in_row=lane.send_failures_in_row,
        opened_at=lane.opened_at,
        probe_at=lane.probe_at,
        probes_failed=lane.probes_failed,
        is_half_open=lane.is_half_open,
    )


def effective_rate(lane: Lane, *, now: datetime) -> float:
    """Calls per second to make now: the account's, lowered for a while after a 429."""
    is_slowed = lane.slowed_until is not None and lane.slowed_until > now
    return lane.io_account.calls_per_second * (lane.rate_factor if is_slowed else 1.0)


def keep_lanes(io_accounts: Collection[int], *, holder: uuid.UUID) -> frozenset[int]:
    """Hold them on; returns those still ours and not paused meanwhile (a poll may have met a 429)."""
    mine = Lane.objects.filter(pk__in=io_accounts, holder=holder)
    mine.update(held_until=now_plus(HELD_FOR_SECONDS))
    return frozenset(mine.filter(Q(paused_until=None) | Q(paused_until__lte=Now())).values_list("pk", flat=True))


def leave_lanes(io_accounts: Collection[int], *, holder: uuid.UUID) -> None:
    """Give them up. `held_until` stays as the time of last service, for the fairness of the next taking."""
    Lane.objects.filter(pk__in=io_accounts, holder=holder).update(holder=None, held_until=Now())


def learn(io_account: int, *, fold: Callable[[Breaker, datetime], Breaker]) -> Breaker:
    """Bring the account's breaker up to date with some answers, whoever holds the lane now; returns it.

    Answers come in after the slice that asked, too: an outage is exactly when they are late.
    """
    with transaction.atomic():
        lane = Lane.objects.select_for_update().annotate(now=Now()).get(pk=io_account)
        before = _breaker(lane)
        after = fold(before, lane.now)
        if after != before:
            Lane.objects.filter(pk=io_account).update(**asdict(after))
            if after.position is not before.position:
                log.warning("IO account %s: breaker is %s", io_account, after.position.value)
    return after


def pause(io_account: int, *, seconds: float | None) -> None:
    """IO said 429: nobody calls for this account for that long (None: it did not say), and more slowly for a while."""
    if seconds is None:
        seconds = DEFAULT_PAUSE_SECONDS * (1 + random.random() * PAUSE_JITTER)  # noqa: S311  (spreads load, keeps no secret)
    seconds = min(max(0.0, seconds), LONGEST_PAUSE_SECONDS)
    with transaction.atomic():
        lane = Lane.objects.select_for_update().annotate(now=Now()).get(pk=io_account)
        # The answers of one burst count once: the calls were made at one rate.
        was_paused = lane.paused_until is not None and lane.paused_until > lane.now
        factor = lane.rate_factor if lane.slowed_until and lane.slowed_until > lane.now else 1.0
        Lane.objects.filter(pk=io_account).update(
            paused_until=Greatest(F("paused_until"), Value(lane.now + timedelta(seconds=seconds)))
            if lane.paused_until
            else lane.now + timedelta(seconds=seconds),
            rate_factor=factor if was_paused else max(SLOWEST_FACTOR, factor / 2),
            slowed_until=lane.now + timedelta(seconds=seconds + SLOWED_FOR_SECONDS),
        )
