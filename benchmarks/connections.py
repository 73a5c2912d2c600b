"""Whether anything grows with the number of slices: connections to IO and to the database, files, threads, memory.

1,000 slices of five messages in one process; then a worker with two forked children at a time (Celery's prefork pool,
which we do not run but somebody may), each of which has to have a loop and connections of its own.
"""

import os
import threading
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import ground

SLICES = 1_000
MESSAGES_OF_A_SLICE = 5
LOOKS = 10
# Growth from the first look, when everything is warm, to the last.
MUST_MEMORY = 1.05
CHILDREN = 2
# Then it is replaced by a new fork of the parent.
TASKS_OF_A_CHILD = 4
PREFORK_ACCOUNTS = 4
PREFORK_MESSAGES_EACH = 40
PREFORK_PATIENCE_SECONDS = 60


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--slices", type=int, default=0, help=f"instead of {SLICES}")

    options = ground.options(arguments, __doc__, add=add)
    slices = options.slices or (50 if options.quick else SLICES)
    # Quick answers: here the number of slices counts, not their work.
    with ground.ground(delay=0.001) as place:
        report = ground.Report("Connections", f"{slices:,} slices of {MESSAGES_OF_A_SLICE} messages in one process")
        _slices(place, report, slices=slices)
        _prefork(place, report)
        report.conditions()


def _slices(place: ground.Ground, report: ground.Report, *, slices: int) -> None:
    from messaging.dispatching import dispatch
    from messaging.models import Message
    from messaging.states import Delivery

    way = ground.instances()[0]
    looks = []
    for number in range(1, slices + 1):
        ground.fill(way, MESSAGES_OF_A_SLICE)
        assert dispatch() == 1, "no lane was served"
        if number % max(1, slices // LOOKS) == 0:
            sent = Message.objects.filter(delivery_state=Delivery.SENT).count()
            assert sent == number * MESSAGES_OF_A_SLICE, f"{sent} sent in {number} slices"
            looks.append([number, *_look(place)])
    names = ["slices", "to IO", "to IO ever", "to the database", "open files", "threads", "memory, MiB"]
    report.table(names, [[*look[:-1], f"{look[-1]:.1f}"] for look in looks])
    first, last = looks[0], looks[-1]
    grown = [name for name, before, after in zip(names[1:-1], first[1:-1], last[1:-1], strict=True) if after > before]
    # Each connection is kept for a while: those made ever may grow with time, not with slices.
    grown = [name for name in grown if name != "to IO ever"]
    report.line(f"grown since the first look: {', '.join(grown) or 'nothing'}")
    ratio = last[-1] / first[-1] if first[-1] else 1.0
    report.line(f"memory, last to first: {ratio:.3f}  {ground.verdict(ratio, must=MUST_MEMORY, is_ceiling=True)}")


def _look(place: ground.Ground) -> list[float]:
    from django.db import connection

    counts = place.io.counts()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        to_database = cursor.fetchone()[0]
    files = 0
    with suppress(OSError):
        files = len(list(Path("/proc/self/fd").iterdir()))
    memory = ground.memory_of(os.getpid())
    return [counts["open"], counts["connections"], to_database, files, threading.active_count(), memory]


def _prefork(place: ground.Ground, report: ground.Report) -> None:
    from messaging.models import Message
    from messaging.states import Delivery

    ground.empty()
    ways = ground.instances(accounts=PREFORK_ACCOUNTS, key="forked-{}")
    expected = PREFORK_ACCOUNTS * PREFORK_MESSAGES_EACH
    port = int(place.io.url.split(":")[2].split("/", maxsplit=1)[0])
    worker = [
        # Another word for prefork; said as "prefork", which is its default, Celery prefers the pool of the settings.
        *("-m", "celery", "-A", "govio_portal", "worker", "--pool", "processes"),
        *("--concurrency", str(CHILDREN), "--queues", "dispatch,poll,upkeep", "--loglevel", "WARNING"),
        *("--without-mingle", "--without-gossip", "--max-tasks-per-child", str(TASKS_OF_A_CHILD)),
    ]
    with ground.programs(worker, ["manage.py", "beat"], folder=place.folder) as (supervisor, _beat):
        callers: set[int] = set()
        until = time.monotonic() + PREFORK_PATIENCE_SECONDS
        for way in ways:
            # Spread, so that there is something for every child that comes and goes.
            ground.fill(way, PREFORK_MESSAGES_EACH, every_seconds=0.5)
        sent = 0
        while time.monotonic() < until and sent < expected:
            callers |= _callers(supervisor, port)
            sent = Message.objects.filter(delivery_state=Delivery.SENT).count()
            time.sleep(0.02)
        parents = ground.children_of(supervisor)
    callers_among_parents = callers & parents
    judged = "ok" if sent == expected and not callers_among_parents and len(callers) > 1 else "MISSED"
    report.line(
        f"prefork, {CHILDREN} children at a time: {sent} of {expected} messages sent; {len(callers)} children called IO,"
        f" each over connections of its own; the parent {'did too' if callers_among_parents else 'did not'}  {judged}"
    )


def _callers(supervisor: int, port: int) -> set[int]:
    """Of what this process started, those with a connection to this port; none where there is no /proc."""
    callers: set[int] = set()
    with suppress(OSError):
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # Columns: the far address as hex with its port, the state (01 is established), the socket's inode.
        sockets = {f"socket:[{row[9]}]" for row in rows if int(row[2].split(":")[1], 16) == port and row[3] == "01"}
        for pid in ground.family_of(supervisor):
            with suppress(OSError):
                if any(str(link.readlink()) in sockets for link in Path(f"/proc/{pid}/fd").iterdir()):
                    callers.add(pid)
    return callers
