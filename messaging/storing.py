"""New messages, as fast as the database takes them: on PostgreSQL one in a single statement, many by COPY.

SQLite has its own way; both store the same and are held to it by the same tests.

`created_at` is the database's word: the instant at which the message got its id, whatever was waited for before. Whoever
exports messages in the order of their ids relies on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model
from django.utils import timezone

from messaging.models import IdempotencyKey, Message, MessageContent, MessageEvent


@dataclass(frozen=True, slots=True)
class Whole:
    """A new message with all that is stored with it; the rows lack only its id and the instant at which it got that."""

    message: Message
    content: MessageContent
    event: MessageEvent
    key: IdempotencyKey | None

    def take(self, place: "Place") -> None:
        self.message.pk = place.number
        self.message.created_at = self.message.updated_at = self.event.at = place.at
        self.content.message = self.event.message = self.message
        if self.key is not None:
            self.key.message, self.key.created_at = self.message, place.at


class Place(NamedTuple):
    """An id for a new row, and when it was given."""

    number: int
    at: datetime


class Rows(Protocol):
    """What a database must be able to do. All but `add` belong in a transaction."""

    def add(self, new: Whole) -> bool:
        """Store one message, all of it or nothing; False where its key is taken.

        Whoever holds the same key in a transaction under way is waited for.
        """
        ...

    def numbers(self, model: type[Model], count: int) -> list[Place]:
        """So many ids for new rows of this table, rising; nobody else gets them."""
        ...

    def claim(self, keys: Sequence[IdempotencyKey]) -> set[int]:
        """Store those keys that are free, in the order given; the ids of their messages.

        The keys are different ones of one principal. Whoever holds the same key in a transaction under way is waited for.
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
        new.take(Place(*found))
        return True

    def numbers(self, model: type[Model], count: int) -> list[Place]:
        table, key = model._meta.db_table, model._meta.pk
        assert key is not None
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT nextval(pg_get_serial_sequence(%s, %s)), {_NOW} FROM generate_series(1, %s)",  # noqa: S608  (ours)
                [connection.ops.quote_name(table), key.column, count],
            )
            return sorted(Place(*row) for row in cursor.fetchall())

    def claim(self, keys: Sequence[IdempotencyKey]) -> set[int]:
        fields = _fields(keys[0])
        arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in fields)
        with connection.cursor() as cursor:
            # One array for each column: the statement is the same however many rows there are.
            cursor.execute(
                f"INSERT INTO {_table(keys[0], fields)} SELECT * FROM unnest({arrays})"  # noqa: S608  (our own names)
                f" {_unless_taken(has_consumer=keys[0].consumer_id is not None)} RETURNING message_id",
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
# Of this very moment, where now() is when the transaction began.
_NOW = "clock_timestamp()"


def _unless_taken(*, has_consumer: bool) -> str:
    """The one clash that is no fault: the principal's key. Any other one must be seen."""
    principal = "consumer_id" if has_consumer else "user_id"
    return f"ON CONFLICT ({principal}, key) WHERE {principal} IS NOT NULL DO NOTHING"


@cache
def _add_statement(shape: tuple[tuple[bool, ...], ...]) -> str:
    """For each row in order, the key before the others, which of its columns have a value.

    The id goes from the key, which decides whether there will be a message at all, to the rows that hang on it; foreign
    keys are looked at when the statement ends. The many columns that a new message leaves empty are no parameters: the
    driver keeps what it made of a statement only where these are few.
    """
    *key, message, content, event = shape
    claimed = f"SELECT {_NEXT}, {_NOW}"
    if key:
        has_consumer = dict(zip(_names(IdempotencyKey), key[0], strict=True))["consumer"]
        claimed = (
            f"INSERT INTO {_selected(IdempotencyKey, _NEXT, _NOW, key[0])}"
            f" {_unless_taken(has_consumer=has_consumer)} RETURNING message_id, created_at"
        )
    return (
        f"WITH claimed (id, at) AS ({claimed}),"  # noqa: S608  (our own names, here and below)
        f" message AS (INSERT INTO {_selected(Message, 'id', 'at', message)} FROM claimed),"
        f" content AS (INSERT INTO {_selected(MessageContent, 'id', 'at', content)} FROM claimed),"
        f" event AS (INSERT INTO {_selected(MessageEvent, 'id', 'at', event)} FROM claimed)"
        " SELECT id, at FROM claimed"
    )


# The columns that say when the message was stored.
_INSTANTS: dict[type[Model], tuple[str, ...]] = {
    Message: ("created_at", "updated_at"),
    MessageContent: (),
    MessageEvent: ("at",),
    IdempotencyKey: ("created_at",),
}


def _selected(model: type[Model], number: str, at: str, has_value: Sequence[bool]) -> str:
    """`table (id, created_at, column, ...) SELECT number, at, %s, ...`: what the database gives comes first."""
    quote = connection.ops.quote_name
    given = ["id" if model is Message else "message_id", *_INSTANTS[model]]
    columns = ", ".join(quote(name) for name in [*given, *(field.column for field in _fields_beside_given(model))])
    values = ", ".join([number, *([at] * len(_INSTANTS[model])), *("%s" if has else "NULL" for has in has_value)])
    return f"{quote(model._meta.db_table)} ({columns}) SELECT {values}"


@cache
def _fields_beside_given(model: type[Model]) -> list["Field[Any, Any]"]:
    """The columns to write but for what the database gives: the message's id and its instant, and the row's own id."""
    given = {"message", *_INSTANTS[model]}
    return [field for field in model._meta.concrete_fields if not field.primary_key and field.name not in given]


def _names(model: type[Model]) -> list[str]:
    return [field.name for field in _fields_beside_given(model)]


class _SQLite:
    """One writer at a time: a transaction begins with the lock (`transaction_mode`), so nobody comes between."""

    def add(self, new: Whole) -> bool:
        try:
            with transaction.atomic():
                # Not before: whoever writes now may have been waited for.
                new.message.created_at = new.message.updated_at = timezone.now()
                new.message.save(force_insert=True)
                new.take(Place(new.message.pk, new.message.created_at))
                for row in (new.content, new.event, new.key):
                    if row is not None:
                        row.save(force_insert=True)
        except IntegrityError:
            # Anything but the key is a fault of ours, and must be seen.
            if new.key is None or not _is_taken(new.key):
                raise
            return False
        return True

    def numbers(self, model: type[Model], count: int) -> list[Place]:
        with connection.cursor() as cursor:
            # Where AUTOINCREMENT keeps the highest id ever given; ids stored by us raise it.
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
            last = (cursor.fetchone() or (0,))[0]
        at = timezone.now()
        return [Place(number, at) for number in range(last + 1, last + 1 + count)]

    def claim(self, keys: Sequence[IdempotencyKey]) -> set[int]:
        of_principal = IdempotencyKey.objects.filter(consumer=keys[0].consumer_id, user=keys[0].user_id)
        taken = set(of_principal.filter(key__in=[key.key for key in keys]).values_list("key", flat=True))
        free = [key for key in keys if key.key not in taken]
        IdempotencyKey.objects.bulk_create(free)
        return {key.message_id for key in free}

    def insert(self, rows: Sequence[Model]) -> None:
        manager = rows[0]._meta.default_manager
        assert manager is not None
        manager.bulk_create(rows)


def _values(row: Model) -> list[Any]:
    """As the driver takes them, in the order of `_fields_beside_given`."""
    actual = connections[connection.alias]
    return [field.get_db_prep_save(getattr(row, field.attname), actual) for field in _fields_beside_given(type(row))]


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
