"""When an ente sends: open or closed at an instant, the next opening to the second, and what the database refuses."""

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from registry.models import ClosureDay, Organization, SendingHoursChange
from registry.opening_hours import (
    ALWAYS_OPEN,
    EVERY_DAY,
    ROME,
    Closure,
    OpeningHours,
    is_open,
    next_closures,
    next_opening,
)
from registry.setting_hours import HoursOutdated, NeverOpen, change_hours, reading_of, snapshot
from registry.weekdays import WeekdaysField
from tests import factories

WEEKDAYS = 0b0011111
OFFICE = OpeningHours(opens=time(8), closes=time(18), days=WEEKDAYS, observes_holidays=True)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def rome(text: str, *, fold: int = 0) -> datetime:
    """An instant by what the wall in Rome shows; `fold` 1 is the second time round."""
    return datetime.fromisoformat(text).replace(tzinfo=ROME, fold=fold).astimezone(UTC)


class TestIsOpen:
    @pytest.mark.parametrize(
        ("at", "expected"),
        [
            ("2026-11-20T07:59:59", False),
            ("2026-11-20T08:00:00", True),
            ("2026-11-20T17:59:59", True),
            ("2026-11-20T18:00:00", False),
        ],
    )
    def test_from_the_first_hour_included_to_the_last_excluded(self, at: str, expected: bool) -> None:
        assert is_open(OFFICE, rome(at)) is expected

    def test_goes_by_the_clock_of_rome_in_summer_as_in_winter(self) -> None:
        assert not is_open(OFFICE, datetime(2026, 1, 12, 6, 30, tzinfo=UTC))
        assert is_open(OFFICE, datetime(2026, 7, 13, 6, 30, tzinfo=UTC))

    def test_only_on_the_days_of_the_week_that_are_named(self) -> None:
        sundays = OpeningHours(days=0b1000000)
        assert is_open(sundays, rome("2026-11-22T12:00"))
        assert not is_open(sundays, rome("2026-11-23T00:00"))

    @pytest.mark.parametrize("day", ["2026-04-06", "2026-12-08", "2027-10-04", "2026-12-25"])
    def test_not_on_a_national_holiday_where_they_are_observed(self, day: str) -> None:
        assert not is_open(OFFICE, rome(f"{day}T10:00"))
        assert is_open(OpeningHours(opens=time(8), closes=time(18), days=WEEKDAYS), rome(f"{day}T10:00"))

    def test_not_on_a_closure_of_the_ente_once_or_every_year(self) -> None:
        patron = Closure(date(2020, 6, 24), is_yearly=True, name="San Giovanni")
        bridge = Closure(date(2026, 12, 7), is_yearly=False, name="Ponte")
        hours = OpeningHours(observes_holidays=True, closures=(patron, bridge))
        assert not is_open(hours, rome("2026-06-24T10:00"))
        assert not is_open(hours, rome("2031-06-24T10:00"))
        assert not is_open(hours, rome("2026-12-07T10:00"))
        assert is_open(hours, rome("2027-12-07T10:00"))

    def test_closures_do_not_count_where_holidays_are_not_observed(self) -> None:
        hours = OpeningHours(closures=(Closure(date(2026, 6, 24), is_yearly=True, name="San Giovanni"),))
        assert is_open(hours, rome("2026-06-24T10:00"))

    def test_always_unless_told_otherwise(self) -> None:
        assert not ALWAYS_OPEN.is_restricted
        assert is_open(ALWAYS_OPEN, rome("2026-12-25T03:00"))


class TestNextOpening:
    def test_is_now_while_open(self) -> None:
        at = rome("2026-11-20T10:00:30")
        assert next_opening(OFFICE, at) == at

    @pytest.mark.parametrize(
        ("at", "expected"),
        [
            ("2026-11-20T06:00", "2026-11-20T08:00"),
            # Friday evening, Saturday: on Monday.
            ("2026-11-20T18:00", "2026-11-23T08:00"),
            ("2026-11-21T10:00", "2026-11-23T08:00"),
            # Christmas and Santo Stefano, then a Sunday.
            ("2026-12-24T19:00", "2026-12-28T08:00"),
            # Easter Monday.
            ("2026-04-04T12:00", "2026-04-07T08:00"),
        ],
    )
    def test_skips_nights_weekends_and_holidays(self, at: str, expected: str) -> None:
        assert next_opening(OFFICE, rome(at)) == rome(expected)

    def test_keeps_the_hour_of_the_wall_when_clocks_change(self) -> None:
        assert next_opening(OFFICE, rome("2026-03-27T18:00")) == datetime(2026, 3, 30, 6, 0, tzinfo=UTC)
        assert next_opening(OFFICE, rome("2026-10-23T18:00")) == datetime(2026, 10, 26, 7, 0, tzinfo=UTC)

    def test_at_an_hour_that_the_spring_night_skips_it_opens_when_the_clock_jumps(self) -> None:
        hours = OpeningHours(opens=time(2, 30), closes=time(5))
        assert next_opening(hours, rome("2026-03-29T01:00")) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)

    def test_a_window_that_the_spring_night_skips_whole_opens_the_day_after(self) -> None:
        hours = OpeningHours(opens=time(2, 15), closes=time(2, 45))
        assert next_opening(hours, rome("2026-03-29T00:00")) == rome("2026-03-30T02:15")

    def test_a_window_that_the_autumn_night_repeats_opens_twice(self) -> None:
        hours = OpeningHours(opens=time(2, 15), closes=time(2, 45))
        first = rome("2026-10-25T02:15")
        assert next_opening(hours, rome("2026-10-25T00:00")) == first
        assert next_opening(hours, first + timedelta(minutes=30)) == rome("2026-10-25T02:15", fold=1)

    def test_opens_again_when_the_autumn_clock_jumps_back_into_the_window(self) -> None:
        hours = OpeningHours(opens=time(1), closes=time(2, 30))
        assert next_opening(hours, rome("2026-10-25T02:40")) == rome("2026-10-25T02:00", fold=1)

    def test_of_whole_days_is_at_midnight(self) -> None:
        assert next_opening(OpeningHours(days=1), rome("2026-11-20T10:00")) == rome("2026-11-23T00:00")

    def test_ends_where_nothing_ever_opens(self) -> None:
        every_monday = tuple(
            Closure(date(2026, 1, 1) + timedelta(days=number), is_yearly=True, name="Chiuso") for number in range(365)
        )
        # The 29th of February 2028, a Tuesday, is the only day left.
        tuesdays = OpeningHours(days=0b10, observes_holidays=True, closures=every_monday)
        assert next_opening(tuesdays, NOW) == rome("2028-02-29T00:00")
        mondays = OpeningHours(days=0b1, observes_holidays=True, closures=every_monday)
        assert next_opening(mondays, NOW) is None

    @pytest.mark.parametrize("around", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)])
    @pytest.mark.parametrize("seed", range(8))
    def test_is_what_looking_at_every_minute_finds(self, around: datetime, seed: int) -> None:
        """No rule of its own: the first open minute after each minute of three days around a change of the clocks."""
        choose = random.Random(seed)
        minutes = sorted(choose.sample(range(24 * 60 if seed % 2 else 4 * 60), 2))
        opens, closes = (time(minute // 60, minute % 60) for minute in minutes)
        hours = OpeningHours(opens=opens, closes=closes, days=choose.choice([EVERY_DAY, WEEKDAYS, 0b1100000]))
        moments = [around + timedelta(minutes=number) for number in range(3 * 24 * 60)]
        expected = None
        for at in reversed(moments):
            if is_open(hours, at):
                expected = at
            if expected is not None:
                assert next_opening(hours, at) == expected


class TestNextClosures:
    def test_are_those_that_would_have_been_days_of_sending_by_name(self) -> None:
        found = next_closures(OFFICE, after=date(2026, 11, 21), number=3)
        # The 26th of December 2026 is a Saturday: closed anyway.
        assert [(str(day), str(name)) for day, name in found] == [
            ("2026-12-08", "Immacolata Concezione"),
            ("2026-12-25", "Natale"),
            ("2027-01-01", "Capodanno"),
        ]

    def test_the_own_name_of_a_day_comes_before_the_nations(self) -> None:
        hours = OpeningHours(
            observes_holidays=True, closures=(Closure(date(2026, 12, 8), is_yearly=True, name="Fiera"),)
        )
        assert next_closures(hours, after=date(2026, 12, 1), number=1) == [(date(2026, 12, 8), "Fiera")]

    def test_are_none_where_holidays_are_not_observed(self) -> None:
        assert next_closures(ALWAYS_OPEN, after=date(2026, 12, 1), number=5) == []


@pytest.mark.django_db
class TestWhatTheDatabaseKeeps:
    @pytest.mark.parametrize(
        "fields",
        [
            {"sends_from": time(8)},
            {"sends_until": time(18)},
            {"sends_from": time(18), "sends_until": time(8)},
            {"sends_from": time(8), "sends_until": time(8)},
            {"sending_days": 0},
            {"sending_days": 128},
        ],
    )
    def test_refuses_hours_that_mean_nothing(self, fields: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.organization(**fields)
        with pytest.raises(ValidationError):
            Organization(tax_code="12345678901", legal_name="Comune", **fields).full_clean()

    def test_sends_always_unless_told_otherwise(self) -> None:
        ente = factories.organization()
        assert not ente.has_sending_hours
        assert ente.opening_hours() == ALWAYS_OPEN

    def test_a_day_of_closure_is_there_once(self) -> None:
        ente = factories.organization()
        ClosureDay.objects.create(organization=ente, day=date(2026, 6, 24), name="San Giovanni")
        with pytest.raises(IntegrityError), transaction.atomic():
            ClosureDay.objects.create(organization=ente, day=date(2026, 6, 24), name="Fiera")

    def test_closures_cost_a_query_only_where_they_count(self, django_assert_num_queries: Any) -> None:
        ente = factories.organization()
        with django_assert_num_queries(0):
            ente.opening_hours()
        ente.observes_holidays = True
        with django_assert_num_queries(1):
            ente.opening_hours()


@pytest.mark.django_db
class TestChangeHours:
    CLOSURES = (Closure(date(2026, 6, 24), is_yearly=True, name="San Giovanni"),)
    HOURS = OpeningHours(opens=time(8), closes=time(18), days=WEEKDAYS, observes_holidays=True, closures=CLOSURES)

    def test_keeps_them_and_who_changed_what(self) -> None:
        ente, person = factories.organization(), factories.user()
        assert change_hours(ente, self.HOURS, by=person, at=NOW)
        assert Organization.objects.get().opening_hours() == self.HOURS
        change = SendingHoursChange.objects.get()
        assert (change.organization, change.actor, change.at) == (ente, person, NOW)
        assert (change.before["opens"], change.after["opens"]) == (None, "08:00:00")
        assert change.after == {
            "opens": "08:00:00",
            "closes": "18:00:00",
            "days": 31,
            "observes_holidays": True,
            "closures": [{"day": "2026-06-24", "is_yearly": True, "name": "San Giovanni"}],
        }

    def test_the_same_again_is_no_change(self) -> None:
        ente, person = factories.organization(), factories.user()
        change_hours(ente, self.HOURS, by=person, at=NOW)
        assert not change_hours(ente, self.HOURS, by=person, at=NOW)
        assert SendingHoursChange.objects.count() == 1

    def test_touches_no_other_setting_of_the_ente(self) -> None:
        ente = factories.organization()
        Organization.objects.update(office_at="Municipio")
        change_hours(ente, self.HOURS, by=factories.user(), at=NOW)
        assert Organization.objects.get().office_at == "Municipio"

    def test_refuses_hours_that_never_open(self) -> None:
        ente = factories.organization()
        closures = tuple(
            Closure(date(2028, 1, 1) + timedelta(days=number), is_yearly=True, name="Chiuso") for number in range(366)
        )
        with pytest.raises(NeverOpen):
            change_hours(ente, OpeningHours(observes_holidays=True, closures=closures), by=factories.user(), at=NOW)
        assert not ClosureDay.objects.exists()

    def test_refuses_to_undo_what_somebody_else_changed_meanwhile(self) -> None:
        ente, person = factories.organization(), factories.user()
        read = reading_of(ente)
        change_hours(ente, self.HOURS, by=factories.user(), at=NOW)
        with pytest.raises(HoursOutdated):
            change_hours(ente, OpeningHours(days=1), by=person, at=NOW, read=read)
        assert snapshot(Organization.objects.get())["days"] == WEEKDAYS

    def test_an_ente_with_a_record_of_changes_cannot_be_deleted(self) -> None:
        ente = factories.organization()
        change_hours(ente, self.HOURS, by=factories.user(), at=NOW)
        with pytest.raises(ProtectedError):
            ente.delete()


class TestWeekdaysField:
    def test_is_seven_boxes_and_a_mask(self) -> None:
        field = WeekdaysField()
        assert field.clean(["0", "6"]) == 0b1000001
        assert field.prepare_value(0b1000001) == ["0", "6"]
        assert not field.has_changed(3, ["0", "1"])

    @pytest.mark.parametrize("value", [[], ["7"], ["x"]])
    def test_refuses_no_day_and_days_that_do_not_exist(self, value: list[str]) -> None:
        with pytest.raises(ValidationError):
            WeekdaysField().clean(value)
