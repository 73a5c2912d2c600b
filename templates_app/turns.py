"""Whoever writes templates or placeholders takes a turn.

A version is made of a text and of several placeholders, and a placeholder is in many versions: with a lock on each row
somebody would sooner or later wait in a circle. Writing is rare and done by people, so one turn for everybody is enough.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection, transaction

# Any number that nobody else in this database locks.
_TURN: Final = 0x676F76696F_01


@contextmanager
def turn() -> Iterator[None]:
    """A transaction in which nobody else writes, from here until its end; what is read inside is as it will stay.

    On SQLite whoever writes is alone anyway.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_TURN])
        yield
