"""How sending goes now, for whoever keeps it running: queues, paces, doubts, stops, and whether anybody is at work.

Numbers, ids and names of accounts only. Everything is measured together, in a fixed number of queries of which one has
a cost that grows: counting the queue reads its index once (docs/operations.md tells what that costs). So what was
measured is kept by each process for ten seconds, and for as long again as to use a fiftieth of its time at the most.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from django.db.models import Count, Min, OuterRef, Q, Subquery
from django.db.models.functions import Now

from messaging import lanes
from messaging.breaker import Breaker, Position
from messaging.models import CallTally, Heartbeat, IOService, Message, MinuteTally, ServiceInstance, TokenTally
from messaging.sending_hours import closed_organizations
from messaging.states import WAITING, Delivery, Priority, WaitingReason
from registry.models import Lane

KEPT_FOR_SECONDS = 10.0
# Measuring takes at most one part in so many of the time of a process.
KEPT_FOR_TIMES = 50
# The periodic tasks whose end a worker notes (messaging.tasks); older than this, something is wrong.
TICKS = ("dispatch", "poll", "sweep")
TICK_IS_OLD_AFTER = timedelta(seconds=60)
MINUTES_SHOWN = 60


class Hold(Enum):
    """What closes the way of messages whose time has come; of several, the one that lasts until a person ends it."""

    SUSPENDED = "suspended"
    DISABLED = "disabled"
    OUT_OF_HOURS = "out of hours"


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits in one service instance at one priority of one account. Messages set aside are counted apart."""

    io_account: int
    service_instance: int
    priority: Priority
    # May leave as soon as the pace allows.
    due: int
    # Their time has come, but their way is closed: IO service suspended, instance disabled, outside the sending hours.
    held: int
    # Their date is ahead, or they wait for an attempt of their own.
    planned: int
    # Of the oldest that is due.
    oldest_due: datetime | None
    # Why those are held; None where the way is open.
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """The moving parts of an IO account, and what concerns it whoever's the messages are."""

    pk: int
    name: str
    # Calls per second: granted, and to be made now.
    granted: float
    rate: float
    paused_until: datetime | None
    breaker: Position
    opened_at: datetime | None
    probe_at: datetime | None
    # When the question to IO that waits longest was due.
    oldest_poll: datetime | None
    suspended_services: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A service instance with messages that somebody may have to look at."""

    pk: int
    io_account: int
    uncertain: int = 0
    set_aside: int = 0
    # Taken by IO, never ended, and not asked about any more.
    silent: int = 0
    # Marked `sending`, past their lease: no sweep has been there.
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """One look at everything."""

    # The database's clock.
    at: datetime
    accounts: tuple[Account, ...]
    queues: tuple[Queue, ...]
    instances: tuple[Instance, ...]


def measure() -> Measured:
    """Look now: nine queries."""
    accounts, at = _accounts()
    instances = _instances()
    return Measured(at=at, accounts=accounts, queues=_queues(at, instances), instances=_troubled(instances))


def _accounts() -> tuple[tuple[Account, ...], datetime]:
    oldest_poll = Message.objects.to_poll(io_account=OuterRef("pk"), at=Now()).values("next_poll_at")[:1]
    suspended = dict(
        IOService.objects.filter(suspended_at__isnull=False)
        .order_by()
        .values_list("io_account")
        .annotate(number=Count("pk"))
    )
    rows: Iterable[Any] = (
        Lane.objects.select_related("io_account")
        .annotate(now=Now(), oldest_poll=Subquery(oldest_poll))
        .order_by("io_account__name")
    )
    found = []
    at = None
    for lane in rows:
        at = at or lane.now
        found.append(
            Account(
                pk=lane.pk,
                name=lane.io_account.name,
                granted=float(lane.io_account.calls_per_second),
                rate=lanes.effective_rate(lane, now=lane.now),
                paused_until=lane.paused_until if _is_ahead(lane.paused_until, lane.now) else None,
                breaker=Breaker(opened_at=lane.opened_at, is_half_open=lane.is_half_open).position,
                opened_at=lane.opened_at,
                probe_at=lane.probe_at,
                oldest_poll=lane.oldest_poll,
                suspended_services=suspended.get(lane.pk, 0),
            )
        )
    return tuple(found), at or datetime.now(UTC)


def _is_ahead(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment > now


@dataclass(frozen=True, slots=True)
class _Way:
    io_account: int
    organization: int
    is_enabled: bool
    is_suspended: bool

    def hold(self, *, closed: Collection[int]) -> Hold | None:
        if self.is_suspended:
            return Hold.SUSPENDED
        if not self.is_enabled:
            return Hold.DISABLED
        return Hold.OUT_OF_HOURS if self.organization in closed else None


def _instances() -> dict[int, _Way]:
    rows = ServiceInstance.objects.order_by().values_list(
        "pk", "io_service__io_account", "organization", "enabled", "io_service__suspended_at"
    )
    return {
        pk: _Way(account, organization, is_enabled=enabled, is_suspended=suspended_at is not None)
        for pk, account, organization, enabled, suspended_at in rows
    }


def _queues(at: datetime, ways: dict[int, _Way]) -> tuple[Queue, ...]:
    """One pass over the queue's own index, which holds all that is asked."""
    closed = closed_organizations(at)
    rows = (
        Message.objects.filter(~Q(waiting_reason=WaitingReason.SET_ASIDE), delivery_state__in=sorted(WAITING))
        .order_by()
        .values_list("io_account", "priority", "service_instance")
        .annotate(number=Count("pk"), come=Count("pk", filter=Q(not_before__lte=at)), oldest=Min("not_before"))
    )
    queues = []
    for account, priority, instance, number, come, oldest in rows:
        way = ways.get(instance)
        hold = way.hold(closed=closed) if way is not None else None
        is_open = way is not None and hold is None
        queues.append(
            Queue(
                io_account=account,
                service_instance=instance,
                priority=Priority(priority),
                due=come if is_open else 0,
                held=0 if is_open else come,
                planned=number - come,
                oldest_due=oldest if is_open and come else None,
                hold=hold,
            )
        )
    return tuple(queues)


def _troubled(ways: dict[int, _Way]) -> tuple[Instance, ...]:
    """Each of these has an index of its own, which holds next to nothing while all is well."""
    messages = Message.objects.order_by()
    uncertain = _by_instance(messages.uncertain())
    set_aside = _by_instance(messages.filter(waiting_reason=WaitingReason.SET_ASIDE))
    silent = _by_instance(messages.silent())
    lost = _by_instance(messages.filter(delivery_state=Delivery.SENDING, lease_until__lt=Now()))
    return tuple(
        Instance(
            pk=instance,
            io_account=ways[instance].io_account,
            uncertain=uncertain[instance],
            set_aside=set_aside[instance],
            silent=silent[instance],
            lost=lost[instance],
        )
        for instance in sorted({*uncertain, *set_aside, *silent, *lost})
        if instance in ways
    )


def _by_instance(messages: Any) -> Counter[int]:
    return Counter(dict(messages.values_list("service_instance").annotate(number=Count("pk"))))


class _Kept:
    """What was measured last, and until when it is good. One thread measures, the others wait for it."""

    def __init__(self, look: Callable[[], Measured], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._measured: Measured | None = None
        self._good_until = 0.0

    def get(self) -> Measured:
        with self._lock:
            begun = self._clock()
            if self._measured is None or begun >= self._good_until:
                self._measured = self._look()
                ended = self._clock()
                self._good_until = ended + max(KEPT_FOR_SECONDS, KEPT_FOR_TIMES * (ended - begun))
            return self._measured

    def forget(self) -> None:
        with self._lock:
            self._measured = None


_kept = _Kept(measure)


def measured() -> Measured:
    """The last look of this process, or a new one where that is too old."""
    return _kept.get()


def forget() -> None:
    """Look again the next time, however recent the last look: for tests."""
    _kept.forget()


def tick_ages() -> dict[str, float | None]:
    """Seconds since a worker last handled each tick to its end; None for never. One small query, never kept."""
    rows = Heartbeat.objects.filter(name__in=TICKS).annotate(now=Now()).values_list("name", "at", "now")
    ages = {name: max(0.0, (now - at).total_seconds()) for name, at, now in rows}
    return {name: ages.get(name) for name in TICKS}


def old_ticks(ages: dict[str, float | None]) -> list[str]:
    """Those that nobody has handled for a minute."""
    return [name for name, age in ages.items() if age is None or age > TICK_IS_OLD_AFTER.total_seconds()]


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of an account that ended so, since the installation began."""

    io_account: int
    call: str
    outcome: str
    count: int


def calls_made() -> list[Calls]:
    rows = CallTally.objects.order_by("io_account", "call", "outcome")
    return [Calls(*values) for values in rows.values_list("io_account", "call", "outcome", "count")]


def tokens_used() -> dict[int, int]:
    return dict(TokenTally.objects.values_list("io_account", "count"))


@dataclass(frozen=True, slots=True)
class Minute:
    minute: datetime
    calls: int
    accepted: int


def last_minutes(
    io_accounts: Collection[int], *, at: datetime, minutes: int = MINUTES_SHOWN
) -> dict[int, list[Minute]]:
    """Of each account the minutes up to the present one, the earliest first, quiet ones included."""
    present = at.replace(second=0, microsecond=0)
    asked = [present - timedelta(minutes=back) for back in range(minutes - 1, -1, -1)]
    rows = MinuteTally.objects.filter(minute__gte=asked[0], io_account__in=io_accounts)
    counted = {
        (account, minute): Minute(minute, calls, accepted)
        for account, minute, calls, accepted in rows.values_list("io_account", "minute", "calls", "accepted")
    }
    return {
        account: [counted.get((account, minute), Minute(minute, 0, 0)) for minute in asked] for account in io_accounts
    }
