"""One round: messages leave over several IO accounts while everything around them is disturbed; then a verdict."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

from django.db import DatabaseError, connection, transaction
from django.db.models import Count

from messaging.models import Message, MessageContent, ServiceInstance
from messaging.states import FOLLOWED, WAITING, Delivery
from registry.models import User
from tests import factories
from tests.crash import waiting
from tests.crash.chaos.crew import Crew
from tests.crash.chaos.disturbances import Disturber
from tests.crash.chaos.ledger import UNLIMITED, Ledger
from tests.crash.chaos.plan import EVERYTHING, SEND_TIMEOUT_SECONDS, Step, plan
from tests.crash.chaos.verdict import Verdict, judge
from tests.crash.chaos.weather import Weather
from tests.crash.processes import Process
from tests.crash.stage import Stage
from tests.support import services

# Calls a second: two accounts that leave all to us, and two that do not.
RATES = (UNLIMITED, UNLIMITED, 45.0, 15.0)
# Profile, send, and a poll or two.
CALLS_PER_MESSAGE = 3.5
# About what a step takes; the limited accounts get messages for as long as the disturbances last.
SECONDS_PER_STEP = 6.0
TICK_SECONDS = 0.05
LOOK_EVERY_SECONDS = 0.25
# Nothing changes for so long while everything is well: it never will.
PATIENCE_SECONDS = 60.0
# How long a wave is given to begin to leave before it is disturbed all the same.
WAVE_BEGINS_WITHIN_SECONDS = 4.0
POLLS = ",".join(str(seconds) for seconds in (0.5, 2, *range(5, 900, 5)))
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Report:
    seed: int
    messages: int
    seconds: float
    done: Counter[str]
    verdict: Verdict
    excused: int
    most_at_once: int
    ended_by_themselves: list[str]
    # Promises broken that are not of one message: a budget, a grace.
    violations: list[str]

    @property
    def is_good(self) -> bool:
        return not self.violations and not self.verdict.broken

    def count(self, *words: str) -> int:
        return sum(count for promise, count in self.verdict.broken.items() if promise.startswith(words))

    def line(self) -> str:
        verdict = self.verdict
        parts = [
            f"{'ok    ' if self.is_good else 'BROKEN'} seed {self.seed}: {self.messages} messages, {self.seconds:.0f} s",
            f"{sum(self.done.values())} disturbances",
            f"{self.count('lost')} lost, {self.count('doubled')} doubled, {self.count('lying')} lying",
            f"{verdict.doubts} in doubt ({verdict.withheld} that IO left unanswered, {self.excused} might be)",
            f"{verdict.ever_in_doubt} ever in doubt, at most {self.most_at_once} on their way at a blow",
        ]
        if self.ended_by_themselves:
            parts.append(f"{len(self.ended_by_themselves)} processes ended by themselves")
        return "; ".join(parts)

    def complaints(self) -> list[str]:
        counts = [f"{count} messages: {promise}" for promise, count in sorted(self.verdict.broken.items())]
        return [*self.violations, *counts, *self.verdict.examples]


@dataclass
class _Running:
    course: Iterator[float]
    due: float = 0.0
    is_done: bool = False


@dataclass
class Round:
    """`messages` in all; the plan is the seed's. Plays itself in one thread, a step of a disturbance at a time."""

    stage: Stage
    redis: services.Redis
    seed: int
    messages: int
    deck: Sequence[str] = EVERYTHING
    outage_seconds: float = 40.0
    beats: int = 2
    _posted: set[int] = field(default_factory=set)
    _running: list[_Running] = field(default_factory=list)
    _number: Iterator[int] = field(default_factory=itertools.count)
    _done: Counter[str] = field(default_factory=Counter)

    def play(self) -> Report:
        """Raises AssertionError where the round itself cannot go on; a broken promise is in the report."""
        since = time.monotonic()
        steps = plan(self.seed, deck=self.deck, outage_seconds=self.outage_seconds)
        self._sender = factories.user()
        instances = [
            factories.service_instance(
                io_service=factories.io_service(io_account=factories.io_account(calls_per_second=rate))
            )
            for rate in RATES
        ]
        accounts = {instance.io_service.io_account_id: instance for instance in instances}
        self._ledger = Ledger(self.stage.database_url, dict(zip(accounts, RATES, strict=True)))
        self._weather = Weather(self.stage.io, seed=self.seed)
        self._crew = Crew(self._start, beats=self.beats)
        self._disturber = Disturber(self.stage, self._crew, self._ledger, self._weather, self.redis, Random(self.seed))
        self._run(self._script(steps, instances))
        self._wait_until_calm()
        verdict = judge(
            posted=self._posted,
            taken=[taken.fiscal_code for taken in self.stage.io.accepted],
            withheld=self._weather.withheld(),
            ledger=self._ledger,
        )
        return Report(
            seed=self.seed,
            messages=len(self._posted),
            seconds=time.monotonic() - since,
            done=self._done,
            verdict=verdict,
            excused=len(self._ledger.excused),
            most_at_once=self._ledger.most_at_once,
            ended_by_themselves=self._crew.ended_by_themselves,
            violations=[*self._ledger.breaches, *self._disturber.violations],
        )

    def _start(self, run: str) -> Process:
        more = {"IO_SEND_TIMEOUT": str(SEND_TIMEOUT_SECONDS), "IO_FIRST_POLLS": POLLS}
        return self.stage.start(run, group=None, redis_url=self.redis.url, more=more)

    # --- the course of things ----------------------------------------------------------------------------------

    def _script(self, steps: Sequence[Step], instances: Sequence[ServiceInstance]) -> Iterator[float]:
        """A wave of messages for an account without limits, a moment, the disturbance; then the next."""
        yield from self._disturber.until_at_work(self._crew.workers)
        free = [instance for instance, rate in zip(instances, RATES, strict=True) if rate >= UNLIMITED]
        left = self.messages
        for instance, rate in zip(instances, RATES, strict=True):
            if instance not in free:
                count = min(self.messages // 8, int(len(steps) * SECONDS_PER_STEP * rate / CALLS_PER_MESSAGE))
                yield from self._post(instance, count)
                left -= count
        for number, step in enumerate(steps):
            instance = free[number % len(free)]
            wave = left // (len(steps) - number)
            left -= wave
            if step.is_alone:
                # Its load comes in the middle of it, once for each worker.
                share, rest = divmod(wave, len(self._crew.workers))
                yield from self._post(instance, rest)
                self._disturber.load = partial(self._load, instance, share)
            else:
                yield from self._load(instance, wave)
            yield step.pause
            together = [self._begin(self._disturber.begin(each)) for each in step.disturbances]
            self._done.update(each.kind for each in step.disturbances)
            while not all(each.is_done for each in together):
                yield TICK_SECONDS

    def _load(self, instance: ServiceInstance, count: int) -> Iterator[float]:
        yield from self._post(instance, count)
        until = time.monotonic() + WAVE_BEGINS_WITHIN_SECONDS
        leaving = Message.objects.filter(service_instance=instance, delivery_state=Delivery.SENDING)
        while time.monotonic() < until:
            try:
                if leaving.exists():
                    return
            except DatabaseError:
                connection.close()
            yield TICK_SECONDS

    def _begin(self, course: Iterator[float]) -> _Running:
        running = _Running(course)
        self._advance(running)
        self._running.append(running)
        return running

    @staticmethod
    def _advance(running: _Running) -> None:
        try:
            running.due = time.monotonic() + next(running.course)
        except StopIteration:
            running.is_done = True

    def _run(self, script: Iterator[float]) -> None:
        self._begin(script)
        while self._running:
            self._crew.look()
            for running in [each for each in self._running if each.due <= time.monotonic()]:
                self._advance(running)
            self._running = [each for each in self._running if not each.is_done]
            assert not waiting.is_over.wait(TICK_SECONDS / 2), "interrupted"

    def _wait_until_calm(self) -> None:
        """Everything is well again: wait until nothing is left to do, or nothing has changed for too long."""
        before, since = None, time.monotonic()
        unfinished = {*WAITING, Delivery.SENDING, *FOLLOWED}
        while time.monotonic() - since < PATIENCE_SECONDS:
            self._crew.look()
            assert not waiting.is_over.wait(LOOK_EVERY_SECONDS), "interrupted"
            try:
                states = Message.objects.order_by().values_list("delivery_state").annotate(Count("pk"))
                counts: dict[str, int] = dict(states)
            except DatabaseError:
                connection.close()
                continue
            if not unfinished & counts.keys():
                return
            if counts != before:
                before, since = counts, time.monotonic()

    # --- messages ----------------------------------------------------------------------------------------------

    def _post(self, instance: ServiceInstance, count: int) -> Iterator[float]:
        """Due at once, each to a person of its own."""
        while True:
            try:
                self._posted |= _post(instance, self._sender, [self._code() for _ in range(count)])
                return
            except DatabaseError:
                # Still recovering from the step before: as an integrator would, try again.
                connection.close()
                yield LOOK_EVERY_SECONDS

    def _code(self) -> str:
        high, low = divmod(next(self._number), 1000)
        letters = "".join(LETTERS[high // 26**place % 26] for place in range(5, -1, -1))
        return f"{letters}80A01H{low:03d}U"


def _post(instance: ServiceInstance, sender: User, codes: Sequence[str]) -> set[int]:
    at = datetime.now(UTC) - timedelta(minutes=1)
    with transaction.atomic():
        messages = Message.objects.bulk_create(
            Message(
                service_instance=instance,
                io_account_id=instance.io_service.io_account_id,
                sender=sender,
                taxcode=code,
                delivery_state=Delivery.SCHEDULED,
                created_at=at,
                updated_at=at,
                scheduled_at=at,
                not_before=at,
            )
            for code in codes
        )
        MessageContent.objects.bulk_create(
            MessageContent(
                message=message,
                version=instance.template.current_version,
                subject=factories.messages.SUBJECT,
                markdown=factories.messages.MARKDOWN,
            )
            for message in messages
        )
    return {message.pk for message in messages}
