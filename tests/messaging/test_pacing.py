"""A token is the right to make one call. One contract, kept by both kinds of bucket: in Redis and in the database.

Time passes by making the bucket older, never by waiting; only the test of many takers looks at a clock.
"""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Protocol

import pytest
import redis
from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from messaging.dispatching import dispatch
from messaging.engine import stopping
from messaging.marking import SEND_ALLOWANCE_SECONDS
from messaging.models import Message
from messaging.pacing import DatabasePacer, Pacer, RedisPacer, depth, pacer
from messaging.states import Delivery
from registry.models import IOAccount, Lane
from tests import factories
from tests.messaging.lifecycle import events, fresh, one_call_at_a_time
from tests.support.io_stand_in import Canned, StandIn

# Deep enough for the rules, and so slow that what passes during a test adds no whole token: depth 2, one in 0.25 s.
RATE = 4.0


class Bucket(Protocol):
    pace: Pacer

    def becomes_older(self, io_account: int, *, seconds: float) -> None: ...


class InTheDatabase:
    def __init__(self) -> None:
        self.pace: Pacer = DatabasePacer()

    def becomes_older(self, io_account: int, *, seconds: float) -> None:
        Lane.objects.filter(pk=io_account).update(refilled_at=F("refilled_at") - timedelta(seconds=seconds))


class InRedis:
    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.pace: Pacer = RedisPacer(client)

    def name(self, io_account: int) -> str:
        return f"govio:bucket:{io_account}"

    def becomes_older(self, io_account: int, *, seconds: float) -> None:
        at = self.client.hget(self.name(io_account), "at")
        assert isinstance(at, bytes)
        self.client.hset(self.name(io_account), "at", str(float(at) - seconds * 1000))


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.redis)])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return InTheDatabase() if request.param == "database" else InRedis(request.getfixturevalue("client"))


@pytest.fixture
def account(db: None) -> int:
    return factories.io_account().pk


def fill(bucket: Bucket, account: int, *, rate: float = RATE) -> None:
    bucket.pace.take(account, want=1, rate=rate)
    bucket.becomes_older(account, seconds=3600)


class TestBucket:
    def test_starts_empty(self, bucket: Bucket, account: int) -> None:
        assert bucket.pace.take(account, want=10, rate=RATE) == 0

    def test_fills_at_its_rate(self, bucket: Bucket, account: int) -> None:
        bucket.pace.take(account, want=10, rate=RATE)
        bucket.becomes_older(account, seconds=0.26)
        assert bucket.pace.take(account, want=10, rate=RATE) == 1

    def test_fills_faster_for_a_faster_account(self, bucket: Bucket, account: int) -> None:
        bucket.pace.take(account, want=10, rate=100)
        bucket.becomes_older(account, seconds=0.2)
        assert 20 <= bucket.pace.take(account, want=1000, rate=100) < 50

    def test_keeps_parts_of_a_token(self, bucket: Bucket, account: int) -> None:
        bucket.pace.take(account, want=10, rate=RATE)
        taken = 0
        for _ in range(10):
            bucket.becomes_older(account, seconds=0.1)
            taken += bucket.pace.take(account, want=10, rate=RATE)
        assert taken in (4, 5)

    @pytest.mark.parametrize(("rate", "most"), [(1, 2), (RATE, 2), (10, 5), (1000, 500)])
    def test_never_holds_more_than_its_depth(self, rate: float, most: int, bucket: Bucket, account: int) -> None:
        fill(bucket, account, rate=rate)
        assert bucket.pace.take(account, want=10_000, rate=rate) == most == depth(rate)

    def test_gives_no_more_than_is_asked_and_keeps_the_rest(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account, rate=RATE)
        assert bucket.pace.take(account, want=1, rate=RATE) == 1
        assert bucket.pace.take(account, want=9, rate=RATE) == 1
        assert bucket.pace.take(account, want=9, rate=RATE) == 0

    @pytest.mark.parametrize("want", [0, -1])
    def test_asked_for_nothing_gives_nothing(self, want: int, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take(account, want=want, rate=RATE) == 0
        assert bucket.pace.take(account, want=9, rate=RATE) == 2

    def test_takes_back_what_was_not_needed(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        bucket.pace.take(account, want=2, rate=RATE)
        bucket.pace.give_back(account, count=1)
        assert bucket.pace.take(account, want=9, rate=RATE) == 1

    def test_what_is_given_back_does_not_make_it_deeper(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        bucket.pace.give_back(account, count=50)
        assert bucket.pace.take(account, want=99, rate=RATE) == 2

    def test_giving_back_nothing_is_harmless(self, bucket: Bucket, account: int) -> None:
        bucket.pace.give_back(account, count=0)
        assert bucket.pace.take(account, want=9, rate=RATE) == 0

    def test_a_clock_set_back_takes_nothing_away(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        bucket.pace.take(account, want=1, rate=RATE)
        bucket.becomes_older(account, seconds=-60)
        assert bucket.pace.take(account, want=9, rate=RATE) == 1

    def test_accounts_have_a_bucket_each(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        other = factories.io_account().pk
        assert bucket.pace.take(other, want=9, rate=RATE) == 0
        assert bucket.pace.take(account, want=9, rate=RATE) == 2


@pytest.mark.django_db(transaction=True)
class TestManyTakers:
    def test_together_never_take_more_than_the_rate_allows(self, bucket: Bucket) -> None:
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
        assert depth(rate) <= sum(taken) <= depth(rate) + rate * elapsed + 1


@pytest.mark.redis
@pytest.mark.django_db
class TestInRedis:
    def test_a_bucket_not_used_for_a_minute_is_forgotten(self, client: "redis.Redis", account: int) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        bucket.pace.take(account, want=1, rate=RATE)
        remaining = client.pttl(bucket.name(account))
        assert isinstance(remaining, int)
        assert 0 < remaining <= 60_000

    def test_a_lost_bucket_starts_empty_again(self, client: "redis.Redis", account: int) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        client.flushdb()
        assert bucket.pace.take(account, want=9, rate=RATE) == 0

    def test_what_is_given_back_to_a_lost_bucket_does_not_bring_it_back(
        self, client: "redis.Redis", account: int
    ) -> None:
        bucket = InRedis(client)
        fill(bucket, account)
        client.flushdb()
        bucket.pace.give_back(account, count=5)
        assert not client.exists(bucket.name(account))

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

    def test_polls_have_all_of_it_while_nothing_waits_to_be_sent(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take_for_polls(account, want=9, rate=RATE, sending_waits=False) == 2

    def test_a_full_bucket_is_for_the_polls_too_though_sending_waits(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account, rate=100)
        assert bucket.pace.take_for_polls(account, want=10, rate=100, sending_waits=True) == 10
        assert bucket.pace.take_for_polls(account, want=10, rate=100, sending_waits=True) == 0

    def test_sending_has_all_of_it_while_no_poll_waits(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account)
        assert bucket.pace.take(account, want=9, rate=RATE) == 2

    def test_what_sending_laid_aside_is_for_the_polls_alone(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account, rate=100)
        sent = bucket.pace.take(account, want=1000, rate=100, polls_wait=True)
        assert 44 <= sent <= 46
        polled = bucket.pace.take_for_polls(account, want=1000, rate=100, sending_waits=True)
        assert 4 <= polled <= 6

    def test_what_was_laid_aside_and_not_used_is_sendings_again_once_no_poll_waits(
        self, bucket: Bucket, account: int
    ) -> None:
        fill(bucket, account, rate=100)
        bucket.pace.take(account, want=1000, rate=100, polls_wait=True)
        assert bucket.pace.take(account, want=1000, rate=100) >= 4

    @pytest.mark.parametrize("rate", [4, 100])
    def test_over_time_one_call_in_ten_is_a_poll_and_none_is_wasted(
        self, rate: int, bucket: Bucket, account: int
    ) -> None:
        fill(bucket, account, rate=rate)
        began, sent, polled = time.monotonic(), 0, 0
        for _ in range(40):
            bucket.becomes_older(account, seconds=0.25)
            sent += bucket.pace.take(account, want=rate, rate=rate, polls_wait=True)
            polled += bucket.pace.take_for_polls(account, want=rate, rate=rate, sending_waits=True)
        granted = depth(rate) + rate * (40 * 0.25 + time.monotonic() - began)
        assert 0.85 * granted <= sent + polled <= granted
        assert 0.07 <= polled / (sent + polled) <= 0.1

    def test_both_parts_together_are_never_deeper_than_the_bucket(self, bucket: Bucket, account: int) -> None:
        fill(bucket, account, rate=100)
        for _ in range(20):
            bucket.pace.take(account, want=40, rate=100, polls_wait=True)
            bucket.becomes_older(account, seconds=1)
        assert bucket.pace.take_for_polls(account, want=1000, rate=100, sending_waits=False) == 50


class TestRedisThatIsAway:
    @pytest.fixture
    def pace(self, settings: Any) -> Iterator[Pacer]:
        with socket.socket() as taken:
            # Bound and not listening, so that nobody answers there.
            taken.bind(("127.0.0.1", 0))
            settings.REDIS_URL = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
            yield pacer()

    def test_gives_nothing_rather_than_too_much(self, pace: Pacer) -> None:
        assert pace.take(1, want=9, rate=RATE) == 0
        assert pace.take_for_polls(1, want=9, rate=RATE, sending_waits=False) == 0

    def test_tokens_given_back_meanwhile_are_lost_and_nothing_else(self, pace: Pacer) -> None:
        pace.give_back(1, count=3)

    def test_is_noticed_before_what_is_marked_grows_old(self, pace: Pacer) -> None:
        began = time.monotonic()
        pace.take(1, want=9, rate=RATE)
        assert time.monotonic() - began < SEND_ALLOWANCE_SECONDS / 2


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

    def test_after_a_429_the_calls_are_fewer_for_a_while(self, io: StandIn) -> None:
        account = factories.io_account(calls_per_second=20)
        queue(account, 60)
        Lane.objects.update(rate_factor=0.25, slowed_until=Now() + timedelta(seconds=60))
        timer = threading.Timer(1.0, stopping.set)
        timer.start()
        began = time.monotonic()
        dispatch()
        elapsed = time.monotonic() - began
        timer.join()
        assert 1 <= io.count("send") <= depth(5) + 5 * elapsed
