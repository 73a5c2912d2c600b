"""What one scenario plays on: a database of its own, a Redis database of its own, IO, and processes of the product.

Nothing is shared between stages, so several scenarios run side by side and mostly wait.
"""

import itertools
import os
import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
import redis
from django.core.management import call_command
from django.db import connections

from messaging.models import EventKind, Message, ServiceInstance
from messaging.states import Delivery
from registry.models import User
from tests import factories
from tests.crash import worker_entry
from tests.crash.processes import Process
from tests.crash.small_disk import Disk, PlayedDisk, SmallDiskPostgreSQL, can_be_real
from tests.crash.waiting import wait_for
from tests.support.io_stand_in import StandIn

SEND_TIMEOUT_SECONDS = 3.0
# Past it no request of a mark may leave, and no answer to it comes any more.
LEASE_SECONDS = worker_entry.ALLOWANCE_SECONDS + SEND_TIMEOUT_SECONDS + worker_entry.LEASE_MARGIN_SECONDS
# So that twenty messages pass every checkpoint several times.
SMALL_GROUP = 5
# Databases of Redis that stages take turns with; a server has 16, and the suite's own tests are on the first.
REDIS_NUMBERS = range(1, 13)

ENDED = {Delivery.PROCESSED, Delivery.UNCERTAIN}


def named(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def connected_to(url: str) -> Iterator[None]:
    """The models, in this thread, on another database, perhaps of another server."""
    own = connections["default"]
    before = own.settings_dict
    own.close()
    there = urlsplit(url)
    own.settings_dict = {
        **before,
        "HOST": there.hostname or "",
        "PORT": str(there.port or ""),
        "USER": unquote(there.username or ""),
        "PASSWORD": unquote(there.password or ""),
        "NAME": there.path.strip("/"),
    }
    try:
        yield
    finally:
        own.close()
        own.settings_dict = before


@dataclass
class Stage:
    database_url: str
    redis_url: str
    io: StandIn
    folder: Path
    disk: Disk
    processes: list[Process] = field(default_factory=list)
    taxcodes: dict[int, str] = field(default_factory=dict)

    # --- before ------------------------------------------------------------------------------------------------

    def post(self, count: int, *, rate: float = 400) -> list[int]:
        """So many due messages, each to a person of its own, of one account with so many calls a second; their ids."""
        account = factories.io_account(calls_per_second=rate)
        instance = factories.service_instance(io_service=factories.io_service(io_account=account))
        sender = factories.user()
        return [self._post(instance, sender) for _ in range(count)]

    def _post(self, instance: ServiceInstance, sender: User) -> int:
        taxcode = f"RSSMRA80A01H{len(self.taxcodes):03d}U"
        row = factories.message(instance=instance, sender=sender, taxcode=taxcode)
        self.taxcodes[row.pk] = taxcode
        return row.pk

    def start(
        self,
        run: str = "loop",
        *,
        at: str = "",
        passing: int = 1,
        do: str = "",
        has_lanes: bool = True,
        group: int | None = SMALL_GROUP,
        redis_url: str = "",
        more: Mapping[str, str] | None = None,
    ) -> Process:
        """One more process; see `worker_entry` for what the words mean. `more` has the last word on its environment."""
        name = f"{run}-{len(self.processes) + 1}"
        environment = {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": redis_url or self.redis_url,
            "IO_API_BASE_URL": self.io.base_url,
            "IO_CONNECT_TIMEOUT": "1",
            "IO_SEND_TIMEOUT": str(SEND_TIMEOUT_SECONDS),
            "IO_READ_TIMEOUT": "1",
            "IO_FIRST_POLLS": "0.2,1,2,4,8,15,30,60",
            # The database's name for its connections.
            "PGAPPNAME": name,
            "CRASH_RUN": run,
            "CRASH_AT": at,
            "CRASH_PASSING": str(passing),
            "CRASH_DO": do,
            "CRASH_LANES": "1" if has_lanes else "0",
            "CRASH_GROUP": "" if group is None else str(group),
            **(more or {}),
        }
        process = Process(name, environment=environment, log=self.folder / f"{name}.log")
        self.processes.append(process)
        return process

    # --- looking -----------------------------------------------------------------------------------------------

    def states(self) -> dict[int, str]:
        return dict(Message.objects.values_list("pk", "delivery_state"))

    def in_state(self, *states: Delivery) -> set[int]:
        return {pk for pk, state in self.states().items() if state in states}

    def received(self, message: int) -> int:
        """How many times IO was asked to take it."""
        return self.io.count("send", fiscal_code=self.taxcodes[message])

    def events(self, message: int) -> list[str]:
        return list(Message.objects.get(pk=message).events.values_list("kind", flat=True))

    def message(self, pk: int) -> Message:
        return Message.objects.get(pk=pk)

    def doubts(self) -> set[int]:
        return self.in_state(Delivery.UNCERTAIN)

    def leaving(self) -> set[int]:
        return self.in_state(Delivery.SENDING)

    # --- waiting -----------------------------------------------------------------------------------------------

    def wait_until_in(self, states: Collection[Delivery], messages: Collection[int] | None = None) -> None:
        """All of these messages, or simply all."""

        def are_there() -> bool:
            return all(state in states for pk, state in self.states().items() if messages is None or pk in messages)

        try:
            wait_for(are_there, f"every message is {' or '.join(sorted(states))}")
        except AssertionError as never:
            never.add_note(f"states: {self.states()}")
            raise

    def wait_until_ended(self) -> None:
        """Followed to the end, or in doubt."""
        self.wait_until_in(ENDED)

    def wait_until_sending(self, count: int) -> None:
        wait_for(lambda: len(self.leaving()) >= count, f"{count} messages are being sent")

    def wait_until_disconnected(self, process: Process) -> None:
        """A commit that a killed process had just asked for is done, or never will be."""
        with psycopg.connect(self.database_url, autocommit=True) as own:
            wait_for(lambda: not self._connections(own, process), f"the database forgets {process.name}")

    @staticmethod
    def _connections(own: psycopg.Connection, process: Process) -> bool:
        question = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = %s)"
        row = own.execute(question, [process.name]).fetchone()
        return bool(row and row[0])

    def cut_connections(self, process: Process) -> int:
        """The database server ends every connection of this process; returns how many there were."""
        with psycopg.connect(self.database_url, autocommit=True) as own:
            question = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            return len(own.execute(question, [process.name]).fetchall())

    # --- the promise -------------------------------------------------------------------------------------------

    def assert_nothing_lost_or_doubled(self, *, doubts: Collection[int] = ()) -> None:
        """Every message was delivered, once, save these, which may be in doubt and arrived once or not at all."""
        states = self.states()
        assert states.keys() == self.taxcodes.keys()
        for pk, state in states.items():
            if state == Delivery.UNCERTAIN:
                assert pk in doubts, f"message {pk} is in doubt without a reason: {self.events(pk)}"
                assert self.received(pk) <= 1
            else:
                assert state == Delivery.PROCESSED, f"message {pk} is {state}: {self.events(pk)}"
                assert self.received(pk) == 1, f"message {pk} was received {self.received(pk)} times: {self.events(pk)}"
        assert not Message.objects.filter(events__kind=EventKind.POSSIBLE_DOUBLE).exists()

    # --- after -------------------------------------------------------------------------------------------------

    def end(self) -> None:
        for process in self.processes:
            process.kill()

    def last_words(self) -> list[str]:
        return [f"--- {process.name}\n{process.last_words()}" for process in self.processes]


class Theatre:
    """Where stages come from: one migrated database that each copies, and Redis databases that they take in turns."""

    def __init__(
        self, *, database_url: str, redis_url: str, folder: Path, server: SmallDiskPostgreSQL | None = None
    ) -> None:
        self._database_url = database_url
        # Of this address, where its disk can be filled.
        self._server = server
        self._redis_url = redis_url
        self._folder = folder
        self._model = f"{urlsplit(database_url).path.strip('/')}_crash"
        self._numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in REDIS_NUMBERS:
            self._numbers.put(number)
        self._names = (f"{self._model}_{number}" for number in itertools.count(1))
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._execute(f'DROP DATABASE IF EXISTS "{self._model}" WITH (FORCE)', f'CREATE DATABASE "{self._model}"')
        with connected_to(named(self._database_url, self._model)):
            call_command("migrate", verbosity=0)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{self._model}" WITH (FORCE)')

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """In the thread that asks; a scenario that fails is told with what its processes said last."""
        number = self._numbers.get()
        with self._lock:
            name = next(self._names)
        redis_url = named(self._redis_url, str(number))
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()
        self._execute(
            f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE "{self._model}"'
        )
        folder = self._folder / name
        folder.mkdir()
        try:
            url = named(self._database_url, name)
            with StandIn(delay=0.02) as io, connected_to(url):
                stage = Stage(url, redis_url, io, folder, self._server or PlayedDisk(url))
                try:
                    yield stage
                except BaseException as error:
                    for words in stage.last_words():
                        error.add_note(words)
                    raise
                finally:
                    stage.end()
        finally:
            self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            self._numbers.put(number)

    @contextmanager
    def stage_on_small_disk(self) -> Iterator[Stage]:
        """On a database server of its own, whose disk can really be filled; an ordinary stage where that is impossible."""
        if not can_be_real():
            with self.stage() as stage:
                yield stage
            return
        server = SmallDiskPostgreSQL()
        folder = self._folder / "on_small_disk"
        folder.mkdir(exist_ok=True)
        with (
            server.running() as url,
            Theatre(database_url=url, redis_url=self._redis_url, folder=folder, server=server) as theatre,
        ):
            # The Redis server is the same.
            theatre._numbers = self._numbers
            with theatre.stage() as stage:
                yield stage

    def _execute(self, *statements: str) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as own:
            for statement in statements:
                own.execute(statement.encode())
