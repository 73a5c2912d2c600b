"""A lane is the right to serve one IO account for a while: one holder, the longest-waiting first, none while paused."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging import lanes
from messaging.breaker import Breaker, Position
from messaging.lanes import effective_rate, keep_lanes, learn, leave_lanes, pause, take_lanes
from messaging.models import IOService, Message, ServiceInstance, SuspensionReason
from messaging.states import Delivery, WaitingReason
from registry.models import IOAccount, Lane
from tests import factories
from tests.messaging.lifecycle import AGO, at_once, seconds_from_now

pytestmark = pytest.mark.django_db

ME, ANOTHER = uuid.UUID(int=1), uuid.UUID(int=2)
SOON = timedelta(seconds=30)


@pytest.fixture
def account() -> IOAccount:
    """An account with one message to send."""
    return factories.message().io_account


def taken(holder: uuid.UUID = ME, *, limit: int = 64) -> list[int]:
    return [lane.io_account for lane in take_lanes(holder=holder, limit=limit)]


class TestTake:
    def test_a_lane_with_something_due_is_taken_for_a_while(self, account: IOAccount) -> None:
        assert taken() == [account.pk]
        lane = Lane.objects.get(pk=account.pk)
        assert lane.holder == ME
        assert 0 < seconds_from_now(lane.held_until) <= lanes.HELD_FOR_SECONDS

    def test_by_one_holder_only(self, account: IOAccount) -> None:
        assert taken() == [account.pk]
        assert taken(ANOTHER) == []

    @pytest.mark.django_db(transaction=True)
    def test_of_many_at_once_one_gets_it(self) -> None:
        account = factories.message().io_account
        holders = [uuid.uuid4() for _ in range(5)]
        outcomes = at_once(*[lambda holder=holder: taken(holder) for holder in holders])
        assert sorted(outcomes) == [[], [], [], [], [account.pk]]
        assert Lane.objects.get().holder == holders[outcomes.index([account.pk])]

    @pytest.mark.django_db(transaction=True)
    def test_many_at_once_share_them_out_without_waiting(self) -> None:
        accounts = sorted(factories.message().io_account_id for _ in range(8))
        outcomes = at_once(*[lambda: taken(uuid.uuid4(), limit=3) for _ in range(4)])
        everything = [pk for each in outcomes for pk in each]
        assert len(everything) == len(set(everything))
        assert set(everything) <= set(accounts)
        assert max(len(each) for each in outcomes) <= 3

    def test_of_a_holder_that_died_it_is_free_when_its_time_is_over(self, account: IOAccount) -> None:
        taken()
        Lane.objects.update(held_until=datetime.now(UTC) - AGO)
        assert taken(ANOTHER) == [account.pk]

    def test_given_up_it_is_free_at_once(self, account: IOAccount) -> None:
        taken()
        leave_lanes([account.pk], holder=ME)
        assert taken(ANOTHER) == [account.pk]

    def test_no_more_than_asked(self) -> None:
        for _ in range(3):
            factories.message()
        assert len(taken(limit=2)) == 2
        assert len(taken(ANOTHER, limit=2)) == 1

    def test_the_one_served_longest_ago_goes_first(self) -> None:
        accounts = [factories.message().io_account_id for _ in range(3)]
        for minutes, pk in zip((5, 9, 1), accounts, strict=True):
            Lane.objects.filter(pk=pk).update(held_until=datetime.now(UTC) - timedelta(minutes=minutes))
        never_served = factories.message().io_account_id
        assert [taken(uuid.uuid4(), limit=1) for _ in range(4)] == [
            [never_served],
            [accounts[1]],
            [accounts[0]],
            [accounts[2]],
        ]

    @pytest.mark.parametrize(
        "fields",
        [
            {"delivery_state": Delivery.PENDING_APPROVAL},
            {"delivery_state": Delivery.UNCERTAIN},
            {"not_before": datetime(2100, 1, 1, tzinfo=UTC)},
            {"waiting_reason": WaitingReason.SET_ASIDE},
        ],
        ids=["not_waiting", "in_doubt", "not_yet", "set_aside"],
    )
    def test_not_without_something_due(self, fields: dict[str, Any], account: IOAccount) -> None:
        Message.objects.update(**fields)
        assert taken() == []

    def test_not_for_a_suspended_service_alone(self, account: IOAccount) -> None:
        IOService.objects.update(suspended_at=datetime.now(UTC), suspended_reason=SuspensionReason.KEY_REFUSED)
        assert taken() == []

    def test_not_for_an_instance_switched_off_alone(self, account: IOAccount) -> None:
        ServiceInstance.objects.update(enabled=False)
        assert taken() == []

    @pytest.mark.parametrize(("delay", "is_taken"), [(SOON, False), (-SOON, True)])
    def test_not_while_the_account_pauses(self, delay: timedelta, is_taken: bool, account: IOAccount) -> None:
        Lane.objects.update(paused_until=datetime.now(UTC) + delay)
        assert bool(taken()) == is_taken

    @pytest.mark.parametrize(("delay", "is_taken"), [(SOON, False), (-SOON, True)])
    def test_not_while_its_breaker_is_open_until_it_may_be_probed(
        self, delay: timedelta, is_taken: bool, account: IOAccount
    ) -> None:
        Lane.objects.update(opened_at=datetime.now(UTC), probe_at=datetime.now(UTC) + delay)
        assert bool(taken()) == is_taken

    def test_tells_the_rate_and_the_breaker_as_they_are_now(self, account: IOAccount) -> None:
        Lane.objects.update(failures_in_row=2, is_half_open=True)
        (lane,) = take_lanes(holder=ME, limit=1)
        assert lane.rate == 1000
        assert lane.breaker == Breaker(failures_in_row=2, is_half_open=True)
        assert abs(seconds_from_now(lane.clock.now())) < 5


class TestKeep:
    def test_holds_it_on(self, account: IOAccount) -> None:
        taken()
        Lane.objects.update(held_until=datetime.now(UTC) + timedelta(seconds=1))
        assert set(keep_lanes([account.pk], holder=ME)) == {account.pk}
        assert seconds_from_now(Lane.objects.get().held_until) > 10

    def test_one_that_another_took_meanwhile_is_not_ours(self, account: IOAccount) -> None:
        taken()
        Lane.objects.update(holder=ANOTHER)
        assert not keep_lanes([account.pk], holder=ME)

    def test_one_that_pauses_meanwhile_is_told_apart(self, account: IOAccount) -> None:
        """A poll met a 429."""
        taken()
        pause(account.pk, seconds=60)
        assert not keep_lanes([account.pk], holder=ME)

    def test_nobody_gives_up_the_lane_of_another(self, account: IOAccount) -> None:
        taken()
        leave_lanes([account.pk], holder=ANOTHER)
        assert Lane.objects.get().holder == ME


class TestPause:
    @pytest.mark.parametrize(("asked", "granted"), [(30, 30), (0, 1), (-5, 1), (1e9, 3600)])
    def test_lasts_as_long_as_told_within_reason(self, asked: float, granted: float, account: IOAccount) -> None:
        pause(account.pk, seconds=asked)
        assert granted - 10 < seconds_from_now(Lane.objects.get().paused_until) <= granted

    def test_without_a_hint_differs_a_little_each_time(self) -> None:
        """Accounts that were throttled together do not return together."""
        pauses = set()
        for _ in range(8):
            account = factories.io_account()
            before = datetime.now(UTC)
            pause(account.pk, seconds=None)
            until = Lane.objects.get(pk=account.pk).paused_until
            assert until is not None
            pauses.add(round((until - before).total_seconds(), 2))
        assert len(pauses) > 1

    def test_a_shorter_one_does_not_end_a_longer_one(self, account: IOAccount) -> None:
        pause(account.pk, seconds=60)
        pause(account.pk, seconds=1)
        assert seconds_from_now(Lane.objects.get().paused_until) > 30

    def test_a_longer_one_prolongs_it(self, account: IOAccount) -> None:
        pause(account.pk, seconds=1)
        pause(account.pk, seconds=60)
        assert seconds_from_now(Lane.objects.get().paused_until) > 30

    def test_the_429s_of_one_burst_slow_down_once(self, account: IOAccount) -> None:
        for _ in range(5):
            pause(account.pk, seconds=60)
        assert Lane.objects.get().rate_factor == 0.7

    def test_so_do_those_of_a_burst_that_io_would_have_us_repeat_at_once(self, account: IOAccount) -> None:
        for _ in range(5):
            pause(account.pk, seconds=0)
        assert Lane.objects.get().rate_factor == 0.7

    def test_throttled_again_right_after_the_pause_it_is_slower_still_but_never_stops(self, account: IOAccount) -> None:
        factors = []
        for _ in range(9):
            pause(account.pk, seconds=60)
            factors.append(round(Lane.objects.get().rate_factor, 2))
            over(account)
        assert factors == [0.7, 0.49, 0.34, 0.24, 0.17, 0.12, 0.1, 0.1, 0.1]

    def test_from_the_end_of_the_pause_it_grows_by_two_in_a_hundred_every_five_seconds(
        self, account: IOAccount
    ) -> None:
        pause(account.pk, seconds=60)
        lane = Lane.objects.get()
        end = lane.paused_until
        assert end is not None

        def rate_after(seconds: float) -> float:
            return round(effective_rate(lane, now=end + timedelta(seconds=seconds)), 6)

        assert [rate_after(at) for at in (-30, 0, 5, 10, 50)] == [700, 700, 720, 740, 900]

    def test_it_ends_at_the_full_rate(self, account: IOAccount) -> None:
        pause(account.pk, seconds=60)
        lane = Lane.objects.get()
        until = lane.slowed_until
        assert until is not None
        assert 60 + 75 - 10 < seconds_from_now(until) <= 60 + 75
        assert effective_rate(lane, now=until - timedelta(seconds=1)) < 1000
        assert effective_rate(lane, now=until) == effective_rate(lane, now=until + timedelta(days=1)) == 1000

    def test_a_pause_prolonged_grows_back_from_its_new_end(self, account: IOAccount) -> None:
        pause(account.pk, seconds=60)
        pause(account.pk, seconds=120)
        lane = Lane.objects.get()
        assert lane.paused_until is not None
        assert effective_rate(lane, now=lane.paused_until) == pytest.approx(700)

    def test_throttled_on_the_way_back_it_is_lowered_from_where_it_was(self, account: IOAccount) -> None:
        pause(account.pk, seconds=1)
        # 25 seconds after the pause, of the 75 that it takes.
        Lane.objects.update(
            paused_until=datetime.now(UTC) - timedelta(seconds=25),
            slowed_until=datetime.now(UTC) + timedelta(seconds=50),
        )
        pause(account.pk, seconds=1)
        assert Lane.objects.get().rate_factor == pytest.approx(0.8 * 0.7, abs=0.05)

    def test_throttled_after_recovering_it_starts_from_the_full_rate(self, account: IOAccount) -> None:
        Lane.objects.update(rate_factor=0.1, slowed_until=datetime.now(UTC) - AGO)
        pause(account.pk, seconds=1)
        assert Lane.objects.get().rate_factor == 0.7

    def test_an_account_that_was_never_throttled_runs_at_its_rate(self, account: IOAccount) -> None:
        assert effective_rate(Lane.objects.get(), now=datetime.now(UTC)) == 1000

    def test_another_account_keeps_its_rate(self, account: IOAccount) -> None:
        other = factories.io_account()
        pause(account.pk, seconds=60)
        lane = Lane.objects.get(pk=other.pk)
        assert lane.paused_until is None
        assert effective_rate(lane, now=datetime.now(UTC)) == 1000

    def test_the_lane_is_taken_at_the_lowered_rate(self, account: IOAccount) -> None:
        pause(account.pk, seconds=60)
        over(account)
        (lane,) = take_lanes(holder=ME, limit=1)
        assert 700 <= lane.rate < 750


def over(account: IOAccount) -> None:
    """The account's pause ends now, and its slowdown is as much nearer."""
    lane = Lane.objects.get(pk=account.pk)
    assert lane.paused_until is not None
    assert lane.slowed_until is not None
    earlier = lane.paused_until - datetime.now(UTC) + timedelta(seconds=0.01)
    Lane.objects.filter(pk=account.pk).update(
        paused_until=lane.paused_until - earlier, slowed_until=lane.slowed_until - earlier
    )


class TestLearn:
    def test_adds_answers_to_what_the_database_knows_whoever_holds_the_lane(self, account: IOAccount) -> None:
        taken(ANOTHER)
        Lane.objects.update(send_failures_in_row=2)
        after = learn(account.pk, fold=lambda breaker, now: breaker.failed(now, was_send=True))
        assert after.position is Position.OPEN
        lane = Lane.objects.get()
        assert lane.opened_at is not None
        assert 0 < seconds_from_now(lane.probe_at) <= 5

    @pytest.mark.django_db(transaction=True)
    def test_of_answers_at_the_same_time_none_is_forgotten(self) -> None:
        account = factories.io_account()
        at_once(*[lambda: learn(account.pk, fold=lambda breaker, now: breaker.failed(now, was_send=True))] * 2)
        assert Lane.objects.get().send_failures_in_row == 2
