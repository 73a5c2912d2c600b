"""What measurements share: servers of their own, a stand-in for IO, rows made fast, processes, statistics, printing."""

import asyncio
import json
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.stand_in import ANSWERED_AFTER, DIGITS, MARK
from tests.support import environment, services

if TYPE_CHECKING:
    from messaging.models import ServiceInstance

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
CALLS = ("profile", "send", "status")


def options(
    arguments: Sequence[str], description: str | None, *, add: Callable[[ArgumentParser], object] | None = None
) -> Namespace:
    """`rounds` and `quick`, which every measurement understands, and its own."""
    parser = ArgumentParser(prog="python -m benchmarks", description=description)
    parser.add_argument("--rounds", type=int, default=0, help=f"instead of {ROUNDS}, or of 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="small and short: whether it works, not how well")
    if add is not None:
        add(parser)
    chosen = parser.parse_args(arguments)
    chosen.rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    return chosen


# --- Servers -------------------------------------------------------------------------------------------------------


class DurablePostgreSQL(services.PostgreSQL):
    """As an installation runs it: a commit is on disk before it is confirmed."""

    def _prepare(self, folder: Path) -> list[str]:
        # Later words win over those of the tests, whose data nobody keeps.
        return [*super()._prepare(folder), "-c", "fsync=on", "-c", "full_page_writes=on"]


class IO:
    """The stand-in's process (`benchmarks.stand_in`), spoken to from here."""

    def __init__(self, *, delay: float = ANSWERED_AFTER) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stand_in", "--delay", str(delay)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands, self._answers = self._process.stdin, self._process.stdout
        self.url = self._answers.readline().strip()

    def ask(self, do: str, /, **words: Any) -> Any:
        self._commands.write(json.dumps({"do": do, **words}) + "\n")
        self._commands.flush()
        return json.loads(self._answers.readline())

    def counts(self) -> dict[str, int]:
        return {**dict.fromkeys((*CALLS, "429", "connections"), 0), **self.ask("counts")}

    def arrivals(self) -> list["Arrival"]:
        """Since the last time asked; only after `ask("record")`."""
        return [Arrival(*each) for each in self.ask("arrivals")]

    def stop(self) -> None:
        self._commands.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as the stand-in saw it. `at` is time.time(); `number` is a send's own, 0 where it has none."""

    at: float
    key: str
    call: str
    status: int
    number: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What a measurement stands on. `redis_url` is empty in the embedded arrangement."""

    io: IO
    folder: Path
    database_url: str
    redis_url: str


@contextmanager
def ground(
    *, delay: float = ANSWERED_AFTER, is_embedded: bool = False, variables: Mapping[str, str] | None = None
) -> Iterator[Ground]:
    """A migrated, empty database and an IO; Django is set up. Once in a process, since settings are read once."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="govio-bench-")))
        database_url = redis_url = ""
        if is_embedded:
            database_url = f"sqlite:///{folder / 'govio.sqlite3'}"
        else:
            # Apart from the tests' variables: a measurement has its servers to itself.
            database, redis = DurablePostgreSQL(), services.Redis()
            database_url = stack.enter_context(database.running())
            redis_url = stack.enter_context(redis.running())
        io = IO(delay=delay)
        stack.callback(io.stop)
        environment.enter(os.environ, data_dir=folder, database_url=database_url, redis_url=redis_url)
        os.environ |= {"IO_API_BASE_URL": io.url, **(variables or {})}
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        stack.callback(connections.close_all)
        yield Ground(io=io, folder=folder, database_url=database_url, redis_url=redis_url)


async def raw_calls(url: str, *, connections: int, seconds: float = 1.0) -> float:
    """Calls per second that the stand-in answers to a client that does nothing but write the same bytes again."""
    body = b'{"fiscal_code":"RSSMRA80A01H501U"}'
    request = (
        b"POST /api/v1/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\nOcp-Apim-Subscription-Key: raw\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    answered = 0

    class Raw(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self._transport = transport
            transport.write(request)

        def data_received(self, data: bytes) -> None:
            nonlocal answered
            answered += 1
            self._transport.write(request)

    loop = asyncio.get_running_loop()
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    opened = [await loop.create_connection(Raw, "127.0.0.1", port) for _ in range(connections)]
    before, since = answered, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (answered - before) / (time.perf_counter() - since)
    for transport, _ in opened:
        transport.abort()
    return rate


# --- Rows ----------------------------------------------------------------------------------------------------------

UNLIMITED = 10_000


def instances(
    *, accounts: int = 1, rate: float = UNLIMITED, services_each: int = 1, key: str = "key-{}"
) -> "list[ServiceInstance]":
    """Ways to send, whole, over so many accounts; each account's key names it at the stand-in: key-1, key-2..."""
    from tests import factories

    made = []
    for number in range(1, accounts + 1):
        account = factories.io_account(calls_per_second=rate)
        for _ in range(services_each):
            ente = factories.organization()
            service = factories.io_service(of=ente, io_account=account, key=key.format(number))
            made.append(factories.service_instance(organization=ente, io_service=service))
    return made


def fill(
    instance: "ServiceInstance",
    count: int,
    *,
    first: int = 1,
    with_content: bool = True,
    every_seconds: float = 0.0,
    **columns: Any,
) -> None:
    """So many due messages of one service instance, made by the database itself.

    Their numbers, which the stand-in reads, begin at `first`; their dates begin at `not_before` (now) and are
    `every_seconds` apart. Addressed to 1,000 people in turn. On SQLite one by one, so keep it small there.
    """
    from django.db import connection, transaction

    from messaging.models import Message, MessageContent
    from messaging.states import Delivery, Priority
    from registry.models import User
    from tests import factories

    now = datetime.now(UTC)
    message = Message(
        **{
            "service_instance": instance,
            "sender": User.objects.first() or factories.user(),
            "io_account_id": instance.io_service.io_account_id,
            "delivery_state": Delivery.SCHEDULED,
            "priority": Priority.BULK,
            "created_at": now,
            "updated_at": now,
            "scheduled_at": now,
            "not_before": now,
            **columns,
        }
    )
    content = MessageContent(version=instance.template.current_version, markdown="x" * 120)
    assert first + count <= 10**DIGITS or not with_content
    if connection.vendor != "postgresql":
        _fill_one_by_one(message, content, count, first=first)
        return
    number = f"(series.n + {first - 1})"
    later = f"make_interval(secs => (series.n - 1) * {every_seconds})"
    with transaction.atomic(), connection.cursor() as cursor:
        # Two foreign keys and a dozen indexes are paid by whoever composes; here only the rows matter.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SELECT coalesce(max(id), 0) FROM messaging_message")
        last = cursor.fetchone()[0]
        _insert(
            cursor,
            message,
            f"generate_series(1, {count}) AS series(n)",
            taxcode=f"'RSSMRA80A01H' || lpad(({number} % 1000)::text, 3, '0') || 'U'",
            not_before="{} + " + later,
            scheduled_at="{} + " + later,
        )
        if with_content:
            text = MARK.decode().removeprefix("CIE n. ")
            _insert(
                cursor,
                content,
                # Ids come in order, from the sequence that nobody else uses here.
                f"(SELECT id, row_number() OVER (ORDER BY id) AS n"  # noqa: S608  (a number of ours)
                f" FROM messaging_message WHERE id > {last}) AS series",
                message_id="series.id",
                subject=f"'Scadenza CIE n. {text}' || lpad({number}::text, {DIGITS}, '0') || 'AA'",
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE messaging_message, messaging_messagecontent")


def _insert(cursor: Any, row: Any, source: str, **expressions: str) -> None:
    """One INSERT of copies of `row`; an expression takes the place of a column, its {} of the column's value."""
    from django.db import connection

    names, values, parameters = [], [], []
    for field in row._meta.concrete_fields:
        if field.primary_key and field.column not in expressions:
            continue
        names.append(field.column)
        expression = expressions.get(field.column, "{}")
        # The cast says what a bare parameter in a SELECT would leave open.
        values.append(expression.replace("%", "%%").format(f"%s::{field.db_type(connection)}"))
        if "{}" in expression:
            parameters.append(field.get_db_prep_save(getattr(row, field.attname), connection))
    cursor.execute(
        f"INSERT INTO {row._meta.db_table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {source}",  # noqa: S608
        parameters,
    )


def _fill_one_by_one(message: Any, content: Any, count: int, *, first: int) -> None:
    import copy

    from messaging.models import Message, MessageContent

    rows = []
    for number in range(first, first + count):
        row = copy.copy(message)
        row.taxcode = f"RSSMRA80A01H{number % 1000:03d}U"
        rows.append(row)
    texts = []
    for number, row in enumerate(Message.objects.bulk_create(rows, batch_size=500), first):
        text = copy.copy(content)
        text.message, text.subject = row, f"Scadenza {MARK.decode()}{number:0{DIGITS}d}AA"
        texts.append(text)
    MessageContent.objects.bulk_create(texts, batch_size=500)


def empty() -> None:
    """No message is left, and no row that is dead: the next round begins as the first did."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("TRUNCATE messaging_message CASCADE")
        else:
            from messaging.models import Message

            Message.objects.all().delete()


def send_all(io: IO, ways: "Sequence[ServiceInstance]", count: int, *, seconds: float) -> float:
    """So many messages through each way, by processes that run already; the seconds from the first call to the last."""
    from django.db import transaction

    from messaging.waking import nudge

    empty()
    before = io.counts()
    with transaction.atomic():
        for way in ways:
            fill(way, count)
    nudge()
    # How soon they begin is another measurement's business.
    wait_until(
        lambda: io.counts()["profile"] > before["profile"], seconds=seconds, every=0.005, what="the first call of them"
    )
    since = time.perf_counter()
    expected = before["send"] + count * len(ways)
    wait_until(lambda: io.counts()["send"] >= expected, seconds=seconds, every=0.02, what="sending them all")
    elapsed = time.perf_counter() - since
    # The last outcomes are still being written.
    wait_until(lambda: not _is_any_left(), seconds=10, what="recording them all")
    return elapsed


def _is_any_left() -> bool:
    from messaging.models import Message
    from messaging.states import WAITING, Delivery

    return Message.objects.filter(delivery_state__in=[*WAITING, Delivery.SENDING]).exists()


# --- Processes -----------------------------------------------------------------------------------------------------


# Runs a program and asks it to end (SIGTERM) as soon as standard input closes: when it is told to, and also when the
# measurement is killed with no time to tell.
SUPERVISED = """
exec 3<&0
"$@" 3<&- </dev/null &
program=$!
{ cat <&3 >/dev/null; kill -TERM $program; } 2>/dev/null &
watch=$!
wait $program
kill $watch 2>/dev/null
"""


@contextmanager
def programs(*commands: Sequence[str], folder: Path, **variables: str) -> Iterator[list[int]]:
    """Python programs that run during the block (`-m celery ...`); the ids of what supervises each. Logs in the folder."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"{number}.log").open("ab") as log:
                running.append(
                    subprocess.Popen(
                        ["/bin/sh", "-c", SUPERVISED, "sh", sys.executable, *command],
                        cwd=ROOT,
                        env={**os.environ, **variables},
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        yield [process.pid for process in running]
    except BaseException:
        # What they said is gone with the folder.
        for path in sorted(folder.glob("*.log")):
            print(f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-15:], sep="\n", file=sys.stderr)
        raise
    finally:
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
        for process in running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def product(*commands: str, folder: Path, **variables: str) -> Iterator[list[int]]:
    """`manage.py` commands, likewise."""
    with programs(*(["manage.py", command] for command in commands), folder=folder, **variables) as running:
        yield running


@contextmanager
def working(place: Ground, *, workers: int = 1, **variables: str) -> Iterator[None]:
    """Real processes, a beat and workers, with a minute to begin; IO is asked to record what arrives."""
    place.io.ask("record")
    with product("beat", *["worker"] * workers, folder=place.folder, **variables):
        yield


def first_call(io: IO) -> float:
    """Waits for it; when it was (time.time()), within a twentieth of a second."""
    wait_until(lambda: sum(io.counts()[call] for call in CALLS), seconds=60, every=0.05, what="the first call")
    return time.time()


def wait_until(condition: Callable[[], Any], *, seconds: float, every: float = 0.1, what: str = "it") -> Any:
    """The first true value; raises TimeoutError. Nothing here waits for ever."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(every)
    return value


def _processes() -> dict[int, tuple[int, str, float]]:
    """Of each process its parent, its name and its seconds of a core, with those of its children that ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            head, _, tail = path.read_text().rpartition(")")
            pid, _, name = head.partition(" (")
            words = tail.split()
            found[int(pid)] = (int(words[1]), name, sum(map(int, words[11:15])) / ticks)
    return found


def children_of(pid: int) -> set[int]:
    return {each for each, (parent, _, _) in _processes().items() if parent == pid}


def family_of(pid: int) -> set[int]:
    """The process and all that descend from it; itself alone where there is no /proc."""
    processes, family = _processes(), {pid}
    while more := {each for each, (parent, _, _) in processes.items() if parent in family} - family:
        family |= more
    return family


def seconds_of_cpu() -> dict[str, float]:
    """By kind of process, for us and all that descend from us; empty where there is no /proc."""
    processes = _processes()
    total: dict[str, float] = defaultdict(float)
    for pid in family_of(os.getpid()) & processes.keys():
        _, name, seconds = processes[pid]
        if pid == os.getpid():
            # Without its children, who are counted by name.
            seconds, name = time.process_time(), "this process"
        elif name.startswith("python"):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                name = next((word.decode() for word in words if word in _KINDS), name)
        total[name] += seconds
    return dict(total)


_KINDS = {b"benchmarks.stand_in", b"worker", b"beat", b"serve"}


def seconds_of_threads() -> dict[int, float]:
    """CPU of each thread of this process by its native id; empty where there is no /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    spent = {}
    for path in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            spent[int(path.parent.name)] = (int(words[11]) + int(words[12])) / ticks
    return spent


def memory_of(pid: int) -> float:
    """Resident, in MiB; 0 where there is no /proc."""
    with suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found.group(1)) / 1024 if found else 0.0
    return 0.0


# --- Figures -------------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so much of all is not above; nan of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def spread(values: Sequence[float], form: str = ",.2f") -> str:
    """median [min-max]"""
    return f"{statistics.median(values):{form}} [{min(values):{form}}-{max(values):{form}}]"


def delays(values: Sequence[float]) -> str:
    """In seconds, in words."""
    if not values:
        return "none"
    p50, p95 = percentile(values, 0.5), percentile(values, 0.95)
    return f"p50 {p50:.3f} s, p95 {p95:.3f} s, max {max(values):.3f} s ({len(values)} messages)"


def _at_least(got: float, wanted: float) -> bool:
    return got >= wanted


def _at_most(got: float, wanted: float) -> bool:
    return got <= wanted


def verdict(got: float, *, must: float, aim: float | None = None, is_ceiling: bool = False) -> str:
    """How a figure stands to its budget; `is_ceiling` where less is better."""
    reaches = _at_most if is_ceiling else _at_least
    if not reaches(got, must):
        return f"MISSED: must be {must:g}"
    if aim is not None:
        return f"ok, aim {aim:g} {'reached' if reaches(got, aim) else 'not reached'} (must {must:g})"
    return f"ok (must {must:g})"


class Report:
    """Prints what was measured under its conditions, which are taken when it begins and when it ends."""

    def __init__(self, title: str, what: str) -> None:
        self._load = _load()
        print(f"\n{title}: {what}", flush=True)

    def line(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        texts = [list(header), *([str(cell) for cell in row] for row in rows)]
        widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
        for row in texts:
            self.line("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))

    def conditions(self, **more: object) -> None:
        facts = [
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            f"{os.cpu_count()} cores ({_processor()})",
            platform.platform(),
            f"Python {platform.python_version()}",
            *_versions(),
            f"load average {self._load} before, {_load()} after",
            *(f"{name.replace('_', ' ')} {value}" for name, value in more.items()),
        ]
        self.line("conditions: " + "; ".join(facts))


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    with suppress(OSError):
        if found := re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()):
            return found.group(1)
    return platform.processor() or platform.machine()


def _versions() -> list[str]:
    import django
    from django.conf import settings
    from django.db import connection

    versions = [f"Django {django.__version__}"]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW server_version")
            durable = "fsync on, synchronous_commit on"
            versions.append(f"PostgreSQL {cursor.fetchone()[0].split()[0]} ({durable})")
        else:
            cursor.execute("SELECT sqlite_version()")
            versions.append(f"SQLite {cursor.fetchone()[0]} (WAL, synchronous FULL)")
    if settings.REDIS_URL:
        import redis

        with redis.Redis.from_url(settings.REDIS_URL) as client:
            facts: Mapping[str, Any] = client.info("server")
            versions.append(f"Redis {facts['redis_version']}")
    return versions
