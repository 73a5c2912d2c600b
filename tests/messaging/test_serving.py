"""How much may begin on one account: by its breaker, its rate, and what is under way."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from io_client.outcomes import Accepted, OutcomeUnknown, Unavailable, Withheld
from messaging import serving
from messaging.breaker import Breaker
from messaging.database_clock import DatabaseClock
from messaging.lanes import TakenLane
from messaging.serving import IN_FLIGHT_PER_LANE, MOST_SENDING, Call, ServedLane

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
OPEN = Breaker(opened_at=NOW - timedelta(minutes=1), probe_at=NOW - timedelta(seconds=1))
OPEN_AND_TOO_EARLY = Breaker(opened_at=NOW, probe_at=NOW + timedelta(seconds=5))
HALF_OPEN = Breaker(is_half_open=True)


def lane(*, rate: float = 10.0, breaker: Breaker | None = None, calls: int = 0, sends: int = 0) -> ServedLane:
    served = ServedLane(1, rate=rate, breaker=breaker or Breaker(), now=lambda: NOW)
    served.in_flight = {pk: Call(1, is_send=pk < sends) for pk in range(calls + sends)}
    return served


class TestRoom:
    def test_is_three_groups_at_a_time_and_never_more_than_may_be_under_way(self) -> None:
        assert lane().room() == 300
        assert lane(calls=IN_FLIGHT_PER_LANE - 3).room() == 3
        assert lane(calls=IN_FLIGHT_PER_LANE).room() == 0

    @pytest.mark.parametrize("breaker", [HALF_OPEN, OPEN])
    def test_while_io_is_not_well_is_one_call_at_a_time(self, breaker: Breaker) -> None:
        assert lane(breaker=breaker).room() == 1
        assert lane(breaker=breaker, calls=1).room() == 0

    def test_before_the_time_to_probe_there_is_none(self) -> None:
        assert lane(breaker=OPEN_AND_TOO_EARLY).room() == 0
        assert lane(breaker=OPEN_AND_TOO_EARLY).is_shut()

    @pytest.mark.parametrize(
        ("rate", "most"), [(0.5, 2), (1.0, 2), (10.0, 20), (30.0, 60), (150.0, MOST_SENDING), (1000.0, MOST_SENDING)]
    )
    def test_to_send_is_two_seconds_of_the_rate_so_that_a_crash_leaves_little_doubt(
        self, rate: float, most: int
    ) -> None:
        assert lane(rate=rate).room_to_send() == most
        assert lane(rate=rate, calls=50, sends=2).room_to_send() == most - 2

    def test_to_send_counts_what_others_are_sending_of_the_same_account(self) -> None:
        """The slice before, to which IO answers slowly, or a process that had the lane before."""
        served = lane(rate=10.0, sends=5)
        served.knows_of(being_sent=12)
        assert served.room_to_send() == 20 - 12
        served.ended(0)
        assert served.room_to_send() == 20 - 11
        served.knows_of(being_sent=4)
        assert served.room_to_send() == 20 - 4

    def test_nothing_more_leaves_once_three_sends_in_a_row_were_not_answered(self) -> None:
        """Before the answers are recorded: what is marked already is withheld."""
        served = lane()
        for outcome in (OutcomeUnknown("HTTP 503"), Unavailable("reset")):
            served.notices(outcome)
        assert served.may_send()
        served.notices(Accepted("ID"))
        for _ in range(3):
            assert served.may_send()
            served.notices(OutcomeUnknown("HTTP 503"))
        served.notices(Withheld())
        assert not served.may_send()
        served.learns(Breaker(is_half_open=True))
        assert served.may_send()

    def test_hears_from_the_row_what_others_met(self) -> None:
        served = lane(rate=10.0)
        served.hears(TakenLane(1, rate=7.0, breaker=OPEN, clock=DatabaseClock(NOW)))
        assert served.rate == 7.0
        assert not served.may_send()

    def test_nothing_leaves_a_lane_that_was_given_up_or_whose_breaker_opened(self) -> None:
        assert lane().may_send()
        assert lane(breaker=HALF_OPEN).may_send()
        assert not lane(breaker=OPEN).may_send()
        given_up = lane()
        given_up.is_served = False
        assert not given_up.may_send()


class TestTokens:
    def test_asks_for_a_second_s_worth_at_most_counting_those_in_hand(self) -> None:
        served = lane(rate=10.0)
        assert served.wish(room=200).want == 10
        served.given(4, asked_at=time.monotonic())
        assert served.wish(room=200).want == 6
        assert served.wish(room=5).want == 1
        assert served.wish(room=2).want == 0

    def test_tells_once_how_many_calls_left_late(self) -> None:
        served = lane()
        served.leaves(taken_at=time.monotonic())
        assert served.wish(room=1).late == 0
        for _ in range(3):
            served.leaves(taken_at=time.monotonic() - 1)
        wish = served.wish(room=1)
        assert wish.late == 3
        assert 1 <= wish.late_age < 1.5
        assert served.wish(room=1).late == 0

    def test_those_left_over_are_as_old_as_when_they_were_taken(self) -> None:
        served = lane()
        served.given(2, asked_at=100.0)
        served.given(3, asked_at=200.0)
        assert (served.tokens, served.taken_at) == (5, 100.0)

    def test_chooses_no_more_rows_than_tokens(self) -> None:
        served = lane(calls=2)
        served.given(3, asked_at=100.0)
        wanted = served.wanted(room=50)
        assert wanted.limit == 3
        assert sorted(wanted.messages) == [0, 1]
        assert wanted.io_services == {1}


class TestLostCalls:
    def test_are_forgotten_past_any_call_s_own_timeouts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        served = lane(calls=2)
        served.in_flight[0] = Call(1, is_send=True, since=time.monotonic() - serving.LONGEST_CALL_SECONDS - 1)
        assert served.forget_lost_calls() == [0]
        assert set(served.in_flight) == {1}
