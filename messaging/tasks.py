"""Wake-ups. What there is to do is in the database: a task lost, late or doubled changes nothing."""

import threading
from datetime import UTC, datetime

from celery import shared_task
from celery.signals import worker_process_shutdown, worker_shutdown, worker_shutting_down
from django.conf import settings

from messaging import dispatching, draining, polling, resending, sweeping, tallies
from messaging.engine import stopping

# Dispatching and polling hold a thread for seconds: together they may never fill the pool, or nothing would sweep.
_dispatch_places = threading.BoundedSemaphore(max(1, settings.WORKER_THREADS // 2))
_poll_places = threading.BoundedSemaphore(max(1, settings.WORKER_THREADS // 4))
_sweep_place = threading.BoundedSemaphore(1)


@shared_task(name="messaging.dispatch")
def dispatch() -> None:
    """Serve free lanes for a slice, unless as many as may are served by this process already."""
    if not _dispatch_places.acquire(blocking=False):
        return
    try:
        dispatching.dispatch()
        tallies.note_tick("dispatch")
    finally:
        _dispatch_places.release()
        tallies.flush_now_and_then()


@shared_task(name="messaging.poll")
def poll() -> None:
    """Ask IO about messages that are due for it."""
    if not _poll_places.acquire(blocking=False):
        return
    try:
        polling.poll()
        tallies.note_tick("poll")
    finally:
        _poll_places.release()
        tallies.flush_now_and_then()


@shared_task(name="messaging.sweep")
def sweep() -> None:
    """Turn lost requests into doubts, end what waited past its due date, and send again what a rule says so of."""
    if not _sweep_place.acquire(blocking=False):
        return
    try:
        sweeping.sweep(at=datetime.now(UTC))
        sweeping.expire(at=datetime.now(UTC))
        resending.resend_by_rule(at=datetime.now(UTC))
        tallies.note_tick("sweep")
    finally:
        _sweep_place.release()
        tallies.flush_now_and_then()


@worker_shutting_down.connect
def _stop_starting(**kwargs: object) -> None:
    # Runs while tasks are still at work: they finish what is under way and start no new group.
    stopping.set()


@worker_shutdown.connect
@worker_process_shutdown.connect
def _finish(**kwargs: object) -> None:
    """The last thing a worker does, and each child of a forking one: no answer under way and no count is left behind."""
    draining.finish()
    tallies.flush()
