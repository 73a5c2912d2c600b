from datetime import UTC, date, datetime, time

import pytest

from messaging.local_time import UnreadableTime, end_of_day, parse_local
from templates_app.rome_time import TimeFault


@pytest.mark.parametrize(
    ("day", "utc_hour"),
    [(date(2026, 1, 10), 8), (date(2026, 7, 10), 7), (date(2027, 3, 28), 7), (date(2027, 10, 31), 8)],
)
def test_reads_the_clock_on_an_italian_wall(day: date, utc_hour: int) -> None:
    assert parse_local(day, time(9, 0)) == datetime(day.year, day.month, day.day, utc_hour, tzinfo=UTC)


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2027, 3, 28)])
def test_refuses_the_hour_that_spring_skips(day: date) -> None:
    with pytest.raises(UnreadableTime) as caught:
        parse_local(day, time(2, 30), fold=1)
    assert caught.value.fault is TimeFault.NONEXISTENT


@pytest.mark.parametrize("day", [date(2026, 10, 25), date(2027, 10, 31)])
def test_asks_about_the_hour_that_autumn_repeats(day: date) -> None:
    with pytest.raises(UnreadableTime) as caught:
        parse_local(day, time(2, 30))
    assert caught.value.fault is TimeFault.AMBIGUOUS
    assert parse_local(day, time(2, 30), fold=0).hour == 0
    assert parse_local(day, time(2, 30), fold=1).hour == 1


def test_by_a_day_means_its_last_second_in_italy() -> None:
    assert end_of_day(date(2026, 4, 30)) == datetime(2026, 4, 30, 21, 59, 59, tzinfo=UTC)
