"""Many rows at once, as fast as the database takes them: COPY on PostgreSQL, grouped INSERTs elsewhere.

Both ways store the same and are held to it by the same tests. Call them in a transaction.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from messaging.models import IdempotencyKey


class Rows(Protocol):
    """What a database must be able to do for `messaging.bulk`."""

    def numbers(self, model: type[Model], count: int) -> list[int]:
        """So many ids for new rows of this table, rising; nobody else gets them."""
        ...

    def claim(self, keys: Sequence[IdempotencyKey]) -> set[int]:
        """Store those keys that are free, in the order given; the ids of their messages.

        Whoever holds the same key in a transaction under way is waited for.
        """
        ...

    def insert(self, rows: Sequence[Model]) -> None:
        """Store rows of one table. A row whose id is its own must have it; other ids are the database's."""
        ...


def rows() -> Rows:
    """The way of the database that is configured."""
    return _PostgreSQL() if connection.vendor == "postgresql" else _SQLite()


class _PostgreSQL:
    def numbers(self, model: type[Model], count: int) -> list[int]:
        table, key = model._meta.db_table, model._meta.pk
        assert key is not None
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)",
                [connection.ops.quote_name(table), key.column, count],
            )
            return sorted(number for (number,) in cursor.fetchall())

    def claim(self, keys: Sequence[IdempotencyKey]) -> set[int]:
        fields = _fields(keys[0])
        arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in fields)
        with connection.cursor() as cursor:
            # One array for each column: the statement is the same however many rows there are.
            cursor.execute(
                f"INSERT INTO {_table(keys[0], fields)} SELECT * FROM unnest({arrays})"  # noqa: S608  (our own names)
                " ON CONFLICT DO NOTHING RETURNING message_id",
                _columns(keys, fields),
            )
            return {message_id for (message_id,) in cursor.fetchall()}

    def insert(self, rows: Sequence[Model]) -> None:
        fields = _fields(rows[0])
        statement = f"COPY {_table(rows[0], fields)} FROM STDIN"
        # Django does not know of COPY, and would let the driver's own errors through.
        with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
            for values in zip(*_columns(rows, fields), strict=True):
                copy.write_row(values)


class _SQLite:
    """One writer at a time: a transaction begins with the lock (`transaction_mode`), so nobody comes between."""

    def numbers(self, model: type[Model], count: int) -> list[int]:
        with connection.cursor() as cursor:
            # Where AUTOINCREMENT keeps the highest id ever given; ids stored by us raise it.
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
            last = (cursor.fetchone() or (0,))[0]
        return list(range(last + 1, last + 1 + count))

    def claim(self, keys: Sequence[IdempotencyKey]) -> set[int]:
        IdempotencyKey.objects.bulk_create(keys, ignore_conflicts=True)
        numbers = [key.message_id for key in keys]
        return set(IdempotencyKey.objects.filter(message_id__in=numbers).values_list("message_id", flat=True))

    def insert(self, rows: Sequence[Model]) -> None:
        manager = rows[0]._meta.default_manager
        assert manager is not None
        manager.bulk_create(rows)


def _fields(row: Model) -> list["Field[Any, Any]"]:
    """The columns to write: all of them, but for an id that the database gives."""
    return [field for field in row._meta.concrete_fields if not (field.primary_key and row.pk is None)]


def _table(row: Model, fields: Sequence["Field[Any, Any]"]) -> str:
    quote = connection.ops.quote_name
    return f"{quote(row._meta.db_table)} ({', '.join(quote(field.column) for field in fields)})"


def _columns(rows: Sequence[Model], fields: Sequence["Field[Any, Any]"]) -> list[list[Any]]:
    """The values of each column as the driver takes them."""
    # The alias stands for a connection of each thread, and looking it up a hundred thousand times is felt.
    actual = connections[connection.alias]
    return [_column(list(map(attrgetter(field.attname), rows)), field, actual) for field in fields]


def _column(values: list[Any], field: "Field[Any, Any]", actual: BaseDatabaseWrapper) -> list[Any]:
    first = values[0]
    # Most columns of a group hold one and the same object: it is prepared once.
    if all(value is first for value in values):
        return [field.get_db_prep_save(first, actual)] * len(values)
    return [field.get_db_prep_save(value, actual) for value in values]
