"""A token is the right to make one call. One contract, kept by both kinds of bucket: in Redis and in the database.

Time passes by making the bucket older, never by waiting; only the tests of many takers and of a Redis that is away look
at a clock. What the arithmetic allows over minutes is in test_bucket.py.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
import redis
from django.db import connection, connections
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from messaging import pacing_redis
from messaging.dispatching import dispatch
from messaging.engine import stopping
from messaging.marking import SEND_ALLOWANCE_SECONDS
from messaging.models import Message
from messaging.pacing import DatabasePacer, Pacer, RedisPacer, Wish, depth, pacer
from messaging.polling import poll
from messaging.states import Delivery
from registry.models import IOAccount, Lane
from tests import factories
from tests.messaging.lifecycle import at_once, events, fresh, one_call_at_a_time
from tests.support.io_stand_in import Canned, StandIn
from tests.support.services import Redis

# Deep enough for the rules, and so slow that what passes during a test adds no whole token: depth 2, one in 0.25 s, and
# at most 20 in a window.
RATE = 4.0


class BucketSomewhere(Protocol):
    pace: Pacer

    def becomes_older(self, io_account: int, *, seconds: float) -> None: ...


class InTheDatabase:
    def __init__(self) -> None:
        self.pace: Pacer = DatabasePacer()

    def becomes_older(self, io_account: int, *, seconds: float) -> None:
        lane = Lane.objects.get(pk=io_account)
        assert lane.refilled_at is not None
        lane.refilled_at -= timedelta(seconds=seconds)
        lane.grants = [[at - round(seconds * 1000), count] for at, count in lane.grants]
        lane.save(update_fields=["refilled_at", "grants"])


class InRedis:
    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.pace: Pacer = RedisPacer(client)

    def becomes_older(self, io_account: int, *, seconds: float) -> None:
        name, older = pacing_redis.name(io_account), round(seconds * 1000)
        self.client.hincrby(name, "at", -older)
        grants: Any = self.client.lrange(f"{name}:grants", 0, -1)
        for index, grant in enumerate(grants):
            at, count = grant.decode().split(":")
            self.client.lset(f"{name}:grants", index, f"{int(at) - older}:{count}")


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.redis)])
def bucket(request: pytest.FixtureRequest) -> BucketSomewhere:
    return InTheDatabase() if request.param == "database" else InRedis(request.getfixturevalue("client"))


@pytest.fixture
def account(db: None) -> int:
    return factories.io_account().pk


def fill(bucket: BucketSomewhere, account: int, *, rate: float = RATE) -> None:
    bucket.pace.take(account, want=1, rate=rate)
    bucket.becomes_older(account, seconds=3600)


class TestBucket:
    def test_starts_empty(self, bucket: BucketSomewhere, account: int) -> None:
        assert bucket.pace.take(account, want=10, rate=RATE) == 0

    def test_fills_at_its_rate(self, bucket: BucketSomewhere, account: int) -> None:
        bucket.pace.take(account, want=10, rate=RATE)
        bucket.becomes_older(account, seconds=0.26)
        assert bucket.pace.take(account, want=10, rate=RATE) == 1

    def test_fills_faster_for_a_faster_account(self, bucket: BucketSomewhere, account: int) -> None:
        bucket.pace.take(account, want=10, rate=100)
        bucket.becomes_older(account, seconds=0.21)
        assert 20 <= bucket.pace.take(account, want=1000, rate=100) < 50

    def test_keeps_parts_of_a_token(self, bucket: BucketSomewhere, account: int) -> None:
        bucket.pace.take(account, want=10, rate=RATE)
        taken = 0
        for _ in range(11):
            bucket.becomes_older(account, seconds=0.1)
            taken += bucket.pace.take(account, want=10, rate=RATE)
        assert taken in (4, 5)

    @pytest.mark.parametrize(("rate", "most"), [(1, 2), (RATE, 2), (10, 5), (1000, 500)])
    def test_never_holds_more_than_its_depth(
        self, rate: float, most: int, bucket: BucketSomewhere, account: int
    ) -> None:
        fill(bucket, account, rate=rate)
        assert bucket.pace.take(account, want=10_000, rate=rate) == most == depth(rate)

    def test_gives_no_more_than_is_asked_and_keeps_the_rest(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account, rate=RATE)
        assert bucket.pace.take(account, want=1, rate=RATE) == 1
        assert bucket.pace.take(account, want=9, rate=RATE) == 1
        assert bucket.pace.take(account, want=9, rate=RATE) == 0

    @pytest.mark.parametrize("want", [0, -1])
    def test_asked_for_nothing_gives_nothing(self, want: int, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take(account, want=want, rate=RATE) == 0
        assert bucket.pace.take(account, want=9, rate=RATE) == 2

    def test_takes_back_what_was_not_needed(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        bucket.pace.take(account, want=2, rate=RATE)
        bucket.pace.give_back(account, count=1)
        assert bucket.pace.take(account, want=9, rate=RATE) == 1

    def test_what_is_given_back_does_not_make_it_deeper(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        bucket.pace.give_back(account, count=50)
        assert bucket.pace.take(account, want=99, rate=RATE) == 2

    def test_giving_back_nothing_is_harmless(self, bucket: BucketSomewhere, account: int) -> None:
        bucket.pace.give_back(account, count=0)
        assert bucket.pace.take(account, want=9, rate=RATE) == 0

    def test_a_clock_set_back_stops_it_for_one_window_and_no_longer(
        self, bucket: BucketSomewhere, account: int
    ) -> None:
        fill(bucket, account)
        bucket.pace.take(account, want=1, rate=RATE)
        bucket.becomes_older(account, seconds=-3600)
        assert bucket.pace.take(account, want=9, rate=RATE) == 0
        # What it was asked in vain it need not remember.
        bucket.pace.take(account, want=9, rate=RATE)
        bucket.becomes_older(account, seconds=3606)
        assert bucket.pace.take(account, want=9, rate=RATE) == 2

    def test_accounts_have_a_bucket_each(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        other = factories.io_account().pk
        assert bucket.pace.take(other, want=9, rate=RATE) == 0
        assert bucket.pace.take(account, want=9, rate=RATE) == 2


class TestWindow:
    """Of a full window of 20 tokens at 4 a second, what is left is given, and not a token more."""

    @pytest.fixture
    def nearly_full(self, bucket: BucketSomewhere, account: int) -> Callable[[], int]:
        """19 tokens of the last second are out, and the bucket is full again; returns how many more there are."""
        fill(bucket, account)
        for _ in range(9):
            assert bucket.pace.take(account, want=9, rate=RATE) == 2
            bucket.becomes_older(account, seconds=0.6)
            # In less time than that, as far as the window knows.
            move_grants(bucket, account, seconds=-0.6)
        assert bucket.pace.take(account, want=1, rate=RATE) == 1
        bucket.becomes_older(account, seconds=0.6)
        move_grants(bucket, account, seconds=-0.6)
        return lambda: bucket.pace.take(account, want=9, rate=RATE)

    def test_holds_what_the_bucket_would_give(self, nearly_full: Callable[[], int]) -> None:
        assert nearly_full() == 1
        assert nearly_full() == 0

    def test_moves_on_after_five_seconds_and_a_little(
        self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]
    ) -> None:
        nearly_full()
        bucket.becomes_older(account, seconds=4.5)
        assert nearly_full() == 0
        bucket.becomes_older(account, seconds=0.6)
        assert nearly_full() == 2

    def test_has_room_again_for_what_was_given_back(
        self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]
    ) -> None:
        assert nearly_full() == 1
        bucket.pace.give_back(account, count=1)
        assert nearly_full() == 1

    def test_counts_calls_that_left_late_from_now_on(
        self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]
    ) -> None:
        assert nearly_full() == 1
        bucket.becomes_older(account, seconds=4)
        bucket.pace.take_many({account: Wish(want=0, rate=RATE, late=20)})
        bucket.becomes_older(account, seconds=4)
        assert nearly_full() == 0
        bucket.becomes_older(account, seconds=1.1)
        assert nearly_full() == 2

    def test_counts_late_calls_in_full_though_their_grants_have_left_it(
        self, bucket: BucketSomewhere, account: int
    ) -> None:
        """Tokens kept through a stall: the window forgot them, IO sees their calls now."""
        fill(bucket, account)
        bucket.pace.take_many({account: Wish(want=0, rate=RATE, late=19, late_age=8)})
        assert bucket.pace.take(account, want=9, rate=RATE) == 1
        bucket.becomes_older(account, seconds=4.5)
        assert bucket.pace.take(account, want=9, rate=RATE) == 0
        bucket.becomes_older(account, seconds=0.6)
        assert bucket.pace.take(account, want=9, rate=RATE) == 2

    def test_leaves_what_others_took_meanwhile_where_it_is(
        self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]
    ) -> None:
        """All 20 are younger than the tokens that left late, and than those that come back."""
        assert nearly_full() == 1
        bucket.pace.give_back(account, count=3, age=2)
        assert nearly_full() == 0
        bucket.pace.take_many({account: Wish(want=0, rate=RATE, late=3, late_age=2)})
        bucket.becomes_older(account, seconds=4)
        assert nearly_full() == 0
        # The 20 have left the window; the three are still there.
        bucket.becomes_older(account, seconds=1.06)
        assert nearly_full() == 2

    def test_takes_back_what_is_as_old_as_its_grant(
        self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]
    ) -> None:
        assert nearly_full() == 1
        bucket.becomes_older(account, seconds=2)
        assert nearly_full() == 0
        bucket.pace.give_back(account, count=2, age=2)
        assert nearly_full() == 2

    def test_takes_nothing_back_that_is_older_than_itself(
        self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]
    ) -> None:
        assert nearly_full() == 1
        bucket.pace.give_back(account, count=9, age=6)
        bucket.becomes_older(account, seconds=1)
        move_grants(bucket, account, seconds=-1)
        assert nearly_full() == 0

    def test_holds_the_polls_too(self, bucket: BucketSomewhere, account: int, nearly_full: Callable[[], int]) -> None:
        assert bucket.pace.take_for_polls(account, want=9, rate=RATE, sending_waits=False) == 1
        assert bucket.pace.take_for_polls(account, want=9, rate=RATE, sending_waits=False) == 0

    def test_of_two_workers_at_the_last_token_one_gets_it(
        self, bucket: BucketSomewhere, transactional_db: None
    ) -> None:
        account = factories.io_account().pk
        fill(bucket, account)
        bucket.pace.take(account, want=1, rate=RATE)
        assert sorted(at_once(*[lambda: bucket.pace.take(account, want=9, rate=RATE)] * 4)) == [0, 0, 0, 1]


def move_grants(bucket: BucketSomewhere, account: int, *, seconds: float) -> None:
    """Only the window becomes older (or younger), not the bucket."""
    if isinstance(bucket, InRedis):
        at: Any = bucket.client.hget(pacing_redis.name(account), "at")
        bucket.becomes_older(account, seconds=seconds)
        bucket.client.hset(pacing_redis.name(account), "at", at)
    else:
        refilled_at = Lane.objects.get(pk=account).refilled_at
        bucket.becomes_older(account, seconds=seconds)
        Lane.objects.filter(pk=account).update(refilled_at=refilled_at)


class TestMany:
    """All accounts of a slice in one question."""

    def test_each_gets_its_own(self, bucket: BucketSomewhere, account: int) -> None:
        other, empty = factories.io_account().pk, factories.io_account().pk
        fill(bucket, account)
        fill(bucket, other, rate=100)
        wishes = {other: Wish(want=7, rate=100), empty: Wish(want=7, rate=RATE), account: Wish(want=7, rate=RATE)}
        assert bucket.pace.take_many(wishes) == {other: 7, empty: 0, account: 2}

    def test_who_wants_nothing_gets_nothing(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take_many({account: Wish(want=0, rate=RATE)}) == {account: 0}
        assert bucket.pace.take_many({}) == {}

    def test_lays_aside_for_polls_where_they_wait(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account, rate=100)
        (sent,) = bucket.pace.take_many({account: Wish(want=1000, rate=100, polls_wait=True)}).values()
        assert 44 <= sent <= 46
        assert bucket.pace.take_for_polls(account, want=9, rate=100, sending_waits=True) >= 4

    def test_takes_back_from_each(self, bucket: BucketSomewhere, account: int) -> None:
        other = factories.io_account().pk
        wishes = {account: Wish(want=2, rate=RATE), other: Wish(want=2, rate=RATE)}
        for each in wishes:
            fill(bucket, each)
        bucket.pace.take_many(wishes)
        bucket.pace.give_back_many({account: 1, other: 2, factories.io_account().pk: 3})
        assert bucket.pace.take_many(wishes) == {account: 1, other: 2}

    def test_giving_nothing_back_is_harmless(self, bucket: BucketSomewhere, account: int) -> None:
        bucket.pace.give_back_many({account: 0})
        bucket.pace.give_back_many({})


@pytest.mark.django_db(transaction=True)
class TestManyTakers:
    def test_together_never_take_more_than_the_rate_allows(self, bucket: BucketSomewhere) -> None:
        account, rate = factories.io_account().pk, 50.0
        fill(bucket, account, rate=rate)
        taken: list[int] = []
        began = time.monotonic()

        def take() -> None:
            try:
                taken.extend(bucket.pace.take(account, want=7, rate=rate) for _ in range(15))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.monotonic() - began
        assert len(taken) == 60
        assert depth(rate) <= sum(taken) <= min(depth(rate) + rate * elapsed + 1, 5 * rate * max(1, elapsed / 5))

    def test_of_accounts_in_any_order_do_not_wait_for_each_other(self, bucket: BucketSomewhere) -> None:
        accounts = [factories.io_account().pk for _ in range(4)]
        for account in accounts:
            fill(bucket, account)

        def take(order: list[int]) -> int:
            given = 0
            for _ in range(5):
                wishes = {account: Wish(want=1, rate=RATE) for account in order}
                given += sum(bucket.pace.take_many(wishes).values())
            return given

        one, other = at_once(lambda: take(accounts), lambda: take(accounts[::-1]))
        assert one + other >= 8


@pytest.mark.django_db
class TestInTheDatabase:
    def test_a_look_that_finds_nothing_is_one_query_and_writes_nothing(self, account: int) -> None:
        bucket = InTheDatabase()
        bucket.pace.take(account, want=9, rate=RATE)
        with CaptureQueriesContext(connection) as asked:
            assert bucket.pace.take(account, want=9, rate=RATE) == 0
        assert [query["sql"].split()[0] for query in asked] == ["SELECT"]

    def test_what_is_given_to_many_is_written_at_once(self, account: int) -> None:
        bucket = InTheDatabase()
        accounts = [account, factories.io_account().pk, factories.io_account().pk]
        for each in accounts:
            fill(bucket, each)
        with CaptureQueriesContext(connection) as asked:
            bucket.pace.take_many({each: Wish(want=9, rate=RATE) for each in accounts})
        # Handed to the driver in one go, whatever it makes of it.
        assert sum("UPDATE " in query["sql"] for query in asked) == 1

    def test_an_account_deleted_meanwhile_gets_nothing(self, account: int) -> None:
        IOAccount.objects.all().delete()
        assert DatabasePacer().take(account, want=9, rate=RATE) == 0


@pytest.mark.redis
@pytest.mark.django_db
class TestInRedis:
    def test_a_bucket_not_used_for_a_minute_is_forgotten(self, client: "redis.Redis", account: int) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        bucket.pace.take(account, want=1, rate=RATE)
        for key in (pacing_redis.name(account), f"{pacing_redis.name(account)}:grants"):
            remaining = client.pttl(key)
            assert isinstance(remaining, int)
            assert 0 < remaining <= 60_000

    def test_a_lost_bucket_starts_empty_again(self, client: "redis.Redis", account: int) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        client.delete(pacing_redis.name(account))
        assert bucket.pace.take(account, want=9, rate=RATE) == 0

    def test_an_emptied_redis_gives_nothing_at_once_and_no_burst_for_one_window(
        self, client: "redis.Redis", account: int
    ) -> None:
        bucket = InRedis(client)
        fill(bucket, account, rate=100)
        client.flushdb()
        assert bucket.pace.take(account, want=99, rate=100) == 0
        bucket.becomes_older(account, seconds=-0.001)
        client.hincrby(pacing_redis.SINCE, "since", -1000)
        bucket.becomes_older(account, seconds=0.9)
        # The bucket is full; but half a second's may have left just before Redis was emptied.
        assert 40 <= bucket.pace.take(account, want=99, rate=100) <= 50
        assert bucket.pace.take(account, want=99, rate=100) <= 5

    def test_what_is_given_back_to_a_lost_bucket_does_not_bring_it_back(
        self, client: "redis.Redis", account: int
    ) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        client.flushdb()
        bucket.pace.give_back(account, count=5)
        assert not client.exists(pacing_redis.name(account))

    def test_is_used_where_there_is_redis(self, settings: Any, redis_url: str) -> None:
        settings.REDIS_URL = redis_url
        assert isinstance(pacer(), RedisPacer)


def test_the_database_is_used_where_there_is_no_redis(settings: Any) -> None:
    settings.REDIS_URL = ""
    assert isinstance(pacer(), DatabasePacer)


@pytest.mark.django_db
def test_saving_the_account_in_the_back_office_leaves_its_bucket_alone() -> None:
    account = factories.io_account()
    fill(InTheDatabase(), account.pk)
    account.calls_per_second = 4
    account.save()
    assert DatabasePacer().take(account.pk, want=9, rate=4) == 2


class TestShareOfPolls:
    """Polls get what sending leaves, and a tenth where both want more than there is."""

    def test_polls_have_all_of_it_while_nothing_waits_to_be_sent(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take_for_polls(account, want=9, rate=RATE, sending_waits=False) == 2

    def test_a_full_bucket_is_for_the_polls_too_though_sending_waits(
        self, bucket: BucketSomewhere, account: int
    ) -> None:
        fill(bucket, account, rate=100)
        assert bucket.pace.take_for_polls(account, want=10, rate=100, sending_waits=True) == 10
        assert bucket.pace.take_for_polls(account, want=10, rate=100, sending_waits=True) == 0

    def test_sending_has_all_of_it_while_no_poll_waits(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take(account, want=9, rate=RATE) == 2

    def test_what_sending_laid_aside_is_for_the_polls_alone(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account, rate=100)
        sent = bucket.pace.take(account, want=1000, rate=100, polls_wait=True)
        assert 44 <= sent <= 46
        polled = bucket.pace.take_for_polls(account, want=1000, rate=100, sending_waits=True)
        assert 4 <= polled <= 6

    def test_what_was_laid_aside_and_not_used_is_sendings_again_once_no_poll_waits(
        self, bucket: BucketSomewhere, account: int
    ) -> None:
        fill(bucket, account, rate=100)
        bucket.pace.take(account, want=1000, rate=100, polls_wait=True)
        assert bucket.pace.take(account, want=1000, rate=100) >= 4

    @pytest.mark.parametrize("rate", [4, 100])
    def test_over_time_one_call_in_ten_is_a_poll_and_none_is_wasted(
        self, rate: int, bucket: BucketSomewhere, account: int
    ) -> None:
        fill(bucket, account, rate=rate)
        began, sent, polled = time.monotonic(), 0, 0
        for _ in range(40):
            bucket.becomes_older(account, seconds=0.25)
            sent += bucket.pace.take(account, want=rate, rate=rate, polls_wait=True)
            polled += bucket.pace.take_for_polls(account, want=rate, rate=rate, sending_waits=True)
        granted = depth(rate) + rate * (40 * 0.25 + time.monotonic() - began)
        assert 0.85 * granted <= sent + polled <= granted
        # A little more where the machine is slow: a bucket that fills up in between is for the polls too.
        assert 0.07 <= polled / (sent + polled) <= 0.13

    def test_both_parts_together_are_never_deeper_than_the_bucket(self, bucket: BucketSomewhere, account: int) -> None:
        fill(bucket, account, rate=100)
        for _ in range(20):
            bucket.pace.take(account, want=40, rate=100, polls_wait=True)
            bucket.becomes_older(account, seconds=1)
        assert bucket.pace.take_for_polls(account, want=1000, rate=100, sending_waits=False) == 50


def nobody(listening: socket.socket) -> str:
    """Bound and not listening, so that connections are refused."""
    listening.bind(("127.0.0.1", 0))
    return f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def someone_mute(listening: socket.socket) -> str:
    """Takes the connection and never answers, like a Redis that is stopped."""
    address = nobody(listening)
    listening.listen(5)
    return address


class TestRedisThatIsAway:
    @pytest.fixture(params=[nobody, someone_mute])
    def pace(self, request: pytest.FixtureRequest, settings: Any) -> Iterator[Pacer]:
        with socket.socket() as taken:
            settings.REDIS_URL = request.param(taken)
            yield pacer()

    def test_gives_nothing_rather_than_too_much(self, pace: Pacer) -> None:
        assert pace.take(1, want=9, rate=RATE) == 0
        assert pace.take_for_polls(1, want=9, rate=RATE, sending_waits=False) == 0
        assert pace.take_many({1: Wish(want=9, rate=RATE), 2: Wish(want=9, rate=RATE)}) == {1: 0, 2: 0}

    def test_tokens_given_back_meanwhile_are_lost_and_nothing_else(self, pace: Pacer) -> None:
        pace.give_back(1, count=3)

    @pytest.mark.redis
    @pytest.mark.django_db
    def test_late_calls_that_could_not_be_told_are_told_once_it_is_back(
        self, client: "redis.Redis", account: int
    ) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        bucket.pace = pace = RedisPacer(client)
        pace._rests_until = time.monotonic() + 60
        for late in (10, 9):
            assert pace.take_many({account: Wish(want=9, rate=RATE, late=late)}) == {account: 0}
        pace._rests_until = 0.0
        assert pace.take(account, want=9, rate=RATE) == 1
        bucket.becomes_older(account, seconds=1)
        assert pace.take(account, want=9, rate=RATE) == 0

    def test_is_noticed_before_what_is_marked_grows_old(self, pace: Pacer) -> None:
        began = time.monotonic()
        pace.take(1, want=9, rate=RATE)
        assert time.monotonic() - began < SEND_ALLOWANCE_SECONDS / 2

    def test_who_asks_again_at_once_is_not_kept_waiting(self, pace: Pacer) -> None:
        pace.take(1, want=9, rate=RATE)
        began = time.monotonic()
        for _ in range(10):
            pace.take(1, want=9, rate=RATE)
        assert time.monotonic() - began < 0.1

    def test_is_complained_of_once_in_a_while(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        with socket.socket() as taken, caplog.at_level(logging.WARNING):
            settings.REDIS_URL = nobody(taken)
            for _ in range(3):
                pacer().take(1, want=9, rate=RATE)
                time.sleep(pacing_redis.SHORTEST_REST_SECONDS * 1.1)
        assert [record.message for record in caplog.records] == ["no tokens while Redis is away: ConnectionError"]


@pytest.mark.redis
def test_a_redis_that_comes_back_is_used_again_without_a_burst() -> None:
    server = Redis()
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        with server.running():
            pace = RedisPacer(client)
            pace.take(1, want=99, rate=100)
            client.hset(pacing_redis.SINCE, "since", 0)
            time.sleep(0.3)
            assert pace.take(1, want=99, rate=100) >= 20
        assert pace.take(1, want=99, rate=100) == 0
        with server.running():
            time.sleep(pacing_redis.SHORTEST_REST_SECONDS * 1.1)
            began, taken = time.monotonic(), 0
            while time.monotonic() - began < 1:
                taken += pace.take(1, want=99, rate=100)
                time.sleep(0.05)
            assert 20 <= taken <= 100 * (time.monotonic() - began) - depth(100) + 1


# --- through dispatch ----------------------------------------------------------------------------------------------


def queue(account: IOAccount, count: int) -> list[Message]:
    instance = factories.service_instance(io_service=factories.io_service(io_account=account))
    sender = factories.user()
    return [
        factories.message_in(
            Delivery.RECIPIENT_ALLOWED, instance=instance, sender=sender, taxcode=f"RSSMRA80A01H{number:03d}U"
        )
        for number in range(count)
    ]


@pytest.mark.django_db
class TestPace:
    def test_calls_keep_to_the_accounts_rate(self, io: StandIn) -> None:
        rate = 10
        queue(factories.io_account(calls_per_second=rate), 60)
        timer = threading.Timer(1.2, stopping.set)
        timer.start()
        began = time.monotonic()
        dispatch()
        elapsed = time.monotonic() - began
        timer.join()
        assert io.count("send") <= depth(rate) + rate * elapsed
        assert io.count("send") >= 5

    def test_tokens_not_used_are_given_back(self, io: StandIn, settings: Any) -> None:
        settings.REDIS_URL = ""
        account = factories.io_account(calls_per_second=1000)
        queue(account, 1)
        fill(InTheDatabase(), account.pk, rate=1000)
        dispatch()
        assert io.count("send") == 1
        assert DatabasePacer().take(account.pk, want=1000, rate=1000) >= 499

    @pytest.mark.django_db(transaction=True)
    def test_tokens_are_not_kept_while_there_is_no_room_to_send(
        self, io: StandIn, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two seconds of the rate are on their way to an IO that does not answer: the rest is anybody's."""
        settings.REDIS_URL = ""
        account = factories.io_account(calls_per_second=4)
        queue(account, 20)
        fill(InTheDatabase(), account.pk, rate=4)
        io.answer("send", Canned(201, body={"id": "ID"}, delay=4))
        counted: list[int] = []

        def look() -> None:
            try:
                for _ in range(10):
                    counted.append(sum(count for _, count in Lane.objects.get(pk=account.pk).grants))
                    time.sleep(0.03)
            finally:
                connections.close_all()
                stopping.set()

        timer = threading.Timer(3.2, look)
        timer.start()
        dispatch()
        timer.join()
        assert io.count("send") == 8
        # Now and then a look holds some for a moment.
        assert min(counted) == 8

    def test_throttled_what_has_not_left_is_released_unsent_and_waits(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All are marked in one group and wait for their turn at one connection."""
        one_call_at_a_time(monkeypatch)
        rows = queue(factories.io_account(), 12)
        io.answer("send", Canned(429, headers={"Retry-After": "60"}, delay=0.05))

        dispatch()

        histories = [tuple(events(row)) for row in rows]
        assert {fresh(row).delivery_state for row in rows} == {Delivery.RECIPIENT_ALLOWED}
        assert histories.count(("marked", "throttled")) == io.count("send") < len(rows)
        assert histories.count(("marked", "released")) == len(rows) - io.count("send")
        assert dispatch() == 0

    def test_a_429_met_by_sending_holds_the_polls_back_too(self, io: StandIn) -> None:
        account = factories.io_account()
        (row,) = queue(account, 1)
        factories.message_in(Delivery.SENT, instance=row.service_instance, next_poll_at=datetime.now(UTC))
        io.answer("send", Canned(429, headers={"x-rate-limit-retry-after": "60"}))
        dispatch()
        assert poll() == 0
        assert io.count("status") == 0
        Lane.objects.update(paused_until=datetime.now(UTC) - timedelta(seconds=1))
        assert poll() == 1

    def test_after_a_429_the_calls_are_fewer_for_a_while(self, io: StandIn) -> None:
        account = factories.io_account(calls_per_second=20)
        queue(account, 60)
        Lane.objects.update(rate_factor=0.25, slowed_until=Now() + timedelta(hours=1))
        timer = threading.Timer(1.0, stopping.set)
        timer.start()
        began = time.monotonic()
        dispatch()
        elapsed = time.monotonic() - began
        timer.join()
        assert 1 <= io.count("send") <= depth(5) + 5 * elapsed
