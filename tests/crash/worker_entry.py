"""A worker, or a beat, that does something terrible to itself at a checkpoint. Run as `python -m tests.crash.worker_entry`.

The product's own code runs, with the product's own settings; what differs is told by the environment:

    CRASH_RUN      loop: the three periodic tasks in turn, without a broker, for speed
                   worker, beat: what `manage.py worker` and `manage.py beat` turn into, to the letter
    CRASH_AT       a name of `messaging.checkpoints.NAMES`, or `in_transaction`: between the statement that moves messages
                   and its commit; empty for a process that behaves
    CRASH_PASSING  at which passing of that checkpoint, counted from 1
    CRASH_DO       kill: SIGKILL to itself · stop: SIGSTOP to itself · raise · sleep:SECONDS
                   cut: the database server ends every connection of this process
    CRASH_LANES    0: nobody waits for anybody's lane, so that only the mark stands between two workers
    CRASH_READY    a file that a worker makes when it listens for tasks
    CRASH_GROUP    how many messages are marked together; empty for as many as the product marks

Waiting times are shortened, in proportion, so that a lease ends within a test. The process ends when its standard input
closes: nothing outlives the tests. A line `clock SECONDS` there puts its wall clock so far off, at once and as often as
one likes; the monotonic clock goes on, as it does when somebody sets a machine's time.
"""

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import django
import psycopg
import time_machine

ALLOWANCE_SECONDS = 1.0
LEASE_MARGIN_SECONDS = 0.5
LANE_HELD_SECONDS = 2.0


class Broken(Exception):
    """What a fault of our own code would raise."""


def cut_connections() -> None:
    """As when somebody restarts PostgreSQL or a firewall forgets us: returns when the connections are gone."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, application_name="the hand that cuts") as own:
        own.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [os.environ["PGAPPNAME"]],
        )


def terrible_thing(what: str) -> None:
    """Signals go to this very thread, which then does not get one step further, and stop or end the whole process."""
    match what.split(":"):
        case ["kill"]:
            signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
        case ["stop"]:
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        case ["raise"]:
            raise Broken
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["cut"]:
            cut_connections()
        case _:
            raise ValueError(what)


def reached_in(at: str, *, passing: int, what: str) -> Callable[[str], None]:
    lock = threading.Lock()
    passed = 0

    def reached(name: str) -> None:
        nonlocal passed
        if name != at:
            return
        with lock:
            passed += 1
            is_now = passed == passing
        if is_now:
            terrible_thing(what)

    return reached


def replace_checkpoints() -> None:
    from django.db import transaction

    from messaging import checkpoints, moving

    checkpoints.reached = reached_in(
        os.environ["CRASH_AT"], passing=int(os.environ["CRASH_PASSING"]), what=os.environ["CRASH_DO"]
    )
    move_at_once = moving._at_once

    def move_and_reach_a_checkpoint(*args: Any, **kwargs: Any) -> list[int]:
        with transaction.atomic():
            moved = move_at_once(*args, **kwargs)
            if moved:
                checkpoints.reached("in_transaction")
        return moved

    if os.environ["CRASH_AT"] == "in_transaction":
        moving._at_once = move_and_reach_a_checkpoint


def shorten_waiting() -> None:
    from messaging import breaker, dispatching, lanes, marking, polling, recording, serving

    marking.SEND_ALLOWANCE_SECONDS = ALLOWANCE_SECONDS
    marking.LEASE_MARGIN_SECONDS = LEASE_MARGIN_SECONDS
    lanes.HELD_FOR_SECONDS = LANE_HELD_SECONDS if os.environ["CRASH_LANES"] == "1" else 0.0
    dispatching.KEEP_EVERY_SECONDS = LANE_HELD_SECONDS / 4 if os.environ["CRASH_LANES"] == "1" else 1e9
    if os.environ["CRASH_GROUP"]:
        for module in (serving, dispatching):
            vars(module)["GROUP"] = int(os.environ["CRASH_GROUP"])
        # Else all answers of a scenario may come together, and a checkpoint after them is passed only once.
        dispatching.ANSWERS_AT_ONCE = serving.CALLS_AT_ONCE = int(os.environ["CRASH_GROUP"])
    recording.FIRST_RETRY_SECONDS = 0.2
    recording.LONGEST_RETRY_SECONDS = 3.0
    polling.CLAIMED_FOR_SECONDS = 5.0
    breaker.FIRST_PROBE_AFTER = timedelta(seconds=0.2)
    breaker.LONGEST_WAIT = timedelta(seconds=2)


class WallClock:
    """What this process takes for the time of day."""

    def __init__(self) -> None:
        self._traveller: time_machine.Traveller | None = None
        self._off = 0.0

    def set_off(self, seconds: float) -> None:
        if self._traveller is None:
            # Never taken back: a process whose clock nobody touches does not even notice that it could be.
            self._traveller = time_machine.travel(time.time(), tick=True).start()
        self._traveller.shift(seconds - self._off)
        self._off = seconds


def listen_to_the_tests() -> None:
    """Do as they say, and end with them."""
    clock = WallClock()

    def listen() -> None:
        heard = b""
        # Not through sys.stdin, whose lock a thread may not hold when the interpreter ends.
        while more := os.read(0, 1024):
            *lines, heard = (heard + more).split(b"\n")
            for line in lines:
                clock.set_off(float(line.removeprefix(b"clock ")))
        os._exit(70)

    threading.Thread(target=listen, daemon=True).start()


def run_loop() -> None:
    from django.db import close_old_connections

    from messaging import tasks
    from messaging.engine import stopping

    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    while not stopping.is_set():
        for task in (tasks.dispatch, tasks.poll, tasks.sweep):
            # What Celery does around every task: a broken connection is not used twice, a fault ends the task alone.
            close_old_connections()
            task.apply(throw=False)
        stopping.wait(0.05)


def run_command(name: str) -> None:
    """The command's last act is to become another program, which would forget what was replaced: it runs in here."""
    from celery.signals import worker_ready
    from django.core.management import call_command

    def tell(**_: object) -> None:
        Path(os.environ["CRASH_READY"]).touch()

    worker_ready.connect(tell, weak=False)

    def run_here(_program: str, words: list[str]) -> NoReturn:
        assert words[:2] == [sys.executable, "-m"]
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        sys.exit()

    os.execv = run_here  # type: ignore[assignment]  # the commands call it with a list of words
    call_command(name)


def main() -> None:
    listen_to_the_tests()
    django.setup()
    shorten_waiting()
    if os.environ["CRASH_AT"]:
        replace_checkpoints()
    match os.environ["CRASH_RUN"]:
        case "loop":
            run_loop()
        case command:
            run_command(command)


if __name__ == "__main__":
    main()
