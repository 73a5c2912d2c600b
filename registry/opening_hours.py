"""When an ente lets its messages leave: hours, days of the week, holidays, all on the clock of a wall in Rome. Pure.

The wall decides, also on the two nights when its clock jumps: a window from 2:15 to 2:45 does not exist in the night of
spring, and comes twice in that of autumn.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.utils.functional import Promise

from registry.holidays import holidays_of

ROME: Final = ZoneInfo("Europe/Rome")
# One bit a day, Monday the lowest.
WEEKDAYS: Final = 7
EVERY_DAY: Final = 2**WEEKDAYS - 1
# An ente that does not open within this never does, as far as a message is concerned.
HORIZON: Final = timedelta(days=800)
# When clocks change in the whole of Europe, on the days when they do.
_CLOCKS_CHANGE_AT: Final = time(1, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Closure:
    """A day of the ente's own on which nothing leaves: once, or every year on that day and month (its patron saint)."""

    day: date
    is_yearly: bool
    name: str

    def falls_on(self, day: date) -> bool:
        if self.is_yearly:
            return (self.day.month, self.day.day) == (day.month, day.day)
        return self.day == day


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """`opens` included, `closes` not; both None for the whole day. `days` is a mask of weekdays, never zero.

    `closures` count only where holidays are observed.
    """

    opens: time | None = None
    closes: time | None = None
    days: int = EVERY_DAY
    observes_holidays: bool = False
    closures: tuple[Closure, ...] = ()

    @property
    def is_restricted(self) -> bool:
        return self.opens is not None or self.days != EVERY_DAY or self.observes_holidays


ALWAYS_OPEN: Final = OpeningHours()


def includes(days: int, weekday: int) -> bool:
    """Whether a mask of days has this one: 0 is Monday, 6 Sunday."""
    return bool(days & 1 << weekday)


def reason_of_closure(hours: OpeningHours, day: date) -> Promise | str | None:
    """The name of the holiday or closure that day, None for none; days of the week are another matter."""
    if not hours.observes_holidays:
        return None
    own = next((closure.name for closure in hours.closures if closure.falls_on(day)), None)
    return own if own is not None else holidays_of(day.year).get(day)


def is_day_of_sending(hours: OpeningHours, day: date) -> bool:
    return includes(hours.days, day.weekday()) and reason_of_closure(hours, day) is None


def is_open(hours: OpeningHours, at: datetime) -> bool:
    """Whether messages may leave at this instant."""
    wall = at.astimezone(ROME)
    if hours.opens is not None and hours.closes is not None and not hours.opens <= wall.time() < hours.closes:
        return False
    return is_day_of_sending(hours, wall.date())


def next_opening(hours: OpeningHours, at: datetime) -> datetime | None:
    """The first instant (UTC) from `at` on at which messages may leave: `at` itself when it is open then.

    None where nothing opens within the horizon.
    """
    at = at.astimezone(UTC)
    if is_open(hours, at):
        return at
    first = at.astimezone(ROME).date()
    for number in range(HORIZON.days + 1):
        day = first + timedelta(days=number)
        if not is_day_of_sending(hours, day):
            continue
        for candidate in _moments_of_opening(hours, day):
            if candidate > at and is_open(hours, candidate):
                return candidate
    return None


def _moments_of_opening(hours: OpeningHours, day: date) -> list[datetime]:
    """All the instants of a day at which it can open: midnight, the hour (twice, in autumn), and when the clock jumps."""
    opens = hours.opens or time()
    walls = [datetime.combine(day, opens.replace(fold=fold), tzinfo=ROME) for fold in (0, 1)]
    return sorted(moment.astimezone(UTC) for moment in [*walls, datetime.combine(day, _CLOCKS_CHANGE_AT)])


def next_closures(
    hours: OpeningHours, *, after: date, number: int, within: timedelta = HORIZON
) -> list[tuple[date, Promise | str]]:
    """The next holidays and closures from a day on that fall on a day of sending, with their names."""
    found: list[tuple[date, Promise | str]] = []
    for distance in range(within.days if hours.observes_holidays else 0):
        day = after + timedelta(days=distance)
        reason = reason_of_closure(hours, day) if includes(hours.days, day.weekday()) else None
        if reason is not None:
            found.append((day, reason))
            if len(found) == number:
                break
    return found
