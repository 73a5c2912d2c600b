"""The lanes: the right to serve one IO account for a while, and the account's pause, slowdown and breaker.

A lane only avoids waste: two workers serving one account would share its bucket and never send a message twice, since
the mark is a conditional UPDATE. Instants are the database's.
"""

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.models.functions import Now

from messaging import logs
from messaging.breaker import Breaker
from messaging.claiming import streams_due
from messaging.database_clock import DatabaseClock, now_plus
from messaging.holders import process_of, this_process
from messaging.models import Message
from messaging.states import Delivery
from registry.models import Lane

# Longer than a slice, so that a lane is not lost between renewals, short enough that a dead worker's is soon free.
HELD_FOR_SECONDS = 20.0
# A lane given up because another process asked for it is kept for that one: longer than a holder takes to notice.
WANTED_FOR_SECONDS = 3.0
# A 429 without a hint: this long, and up to a fifth longer, so that accounts throttled together do not return together.
DEFAULT_PAUSE_SECONDS = 5.0
PAUSE_JITTER = 0.2
LONGEST_PAUSE_SECONDS = 3600.0
# However little IO asks for: the 429s of one burst must all come in while the pause that counts them once still lasts.
SHORTEST_PAUSE_SECONDS = 1.0
# Down at once and up slowly, as everybody who shares a line does: the next 429 is the only way to learn how much of the
# account somebody else uses, and each costs a pause. From 0.7 the whole rate is back after 75 seconds.
SLOWED_TO = 0.7
SLOWEST_FACTOR = 0.1
RECOVERED_PER_SECOND = 0.02 / 5


@dataclass(frozen=True, slots=True)
class TakenLane:
    """What the holder needs to know, as the database told it when the lane was taken."""

    io_account: int
    rate: float
    breaker: Breaker
    clock: DatabaseClock
    # Another process, which serves no account, asks for it.
    is_wanted: bool = False


def take_lanes(*, holder: uuid.UUID, limit: int, closed: Collection[int] = ()) -> list[TakenLane]:
    """Take up to `limit` free lanes of accounts that have something due and are not paused.

    `closed`: enti that may not send now, whose messages are therefore not due.
    """
    free = Lane.objects.filter(
        Q(holder=None) | Q(held_until__lt=Now()),
        Q(paused_until=None) | Q(paused_until__lte=Now()),
        Q(opened_at=None) | Q(probe_at__lte=Now()),
        Q(wanted_until=None) | Q(wanted_until__lt=Now()) | Q(wanted_by=process_of(holder)),
    )
    due = accounts_due(free.values_list("pk", flat=True), closed=closed)
    if not due:
        return []
    with transaction.atomic():
        taken = list(
            # The one that waited longest since it was last served goes first.
            free.filter(pk__in=due)
            .order_by(F("held_until").asc(nulls_first=True))
            .select_for_update(skip_locked=True, of=("self",))
            .values_list("pk", flat=True)[:limit]
        )
        if not taken:
            return []
        for pk in taken:
            _paused.pop(pk, None)  # The row knows better: its pause is over.
        Lane.objects.filter(pk__in=taken).update(
            holder=holder, held_until=now_plus(HELD_FOR_SECONDS), wanted_by=None, wanted_until=None
        )
        rows = Lane.objects.filter(pk__in=taken, holder=holder).select_related("io_account").annotate(now=Now())
        return [_taken(lane, now=lane.now) for lane in rows]


def ask_for_a_share(*, closed: Collection[int] = ()) -> bool:
    """Ask for half of the busy lanes of every other process that holds several; whether there was anything to ask for.

    Only a process that holds none asks, so that two never take lanes from each other in turns. Which slice took them all
    is a matter of who was first: without this a second worker would watch the first.
    """
    held = Lane.objects.filter(holder__isnull=False, held_until__gt=Now()).values_list("pk", "holder")
    of_process: dict[uuid.UUID, list[int]] = defaultdict(list)
    for pk, holder in held:
        assert holder is not None  # the filter above
        of_process[process_of(holder)].append(pk)
    if this_process() in of_process:
        return False
    due = accounts_due([pk for pks in of_process.values() if len(pks) > 1 for pk in pks], closed=closed)
    wanted: list[int] = []
    for pks in of_process.values():
        busy = sorted(due.intersection(pks))
        wanted += busy[: len(busy) // 2]
    if not wanted:
        return False
    asked = Lane.objects.filter(Q(wanted_until=None) | Q(wanted_until__lt=Now()), pk__in=wanted, holder__isnull=False)
    return bool(asked.update(wanted_by=this_process(), wanted_until=now_plus(WANTED_FOR_SECONDS)))


def accounts_due(io_accounts: Iterable[int], *, closed: Collection[int] = ()) -> frozenset[int]:
    """Those of these accounts that have something to send now."""
    return frozenset(stream.io_account for stream in streams_due(list(io_accounts), closed=closed))


def with_polls_waiting(io_accounts: Collection[int]) -> frozenset[int]:
    """Those of these accounts that have something to ask IO about now."""
    due = Message.objects.to_poll(io_account=OuterRef("pk"), at=Now())
    return frozenset(Lane.objects.filter(Exists(due), pk__in=io_accounts).values_list("pk", flat=True))


def _taken(lane: Lane, *, now: datetime) -> TakenLane:
    return TakenLane(
        io_account=lane.pk,
        rate=effective_rate(lane, now=now),
        breaker=_breaker(lane),
        clock=DatabaseClock(now),
        is_wanted=lane.wanted_until is not None and lane.wanted_until > now,
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
    """Calls per second to make now: the account's, lowered after a 429 and growing back since."""
    return lane.io_account.calls_per_second * _factor(lane, now=now)


def _factor(lane: Lane, *, now: datetime) -> float:
    """The part of the rate used now; never lower than right after the pause, and the whole from `slowed_until` on."""
    if lane.slowed_until is None:
        return 1.0
    missing = max(0.0, (lane.slowed_until - now).total_seconds()) * RECOVERED_PER_SECOND
    return max(lane.rate_factor, 1.0 - missing)


def keep_lanes(io_accounts: Collection[int], *, holder: uuid.UUID) -> dict[int, TakenLane]:
    """Hold them on; returns those still ours and not paused meanwhile (a poll may have met a 429), as they are now."""
    mine = Lane.objects.filter(pk__in=io_accounts, holder=holder)
    mine.update(held_until=now_plus(HELD_FOR_SECONDS))
    rows = mine.filter(Q(paused_until=None) | Q(paused_until__lte=Now())).select_related("io_account")
    return {lane.pk: _taken(lane, now=lane.now) for lane in rows.annotate(now=Now())}


def being_sent(io_accounts: Collection[int]) -> dict[int, int]:
    """How many messages of each of these accounts are marked `sending`, whoever sends them; few, by their own index."""
    sending = Message.objects.filter(delivery_state=Delivery.SENDING, io_account__in=io_accounts).order_by()
    return dict(sending.values_list("io_account").annotate(number=Count("pk")))


# What this process heard itself: account -> until when (monotonic). The row is read again only every few seconds.
_paused: dict[int, float] = {}


def forget() -> None:
    """What this process heard. For tests: accounts of another database have the same ids."""
    _paused.clear()


def is_paused_here(io_account: int) -> bool:
    """Whether this process met a 429 of the account whose pause is not over; asked on any thread, costs nothing."""
    return _paused.get(io_account, 0.0) > time.monotonic()


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
                logs.breaker_moved(io_account, after.position.value)
    return after


def pause(io_account: int, *, seconds: float | None) -> None:
    """IO said 429: nobody calls for this account for that long (None: it did not say), then more slowly for a while."""
    if seconds is None:
        seconds = DEFAULT_PAUSE_SECONDS * (1 + random.random() * PAUSE_JITTER)  # noqa: S311  (spreads load, keeps no secret)
    seconds = min(max(SHORTEST_PAUSE_SECONDS, seconds), LONGEST_PAUSE_SECONDS)
    with transaction.atomic():
        lane = Lane.objects.select_for_update().annotate(now=Now()).get(pk=io_account)
        was_paused = lane.paused_until is not None and lane.paused_until > lane.now
        # The answers of one burst count once: the calls were made at one rate.
        factor = lane.rate_factor if was_paused else max(SLOWEST_FACTOR, _factor(lane, now=lane.now) * SLOWED_TO)
        until = max(lane.now + timedelta(seconds=seconds), lane.paused_until or lane.now)
        Lane.objects.filter(pk=io_account).update(
            paused_until=until,
            rate_factor=factor,
            slowed_until=until + timedelta(seconds=(1.0 - factor) / RECOVERED_PER_SECOND),
        )
    _paused[io_account] = max(_paused.get(io_account, 0.0), time.monotonic() + seconds)
    if not was_paused:
        logs.account_paused(io_account, seconds=seconds)
