"""Telling the workers at once that something is due. Best effort: the tick of every second finds it anyway."""

import logging
import os
import threading
import time

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

# One wake-up serves all that is due, so a burst of requests needs few.
_AT_MOST_EVERY_SECONDS = 0.1
# After a broker that did not answer.
_LEAVE_ALONE_SECONDS = 5.0
# As the tick's own: far longer than any clock of ours is wrong (govio_portal.schedule).
_EXPIRES_SECONDS = 600


class _Nudger:
    """A thread that talks to the broker, so that no request ever waits for it."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="nudge", daemon=True).start()

    def want(self) -> None:
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                current_app.send_task("messaging.dispatch", expires=_EXPIRES_SECONDS, retry=False, ignore_result=True)
                time.sleep(_AT_MOST_EVERY_SECONDS)
            except (OperationalError, OSError) as error:
                log.warning("nobody could be told that something is due: %s", type(error).__name__)
                time.sleep(_LEAVE_ALONE_SECONDS)


_lock = threading.Lock()
_nudgers: dict[int, _Nudger] = {}


def nudge_on_commit() -> None:
    """After the transaction under way, ask for a dispatch. Never fails and never waits."""
    transaction.on_commit(nudge)


def nudge() -> None:
    """Ask for a dispatch now. One thread in each process, made at first use, so that a forked child has its own."""
    with _lock:
        if os.getpid() not in _nudgers:
            _nudgers[os.getpid()] = _Nudger()
        _nudgers[os.getpid()].want()
