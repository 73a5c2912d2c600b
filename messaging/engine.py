"""The process's one event loop and its one connection pool to IO. They outlive the tasks that use them.

Calls run on the loop's thread and touch no database; whoever asked gets the answer through a callback, which only puts
it on a queue, and does the SQL on its own thread. Made at first use in each process, so that a forked child has its own.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from django.conf import settings

from io_client.client import IOClient

Answer = TypeVar("Answer")

# Calls under way at once in this process. Several times what one account may have (serving.IN_FLIGHT_PER_LANE), so
# that accounts to which IO answers slowly leave room for the others.
CONNECTIONS = 800


class EngineDead(Exception):
    """The loop's thread has ended: this process can call nobody any more."""


class Engine:
    """A loop in a daemon thread, and an IOClient that lives on it."""

    def __init__(self, *, base_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self.client = IOClient(
            base_url,
            connect_timeout=settings.IO_CONNECT_TIMEOUT,
            send_timeout=settings.IO_SEND_TIMEOUT,
            read_timeout=settings.IO_READ_TIMEOUT,
            trust_env=settings.IO_TRUST_PROXY_ENVIRONMENT,
            connections=CONNECTIONS,
        )
        # The loop itself holds its tasks only weakly.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._under_way = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="io-engine", daemon=True)
        self._thread.start()

    def start(self, call: Coroutine[Any, Any, Answer], *, then: Callable[[Answer | BaseException], None]) -> None:
        """Begin the call on the loop; `then` gets its answer (or what it raised, a fault of ours) on the loop's thread.

        Raises EngineDead when the loop's thread is gone; nothing was started then.
        """
        self.start_all([(call, then)])

    def start_all(self, calls: Sequence[tuple[Coroutine[Any, Any, Any], Callable[[Any], None]]]) -> None:
        """`start` for many, waking the loop once."""
        if not calls:
            return
        if not self._thread.is_alive():
            for call, _then in calls:
                call.close()
            raise EngineDead
        with self._counting:
            self._under_way += len(calls)

        def begin() -> None:
            for call, then in calls:
                task = self._loop.create_task(call)
                self._tasks.add(task)
                task.add_done_callback(partial(self._done, then))

        self._loop.call_soon_threadsafe(begin)

    def _done(self, then: Callable[[Any], None], task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        with self._counting:
            self._under_way -= 1
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        then(error if error is not None else task.result())

    def free(self) -> int:
        """How many calls may begin now without waiting for a connection: a marked message must never queue for one."""
        if not self._thread.is_alive():
            return 0
        with self._counting:
            return max(0, CONNECTIONS - self._under_way)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def ask(self, call: Coroutine[Any, Any, Answer], *, within: float | None = None) -> Answer:
        """Run one call and wait for it: for a person who pressed a button.

        Raises TimeoutError when it is not over within so many seconds; the call is ended then.
        """
        if within is None:
            return asyncio.run_coroutine_threadsafe(call, self._loop).result()
        asked = asyncio.run_coroutine_threadsafe(asyncio.wait_for(call, within), self._loop)
        try:
            # A second more than the loop's own limit, which a loop in trouble does not keep.
            return asked.result(timeout=within + 1)
        finally:
            asked.cancel()

    def close(self) -> None:
        """Close the connections and the loop. For tests: a process simply ends."""
        asyncio.run_coroutine_threadsafe(self.client.close(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()


# Set when the process is asked to end: what is under way is finished, and nothing new begins.
stopping = threading.Event()

_lock = threading.Lock()
_engines: dict[tuple[int, str], Engine] = {}


def engine() -> Engine:
    """This process's engine, for the IO of the settings."""
    name = (os.getpid(), settings.IO_API_BASE_URL)
    with _lock:
        if name not in _engines or not _engines[name].is_alive:
            _engines[name] = Engine(base_url=settings.IO_API_BASE_URL)
        return _engines[name]


def close_engines() -> None:
    """Close this process's connections, so that it ends without complaints of the loop."""
    with _lock:
        for name in [name for name in _engines if name[0] == os.getpid()]:
            _engines.pop(name).close()


atexit.register(close_engines)
