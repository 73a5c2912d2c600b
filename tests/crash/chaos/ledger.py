"""What may be in doubt at the end of a round, written down at each disturbance, and whether it was too much."""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psycopg
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from messaging.models import Message
from messaging.states import Delivery
from tests.crash.processes import Process

# At so many calls a second and more, the rate is no limit to speak of.
UNLIMITED = 1000.0
# Doubts that one disturbance may leave, for each IO account.
MOST_WHEN_UNLIMITED = 300
MOST_SECONDS_OF_RATE = 2.0
ASK_AGAIN_SECONDS = 0.1


def most_doubts(rate: float) -> float:
    return MOST_WHEN_UNLIMITED if rate >= UNLIMITED else MOST_SECONDS_OF_RATE * rate


@dataclass
class Ledger:
    database_url: str
    # io_account -> calls per second
    rates: Mapping[int, float]
    # (message, attempt) that were on their way when something died, and so may be in doubt.
    excused: set[tuple[int, uuid.UUID]] = field(default_factory=set)
    # Sentences about disturbances that met more rows on their way than they may.
    breaches: list[str] = field(default_factory=list)
    # The most rows that one disturbance met on their way, of all accounts together.
    most_at_once: int = 0

    def excuse(self, what: str, *, dead: Process | None = None, is_stopped: bool = False) -> Iterator[float]:
        """Write down the rows on their way, after `dead` and all its connections are gone; yields while it must wait.

        Nobody but the dead, or one that is stopped at this moment, could have recorded its rows, and their leases still
        run: they are all here. Where IO is what went, or the database was away meanwhile, some may be in doubt already:
        those that were marked before now.
        """
        could_ask_at_once = dead is not None or is_stopped
        while True:
            try:
                if dead is None or self._has_forgotten(dead):
                    break
            except psycopg.Error:
                could_ask_at_once = False
            yield ASK_AGAIN_SECONDS
        states = [Delivery.SENDING] if could_ask_at_once else [Delivery.SENDING, Delivery.UNCERTAIN]
        while (rows := self._marked(states)) is None:
            states = [Delivery.SENDING, Delivery.UNCERTAIN]
            yield ASK_AGAIN_SECONDS
        new = {(pk, attempt): account for pk, attempt, account in rows if (pk, attempt) not in self.excused}
        self.excused |= new.keys()
        self.count(what, Counter(new.values()))

    def count(self, what: str, per_account: Mapping[int, int]) -> None:
        """So many rows of each account may be in doubt because of this."""
        self.most_at_once = max(self.most_at_once, sum(per_account.values()))
        for account, count in per_account.items():
            if count > (most := most_doubts(self.rates[account])):
                self.breaches.append(
                    f"{what}: {count} rows of one account were on their way, at most {most:.0f} may be"
                )

    def count_by_code(self, what: str, codes: set[str]) -> Iterator[float]:
        """The same, of those whose answers IO withheld."""
        while True:
            try:
                accounts = Message.objects.filter(taxcode__in=codes).values_list("io_account", flat=True)
                self.count(what, Counter(accounts))
                return
            except DatabaseError:
                connection.close()
                yield ASK_AGAIN_SECONDS

    def _has_forgotten(self, process: Process) -> bool:
        """A commit that a killed process had just asked for is done, or never will be."""
        question = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = %s)"
        with psycopg.connect(self.database_url, autocommit=True, connect_timeout=5) as own:
            row = own.execute(question, [process.name]).fetchone()
        return row is not None and not row[0]

    @staticmethod
    def _marked(states: list[Delivery]) -> list[tuple[int, uuid.UUID, int]] | None:
        """None while the database is away."""
        rows = Message.objects.filter(delivery_state__in=states, marked_at__lte=Now())
        try:
            return [
                (pk, attempt, account)
                for pk, attempt, account in rows.values_list("pk", "attempt_id", "io_account")
                if attempt is not None
            ]
        except DatabaseError:
            connection.close()
            return None
