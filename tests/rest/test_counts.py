"""Counters that web processes share: the same rules in Redis and in the database."""

import threading
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from rest import counts
from rest.counts import Counts, CountsAway, DatabaseCounts, RedisCounts, Window
from rest.models import RequestCount

FIRST = Window(60, 1_800_000_060)
NEXT = Window(60, 1_800_000_120)


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.redis)])
def kept(request: pytest.FixtureRequest, db: None, redis_url: str) -> Counts:
    return RedisCounts(redis.Redis.from_url(redis_url)) if request.param == "redis" else DatabaseCounts()


class TestWindow:
    @pytest.mark.parametrize(
        ("now", "ends_at", "left"), [(120.0, 180, 60), (121.5, 180, 59), (179.9, 180, 1), (180.0, 240, 60)]
    )
    def test_is_the_minute_that_it_is(self, now: float, ends_at: int, left: int) -> None:
        window = Window.around(now, seconds=60)
        assert (window.ends_at, window.left(now)) == (ends_at, left)


class TestCounting:
    def test_begins_at_nothing(self, kept: Counts) -> None:
        assert kept.read("one", FIRST) == 0

    def test_adds_up(self, kept: Counts) -> None:
        assert [kept.add("one", FIRST, 1), kept.add("one", FIRST, 5)] == [1, 6]
        assert kept.read("one", FIRST) == 6

    def test_keeps_names_apart(self, kept: Counts) -> None:
        kept.add("one", FIRST, 5)
        assert kept.add("other", FIRST, 1) == 1

    def test_begins_anew_in_the_next_window(self, kept: Counts) -> None:
        kept.add("one", FIRST, 5)
        assert kept.read("one", NEXT) == 0
        assert kept.add("one", NEXT, 1) == 1


@pytest.mark.django_db
class TestInTheDatabase:
    def test_a_clock_that_is_behind_counts_into_the_window_of_the_others(self) -> None:
        kept = DatabaseCounts()
        kept.add("one", NEXT, 5)
        assert kept.add("one", FIRST, 1) == 6
        assert RequestCount.objects.get().ends_at == NEXT.ends_at

    def test_one_row_serves_a_name_for_ever(self) -> None:
        for number in range(5):
            DatabaseCounts().add("one", Window(1, 1_800_000_000 + number), 1)
        assert RequestCount.objects.count() == 1

    def test_old_rows_are_deleted_and_the_present_ones_stay(self) -> None:
        kept = DatabaseCounts()
        kept.add("old", FIRST, 1)
        kept.add("new", Window(60, FIRST.ends_at + 7200), 1)
        counts.forget_before(FIRST.ends_at + 7200)
        assert [row.name for row in RequestCount.objects.all()] == ["new"]

    def test_a_database_that_is_away_is_told_once_and_its_return_too(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept = DatabaseCounts()

        def away(*args: Any) -> None:
            raise OperationalError("no")

        with monkeypatch.context() as broken:
            broken.setattr(connection, "cursor", away)
            for _ in range(3):
                with pytest.raises(CountsAway):
                    kept.add("one", FIRST, 1)
                with pytest.raises(CountsAway):
                    kept.read("one", FIRST)
        assert len(caplog.records) == 1
        assert kept.add("one", FIRST, 1) == 1
        assert len(caplog.records) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["database", pytest.param("redis", marks=pytest.mark.redis)])
def test_nothing_is_lost_when_many_count_at_once(kind: str, redis_url: str) -> None:
    kept = RedisCounts(redis.Redis.from_url(redis_url)) if kind == "redis" else DatabaseCounts()

    def count() -> None:
        for _ in range(10):
            kept.add("one", FIRST, 1)
        connection.close()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.read("one", FIRST) == 40


class TestRedisThatIsAway:
    @pytest.fixture
    def kept(self) -> RedisCounts:
        # Nobody listens on port 1.
        return RedisCounts(redis.Redis(port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)))

    def test_is_told_once(self, kept: RedisCounts, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(3):
            with pytest.raises(CountsAway):
                kept.add("one", FIRST, 1)
            kept._rests_until = 0.0
        assert len(caplog.records) == 1

    def test_is_not_asked_again_for_some_seconds(self, kept: RedisCounts, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(CountsAway):
            kept.add("one", FIRST, 1)
        monkeypatch.setattr(kept._client, "get", lambda key: pytest.fail("asked"))
        with pytest.raises(CountsAway):
            kept.read("one", FIRST)


@pytest.mark.redis
class TestInRedis:
    def test_a_count_is_forgotten_soon_after_its_window(self, redis_url: str) -> None:
        client = redis.Redis.from_url(redis_url)
        RedisCounts(client).add("one", FIRST, 1)
        (key,) = client.keys("govio:count:*")
        assert 60 < client.ttl(key) <= 120

    def test_is_used_where_there_is_one(self, redis_url: str) -> None:
        assert isinstance(counts.shared_counts(), RedisCounts)


@pytest.mark.sqlite
def test_without_redis_the_database_counts() -> None:
    assert isinstance(counts.shared_counts(), DatabaseCounts)
