"""Waiting for slow answers beside the tasks, so that the next slice may begin.

A slice that is over may have calls under way to an IO that takes fifteen seconds to answer. A thread of its own records
them; a process that is asked to end keeps its task until they are recorded, and waits for such threads before it goes.
"""

import threading
from collections.abc import Callable

from django.db import connections

from messaging.engine import stopping

# Slices last ten seconds and answers at most twenty or so: more of them than this is a database that is away.
MOST_THREADS = 8

_lock = threading.Lock()
_threads: set[threading.Thread] = set()


def hand_over(drain: Callable[[], None]) -> bool:
    """Run `drain` in a thread of its own. False where the caller must do it: the process is ending, or too many wait."""

    def run() -> None:
        try:
            drain()
        finally:
            connections.close_all()
            with _lock:
                _threads.discard(threading.current_thread())

    with _lock:
        if stopping.is_set() or len(_threads) >= MOST_THREADS:
            return False
        thread = threading.Thread(target=run, name="drain", daemon=False)
        try:
            thread.start()
        except RuntimeError:
            return False  # No more threads on this machine: the task waits itself.
        _threads.add(thread)
    return True


def finish() -> None:
    """Wait until every answer under way is recorded: before the process ends, and in tests."""
    while True:
        with _lock:
            waiting = list(_threads)
        if not waiting:
            return
        for thread in waiting:
            thread.join()
