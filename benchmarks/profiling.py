"""Where the time of a piece of our own code goes: statements, threads, processes, and functions of each thread."""

import cProfile
import io
import pstats
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.ground import Report, seconds_of_cpu, seconds_of_threads


class Statements:
    """Every SQL statement of this process, by its shape: how many, and how long it was waited for."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.times: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        since = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            elapsed = time.perf_counter() - since
            shape = _shape(str(sql))
            with self._lock:
                self.seconds[shape] += elapsed
                self.times[shape] += 1

    @contextmanager
    def counted(self) -> Iterator["Statements"]:
        """On the connections of all threads, also those opened meanwhile."""
        from django.db import connection
        from django.db.backends.signals import connection_created

        def watch(connection: Any, **kwargs: object) -> None:
            if self not in connection.execute_wrappers:
                connection.execute_wrappers.append(self)

        watch(connection)
        connection_created.connect(watch)
        try:
            yield self
        finally:
            connection_created.disconnect(watch)
            connection.execute_wrappers.remove(self)


def _shape(sql: str) -> str:
    """Verb, table and what tells it from its like, in few letters."""
    sql = re.sub(r"\s+", " ", sql).strip()
    verb = sql.split(" ", 1)[0]
    table = re.search(r'(?:FROM|UPDATE|INTO) "(\w+)"', sql)
    marks = [
        word for word in ("FOR UPDATE", "FOR NO KEY UPDATE", "RETURNING", "EXISTS", "LIMIT 1", "UNION") if word in sql
    ]
    sets = re.findall(r'"(\w+)" = ', sql.partition(" SET ")[2].partition(" WHERE ")[0])
    detail = f" set {','.join(sets[:4])}{'...' if len(sets) > 4 else ''}" if sets else ""
    return f"{verb} {table.group(1) if table else sql[7:60]}{detail}{' ' + ' '.join(marks) if marks else ''}"


def print_statements(report: Report, statements: Statements, *, messages: int, elapsed: float) -> None:
    total, waited = sum(statements.times.values()), sum(statements.seconds.values())
    report.line(
        f"SQL: {total} statements ({total / messages:.3f} a message), waited for {waited:.2f} s"
        f" ({waited / elapsed:.0%} of the time)"
    )
    longest = sorted(statements.seconds, key=lambda shape: -statements.seconds[shape])[:16]
    report.table(
        ["seconds", "times", "ms each", "statement"],
        [
            [
                f"{statements.seconds[shape]:.3f}",
                statements.times[shape],
                f"{1000 * statements.seconds[shape] / statements.times[shape]:.2f}",
                shape.ljust(90)[:90],
            ]
            for shape in longest
        ],
    )


@contextmanager
def processor_time(report: Report, *, messages: int) -> Iterator[None]:
    """Prints, by process and by thread of ours, the seconds of a core that the block took."""
    processes, threads, since = seconds_of_cpu(), seconds_of_threads(), time.perf_counter()
    yield
    elapsed = time.perf_counter() - since
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    after = seconds_of_threads()
    rows = [(name, spent - processes.get(name, 0.0)) for name, spent in seconds_of_cpu().items()]
    rows += [
        (f"  thread {names.get(native, native)}", spent - threads.get(native, 0.0)) for native, spent in after.items()
    ]
    report.line(f"seconds of a core, in {elapsed:.2f} s:")
    report.table(
        ["seconds", "share", "µs a message", "of"],
        [
            [f"{spent:.2f}", f"{spent / elapsed:.0%}", f"{1e6 * spent / messages:.0f}", name.ljust(24)]
            for name, spent in sorted(rows, key=lambda row: -row[1])
            if spent > 0.005
        ],
    )


def functions(profile: cProfile.Profile, *, count: int = 28, by: str = "tottime") -> str:
    """The functions that took most, as text."""
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats(by).print_stats(count)
    lines = text.getvalue().splitlines()
    return "\n".join(line for line in lines if line.strip())
