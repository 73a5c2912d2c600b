"""Messages in the order in which they were stored, a batch after the other, for whoever keeps a copy of them.

A reader goes on after the last id they got, for as long as they like. Ids are given out before rows can be seen, so a row
may appear below one that was already read: it would be missed for ever. What could still be overtaken is therefore held
back until nothing below it is being stored any more; on a quiet machine that is at once.
"""

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import connection
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery

from messaging.models import Message, ServiceInstance
from messaging.querysets import MessageQuerySet

# `created_at` is the database's word on when a message got its id (`messaging.storing`): this is for a clock set back.
_SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Batch:
    """`has_more`: others can be read at once."""

    rows: list[Message]
    has_more: bool


def read_on(messages: MessageQuerySet, *, instances: QuerySet[ServiceInstance], after: int, limit: int) -> Batch:
    """The next of these messages after this id, of these service instances, lowest first.

    Three statements on PostgreSQL, else one.
    """
    # Before the rows: what is stored between the two questions has a higher id.
    horizon = _horizon()
    rows = _next(messages, instances=instances, after=after, count=limit + 1)
    sure = list(takewhile(horizon.is_behind, rows) if horizon else rows)
    return Batch(sure[:limit], has_more=len(sure) > limit)


def _next(
    messages: MessageQuerySet, *, instances: QuerySet[ServiceInstance], after: int, count: int
) -> MessageQuerySet:
    beyond = messages.filter(pk__gt=after).order_by("pk")
    if connection.vendor != "postgresql":
        return beyond.filter(service_instance__in=instances.values("pk"))[:count]
    # Of each service instance the first, by the index that has them in this order, then the first of all. In one go,
    # whoever sees little would have all that they do not see read through for it.
    own = beyond.filter(service_instance=OuterRef("pk")).values("pk")[:count]
    first = instances.order_by().annotate(message=_Each(own)).order_by("message").values("message")[:count]
    return messages.filter(pk__in=first).order_by("pk")


class _Each(Subquery):
    """A row for each row of the subquery."""

    template = "unnest(ARRAY(%(subquery)s))"
    set_returning = True
    output_field = BigIntegerField()


@dataclass(frozen=True, slots=True)
class _Horizon:
    """Up to where no row can appear any more: the last id given out, and since when some transaction stores messages."""

    last_id: int
    storing_since: datetime | None
    # Somebody stores messages, and since when is not ours to know.
    is_hidden: bool

    def is_behind(self, row: Message) -> bool:
        if row.pk > self.last_id or self.is_hidden:
            return False
        # Older than whatever is being stored, it has a lower id.
        return self.storing_since is None or row.created_at < self.storing_since - _SLACK


def _horizon() -> _Horizon | None:
    """None where there is one writer at a time, who makes rows seen in the order of their ids."""
    if connection.vendor != "postgresql":
        return None
    sequence = _sequence()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT last_value FROM {sequence}")  # noqa: S608  (the database's own name for it)
        (last_id,) = cursor.fetchone()
        # Whoever takes a number from a sequence holds this lock on it, which stops nobody, to the end of the transaction.
        # What another role of the database does has no state for us, and a prepared transaction no process; whereas a
        # state without a beginning is of a transaction that ended since its lock was read.
        cursor.execute(
            "SELECT min(activity.xact_start), coalesce(bool_or("
            "  held.pid IS NULL"
            "  OR activity.pid IS NOT NULL AND activity.xact_start IS NULL"
            "  AND coalesce(activity.state, 'disabled') = 'disabled'"
            " ), false)"
            " FROM pg_locks AS held LEFT JOIN pg_stat_activity AS activity USING (pid)"
            " WHERE held.locktype = 'relation' AND held.relation = %s::regclass AND held.mode = 'RowExclusiveLock'"
            " AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND held.pid IS DISTINCT FROM pg_backend_pid()",
            [sequence],
        )
        storing_since, is_hidden = cursor.fetchone()
    return _Horizon(last_id, storing_since, is_hidden)


@functools.cache
def _sequence() -> str:
    """Where the ids come from."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [Message._meta.db_table])
        (name,) = cursor.fetchone()
    return str(name)
