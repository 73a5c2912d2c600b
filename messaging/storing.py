"""New messages, as fast as the database takes them: on PostgreSQL one in a single statement, many by COPY.

SQLite has its own way; both store the same and are held to it by the same tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Protocol

from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from messaging.models import IdempotencyKey, Message, MessageContent, MessageEvent


@dataclass(frozen=True, slots=True)
class Whole:
    """A new message with all that is stored with it; the rows lack only its id."""

    message: Message
    content: MessageContent
    event: MessageEvent
    key: IdempotencyKey | None

    def take(self, number: int) -> None:
        self.message.pk = number
        self.content.message = self.event.message = self.message
        if self.key is not None:
            self.key.message = self.message


class Rows(Protocol):
    """What a database must be able to do. All but `add` belong in a transaction."""

    def add(self, new: Whole) -> bool:
        """Store one message, all of it or nothing; False where its key is taken.

        Whoever holds the same key in a transaction under way is waited for.
        """
        ...

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
    def add(self, new: Whole) -> bool:
        # One statement is one transaction and one round trip.
        rows = [row for row in (new.key, new.message, new.content, new.event) if row is not None]
        values = [_values(row) for row in rows]
        statement = _add_statement(tuple(tuple(value is not None for value in own) for own in values))
        with connection.cursor() as cursor:
            cursor.execute(statement, [value for own in values for value in own if value is not None])
            found = cursor.fetchone()
        if found is None:
            return False
        new.take(found[0])
        return True

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


_NEXT = f"nextval(pg_get_serial_sequence('\"{Message._meta.db_table}\"', 'id'))"


@cache
def _add_statement(shape: tuple[tuple[bool, ...], ...]) -> str:
    """For each row in order, the key before the others, which of its columns have a value.

    The id goes from the key, which decides whether there will be a message at all, to the rows that hang on it; foreign
    keys are looked at when the statement ends. The many columns that a new message leaves empty are no parameters: the
    driver keeps what it made of a statement only where these are few.
    """
    *key, message, content, event = shape
    claimed = f"SELECT {_NEXT}"
    if key:
        claimed = f"INSERT INTO {_selected(IdempotencyKey, _NEXT, key[0])} ON CONFLICT DO NOTHING RETURNING message_id"
    return (
        f"WITH claimed (id) AS ({claimed}),"  # noqa: S608  (our own names, here and below)
        f" message AS (INSERT INTO {_selected(Message, 'id', message)} FROM claimed),"
        f" content AS (INSERT INTO {_selected(MessageContent, 'id', content)} FROM claimed),"
        f" event AS (INSERT INTO {_selected(MessageEvent, 'id', event)} FROM claimed)"
        " SELECT id FROM claimed"
    )


def _selected(model: type[Model], number: str, has_value: Sequence[bool]) -> str:
    """`table (id, column, ...) SELECT number, %s, ...`: the message's id comes first."""
    quote = connection.ops.quote_name
    fields = _fields_beside_message(model)
    own = "id" if model is Message else "message_id"
    columns = ", ".join(quote(name) for name in [own, *(field.column for field in fields)])
    values = ", ".join([number, *("%s" if has else "NULL" for has in has_value)])
    return f"{quote(model._meta.db_table)} ({columns}) SELECT {values}"


@cache
def _fields_beside_message(model: type[Model]) -> list["Field[Any, Any]"]:
    """The columns to write but for the message's id, and the row's own, which the database gives."""
    return [field for field in model._meta.concrete_fields if not field.primary_key and field.name != "message"]


class _SQLite:
    """One writer at a time: a transaction begins with the lock (`transaction_mode`), so nobody comes between."""

    def add(self, new: Whole) -> bool:
        try:
            with transaction.atomic():
                new.message.save(force_insert=True)
                new.take(new.message.pk)
                for row in (new.content, new.event, new.key):
                    if row is not None:
                        row.save(force_insert=True)
        except IntegrityError:
            # Anything but the key is a fault of ours, and must be seen.
            if new.key is None or not _is_taken(new.key):
                raise
            return False
        return True

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


def _values(row: Model) -> list[Any]:
    """As the driver takes them, in the order of `_fields_beside_message`."""
    actual = connections[connection.alias]
    return [field.get_db_prep_save(getattr(row, field.attname), actual) for field in _fields_beside_message(type(row))]


def _is_taken(key: IdempotencyKey) -> bool:
    return IdempotencyKey.objects.filter(consumer=key.consumer_id, user=key.user_id, key=key.key).exists()


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
