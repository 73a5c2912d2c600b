"""A question whose SQL is written once and, on PostgreSQL, planned once for each connection.

For many joins the ORM takes milliseconds over the text and PostgreSQL one over the plan, where the answer itself takes a
tenth. The queryset is written with stand-ins where each call's own values go, so it is asked in the same words, and by the
same rules, as anywhere else.
"""

import hashlib
import itertools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators  # type: ignore[attr-defined]  # the stubs leave it out

log = logging.getLogger(__name__)

_Row = TypeVar("_Row", bound=Model)
Value = int | datetime
# Of each connection the names known there: whether prepared, or else to be sent whole.
_prepared: WeakKeyDictionary[Any, dict[str, bool]] = WeakKeyDictionary()
# A pooler between us and the server may hand each statement to another connection, where ours was never prepared
# (26000) or somebody else's of the same name was (42P05); after a migration a column may have another type (0A000).
_NOT_TO_BE_HAD = frozenset({"26000", "42P05", "0A000"})


@dataclass(frozen=True, slots=True)
class _Written(Generic[_Row]):
    """What the ORM made of the queryset for one kind of database."""

    sql: str
    # Of the text: behind a pooler, what another process prepared under the same name is the same statement.
    name: str
    # The parameters, and which of them are whose value.
    params: tuple[Any, ...]
    places: Mapping[int, str]
    model: type[_Row]
    columns: slice
    names: Sequence[str]
    # Of the whole row: what turns a column into a value, and what stands beside the model's own columns.
    converters: Sequence[tuple[int, Any, Sequence[Callable[[Any, Any, Any], Any]]]]
    related: Sequence[Any]
    annotations: Mapping[str, int]


class Prepared(Generic[_Row]):
    """`build` makes the queryset from the values, which it must use and nothing else: numbers and instants.

    Its shape may not depend on them; `select_related` and annotations are understood, prefetching is not. Inside a
    transaction the question is sent whole: a connection that never heard of the statement would fail all that is done
    there, and not this question alone.
    """

    def __init__(self, build: Callable[..., "QuerySet[_Row]"]) -> None:
        self._build = build
        self._written: dict[str, _Written[_Row]] = {}

    def first(self, **values: Value) -> _Row | None:
        """The first row, as `.first()` of the queryset would give it."""
        written = self._written.get(connection.vendor)
        if written is None:
            written = self._written[connection.vendor] = self._write(values)
        params = list(written.params)
        for place, name in written.places.items():
            params[place] = _adapted(values[name])
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql" and not connection.in_atomic_block:
                self._execute(cursor, written, params)
            else:
                cursor.execute(written.sql, params)
            row = cursor.fetchone()
        return None if row is None else _as_model(written, list(row))

    def _execute(self, cursor: CursorWrapper, written: _Written[_Row], params: list[Any]) -> None:
        known = _prepared.setdefault(connection.connection, {})
        if known.get(written.name, True):
            try:
                if written.name not in known:
                    cursor.execute(f"PREPARE {written.name} AS {_numbered(written.sql)}")
                    known[written.name] = True
                cursor.execute(f"EXECUTE {written.name}({', '.join(['%s'] * len(params))})", params)
                return
            except DatabaseError as error:
                if getattr(error.__cause__, "sqlstate", None) not in _NOT_TO_BE_HAD:
                    raise
                log.warning("statements cannot be prepared on this connection: %s", type(error.__cause__).__name__)
                known[written.name] = False
        cursor.execute(written.sql, params)

    def _write(self, values: Mapping[str, Value]) -> _Written[_Row]:
        stand_ins = {name: _stand_in(value, number) for number, (name, value) in enumerate(values.items(), start=1)}
        queryset = self._build(**stand_ins)[:1]
        compiler = queryset.query.get_compiler(using=queryset.db)
        sql, params = compiler.as_sql()
        names = {_adapted(stand_in): name for name, stand_in in stand_ins.items()}
        places = {place: names[param] for place, param in enumerate(params) if _is_plain(param) and param in names}
        if set(places.values()) != set(values):
            raise TypeError("a value has left no parameter in the statement")
        select, converters = (
            compiler.select,
            compiler.get_converters([column for column, _sql, _alias in compiler.select]),
        )
        klass: Any = compiler.klass_info
        fields = klass["select_fields"]
        columns = slice(fields[0], fields[-1] + 1)
        return _Written(
            sql=sql,
            name=f"govio_{hashlib.sha256(sql.encode()).hexdigest()[:40]}",
            params=tuple(params),
            places=places,
            model=klass["model"],
            columns=columns,
            names=[column.target.attname for column, _sql, _alias in select[columns]],
            converters=[(place, expression, convert) for place, (convert, expression) in converters.items()],
            related=get_related_populators(klass, select, queryset.db),
            annotations=compiler.annotation_col_map or {},
        )


def _numbered(sql: str) -> str:
    """With $1, $2... where the driver's own parameters stood."""
    places = itertools.count(1)
    return re.sub("%[s%]", lambda found: "%" if found.group() == "%%" else f"${next(places)}", sql)


def _stand_in(value: Value, number: int) -> Value:
    """Of the same kind, and nothing that anybody would ever ask for."""
    if isinstance(value, datetime):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
    return -(2**62) - number


def _is_plain(param: Any) -> bool:
    return isinstance(param, int | str | datetime)


def _adapted(value: Value) -> Any:
    """As it stands among the parameters."""
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _as_model(written: _Written[_Row], row: list[Any]) -> _Row:
    for place, expression, converters in written.converters:
        for convert in converters:
            row[place] = convert(row[place], expression, connection)
    found = written.model.from_db(connection.alias, written.names, row[written.columns])
    for related in written.related:
        related.populate(row, found)
    for name, place in written.annotations.items():
        setattr(found, name, row[place])
    return found
