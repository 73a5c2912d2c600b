"""The disturbances themselves. Each begins at once and yields the seconds it wants to wait before it goes on."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import psycopg
import redis

from tests.crash.chaos.crew import Crew, Post
from tests.crash.chaos.ledger import Ledger
from tests.crash.chaos.plan import CLOCK_OFF_SECONDS, SEND_TIMEOUT_SECONDS, Disturbance
from tests.crash.chaos.weather import FAULTS, Weather
from tests.crash.processes import Process
from tests.crash.small_disk import MEGABYTES
from tests.crash.stage import Stage
from tests.support import services

# What a supervisor gives a process that it asked to end.
GRACE_SECONDS = 45.0
# Celery and Django start in a second or two; here several do at once.
AT_WORK_WITHIN_SECONDS = 60.0
# IO answers at once; asleep for less, nobody can think that it did not answer in time.
ANSWERS_FORGOTTEN_AFTER_SECONDS = SEND_TIMEOUT_SECONDS - 1
LOOK_EVERY_SECONDS = 0.2
CUT_EVERY_SECONDS = 0.3


@dataclass
class Disturber:
    stage: Stage
    crew: Crew
    ledger: Ledger
    weather: Weather
    redis: services.Redis
    random: Random
    # Brings something to do, and waits until it is being done.
    load: Callable[[], Iterator[float]] = lambda: iter(())
    violations: list[str] = field(default_factory=list)

    def begin(self, what: Disturbance) -> Iterator[float]:
        match what.kind:
            case "kill":
                return self._kill([self.crew.worker(what.who)], what)
            case "kill_beat":
                return self._kill(self.crew.beats[:1], what)
            case "kill_all":
                return self._kill(self.crew.posts, what)
            case "sleep":
                return self._sleep(what)
            case "cut_database":
                return self._cut_database(what)
            case "cut_redis":
                return self._cut_redis(what)
            case "empty_redis":
                return self._empty_redis(what)
            case "clock":
                return self._clock(what)
            case "fill_disk":
                return self._fill_disk(what)
            case "io_away":
                return self._io_away(what)
            case "roll":
                return self._roll()
            case kind if kind in FAULTS:
                return self._bad_weather(what)
            case unknown:
                raise ValueError(unknown)

    def until_at_work(self, posts: Sequence[Post]) -> Iterator[float]:
        until = time.monotonic() + AT_WORK_WITHIN_SECONDS
        while late := [post.process.name for post in posts if not post.process.is_at_work]:
            if time.monotonic() > until:
                self.violations.append(f"{', '.join(late)}: not at work after {AT_WORK_WITHIN_SECONDS:.0f} s")
                return
            yield LOOK_EVERY_SECONDS

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self.stage.database_url, autocommit=True, connect_timeout=5)

    # --- our processes -----------------------------------------------------------------------------------------

    def _kill(self, posts: list[Post], what: Disturbance) -> Iterator[float]:
        posts = [post for post in posts if not post.is_vacant]
        for post in posts:
            post.kill()
        for post in posts:
            yield from self.ledger.excuse(str(what), dead=post.process)
        yield what.seconds
        for post in posts:
            post.fill()

    def _sleep(self, what: Disturbance) -> Iterator[float]:
        process = self.crew.worker(what.who).process
        process.stop()
        if what.seconds > ANSWERS_FORGOTTEN_AFTER_SECONDS:
            # Awake again, the process may find that it waited too long for answers that lie there, unread.
            yield from self.ledger.excuse(str(what), is_stopped=True)
        yield what.seconds
        process.resume()

    def _clock(self, what: Disturbance) -> Iterator[float]:
        process = self.crew.worker(what.who).process
        process.set_clock_off(what.sign * CLOCK_OFF_SECONDS)
        yield what.seconds
        process.set_clock_off(0)

    def _roll(self) -> Iterator[float]:
        self.weather.turn_slow()
        for post in self.crew.workers:
            old = post.replace()
            yield from self.until_at_work([post])
            yield from self.load()
            old.terminate()
            yield from self._wait_for_end(old)
        self.weather.turn_good()

    def _wait_for_end(self, process: Process) -> Iterator[float]:
        waited = 0.0
        while not process.has_ended and waited < GRACE_SECONDS:
            yield LOOK_EVERY_SECONDS
            waited += LOOK_EVERY_SECONDS
        if not process.has_ended:
            self.violations.append(f"{process.name} did not end within {GRACE_SECONDS:.0f} s of SIGTERM")
            process.kill()
        elif status := process.wait_for_end():
            self.violations.append(f"{process.name} ended with {status} after SIGTERM")

    # --- our servers -------------------------------------------------------------------------------------------

    def _cut_database(self, what: Disturbance) -> Iterator[float]:
        left = what.seconds
        while left > 0:
            with (
                # Away because of something else: then they are cut already.
                contextlib.suppress(psycopg.Error),
                self._connected() as own,
            ):
                own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)",
                    [self.crew.names(share=what.share, random=self.random)],
                )
            yield CUT_EVERY_SECONDS
            left -= CUT_EVERY_SECONDS

    def _cut_redis(self, what: Disturbance) -> Iterator[float]:
        left = what.seconds
        while left > 0:
            with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.redis.url) as own:
                mine = own.client_id()
                for client in own.client_list():
                    if int(client["id"]) != mine and self.random.random() < what.share:
                        own.client_kill_filter(_id=client["id"])
            yield CUT_EVERY_SECONDS
            left -= CUT_EVERY_SECONDS

    def _empty_redis(self, what: Disturbance) -> Iterator[float]:
        self.redis.stop()
        yield what.seconds
        self.redis.start()

    def _fill_disk(self, what: Disturbance) -> Iterator[float]:
        disk = self.stage.disk
        disk.fill()
        if disk.is_real and what.sign < 0:
            yield LOOK_EVERY_SECONDS
            self._use_up_the_log()
        yield what.seconds
        disk.free()

    def _use_up_the_log(self) -> None:
        """The server has some of its log laid out already: when that is used up as well, it cannot go on at all."""
        with contextlib.suppress(psycopg.Error), self._connected() as own:
            for _ in range(MEGABYTES):
                own.execute("SELECT pg_logical_emit_message(false, 'full', repeat('x', 1000000))")

    # --- IO ----------------------------------------------------------------------------------------------------

    def _io_away(self, what: Disturbance) -> Iterator[float]:
        self.stage.io.stop()
        yield from self.ledger.excuse(str(what))
        yield what.seconds
        self.stage.io.start()

    def _bad_weather(self, what: Disturbance) -> Iterator[float]:
        before = self.weather.withheld()
        chance = 1.0 if what.kind == "io_hangs" else what.share
        self.weather.turn_bad(what.kind, chance=chance)
        yield what.seconds
        self.weather.turn_good()
        if chance == 1:
            # As good as an outage: soon nothing may be handed over any more.
            yield from self.ledger.count_by_code(str(what), self.weather.withheld() - before)
