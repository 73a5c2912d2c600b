from datetime import UTC, date, datetime, time

import pytest

from templates_app.rome_time import (
    TimeFault,
    UnreadableTime,
    from_rome,
    read_date,
    read_instant,
    read_instant_or_local,
    to_rome,
)

# The nights when Italy changes its clocks.
SPRING_NIGHTS = [date(2026, 3, 29), date(2027, 3, 28)]
AUTUMN_NIGHTS = [date(2026, 10, 25), date(2027, 10, 31)]


def local(night: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(night, time(hour, minute))


def fault_of(text: str) -> TimeFault:
    with pytest.raises(UnreadableTime) as caught:
        read_instant(text)
    assert caught.value.fault.cure
    return caught.value.fault


class TestSummerTimeNights:
    @pytest.mark.parametrize("night", SPRING_NIGHTS)
    @pytest.mark.parametrize(("hour", "minute"), [(2, 0), (2, 30), (2, 59)])
    def test_the_skipped_hour_does_not_exist(self, night: date, hour: int, minute: int) -> None:
        for fold in (None, 0, 1):
            with pytest.raises(UnreadableTime) as caught:
                from_rome(local(night, hour, minute), fold=fold)
            assert caught.value.fault is TimeFault.NONEXISTENT

    @pytest.mark.parametrize("night", SPRING_NIGHTS)
    def test_the_hours_around_it_are_one_hour_apart(self, night: date) -> None:
        assert from_rome(local(night, 3)) - from_rome(local(night, 1, 59)) == from_rome(local(night, 1, 1)) - from_rome(
            local(night, 1)
        )

    @pytest.mark.parametrize("night", AUTUMN_NIGHTS)
    @pytest.mark.parametrize(("hour", "minute"), [(2, 0), (2, 30), (2, 59)])
    def test_the_repeated_hour_asks_which(self, night: date, hour: int, minute: int) -> None:
        with pytest.raises(UnreadableTime) as caught:
            from_rome(local(night, hour, minute))
        assert caught.value.fault is TimeFault.AMBIGUOUS
        first = from_rome(local(night, hour, minute), fold=0)
        second = from_rome(local(night, hour, minute), fold=1)
        assert (second - first).total_seconds() == 3600
        assert {to_rome(first).hour, to_rome(second).hour} == {2}

    @pytest.mark.parametrize("night", AUTUMN_NIGHTS)
    def test_the_hours_around_it_need_no_answer(self, night: date) -> None:
        assert from_rome(local(night, 1, 59)).utcoffset() == from_rome(local(night, 3)).utcoffset()
        assert from_rome(local(night, 12), fold=1) == from_rome(local(night, 12))


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2025-07-07T00:08:33.513Z", datetime(2025, 7, 7, 0, 8, 33, 513000, tzinfo=UTC)),
            ("2025-07-07t00:08:33z", datetime(2025, 7, 7, 0, 8, 33, tzinfo=UTC)),
            ("2025-07-07T02:08+02:00", datetime(2025, 7, 7, 0, 8, tzinfo=UTC)),
            ("2025-07-07T02:08:00+0200", datetime(2025, 7, 7, 0, 8, tzinfo=UTC)),
            ("2025-07-07T00:08:33,123456789-00:30", datetime(2025, 7, 7, 0, 38, 33, 123456, tzinfo=UTC)),
            ("1912-06-23T00:00:00Z", datetime(1912, 6, 23, tzinfo=UTC)),
            ("9999-12-31T22:59:59Z", datetime(9999, 12, 31, 22, 59, 59, tzinfo=UTC)),
        ],
    )
    def test_reads_iso_moments_into_utc(self, text: str, expected: datetime) -> None:
        assert read_instant(text) == expected
        assert read_instant(text).tzinfo is UTC

    @pytest.mark.parametrize(
        "text",
        ["", "domani", "2025-07-07", "2025-07-07 00:08Z", "20250707T0008Z", "2025-W28-1T00:00Z", "2025-02-29T00:00Z",
         "2025-07-07T24:00Z", "2025-07-07T23:59:60Z", "2025-07-07T00:08+25:00", "2025-07-07T00:08Z\n", "٢٠٢٥-07-07T00:08Z"],
    )  # fmt: skip
    def test_refuses_what_is_no_moment(self, text: str) -> None:
        assert fault_of(text) is TimeFault.UNREADABLE

    def test_refuses_a_moment_without_offset(self) -> None:
        assert fault_of("2025-07-07T00:08:33") is TimeFault.NO_OFFSET

    @pytest.mark.parametrize("text", ["9999-12-31T23:30:00Z", "9999-12-31T23:30:00-05:00", "0001-01-01T00:00:00+14:00"])
    def test_refuses_the_ends_of_the_calendar(self, text: str) -> None:
        assert fault_of(text) is TimeFault.OUT_OF_RANGE

    def test_a_moment_without_offset_may_be_on_an_italian_clock(self) -> None:
        assert read_instant_or_local("2025-07-07T02:08:33") == read_instant("2025-07-07T00:08:33Z")
        with pytest.raises(UnreadableTime):
            read_instant_or_local("2026-03-29T02:30:00")

    @pytest.mark.parametrize(
        "text", ["31/12/2026", "2026-13-01", "2026-02-30", "2026-1-1", "0000-01-01", "2026-12-31\n"]
    )
    def test_refuses_what_is_no_date(self, text: str) -> None:
        assert read_date(text) is None

    def test_reads_a_date(self) -> None:
        assert read_date("2026-12-31") == date(2026, 12, 31)
