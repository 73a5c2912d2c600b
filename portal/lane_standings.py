"""How the IO accounts behind a person's services are doing: breaker, pause, pace, and how late IO's news are."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from messaging import lanes
from messaging.breaker import Breaker, Position
from messaging.models import Message, ServiceInstance
from messaging.states import SuspensionReason
from registry.models import IOAccount, Lane

# News this late are said aloud: the regular questions are minutes to hours apart, a queue of them takes minutes.
LATE = timedelta(minutes=30)
# A row that waits only because IO did not answer is due again within this time.
_SOON = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """One IO account as it is now, by the database's clock (`now`)."""

    io_account: int
    name: str
    calls_per_second: int
    # Calls per second made now: fewer after IO asked to slow down.
    rate: float
    breaker: Position
    opened_at: datetime | None
    # The next single call that finds out whether IO is back; None when it is due now.
    probe_at: datetime | None
    # None when nobody paused it, or the pause is over.
    paused_until: datetime | None
    # How late the oldest question about a message is; None when none is late enough to say so.
    polls_late: timedelta | None
    now: datetime

    @property
    def is_slowed(self) -> bool:
        return self.rate < self.calls_per_second

    @property
    def is_open(self) -> bool:
        return self.breaker is Position.OPEN

    @property
    def is_half_open(self) -> bool:
        return self.breaker is Position.HALF_OPEN

    @property
    def is_disturbed(self) -> bool:
        """Sending for it is stopped or slow, whoever is waiting."""
        return self.breaker is not Position.CLOSED or self.paused_until is not None or self.is_slowed


def standings_behind(instances: "QuerySet[ServiceInstance]") -> list[LaneStanding]:
    """The accounts that these service instances send through, by name. One query, a look-up in an index for each."""
    sending = instances.filter(io_service__io_account=OuterRef("pk"))
    return [_standing(lane) for lane in _lanes().filter(Exists(sending)).order_by("io_account__name")]


def standing_of(io_account: IOAccount) -> LaneStanding:
    """One query."""
    return _standing(_lanes().get(pk=io_account.pk))


def with_something_due(standings: list[LaneStanding], *, instances: "QuerySet[ServiceInstance]") -> set[int]:
    """Of these accounts, those through which one of the service instances has a message whose date has come.

    One query, led by the service instances: what others have waiting, however much, is never walked.
    """
    if not standings:
        return set()
    now = max(standing.now for standing in standings)
    due = Message.objects.waiting().filter(
        io_account=OuterRef("io_service__io_account"),
        service_instance=OuterRef("pk"),
        not_before__lte=now + _SOON,
        scheduled_at__lte=now,
    )
    affected = instances.filter(
        Exists(due),
        io_service__io_account__in=[standing.io_account for standing in standings],
        enabled=True,
        io_service__suspended_at=None,
    )
    return set(affected.values_list("io_service__io_account", flat=True).distinct())


def _lanes() -> "QuerySet[Lane]":
    # The first of an index, one look-up for each account.
    oldest = Message.objects.filter(io_account=OuterRef("pk"), next_poll_at__isnull=False).order_by("next_poll_at")
    return Lane.objects.select_related("io_account").annotate(
        now=Now(),
        oldest_poll=Subquery(oldest.values("next_poll_at")[:1]),
        oldest_poll_held_by=Subquery(oldest.values("io_service__suspended_reason")[:1]),
    )


def _standing(lane: "Lane") -> LaneStanding:
    now: datetime = lane.now  # type: ignore[attr-defined]  # annotated, like the other two
    oldest: datetime | None = lane.oldest_poll  # type: ignore[attr-defined]
    # Nothing is asked with a key that IO refuses: that delay has its own sentence, and hides what is behind it.
    is_held = lane.oldest_poll_held_by == SuspensionReason.KEY_REFUSED  # type: ignore[attr-defined]
    late = now - oldest if oldest is not None and not is_held else timedelta()
    return LaneStanding(
        io_account=lane.pk,
        name=lane.io_account.name,
        calls_per_second=lane.io_account.calls_per_second,
        rate=lanes.effective_rate(lane, now=now),
        breaker=Breaker(opened_at=lane.opened_at, is_half_open=lane.is_half_open).position,
        opened_at=lane.opened_at,
        probe_at=lane.probe_at if lane.probe_at is not None and lane.probe_at > now else None,
        paused_until=lane.paused_until if lane.paused_until is not None and lane.paused_until > now else None,
        polls_late=late if late >= LATE else None,
        now=now,
    )
