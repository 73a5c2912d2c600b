"""Counters that all web processes share, each of one window of time: in Redis when there is one, else in the database.

Windows are numbered by the clock of the host that counts. Hosts that disagree by a moment count a moment into the
neighbouring window, which is good enough for limits.
"""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

from rest.models import RequestCount

log = logging.getLogger(__name__)

# To connect, and again to answer; after a failure nobody asks Redis for some seconds, so few requests ever wait.
TIMEOUT_SECONDS = 1.0
REST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Window:
    """The `seconds` before `ends_at`, which is in seconds since 1970."""

    seconds: int
    ends_at: int

    @classmethod
    def around(cls, now: float, *, seconds: int) -> Self:
        return cls(seconds, (int(now) // seconds + 1) * seconds)

    def left(self, now: float) -> int:
        """Whole seconds until it ends, at least one."""
        return max(1, math.ceil(self.ends_at - now))


class CountsAway(Exception):
    """Whoever keeps the counters does not answer."""


class Counts(ABC):
    """Counters by name. While they cannot be reached each verb raises CountsAway, and the log says so once."""

    def __init__(self) -> None:
        self._is_away = False

    @abstractmethod
    def add(self, name: str, window: Window, by: int) -> int:
        """The count of the window, with this in it."""

    @abstractmethod
    def read(self, name: str, window: Window) -> int:
        """The count of the window; 0 where nothing was counted."""

    def _failed(self, error: Exception) -> CountsAway:
        if not self._is_away:
            self._is_away = True
            log.warning("requests cannot be counted, so each web process counts alone: %s", type(error).__name__)
        return CountsAway()

    def _answered(self) -> None:
        if self._is_away:
            self._is_away = False
            log.warning("requests are counted together again")


class RedisCounts(Counts):
    def __init__(self, client: "redis.Redis") -> None:
        super().__init__()
        self._client = client
        self._rests_until = 0.0

    def add(self, name: str, window: Window, by: int) -> int:
        key = _key(name, window)
        count = int(self._ask(lambda: self._client.incrby(key, by)))
        if count == by:
            # The first of its window. Kept for twice as long, so that a host whose clock is behind still finds it.
            self._ask(lambda: self._client.expire(key, 2 * window.seconds))
        return count

    def read(self, name: str, window: Window) -> int:
        return int(self._ask(lambda: self._client.get(_key(name, window))) or 0)

    def _ask(self, command: Callable[[], Any]) -> Any:
        if time.monotonic() < self._rests_until:
            raise CountsAway
        try:
            answer = command()
        except redis.RedisError as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            raise self._failed(error) from None
        self._answered()
        return answer


def _key(name: str, window: Window) -> str:
    return f"govio:count:{name}:{window.ends_at}"


# A row of an earlier window begins anew; one of a later window, by a clock ahead of ours, is counted into.
_ADD = f"""
INSERT INTO {RequestCount._meta.db_table} AS known (name, ends_at, count) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
  count = excluded.count + CASE WHEN known.ends_at >= excluded.ends_at THEN known.count ELSE 0 END,
  ends_at = CASE WHEN known.ends_at >= excluded.ends_at THEN known.ends_at ELSE excluded.ends_at END
"""  # noqa: S608  (the table's name is ours)


class DatabaseCounts(Counts):
    """One row for each name."""

    def add(self, name: str, window: Window, by: int) -> int:
        try:
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"{_ADD} RETURNING count", (name, window.ends_at, by))
                    count = int(cursor.fetchone()[0])
            else:
                # RETURNING is newer than some of the SQLite libraries that systems have.
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(_ADD, (name, window.ends_at, by))
                    count = _read(name, window)
        except (DatabaseError, InterfaceError) as error:
            raise self._failed(error) from None
        self._answered()
        return count

    def read(self, name: str, window: Window) -> int:
        try:
            count = _read(name, window)
        except (DatabaseError, InterfaceError) as error:
            raise self._failed(error) from None
        self._answered()
        return count


def _read(name: str, window: Window) -> int:
    counts = RequestCount.objects.filter(name=name, ends_at__gte=window.ends_at)
    return counts.values_list("count", flat=True).first() or 0


def forget_before(now: float) -> None:
    """Deletes the rows whose window is over. An hour later than needed: a clock that is behind may still count there."""
    RequestCount.objects.filter(ends_at__lt=int(now) - 3600).delete()


def shared_counts() -> Counts:
    return _redis_counts(settings.REDIS_URL) if settings.REDIS_URL else _DATABASE_COUNTS


@lru_cache(maxsize=2)
def _redis_counts(url: str) -> RedisCounts:
    # Once: a limit is not worth keeping a request waiting.
    once = Retry(NoBackoff(), 0)
    return RedisCounts(
        redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=once)
    )


_DATABASE_COUNTS = DatabaseCounts()
