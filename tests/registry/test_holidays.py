"""The national holidays, against the calendar printed for years that one can look up."""

from datetime import date

import pytest

from registry.holidays import easter, holidays_of


class TestEaster:
    @pytest.mark.parametrize(
        "day",
        [
            # The earliest and the latest that there can be in living memory, and the years around now.
            date(1818, 3, 22),
            date(2008, 3, 23),
            date(2025, 4, 20),
            date(2026, 4, 5),
            date(2027, 3, 28),
            date(2028, 4, 16),
            date(2038, 4, 25),
        ],
    )
    def test_falls_where_calendars_print_it(self, day: date) -> None:
        assert easter(day.year) == day

    def test_is_a_sunday_between_the_22nd_of_march_and_the_25th_of_april(self) -> None:
        for year in range(1900, 2300):
            day = easter(year)
            assert day.weekday() == 6
            assert date(year, 3, 22) <= day <= date(year, 4, 25)


class TestHolidays:
    def test_are_these_thirteen_since_2026(self) -> None:
        assert [str(day) for day in sorted(holidays_of(2026))] == [
            "2026-01-01",
            "2026-01-06",
            "2026-04-05",
            "2026-04-06",
            "2026-04-25",
            "2026-05-01",
            "2026-06-02",
            "2026-08-15",
            "2026-10-04",
            "2026-11-01",
            "2026-12-08",
            "2026-12-25",
            "2026-12-26",
        ]

    def test_san_francesco_is_one_from_2026_on(self) -> None:
        assert date(2025, 10, 4) not in holidays_of(2025)
        assert all(date(year, 10, 4) in holidays_of(year) for year in (2026, 2027, 2050))

    def test_each_has_the_name_that_people_know(self) -> None:
        names = {str(day): str(name) for day, name in holidays_of(2027).items()}
        assert names["2027-03-29"] == "Lunedì dell’Angelo"
        assert names["2027-10-04"] == "San Francesco d’Assisi"
