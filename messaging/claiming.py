"""Which messages leave next: the streams that have something due, and fairly many rows of each.

A *stream* is what takes turns: the waiting messages of one service instance and priority, within an IO account. There is
no table of streams that could be wrong: the queue's index is ordered by account, priority and service instance, so the
first row of each stream is found by jumping from one to the next, and a backlog of a million costs one jump. A stream
whose service is suspended, whose instance is switched off or whose ente is outside its sending hours is passed over whole.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from django.db import connection

from messaging.models import IOService, Message, ServiceInstance
from messaging.querysets import PROFILE_GOOD_FOR
from messaging.states import Delivery


@dataclass(frozen=True, slots=True)
class Stream:
    """The due messages of one service instance and priority."""

    io_account: int
    priority: int
    service_instance: int
    io_service: int
    organization: int
    # Just resumed: one message at a time until one is accepted.
    is_probing: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many rows of an account to choose, and which messages and IO services have calls under way already."""

    limit: int
    messages: Collection[int] = ()
    io_services: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """A due row, as far as sending it needs to know."""

    message: int
    io_account: int
    io_service: int
    taxcode: str
    is_allowed: bool
    # Allowed, but the answer about the recipient is too old to send on.
    is_stale: bool

    @property
    def is_ready(self) -> bool:
        return self.is_allowed and not self.is_stale


class Turns:
    """Where each account's round of streams went on last. In memory: forgetting it costs somebody one turn."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], int] = {}

    def in_order(self, streams: Iterable[Stream]) -> list[Stream]:
        """Streams of one account and priority, whose turn it is first."""
        ordered = sorted(streams, key=lambda stream: stream.service_instance)
        if not ordered:
            return []
        key = (ordered[0].io_account, ordered[0].priority)
        # A process that begins must not begin with the same stream as all the others.
        last = self._last.setdefault(key, random.choice(ordered).service_instance)  # noqa: S311  (spreads turns)
        after = [stream for stream in ordered if stream.service_instance > last]
        return after + [stream for stream in ordered if stream.service_instance <= last]

    def had(self, stream: Stream) -> None:
        self._last[stream.io_account, stream.priority] = stream.service_instance


# A statement of SQLite may have 500 parts and 32,000 parameters.
MOST_PARTS = 100
# In words of the partial index `message_queue`, or the planner would not use it.
_IN_QUEUE = "delivery_state IN ('recipient_allowed', 'scheduled') AND NOT (waiting_reason = 'set_aside')"
_NOW = {"postgresql": "statement_timestamp()", "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}

# From the first row of a stream to the first row of the next one, through the index alone.
_STREAMS = f"""
WITH RECURSIVE head (id, io_account_id, priority, service_instance_id, not_before) AS (
    SELECT first.id, first.io_account_id, first.priority, first.service_instance_id, first.not_before
    FROM {{accounts}} JOIN {{message}} first ON first.id = (
        SELECT id FROM {{message}} WHERE io_account_id = account.id AND {_IN_QUEUE}
        ORDER BY priority, service_instance_id, not_before, id LIMIT 1
    )
    UNION ALL
    SELECT following.id, following.io_account_id, following.priority, following.service_instance_id, following.not_before
    FROM head JOIN {{message}} following ON following.id = (
        SELECT id FROM {{message}} WHERE io_account_id = head.io_account_id AND {_IN_QUEUE}
        AND (priority, service_instance_id) > (head.priority, head.service_instance_id)
        ORDER BY priority, service_instance_id, not_before, id LIMIT 1
    )
)
SELECT head.io_account_id, head.priority, head.service_instance_id, service.id, instance.organization_id,
    service.is_probing
FROM head
JOIN {{instance}} instance ON instance.id = head.service_instance_id AND instance.enabled
JOIN {{service}} service ON service.id = instance.io_service_id AND service.suspended_at IS NULL
WHERE head.not_before <= {{now}}
"""  # noqa: S608  (names of tables, nothing of anybody's)

_ROWS = f"""
SELECT id, taxcode, delivery_state = '{Delivery.RECIPIENT_ALLOWED}',
    delivery_state = '{Delivery.RECIPIENT_ALLOWED}' AND profile_checked_at < {{stale}}
FROM {{message}}
WHERE io_account_id = {{account}} AND priority = {{priority}} AND service_instance_id = {{instance}} AND {_IN_QUEUE}
    AND not_before <= {{now}} AND (expires_at IS NULL OR expires_at > {{now}}){{others}}
ORDER BY not_before, id LIMIT {{limit}}
"""  # noqa: S608  (likewise)


def streams_due(io_accounts: Collection[int], *, closed: Collection[int] = ()) -> list[Stream]:
    """The streams of these accounts that may send now and have something due; `closed`: enti that may not send now."""
    if not io_accounts:
        return []
    statement = _STREAMS.format(
        accounts="unnest(%s::bigint[]) AS account(id)"
        if connection.vendor == "postgresql"
        else "(SELECT value AS id FROM json_each(%s)) AS account",
        message=Message._meta.db_table,
        instance=ServiceInstance._meta.db_table,
        service=IOService._meta.db_table,
        now=_NOW[connection.vendor],
    )
    accounts = ",".join(str(account) for account in io_accounts)
    with connection.cursor() as cursor:
        cursor.execute(statement, [f"{{{accounts}}}" if connection.vendor == "postgresql" else f"[{accounts}]"])
        found = [
            Stream(account, priority, instance, service, organization, bool(is_probing))
            for account, priority, instance, service, organization, is_probing in cursor.fetchall()
        ]
    return [stream for stream in found if stream.organization not in closed]


def choose(streams: Collection[Stream], *, wanted: Mapping[int, Wanted], turns: Turns) -> list[Chosen]:
    """For each account the rows to take up now, in the order in which they should leave.

    A lower priority number goes first; within a priority the streams take turns. Of an IO service that was just resumed
    at most one row, and none while a call for it is under way.
    """
    shares = _shares(streams, wanted=wanted, turns=turns)
    if not shares:
        return []
    under_way = [pk for each in wanted.values() for pk in each.messages]
    rows = _rows_of(shares, under_way=under_way)
    # What others left of their shares goes to those who have more waiting.
    if more := _larger(shares, rows=rows, wanted=wanted):
        rows |= _rows_of(more, under_way=under_way)
    chosen: list[Chosen] = []
    for account, group in groupby(sorted(shares, key=lambda share: share.stream.io_account), _account_of):
        chosen += _one_each_in_turn(list(group), rows=rows, limit=wanted[account].limit, turns=turns)
    return chosen


# message, taxcode, whether it is allowed, whether that is too old
_Row = tuple[int, str, bool, bool]


@dataclass(frozen=True, slots=True)
class _Share:
    """How many rows to read of a stream, and whose turn it is within its priority."""

    stream: Stream
    count: int
    turn: int


def _account_of(share: _Share) -> int:
    return share.stream.io_account


def _shares(streams: Iterable[Stream], *, wanted: Mapping[int, Wanted], turns: Turns) -> list[_Share]:
    by_level: dict[tuple[int, int], list[Stream]] = defaultdict(list)
    for stream in streams:
        here = wanted.get(stream.io_account)
        if here is not None and not (stream.is_probing and stream.io_service in here.io_services):
            by_level[stream.io_account, stream.priority].append(stream)
    shares = []
    for (account, _priority), level in sorted(by_level.items()):
        limit = wanted[account].limit
        # As many rows of each level as if it were alone: the levels above may have fewer than they seem.
        each = ceil(limit / len(level))
        for turn, stream in enumerate(turns.in_order(level)[:limit]):
            shares.append(_Share(stream, 1 if stream.is_probing else each, turn))
    return shares


def _larger(
    shares: Iterable[_Share], *, rows: Mapping[Stream, list[_Row]], wanted: Mapping[int, Wanted]
) -> list[_Share]:
    """Larger shares for the streams of accounts that got less than they wanted, where there may be more."""
    larger = []
    for account, group in groupby(shares, _account_of):
        own = list(group)
        missing = wanted[account].limit - sum(len(rows.get(share.stream, ())) for share in own)
        hungry = [s for s in own if not s.stream.is_probing and len(rows.get(s.stream, ())) == s.count]
        if missing > 0 and hungry:
            extra = ceil(missing / len(hungry))
            larger += [replace(share, count=share.count + extra) for share in hungry]
    return larger


def _rows_of(shares: list[_Share], *, under_way: list[int]) -> dict[Stream, list[_Row]]:
    names = {"message": Message._meta.db_table, "now": _NOW[connection.vendor]}
    seconds = int(PROFILE_GOOD_FOR.total_seconds())
    rows: dict[Stream, list[_Row]] = defaultdict(list)
    keys = [(s.stream.io_account, s.stream.priority, s.stream.service_instance, s.count) for s in shares]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            one = _ROWS.format(
                account="wanted.account",
                priority="wanted.priority",
                instance="wanted.instance",
                limit="wanted.count",
                others=" AND NOT (id = ANY(%s::bigint[]))",
                stale=f"statement_timestamp() - interval '{seconds} seconds'",
                **names,
            )
            cursor.execute(
                "SELECT wanted.position, found.* FROM unnest(%s::bigint[], %s::int[], %s::bigint[], %s::int[])"  # noqa: S608
                f" WITH ORDINALITY AS wanted(account, priority, instance, count, position) CROSS JOIN LATERAL ({one}) found",
                [_array(column) for column in (*zip(*keys, strict=True), under_way)],
            )
            for position, *row in cursor.fetchall():
                rows[shares[position - 1].stream].append(tuple(row))
        else:
            one = _ROWS.format(
                account="%s",
                priority="%s",
                instance="%s",
                limit="%s",
                others=" AND id NOT IN (SELECT value FROM json_each(%s))",
                stale=f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-{seconds} seconds')",
                **names,
            )
            # All in one statement, but no more than it may have parts.
            for begin in range(0, len(keys), MOST_PARTS):
                part = keys[begin : begin + MOST_PARTS]
                each = [f"SELECT {begin + number} AS position, * FROM ({one})" for number in range(len(part))]  # noqa: S608
                busy = str(under_way)
                params = [
                    value
                    for account, priority, instance, count in part
                    for value in (account, priority, instance, busy, count)
                ]
                cursor.execute(" UNION ALL ".join(each), params)
                for position, pk, code, is_allowed, is_stale in cursor.fetchall():
                    rows[shares[position].stream].append((pk, code, bool(is_allowed), bool(is_stale)))
    return rows


def _array(numbers: Iterable[int]) -> str:
    """An array of PostgreSQL, written by us: the driver takes ten times as long over it."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _one_each_in_turn(
    shares: list[_Share], *, rows: Mapping[Stream, list[_Row]], limit: int, turns: Turns
) -> list[Chosen]:
    chosen: list[Chosen] = []
    probing: set[int] = set()
    for _priority, level in groupby(sorted(shares, key=lambda share: share.stream.priority), _priority_of):
        queues = [(share.stream, list(rows.get(share.stream, ()))) for share in sorted(level, key=_turn_of)]
        while queues and len(chosen) < limit:
            left = []
            for stream, waiting in queues:
                if not waiting or (stream.is_probing and stream.io_service in probing):
                    continue
                if len(chosen) == limit:
                    break
                pk, taxcode, is_allowed, is_stale = waiting.pop(0)
                chosen.append(Chosen(pk, stream.io_account, stream.io_service, taxcode, is_allowed, is_stale))
                turns.had(stream)
                if stream.is_probing:
                    probing.add(stream.io_service)
                left.append((stream, waiting))
            queues = left
    return chosen


def _priority_of(share: _Share) -> int:
    return share.stream.priority


def _turn_of(share: _Share) -> int:
    return share.turn
