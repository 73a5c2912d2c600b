"""When IO stops answering we stop handing it messages: only a profile call probes, then one message at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.breaker import FIRST_PROBE_AFTER, LONGEST_WAIT, Breaker, Position
from messaging.dispatching import dispatch
from messaging.models import Message
from messaging.states import Delivery
from registry.models import Lane, User
from tests import factories
from tests.messaging.lifecycle import (
    fresh,
    lane_of,
    make_due,
    one_call_at_a_time,
    seconds_from_now,
    with_a_token_in_hand,
)
from tests.support.io_stand_in import Canned, Request, StandIn

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def failed(breaker: Breaker, times: int, *, was_send: bool) -> Breaker:
    for _ in range(times):
        breaker = breaker.failed(AT, was_send=was_send)
    return breaker


OPEN = failed(Breaker(), 3, was_send=True)
HALF_OPEN = OPEN.answered(was_send=False)


class TestRule:
    @pytest.mark.parametrize("was_send", [True, False], ids=["sends", "profiles"])
    def test_two_failures_in_a_row_leave_it_closed_and_the_third_opens_it(self, was_send: bool) -> None:
        assert failed(Breaker(), 2, was_send=was_send).position is Position.CLOSED
        assert failed(Breaker(), 3, was_send=was_send).position is Position.OPEN

    @pytest.mark.parametrize("was_send", [True, False], ids=["sends", "profiles"])
    def test_an_answer_in_between_starts_the_count_again(self, was_send: bool) -> None:
        recovered = failed(Breaker(), 2, was_send=was_send).answered(was_send=was_send)
        assert failed(recovered, 2, was_send=was_send).position is Position.CLOSED

    def test_profiles_answered_between_sends_that_fail_excuse_nothing(self) -> None:
        """IO answers about people and takes no message: each message is asked about before it is sent."""
        breaker = Breaker()
        for _ in range(3):
            breaker = breaker.answered(was_send=False).failed(AT, was_send=True)
        assert breaker.position is Position.OPEN

    def test_a_message_taken_excuses_profiles_too(self) -> None:
        recovered = failed(Breaker(), 2, was_send=False).answered(was_send=True)
        assert recovered == Breaker()

    def test_open_it_may_be_probed_only_after_a_while(self) -> None:
        assert not OPEN.may_probe(AT + FIRST_PROBE_AFTER - timedelta(microseconds=1))
        assert OPEN.may_probe(AT + FIRST_PROBE_AFTER)

    def test_closed_or_half_open_there_is_nothing_to_probe(self) -> None:
        assert not Breaker().may_probe(AT)
        assert not HALF_OPEN.may_probe(AT)

    def test_a_probe_that_fails_waits_twice_as_long_for_the_next_at_most_a_minute(self) -> None:
        breaker, at, waits = OPEN, AT + FIRST_PROBE_AFTER, []
        for _ in range(6):
            breaker = breaker.failed(at, was_send=False)
            assert breaker.probe_at is not None
            waits.append(breaker.probe_at - at)
            at = breaker.probe_at
        assert waits == [timedelta(seconds=seconds) for seconds in (10, 20, 40, 60, 60, 60)]
        assert waits[-1] == LONGEST_WAIT

    def test_late_failures_of_calls_begun_before_the_opening_do_not_lengthen_the_wait(self) -> None:
        assert OPEN.failed(AT + timedelta(seconds=1), was_send=True) == OPEN

    def test_a_late_answer_to_a_send_begun_before_the_opening_proves_nothing(self) -> None:
        assert OPEN.answered(was_send=True) == OPEN

    def test_a_probe_answered_opens_it_half(self) -> None:
        assert HALF_OPEN.position is Position.HALF_OPEN

    def test_half_open_a_profile_more_changes_nothing(self) -> None:
        assert HALF_OPEN.answered(was_send=False) == HALF_OPEN

    def test_half_open_a_message_answered_closes_it(self) -> None:
        assert HALF_OPEN.answered(was_send=True) == Breaker()

    def test_half_open_one_failure_opens_it_again_for_longer(self) -> None:
        again = HALF_OPEN.failed(AT, was_send=True)
        assert again.position is Position.OPEN
        assert again.probe_at == AT + 2 * FIRST_PROBE_AFTER


@pytest.fixture
def account() -> Any:
    return factories.io_account(calls_per_second=20)


@pytest.fixture
def waiting(account: Any) -> list[Message]:
    """Twelve messages to as many people, all allowed."""
    return messages(account, state=Delivery.RECIPIENT_ALLOWED)


def messages(account: Any, *, state: Delivery) -> list[Message]:
    instance = factories.service_instance(io_service=factories.io_service(io_account=account))
    sender: User = factories.user()
    return [
        factories.message_in(state, instance=instance, sender=sender, taxcode=f"RSSMRA80A01H{number:03d}U")
        for number in range(12)
    ]


def opened(row: Message, *, probe_in: float) -> None:
    now = datetime.now(UTC)
    Lane.objects.filter(pk=row.io_account_id).update(opened_at=now, probe_at=now + timedelta(seconds=probe_in))


@pytest.mark.django_db
class TestWhileSending:
    @pytest.mark.parametrize("answer", [Canned(503), Canned(fault="reset_before")], ids=["503", "reset"])
    def test_three_doubts_in_a_row_and_the_rest_stay_where_they_are(
        self, answer: Canned, waiting: list[Message], io: StandIn
    ) -> None:
        io.answer("send", answer)
        dispatch()
        left = io.count("send")
        # One at a time as the pace allows; on a busy machine a call more may be under way when the third fails.
        assert 3 <= left < len(waiting)
        assert Message.objects.uncertain().count() == left
        assert Message.objects.filter(delivery_state=Delivery.RECIPIENT_ALLOWED).count() == len(waiting) - left
        lane = lane_of(waiting[0])
        assert lane.opened_at is not None
        assert lane.probe_at is not None

    def test_three_profiles_unanswered_open_it_too(self, account: Any, io: StandIn) -> None:
        rows = messages(account, state=Delivery.SCHEDULED)
        io.answer("profile", Canned(500))
        dispatch()
        assert 3 <= io.count("profile") < len(rows)
        assert io.count("send") == 0
        assert lane_of(rows[0]).opened_at is not None

    def test_what_is_marked_and_has_not_left_when_it_opens_is_released_unsent(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All are marked in one group and wait for their turn at one connection."""
        one_call_at_a_time(monkeypatch)
        rows = messages(factories.io_account(), state=Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(503, delay=0.05))
        dispatch()
        left = io.count("send")
        assert 3 <= left < len(rows)
        assert Message.objects.uncertain().count() == left
        assert Message.objects.filter(delivery_state=Delivery.RECIPIENT_ALLOWED).count() == len(rows) - left

    def test_refusals_are_answers(self, waiting: list[Message], io: StandIn) -> None:
        io.answer("send", Canned(400))
        dispatch()
        assert io.count("send") == len(waiting)
        assert lane_of(waiting[0]).opened_at is None


@pytest.mark.django_db
class TestWhileOpen:
    def test_before_the_time_of_the_probe_nothing_is_asked(self, waiting: list[Message], io: StandIn) -> None:
        opened(waiting[0], probe_in=60)
        assert dispatch() == 0
        assert io.requests == []

    @pytest.mark.parametrize("state", [Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED])
    def test_only_one_profile_call_probes(self, state: Delivery, account: Any, io: StandIn) -> None:
        rows = messages(account, state=state)
        opened(rows[0], probe_in=-1)
        with_a_token_in_hand(rows[0])
        io.answer("profile", Canned(503))
        dispatch()
        assert io.count("profile") == 1
        assert io.count("send") == 0
        lane = lane_of(rows[0])
        assert lane.opened_at is not None
        assert lane.probes_failed == 1
        assert 5 < seconds_from_now(lane.probe_at) <= 10

    def test_a_probe_that_is_due_waits_for_its_call_where_the_bucket_is_empty(
        self, waiting: list[Message], io: StandIn
    ) -> None:
        opened(waiting[0], probe_in=-1)
        io.answer("profile", Canned(503))
        assert dispatch() == 1
        assert io.count("profile") == 1

    def test_a_probe_answered_lets_one_message_try_and_its_success_all_the_others(
        self, waiting: list[Message], io: StandIn
    ) -> None:
        opened(waiting[0], probe_in=-1)
        with_a_token_in_hand(waiting[0])
        others_under_way: list[int] = []

        def answer(request: Request) -> Canned:
            others_under_way.append(io.count("send") - 1 - len(io.accepted))
            return Canned(201, delay=0.15)

        io.answer("send", answer)
        dispatch()
        assert others_under_way[:2] == [0, 0]
        assert len(io.accepted) == len(waiting)
        lane = lane_of(waiting[0])
        assert (lane.opened_at, lane.is_half_open, lane.send_failures_in_row) == (None, False, 0)

    def test_half_open_a_message_that_fails_is_the_only_one(self, waiting: list[Message], io: StandIn) -> None:
        Lane.objects.update(is_half_open=True)
        io.answer("send", Canned(503))
        dispatch()
        assert io.count("send") == 1
        assert Message.objects.uncertain().count() == 1
        assert lane_of(waiting[0]).opened_at is not None

    def test_another_account_is_not_touched(self, waiting: list[Message], io: StandIn) -> None:
        opened(waiting[0], probe_in=60)
        other = factories.message()
        dispatch()
        assert fresh(other).delivery_state == Delivery.SENT
        assert len(io.accepted) == 1

    def test_an_outage_and_its_end_lose_no_message(self, account: Any, io: StandIn) -> None:
        """IO cannot be reached, then it can: whatever was never sent is sent, once."""
        rows = messages(account, state=Delivery.SCHEDULED)
        io.stop()
        dispatch()
        assert lane_of(rows[0]).opened_at is not None
        io.start()
        make_due(*rows)
        with_a_token_in_hand(rows[0])
        Lane.objects.update(probe_at=datetime.now(UTC))
        dispatch()
        assert {fresh(row).delivery_state for row in rows} == {Delivery.SENT}
        assert sorted(taken.fiscal_code for taken in io.accepted) == sorted(row.taxcode for row in rows)
