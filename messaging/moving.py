"""The only way a message changes state: a conditional UPDATE on the allowed source states, and its event, together.

Every verb of the lifecycle ends here, for one row or for a group. A row that another process moved first is simply not
among those returned; verbs on one message turn that into `StateConflict`.
"""

import json
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Expression, F, Field, Q
from django.db.models.expressions import RawSQL
from django.db.models.sql import UpdateQuery

from messaging.models import EventKind, Message, MessageEvent
from messaging.states import SOURCES, Delivery
from registry.models import User

Facts = Mapping[int, Mapping[str, Any]] | Mapping[str, Any]


class StateConflict(Exception):
    """The message is no longer in a state from which this can be done: somebody, or the queue, was faster."""


class PerRow:
    """A column value that differs from row to row: message id -> value."""

    def __init__(self, values: Mapping[int, Any]) -> None:
        self.values = values

    def as_expression(self, column: str) -> "_LookedUp":
        field = Message._meta.get_field(column)
        assert isinstance(field, Field)  # only columns are ever set
        return _LookedUp(self.values, field)


class _LookedUp(Expression):
    """The value of the row's own id in one parameter for all rows: a CASE of a hundred branches costs ten times as much."""

    def __init__(self, values: Mapping[int, Any], field: "Field[Any, Any]") -> None:
        super().__init__(output_field=field)
        self._values = values
        self._column = field
        self._pk: Any = F("pk")

    def get_source_expressions(self) -> list[Any]:
        return [self._pk]

    def set_source_expressions(self, exprs: Any) -> None:
        [self._pk] = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        pk, params = compiler.compile(self._pk)
        return f"json_extract(%s, '$.\"' || {pk} || '\"')", [self._as_json(connection), *params]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        pk, params = compiler.compile(self._pk)
        kind = self._column.db_type(connection)
        return f"CAST(%s::jsonb ->> {pk}::text AS {kind})", [self._as_json(connection), *params]

    def _as_json(self, connection: Any) -> str:
        prepared = {pk: self._column.get_db_prep_save(value, connection) for pk, value in self._values.items()}
        return json.dumps(prepared, default=str)


def move(
    ids: Collection[int],
    *,
    to: Delivery,
    kind: EventKind,
    at: datetime,
    sources: Collection[Delivery] | None = None,
    attempt_id: uuid.UUID | Mapping[int, uuid.UUID] | None = None,
    by: User | None = None,
    data: Facts | None = None,
    columns: Mapping[str, Any] | None = None,
    condition: Q | None = None,
    skip_locked: bool = False,
) -> list[int]:
    """Move these messages to `to`, with one event each; returns the ids that moved, in order.

    `sources` narrows the allowed states (never widens them), `attempt_id` demands that the row still belongs to this
    attempt (message id -> attempt where they are of several), `condition` is one more thing that must hold. `columns` are
    set on every row (a `PerRow` sets a value of its own on each). `data` goes into the events: one mapping for all, or
    message id -> mapping. `skip_locked` leaves rows alone that another transaction holds, for callers who will come again
    anyway and must not wait for a process that stands still.
    """
    allowed = sorted(SOURCES[to] if sources is None else SOURCES[to] & frozenset(sources))
    if not ids or not allowed:
        return []
    rows = Message.objects.filter(pk__among=ids, delivery_state__in=allowed)
    if condition is not None:
        rows = rows.filter(condition)
    if isinstance(attempt_id, Mapping):
        rows = rows.filter(attempt_id=PerRow(attempt_id).as_expression("attempt_id"))
    elif attempt_id is not None:
        rows = rows.filter(attempt_id=attempt_id)
    assignments = {"delivery_state": to, "updated_at": at, **_assignments(columns or {})}
    if connection.vendor == "postgresql":
        return _at_once(
            rows.order_by("pk"),
            assignments=assignments,
            ids=list(ids),
            allowed=allowed,
            event=(at, kind, to, by),
            data=data,
            skip_locked=skip_locked,
        )
    with transaction.atomic():
        # Locked in one order, so that two groups sharing rows wait for each other instead of deadlocking.
        moved = list(
            rows.order_by("pk").select_for_update(of=("self",), skip_locked=skip_locked).values_list("pk", flat=True)
        )
        if not moved:
            return []
        Message.objects.filter(pk__among=moved, delivery_state__in=allowed).update(**assignments)
        record(moved, kind=kind, at=at, state=to, by=by, data=data)
    return moved


# Locks the rows in one order (two groups sharing rows wait for each other instead of deadlocking), moves them and writes
# their events: one statement is one transaction and one round trip, which is what makes groups quick.
_LOCK_MOVE_RECORD = """
WITH target ("id") AS MATERIALIZED ({target} FOR NO KEY UPDATE OF "messaging_message" {skip_locked}),
moved AS ({update} RETURNING "messaging_message"."id"),
recorded AS (
    INSERT INTO "messaging_messageevent" ("message_id", "at", "kind", "state", "actor_id", "data")
    SELECT "id", %s, %s, %s, %s, {data} FROM moved ORDER BY "id"
)
SELECT "id" FROM moved ORDER BY "id"
"""
# Of an object {message id: facts}, the row's own.
_OWN_FACTS = "coalesce(%s::jsonb -> \"id\"::text, '{}'::jsonb)"


def _at_once(
    rows: Any,
    *,
    assignments: Mapping[str, Any],
    ids: list[int],
    allowed: Collection[Delivery],
    event: tuple[datetime, EventKind, Delivery, User | None],
    data: Facts | None,
    skip_locked: bool,
) -> list[int]:
    target, target_params = rows.values_list("pk").query.sql_with_params()
    locked = RawSQL('SELECT target."id" FROM target', ())
    # The ids and states once more: whatever became of the lock's text, no row moves that nobody named.
    changed = Message.objects.filter(pk__in=locked).filter(pk__among=ids, delivery_state__in=allowed).order_by()
    update: Any = changed.query.chain(UpdateQuery)
    update.add_update_values(assignments)
    update_sql, update_params = update.get_compiler(connection=connection).as_sql()
    by_row = data is not None and _is_by_row(data)
    statement = _LOCK_MOVE_RECORD.format(
        target=target,
        skip_locked="SKIP LOCKED" if skip_locked else "",
        update=update_sql,
        data=_OWN_FACTS if by_row else "%s::jsonb",
    )
    at, kind, state, by = event
    params = [*target_params, *update_params, at, kind, state, by.pk if by else None, json.dumps(data or {})]
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return [pk for (pk,) in cursor.fetchall()]


def record(
    ids: Collection[int],
    *,
    kind: EventKind,
    at: datetime,
    state: Delivery | str = "",
    by: User | None = None,
    data: Facts | None = None,
) -> None:
    """Write one event for each message. Call it in the transaction of the change that it tells."""
    MessageEvent.objects.bulk_create(events_of(ids, kind=kind, at=at, state=state, by=by, data=data))


def events_of(
    ids: Collection[int],
    *,
    kind: EventKind,
    at: datetime,
    state: Delivery | str = "",
    by: User | None = None,
    data: Facts | None = None,
) -> list[MessageEvent]:
    """The rows that `record` writes, for whoever writes them in a quicker way."""
    return [MessageEvent(message_id=pk, at=at, kind=kind, state=state, actor=by, data=_facts(data, pk)) for pk in ids]


def _is_by_row(data: Facts) -> bool:
    return bool(data) and all(isinstance(key, int) for key in data)


def _facts(data: Facts | None, pk: int) -> dict[str, Any]:
    if not data:
        return {}
    if _is_by_row(data):
        return dict(data.get(pk, {}))  # type: ignore[call-overload]  # a mapping by id, as just seen
    return dict(data)  # type: ignore[arg-type]  # one mapping for all


def _assignments(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.as_expression(name) if isinstance(value, PerRow) else value for name, value in columns.items()}
