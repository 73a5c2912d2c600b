"""How sending goes, for the people who answer for it: what they cover, in numbers; nothing of any message.

What belongs to messages (how many wait, doubts, stops) is counted over the service instances that this person covers.
What an account shares with everybody who sends through it (whether IO answers, a pause, its pace) is shown to each of
them; how much goes through it in all, only to whoever covers every use of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from messaging import operating
from messaging.breaker import Position
from messaging.models import IOService, ServiceInstance
from messaging.operating import Account, Hold, Minute, Queue
from messaging.states import Priority
from registry.models import User
from registry.permissions import Action, may_somewhere

# The speed is that of the last whole minutes: the present one has only begun.
SPEED_OVER_MINUTES = 5
# News this late are said aloud: a question every few minutes is the regular pace of following.
POLLS_ARE_LATE_AFTER = timedelta(minutes=5)


def may_see_sending(user: User) -> bool:
    """One query, none for platform staff: they keep everything running, and see every account."""
    return user.is_staff or may_somewhere(user, Action.SEE_SENDING)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits, in all."""

    due: int = 0
    held: int = 0
    planned: int = 0
    oldest_due: datetime | None = None
    # Of those that are held, how many for each reason that holds some.
    held_by: tuple[tuple[Hold, int], ...] = ()

    @property
    def total(self) -> int:
        return self.due + self.held + self.planned

    @classmethod
    def of(cls, queues: Iterable[Queue]) -> "Waiting":
        found = list(queues)
        held_by = [(hold, sum(queue.held for queue in found if queue.hold is hold)) for hold in Hold]
        return cls(
            due=sum(queue.due for queue in found),
            held=sum(queue.held for queue in found),
            planned=sum(queue.planned for queue in found),
            oldest_due=min((queue.oldest_due for queue in found if queue.oldest_due), default=None),
            held_by=tuple((hold, held) for hold, held in held_by if held),
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """A minute of the chart, in its own units: CHART_WIDTH by CHART_HEIGHT."""

    x: int
    y: int
    height: int


CHART_HEIGHT = 100
BAR_WIDTH = 10
CHART_WIDTH = BAR_WIDTH * operating.MINUTES_SHOWN


@dataclass(frozen=True, slots=True)
class Speed:
    """The messages that IO took, minute by minute; the last is the present one."""

    minutes: tuple[Minute, ...]

    @property
    def total(self) -> int:
        return sum(minute.accepted for minute in self.minutes)

    @property
    def most(self) -> int:
        return max((minute.accepted for minute in self.minutes), default=0)

    @property
    def per_minute(self) -> int:
        """On average over the last whole minutes."""
        return round(sum(minute.accepted for minute in self._recent) / SPEED_OVER_MINUTES)

    @property
    def calls_per_second(self) -> float:
        return sum(minute.calls for minute in self._recent) / SPEED_OVER_MINUTES / 60

    @property
    def _recent(self) -> tuple[Minute, ...]:
        return self.minutes[-1 - SPEED_OVER_MINUTES : -1]

    @property
    def bars(self) -> list[Bar]:
        if not self.most:
            return []
        # A minute with anything at all shows something.
        heights = [max(2, round(CHART_HEIGHT * minute.accepted / self.most)) for minute in self.minutes]
        return [
            Bar(index * BAR_WIDTH, CHART_HEIGHT - height, height)
            for index, (minute, height) in enumerate(zip(self.minutes, heights, strict=True))
            if minute.accepted
        ]


@dataclass(frozen=True, slots=True)
class AccountState:
    """One IO account as far as it is this person's to see. `at` is when all of it was measured."""

    account: Account
    at: datetime
    # False where others send through it too: then what belongs to messages is this person's part.
    is_whole: bool
    waiting: Waiting
    # Of those that are due, how many at each priority that has some.
    by_priority: tuple[tuple[Priority, int], ...]
    # None where it would tell how much others send.
    speed: Speed | None
    suspended: int
    uncertain: int
    set_aside: int
    silent: int
    lost: int

    @property
    def is_silent(self) -> bool:
        return self.account.breaker is Position.OPEN

    @property
    def is_recovering(self) -> bool:
        return self.account.breaker is Position.HALF_OPEN

    @property
    def is_slowed(self) -> bool:
        return self.account.rate < self.account.granted

    @property
    def is_idle(self) -> bool:
        return not self.waiting.due

    @property
    def polls_late(self) -> timedelta | None:
        """How late the oldest question to IO is, where that is worth a word."""
        late = self.at - self.account.oldest_poll if self.account.oldest_poll else timedelta()
        return late if late >= POLLS_ARE_LATE_AFTER else None

    @property
    def oldest_waits(self) -> timedelta | None:
        return self.at - self.waiting.oldest_due if self.waiting.oldest_due else None

    @property
    def ends_in(self) -> timedelta | None:
        """When what is due now will have left at the present speed; None where it would be a guess."""
        if self.speed is None or not self.speed.per_minute or self.waiting.due <= self.speed.per_minute:
            return None
        return timedelta(minutes=self.waiting.due / self.speed.per_minute)


def states_for(user: User) -> list[AccountState]:
    """The accounts that this person covers some use of, platform staff all of them; those in trouble first."""
    view = operating.measured()
    accounts = {account.pk: account for account in view.accounts}
    covered = _covered(user)
    of_account: dict[int, set[int]] = {}
    shared = set()
    for instance, account in ServiceInstance.objects.order_by().values_list("pk", "io_service__io_account"):
        if covered is None or instance in covered:
            of_account.setdefault(account, set()).add(instance)
        else:
            shared.add(account)
    if covered is None:
        of_account = {pk: of_account.get(pk, set()) for pk in accounts}
    whole = [pk for pk in of_account if pk not in shared]
    minutes = operating.last_minutes(whole, at=view.at)
    suspended = _suspended(instance for instances in of_account.values() for instance in instances)
    states = [
        _state(
            accounts[pk],
            view,
            instances=instances,
            suspended=suspended.get(pk, 0),
            speed=Speed(tuple(minutes[pk])) if pk in minutes else None,
        )
        for pk, instances in of_account.items()
        # An account made since the last look has nothing to tell yet.
        if pk in accounts
    ]
    return sorted(states, key=_by_trouble)


def _covered(user: User) -> frozenset[int] | None:
    """The service instances of this person; None for all of them."""
    if user.is_staff:
        return None
    return frozenset(ServiceInstance.objects.open_to(user, Action.SEE_SENDING).values_list("pk", flat=True))


def _suspended(instances: Iterable[int]) -> dict[int, int]:
    """IO account -> how many IO services of these service instances are suspended."""
    found: dict[int, set[int]] = {}
    mine = set(instances)
    rows = IOService.objects.filter(suspended_at__isnull=False).values_list("io_account", "pk", "service_instances__pk")
    for account, service, instance in rows:
        if instance in mine:
            found.setdefault(account, set()).add(service)
    return {account: len(services) for account, services in found.items()}


def _state(
    account: Account, view: operating.Measured, *, instances: Collection[int], suspended: int, speed: Speed | None
) -> AccountState:
    queues = [q for q in view.queues if q.io_account == account.pk and q.service_instance in instances]
    by_priority = [(each, sum(queue.due for queue in queues if queue.priority is each)) for each in Priority]
    troubled = [one for one in view.instances if one.pk in instances]
    return AccountState(
        account=account,
        at=view.at,
        is_whole=speed is not None,
        waiting=Waiting.of(queues),
        by_priority=tuple((priority, due) for priority, due in by_priority if due),
        speed=speed,
        suspended=suspended,
        uncertain=sum(one.uncertain for one in troubled),
        set_aside=sum(one.set_aside for one in troubled),
        silent=sum(one.silent for one in troubled),
        lost=sum(one.lost for one in troubled),
    )


def _by_trouble(state: AccountState) -> tuple[bool, bool, str]:
    is_stopped = state.is_silent or bool(state.suspended)
    return (not is_stopped, state.is_idle, state.account.name)


@dataclass(frozen=True, slots=True)
class Workers:
    """Whether anybody is at work. Ages in seconds, None for never."""

    ages: dict[str, float | None]

    @property
    def sending(self) -> float | None:
        return self.ages["dispatch"]

    @property
    def asking(self) -> float | None:
        return self.ages["poll"]

    @property
    def sweeping(self) -> float | None:
        return self.ages["sweep"]

    @property
    def old(self) -> list[str]:
        return operating.old_ticks(self.ages)


def workers_now() -> Workers:
    return Workers(operating.tick_ages())
