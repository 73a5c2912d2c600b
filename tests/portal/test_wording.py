"""How values read."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from portal import wording

# A Wednesday in Rome, 23:30; already so near midnight that UTC has another hour.
NOW = datetime(2026, 7, 1, 21, 30, tzinfo=UTC)


@pytest.mark.parametrize(("code", "shown"), [("RSSMRA80A01H501U", "RSSMRA••••••501U"), ("", ""), ("ABC", "•••")])
def test_a_fiscal_code_keeps_its_ends_only(code: str, shown: str) -> None:
    assert wording.masked(code) == shown


@pytest.mark.parametrize(
    ("cents", "shown"), [(1, "0,01 €"), (6212, "62,12 €"), (14550, "145,50 €"), (9_999_999_999, "99.999.999,99 €")]
)
def test_amounts_are_euro_with_two_decimals(cents: int, shown: str) -> None:
    assert wording.euro(cents).replace("\N{NO-BREAK SPACE}", " ") == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 7, 1, 7, 5, tzinfo=UTC), "oggi alle 9:05"),
        (datetime(2026, 7, 1, 22, 0, tzinfo=UTC), "domani alle 0:00"),
        (datetime(2026, 6, 30, 10, 0, tzinfo=UTC), "ieri alle 12:00"),
        (datetime(2026, 12, 25, 8, 0, tzinfo=UTC), "25 dicembre 2026 alle 9:00"),
    ],
)
def test_moments_are_told_by_the_clock_of_rome(at: datetime, shown: str) -> None:
    assert wording.moment(at, now=NOW) == shown


def test_a_confirmation_leaves_nothing_to_guess() -> None:
    assert wording.full_moment(NOW) == "mercoledì 1 luglio 2026 alle 23:30"
    assert wording.exact_moment(NOW) == "1 luglio 2026, 23:30:00 (CEST)"


def test_english_months_keep_their_capitals() -> None:
    with translation.override("en"):
        assert wording.day(NOW) == "Wednesday 1 July 2026"


def test_counts_are_grouped() -> None:
    assert wording.count(1980) == "1.980"


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 7, 1, 7, 5, tzinfo=UTC), "da oggi alle 9:05"),
        (datetime(2026, 6, 30, 7, 5, tzinfo=UTC), "da ieri alle 9:05"),
        (datetime(2026, 6, 12, 7, 5, tzinfo=UTC), "dal 12 giugno 2026 alle 9:05"),
        (datetime(2026, 6, 11, 7, 5, tzinfo=UTC), "dall’11 giugno 2026 alle 9:05"),
        (datetime(2026, 6, 8, 7, 5, tzinfo=UTC), "dall’8 giugno 2026 alle 9:05"),
    ],
)
def test_since_when_reads_as_italian(at: datetime, shown: str) -> None:
    assert wording.since(at, now=NOW) == shown


@pytest.mark.parametrize(
    ("seconds", "soon", "until"),
    [
        (20, "fra pochi secondi", "ancora per qualche secondo"),
        (-5, "fra pochi secondi", "ancora per qualche secondo"),
        (600, "alle 23:40", "fino alle 23:40"),
    ],
)
def test_what_is_a_matter_of_seconds_has_no_clock(seconds: int, soon: str, until: str) -> None:
    at = NOW + timedelta(seconds=seconds)
    assert (wording.soon(at, now=NOW), wording.until(at, now=NOW)) == (soon, until)


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (timedelta(seconds=5), "1 minuto"),
        (timedelta(minutes=59, seconds=59), "59 minuti"),
        (timedelta(hours=1), "1 ora"),
        (timedelta(hours=47), "47 ore"),
        (timedelta(hours=48), "2 giorni"),
    ],
)
def test_durations_are_told_in_one_unit(span: timedelta, shown: str) -> None:
    assert wording.duration(span) == shown


@pytest.mark.parametrize(("calls", "shown"), [(10, "10"), (2.5, "2,5"), (0.04, "0"), (1000.0, "1.000")])
def test_rates_have_no_needless_decimals(calls: float, shown: str) -> None:
    assert wording.rate(calls) == shown
