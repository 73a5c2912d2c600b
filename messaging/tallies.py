"""What the workers did, counted: calls to IO by outcome, tokens used; and when they last handled a tick.

Counting happens in the process's memory, thousands of times a second; every few seconds, and when the process ends,
what gathered is added to the database, where every other process can read it. A killed process loses the last few
seconds of its counts and nothing else: no message depends on them.
"""

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import Error as DatabaseFailed
from django.db import connection, models, transaction
from django.db.models.functions import Now

from io_client.outcomes import (
    Accepted,
    Cause,
    MessageStatus,
    OutcomeUnknown,
    Profile,
    ProfileOutcome,
    Refused,
    SendOutcome,
    StatusOutcome,
    Throttled,
    Unavailable,
    Withheld,
)
from messaging.database_clock import now_plus
from messaging.models import CallTally, Heartbeat, MinuteTally, TokenTally
from registry.models import Lane

log = logging.getLogger(__name__)

FLUSH_EVERY_SECONDS = 5.0
NOTE_EVERY_SECONDS = 5.0
MINUTES_KEPT_FOR = timedelta(days=1)
PRUNE_EVERY_SECONDS = 3600.0
ROWS_PER_STATEMENT = 1000

# Every word that a call can be counted under: few and fixed, since each is a time series for every account.
ACCEPTED = "accepted"
ALLOWED, NOT_ALLOWED = "allowed", "not_allowed"
ANSWERED = "answered"
THROTTLED = "throttled"
UNAVAILABLE = "unavailable"
UNKNOWN = "unknown"
WITHHELD = "withheld"
REFUSED_BEFORE_CALL = "refused_before_call"
FAULT = "fault"
REFUSED = {cause: f"refused_{cause.value}" for cause in Cause}
WORDS = frozenset(
    {
        *(ACCEPTED, ALLOWED, NOT_ALLOWED, ANSWERED, THROTTLED, UNAVAILABLE, UNKNOWN, WITHHELD),
        *(REFUSED_BEFORE_CALL, FAULT),
        *REFUSED.values(),
    }
)
# No request left for IO.
_STAYED_HERE = frozenset({WITHHELD, REFUSED_BEFORE_CALL, FAULT})


def outcome_word(outcome: SendOutcome | ProfileOutcome | StatusOutcome | BaseException) -> str:
    """The word that this outcome is counted under, one of WORDS. An exception is a fault of ours."""
    match outcome:
        case Accepted():
            return ACCEPTED
        case Profile(sender_allowed=allowed):
            return ALLOWED if allowed else NOT_ALLOWED
        case MessageStatus():
            return ANSWERED
        case Throttled():
            return THROTTLED
        case Unavailable():
            return UNAVAILABLE
        case OutcomeUnknown():
            return UNKNOWN
        case Withheld():
            return WITHHELD
        case Refused(status=0):
            return REFUSED_BEFORE_CALL
        case Refused(cause=cause):
            return REFUSED[cause]
        case _:
            return FAULT


class _Gathered:
    """What this process counted since it last told the database, and when that and other things last happened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[tuple[int, str, str]] = Counter()
        self._tokens: Counter[int] = Counter()
        # Held while telling the database. Times are of the monotonic clock.
        self.flushing = threading.Lock()
        self.flushed_at = self.pruned_at = -math.inf
        self.noted_at: dict[str, float] = {}

    def add_call(self, io_account: int, call: str, outcome: str) -> None:
        with self._lock:
            self._calls[io_account, call, outcome] += 1

    def add_tokens(self, io_account: int, count: int) -> None:
        with self._lock:
            self._tokens[io_account] += count

    def take(self) -> tuple[Counter[tuple[int, str, str]], Counter[int]]:
        with self._lock:
            taken = self._calls, self._tokens
            self._calls, self._tokens = Counter(), Counter()
        return taken

    def put_back(self, calls: Counter[tuple[int, str, str]], tokens: Counter[int]) -> None:
        with self._lock:
            self._calls.update(calls)
            self._tokens.update(tokens)


_gathered = _Gathered()


def _forget() -> None:
    """In a forked child: what the parent counted is the parent's to tell, and its locks may be held by nobody."""
    global _gathered  # noqa: PLW0603  (the process's own, and this is another process)
    _gathered = _Gathered()


os.register_at_fork(after_in_child=_forget)


def count_call(io_account: int, call: str, outcome: str) -> None:
    """One call ended: `profile`, `send` or `status` (the values of `Call`), with a word of `outcome_word`."""
    _gathered.add_call(io_account, call, outcome)


def count_tokens(io_account: int, count: int) -> None:
    """So many calls of the account's pace were used."""
    if count > 0:
        _gathered.add_tokens(io_account, count)


def flush() -> bool:
    """Add what gathered to the database. False when it failed: then it is kept for the next time."""
    with _gathered.flushing:
        return _flush(_gathered)


def flush_now_and_then() -> None:
    """After each task: flush, unless that happened within the last few seconds or is happening now."""
    if time.monotonic() < _gathered.flushed_at + FLUSH_EVERY_SECONDS:
        return
    if _gathered.flushing.acquire(blocking=False):
        try:
            _flush(_gathered)
        finally:
            _gathered.flushing.release()


def _flush(gathered: _Gathered) -> bool:
    gathered.flushed_at = now = time.monotonic()
    calls, tokens = gathered.take()
    if not calls and not tokens:
        return True
    try:
        with transaction.atomic():
            _add(calls, tokens)
            if now >= gathered.pruned_at + PRUNE_EVERY_SECONDS:
                MinuteTally.objects.filter(minute__lt=now_plus(-MINUTES_KEPT_FOR.total_seconds())).delete()
                gathered.pruned_at = now
    except DatabaseFailed as error:
        gathered.put_back(calls, tokens)
        log.warning("what was counted could not be stored, and is kept: %s", type(error).__name__)
        return False
    return True


def _add(calls: Counter[tuple[int, str, str]], tokens: Counter[int]) -> None:
    if calls:
        _upsert(
            CallTally,
            key=("io_account_id", "call", "outcome"),
            sums=("count",),
            rows=[(*key, count) for key, count in calls.items()],
        )
    if tokens:
        _upsert(TokenTally, key=("io_account_id",), sums=("count",), rows=list(tokens.items()))
    left = Counter[int]()
    accepted = Counter[int]()
    for (io_account, _call, word), count in calls.items():
        if word not in _STAYED_HERE:
            left[io_account] += count
        if word == ACCEPTED:
            accepted[io_account] += count
    # The database's present: the workers of several hosts count into the same minutes. Without an account there is none.
    present = Lane.objects.annotate(now=Now()).values_list("now", flat=True).first() if left else None
    if present is not None:
        minute = connection.ops.adapt_datetimefield_value(present.replace(second=0, microsecond=0))
        _upsert(
            MinuteTally,
            key=("minute", "io_account_id"),
            sums=("calls", "accepted"),
            rows=[(minute, io_account, count, accepted[io_account]) for io_account, count in left.items()],
        )


def _upsert(
    model: type[models.Model], *, key: Sequence[str], sums: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Add to the rows that are there, and make the others, in one statement for every thousand.

    `bulk_create(update_conflicts=True)` can only overwrite. The rows go in the order of their key, so that two workers
    that tell about the same accounts wait for each other instead of locking each other out.
    """
    quote = connection.ops.quote_name
    table, columns = quote(model._meta.db_table), [quote(name) for name in (*key, *sums)]
    added = ", ".join(f"{quote(name)} = {table}.{quote(name)} + excluded.{quote(name)}" for name in sums)
    ordered = sorted(rows)
    with connection.cursor() as cursor:
        for start in range(0, len(ordered), ROWS_PER_STATEMENT):
            some = ordered[start : start + ROWS_PER_STATEMENT]
            places = ", ".join(["(" + ", ".join(["%s"] * len(columns)) + ")"] * len(some))
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES {places} "  # noqa: S608  (names of our own models)
                f"ON CONFLICT ({', '.join(quote(name) for name in key)}) DO UPDATE SET {added}",
                [value for row in some for value in row],
            )


def note_tick(name: str) -> None:
    """A worker handled this tick to its end. Written at most every few seconds; never fails."""
    now, noted_at = time.monotonic(), _gathered.noted_at
    if now < noted_at.get(name, -math.inf) + NOTE_EVERY_SECONDS:
        return
    noted_at[name] = now
    try:
        Heartbeat.objects.bulk_create(
            [Heartbeat(name=name, at=Now())], update_conflicts=True, unique_fields=["name"], update_fields=["at"]
        )
    except DatabaseFailed as error:
        noted_at.pop(name, None)
        log.warning("the tick %s could not be noted: %s", name, type(error).__name__)
