"""The only way a message changes state: a conditional UPDATE on the allowed source states, and its event, together.

Every verb of the lifecycle ends here, for one row or for a group. A row that another process moved first is simply not
among those returned; verbs on one message turn that into `StateConflict`.
"""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Field, Q, Value, When

from messaging.models import EventKind, Message, MessageEvent
from messaging.states import SOURCES, Delivery
from registry.models import User


class StateConflict(Exception):
    """The message is no longer in a state from which this can be done: somebody, or the queue, was faster."""


class PerRow:
    """A column value that differs from row to row: message id -> value."""

    def __init__(self, values: Mapping[int, Any]) -> None:
        self.values = values

    def as_expression(self, column: str) -> Case:
        field = Message._meta.get_field(column)
        assert isinstance(field, Field)  # only columns are ever set
        return Case(
            *(When(pk=pk, then=Value(value, output_field=field)) for pk, value in self.values.items()),
            output_field=field,
        )


def move(
    ids: Collection[int],
    *,
    to: Delivery,
    kind: EventKind,
    at: datetime,
    sources: Collection[Delivery] | None = None,
    attempt_id: uuid.UUID | None = None,
    by: User | None = None,
    data: Mapping[int, Mapping[str, Any]] | Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    condition: Q | None = None,
    skip_locked: bool = False,
) -> list[int]:
    """Move these messages to `to`, with one event each; returns the ids that moved, in order.

    `sources` narrows the allowed states (never widens them), `attempt_id` demands that the row still belongs to this
    attempt, `condition` is one more thing that must hold. `columns` are set on every row (a `PerRow` sets a value of its own on
    each). `data` goes into the events: one mapping for all, or message id -> mapping. `skip_locked` leaves rows alone that
    another transaction holds, for callers who will come again anyway and must not wait for a process that stands still.
    """
    if not ids:
        return []
    allowed = SOURCES[to] if sources is None else SOURCES[to] & frozenset(sources)
    rows = Message.objects.filter(pk__in=ids, delivery_state__in=sorted(allowed))
    if condition is not None:
        rows = rows.filter(condition)
    if attempt_id is not None:
        rows = rows.filter(attempt_id=attempt_id)
    with transaction.atomic():
        # Locked in one order, so that two groups sharing rows wait for each other instead of deadlocking.
        moved = list(
            rows.order_by("pk").select_for_update(of=("self",), skip_locked=skip_locked).values_list("pk", flat=True)
        )
        if not moved:
            return []
        changed = Message.objects.filter(pk__in=moved, delivery_state__in=sorted(allowed))
        changed.update(delivery_state=to, updated_at=at, **_assignments(columns or {}, moved))
        record(moved, kind=kind, at=at, state=to, by=by, data=data)
    return moved


def record(
    ids: Collection[int],
    *,
    kind: EventKind,
    at: datetime,
    state: Delivery | str = "",
    by: User | None = None,
    data: Mapping[int, Mapping[str, Any]] | Mapping[str, Any] | None = None,
) -> None:
    """Write one event for each message. Call it in the transaction of the change that it tells."""
    MessageEvent.objects.bulk_create(
        MessageEvent(message_id=pk, at=at, kind=kind, state=state, actor=by, data=_facts(data, pk)) for pk in ids
    )


def _facts(data: Mapping[int, Mapping[str, Any]] | Mapping[str, Any] | None, pk: int) -> dict[str, Any]:
    if not data:
        return {}
    if pk in data or all(isinstance(key, int) for key in data):
        return dict(data.get(pk, {}))  # type: ignore[call-overload]  # a mapping by id, as just seen
    return dict(data)  # type: ignore[arg-type]  # one mapping for all


def _assignments(columns: Mapping[str, Any], moved: list[int]) -> dict[str, Any]:
    wanted = set(moved)
    return {
        name: (
            PerRow({pk: each for pk, each in value.values.items() if pk in wanted}).as_expression(name)
            if isinstance(value, PerRow)
            else value
        )
        for name, value in columns.items()
    }
