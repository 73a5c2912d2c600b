"""How a message leaves: take lanes, take tokens, choose rows, ask for the profile, mark, send, record.

One call of `dispatch` is a *slice*: up to 64 lanes served for at most ten seconds, then the worker is free again. This
thread does the SQL; the calls to IO run on the engine's loop and come back through a queue.

What makes it safe (docs/architecture.md): a request leaves only for a row that this attempt marked `sending`, committed
before; the mark is a conditional UPDATE; past its allowance the request is withheld; an answer is recorded only on the
row that still belongs to the attempt. Everything else here only avoids waste.
"""

import logging
import math
import queue
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import DataError, IntegrityError, NotSupportedError, ProgrammingError, connection
from django.db import Error as DatabaseFailed
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from io_client.outcomes import (
    OutcomeUnknown,
    ProfileOutcome,
    Refused,
    SendOutcome,
    Throttled,
    Unavailable,
    Withheld,
)
from messaging import lanes
from messaging.breaker import Breaker, Position
from messaging.checkpoints import checkpoint
from messaging.database_clock import now_plus
from messaging.engine import Engine, engine, stopping
from messaging.marking import Departure, mark
from messaging.models import EventKind, IOService, Message, SuspensionReason
from messaging.moving import move
from messaging.pacing import Pacer, pacer
from messaging.querysets import PROFILE_GOOD_FOR
from messaging.recording import ProfileAnswer, SendAnswer, record_profiles, record_sends
from messaging.states import Delivery
from messaging.suspending import digest_of_key, suspend
from messaging.waking import nudge
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

LANES_PER_SLICE = 64
SLICE_SECONDS = 10.0
# A group is marked and sent together; small enough that a crash leaves little doubt.
GROUP = 100
IN_FLIGHT_PER_LANE = 100
# How long the thread waits for answers before it looks at the lanes again.
LOOK_EVERY_SECONDS = 0.05
# A lane that had nothing due is asked again this soon, as long as other work keeps the slice alive.
LOOK_AGAIN_SECONDS = 0.25
KEEP_EVERY_SECONDS = 4.0
# Answers are recorded from memory for this long while the database is away; then the sweep shows the doubt.
RECORD_FOR_SECONDS = 600.0
# Faults of one row or of ours: trying again would not help. Any other means that the database is away.
FAULT_OF_A_ROW = (DataError, IntegrityError, ProgrammingError, NotSupportedError)
# Past any call's own timeouts: one that has not come back by then never will.
LONGEST_CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way: for which IO service, since when (monotonic)."""

    io_service: int
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Lane:
    """One IO account while this slice serves it."""

    io_account: int
    rate: float
    breaker: Breaker
    now: Callable[[], datetime]
    tokens: int = 0
    # message id -> every call under way.
    in_flight: dict[int, Call] = field(default_factory=dict)
    look_at: float = 0.0
    polls_looked_at: float = 0.0
    polls_wait: bool = False
    is_out_of_tokens: bool = False
    is_served: bool = True

    def may_send(self) -> bool:
        """Asked on the loop's thread in the last instant before a request leaves."""
        return self.is_served and self.breaker.position is not Position.OPEN

    def is_shut(self) -> bool:
        """The breaker is open and it is not yet time to probe."""
        return self.breaker.position is Position.OPEN and not self.breaker.may_probe(self.now())

    def room(self) -> int:
        """How many calls may start now, as far as the breaker and the size of a group say."""
        match self.breaker.position:
            case Position.CLOSED:
                return min(GROUP, IN_FLIGHT_PER_LANE - len(self.in_flight))
            case Position.HALF_OPEN:
                return 0 if self.in_flight else 1
            case Position.OPEN:
                return 1 if not self.in_flight and self.breaker.may_probe(self.now()) else 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A due row, as far as choosing needs to know it."""

    message: int
    taxcode: str
    io_service: int
    is_probing: bool
    is_allowed: bool
    # Allowed, but the answer about the recipient is too old to send on.
    is_stale: bool

    @property
    def is_ready(self) -> bool:
        return self.is_allowed and not self.is_stale


def _tells_of_io(outcome: ProfileOutcome | SendOutcome) -> bool:
    """Whether IO itself answered; what was decided here (withheld, refused before calling) says nothing about it."""
    return not isinstance(outcome, Withheld) and not (isinstance(outcome, Refused) and outcome.status == 0)


def _is_definite(outcome: ProfileOutcome | SendOutcome) -> bool:
    return not isinstance(outcome, Unavailable | OutcomeUnknown)


def dispatch() -> int:
    """Serve free lanes for one slice; returns how many there were. Harmless when doubled, late or killed."""
    holder = uuid.uuid4()
    taken = lanes.take_lanes(holder=holder, limit=LANES_PER_SLICE)
    if not taken:
        return 0
    checkpoint("lane_taken")
    Slice(taken, holder=holder, motor=engine(), pace=pacer()).run()
    return len(taken)


class Slice:
    """Lanes held by one task, and the calls under way for them."""

    def __init__(self, taken: list[lanes.TakenLane], *, holder: uuid.UUID, motor: Engine, pace: Pacer) -> None:
        self._holder = holder
        self._motor = motor
        self._pace = pace
        self._lanes = {
            lane.io_account: Lane(lane.io_account, rate=lane.rate, breaker=lane.breaker, now=lane.clock.now)
            for lane in taken
        }
        self._answers: queue.SimpleQueue[tuple[Lane, ProfileAnswer | SendAnswer]] = queue.SimpleQueue()
        self._kept_at = time.monotonic()
        # Lanes already given up whose calls are still under way.
        self._draining: list[Lane] = []
        self._trouble: Exception | None = None

    def run(self) -> None:
        """Raises what went wrong, if anything did, after every call under way was recorded."""
        until = time.monotonic() + SLICE_SECONDS
        while self._lanes or self._draining:
            starting = self._trouble is None and time.monotonic() < until and not stopping.is_set()
            if starting:
                self._attempt(self._start_all)
            self._collect()
            self._attempt(partial(self._leave, all_of_them=not starting))
            self._attempt(self._keep)
            self._draining = [lane for lane in self._draining if self._has_calls(lane)]
        if self._trouble is not None:
            raise self._trouble

    def _has_calls(self, lane: Lane) -> bool:
        """Whether calls of this lane are under way; one older than any call can get is left to the sweep."""
        oldest = time.monotonic() - LONGEST_CALL_SECONDS
        for message in [message for message, call in lane.in_flight.items() if call.since < oldest]:
            log.error("message %s: its call never came back", message)
            del lane.in_flight[message]
        return bool(lane.in_flight)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Whatever fails must not make us forget the calls under way: start nothing more, go on, raise it at the end."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  (raised again by `run`, once every answer is recorded)
            log.warning("dispatching was disturbed: %s", type(error).__name__)
            self._trouble = error
            if isinstance(error, DatabaseFailed):
                connection.close()

    # --- starting ----------------------------------------------------------------------------------------------

    def _start_all(self) -> None:
        for lane in self._lanes.values():
            if lane.is_served and time.monotonic() >= lane.look_at:
                self._start(lane)

    def _start(self, lane: Lane) -> None:
        # No more than can really begin: a marked message that queued for a connection would outlive its allowance.
        room = min(lane.room(), self._motor.free())
        if room <= 0:
            return
        wanted = min(room, math.ceil(lane.rate)) - lane.tokens
        if wanted > 0:
            lane.tokens += self._pace.take(
                lane.io_account, want=wanted, rate=lane.rate, polls_wait=self._polls_wait(lane)
            )
        if lane.tokens <= 0:
            lane.look_at = time.monotonic() + min(LOOK_AGAIN_SECONDS, 1 / lane.rate)
            lane.is_out_of_tokens = True
            return
        lane.is_out_of_tokens = False
        rows = self._choose(lane, limit=min(room, lane.tokens))
        if not rows:
            self._pace.give_back(lane.io_account, count=lane.tokens)
            lane.tokens = 0
            lane.look_at = time.monotonic() + LOOK_AGAIN_SECONDS
            return
        checkpoint("rows_chosen")
        services = self._usable(rows)
        rows = [row for row in rows if row.io_service in services]
        only_probe = lane.breaker.position is Position.OPEN
        to_ask = [row for row in rows if only_probe or not row.is_ready]
        to_send = [row for row in rows if row.is_ready and not only_probe]
        move(
            # A probe asks again about one that was allowed, and its answer must count.
            [row.message for row in to_ask if row.is_allowed],
            to=Delivery.SCHEDULED,
            kind=EventKind.PROFILE_STALE,
            sources=[Delivery.RECIPIENT_ALLOWED],
            at=datetime.now(UTC),
            skip_locked=True,
        )
        for row in to_ask:
            self._ask(lane, row, key=services[row.io_service])
        if to_send:
            self._send(lane, [row.message for row in to_send])

    def _polls_wait(self, lane: Lane) -> bool:
        """Polls take what sending leaves, and at least a tenth: looked up once a second."""
        now = time.monotonic()
        if now >= lane.polls_looked_at + 1:
            lane.polls_looked_at = now
            lane.polls_wait = Message.objects.to_poll(io_account=lane.io_account, at=Now()).exists()
        return lane.polls_wait

    def _choose(self, lane: Lane, *, limit: int) -> list[Chosen]:
        """The next rows to leave, at most one at a time for an IO service that was just resumed."""
        busy = {call.io_service for call in lane.in_flight.values()}
        rows: Iterable[tuple[Any, ...]] = (
            Message.objects.claimable(io_account=lane.io_account, at=Now())
            .exclude(pk__in=list(lane.in_flight))
            # Left out here and not only below: a long queue of a service on trial must not hide the account's others.
            .exclude(service_instance__io_service__is_probing=True, service_instance__io_service__in=busy)
            .annotate(
                is_allowed=Q(delivery_state=Delivery.RECIPIENT_ALLOWED),
                is_stale=Q(
                    delivery_state=Delivery.RECIPIENT_ALLOWED,
                    profile_checked_at__lt=now_plus(-PROFILE_GOOD_FOR.total_seconds()),
                ),
            )
            .values_list(
                "pk",
                "taxcode",
                "service_instance__io_service",
                "service_instance__io_service__is_probing",
                "is_allowed",
                "is_stale",
            )[:limit]
        )
        chosen: list[Chosen] = []
        for values in rows:
            row = Chosen(*values)
            if row.is_probing and row.io_service in busy:
                continue
            busy.add(row.io_service)
            chosen.append(row)
        return chosen

    def _usable(self, rows: list[Chosen]) -> dict[int, str]:
        """IO service -> key. One whose key is missing or cannot be opened is suspended instead, saying so."""
        keys: dict[int, str] = {}
        for service in IOService.objects.filter(pk__in={row.io_service for row in rows}):
            try:
                key = service.key.open()
            except SealBroken as broken:
                log.error("IO service %s: %s", service.pk, broken)
                key, detail = "", gettext_noop("La chiave salvata non si può più aprire: inseriscila di nuovo.")
            else:
                detail = gettext_noop("Nessuna chiave inserita.")
            if key:
                keys[service.pk] = key
            else:
                suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail=detail, at=datetime.now(UTC))
        return keys

    def _ask(self, lane: Lane, row: Chosen, *, key: str) -> None:
        lane.tokens -= 1
        lane.in_flight[row.message] = Call(row.io_service)
        digest, asked_at = digest_of_key(key), time.monotonic()

        def answered(outcome: ProfileOutcome | BaseException) -> None:
            if isinstance(outcome, BaseException):
                log.error("a profile call failed inside us: %s", type(outcome).__name__)
                outcome = Unavailable("internal")
            self._answers.put((lane, ProfileAnswer(row.message, row.io_service, outcome, digest, asked_at)))

        self._motor.start(self._motor.client.profile(row.taxcode, key=key), then=answered)

    def _send(self, lane: Lane, ids: list[int]) -> None:
        for departure in mark(ids, withheld=self._withheld(lane)):
            lane.tokens -= 1
            lane.in_flight[departure.message] = Call(departure.io_service)
            self._motor.start(self._depart(lane, departure), then=self._arrived(lane, departure))

    def _withheld(self, lane: Lane) -> Callable[[list[int], uuid.UUID], None]:
        """For a mark whose commit nobody confirmed: no request left, so say so as soon as the database is back."""

        def put(ids: list[int], attempt_id: uuid.UUID) -> None:
            for pk in ids:
                lane.in_flight[pk] = Call(0)
                self._answers.put((lane, SendAnswer(pk, 0, attempt_id, Withheld(), datetime.now(UTC))))

        return put

    async def _depart(self, lane: Lane, departure: Departure) -> SendOutcome:
        checkpoint("before_request")
        outcome = await self._motor.client.send(
            departure.letter, key=departure.key, may_leave=lambda: departure.is_allowed() and lane.may_send()
        )
        checkpoint("send_answered")
        return outcome

    def _arrived(self, lane: Lane, departure: Departure) -> Callable[[SendOutcome | BaseException], None]:
        def answered(outcome: SendOutcome | BaseException) -> None:
            if isinstance(outcome, BaseException):
                # A fault of ours says nothing about what IO has: that is what doubt is for.
                log.error("message %s: sending failed inside us: %s", departure.message, type(outcome).__name__)
                outcome = OutcomeUnknown("internal")
            self._answers.put(
                (
                    lane,
                    SendAnswer(
                        departure.message,
                        departure.io_service,
                        departure.attempt_id,
                        outcome,
                        datetime.now(UTC),
                        digest_of_key(departure.key),
                    ),
                )
            )

        return answered

    # --- collecting --------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Wait a moment for answers, then record all that came."""
        batch: list[tuple[Lane, ProfileAnswer | SendAnswer]] = []
        try:
            batch.append(self._answers.get(timeout=LOOK_EVERY_SECONDS))
            while len(batch) < 2 * GROUP:
                batch.append(self._answers.get_nowait())
        except queue.Empty:
            pass
        if not batch:
            return
        profiles = [answer for _, answer in batch if isinstance(answer, ProfileAnswer)]
        sends = [answer for _, answer in batch if isinstance(answer, SendAnswer)]
        if profiles:
            checkpoint("profile_answered")
        if sends:
            checkpoint("before_record")
        self._record(profiles, sends)
        if profiles:
            checkpoint("profile_recorded")
        if sends:
            checkpoint("recorded")
        for lane, answer in batch:
            lane.in_flight.pop(answer.message, None)
            lane.look_at = 0.0
        for lane in {id(lane): lane for lane, _ in batch}.values():
            self._attempt(partial(self._learn, lane, [answer for each, answer in batch if each is lane]))

    def _record(self, profiles: list[ProfileAnswer], sends: list[SendAnswer]) -> None:
        """Keep trying while the database is away: these answers exist nowhere else."""
        patience = time.monotonic() + RECORD_FOR_SECONDS
        pause = 0.1
        while True:
            try:
                if profiles:
                    record_profiles(profiles, at=datetime.now(UTC))
                    profiles = []
                if sends:
                    record_sends(sends, at=datetime.now(UTC))
                return
            except Exception as error:  # noqa: BLE001  (an answer of IO must not be lost by a fault of ours either)
                connection.close()
                if isinstance(error, FAULT_OF_A_ROW) or not isinstance(error, DatabaseFailed):
                    # Something is wrong with one of them, not with the database: the others must not suffer.
                    log.error("%s while recording: trying one by one", type(error).__name__)
                    self._record_singly(profiles, sends)
                    return
                if time.monotonic() > patience:
                    log.error("%d answers of IO could not be recorded: the sweep will show them in doubt", len(sends))
                    self._trouble = error
                    return
                log.warning("the database failed while recording (%s): trying again", type(error).__name__)
                time.sleep(pause)
                pause = min(pause * 2, 2.0)

    def _record_singly(self, profiles: list[ProfileAnswer], sends: list[SendAnswer]) -> None:
        for profile in profiles:
            self._record_one(profile.message, partial(record_profiles, [profile], at=datetime.now(UTC)))
        for send in sends:
            self._record_one(send.message, partial(record_sends, [send], at=datetime.now(UTC)))

    def _record_one(self, message: int, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  (the sweep shows this one in doubt; the others are recorded)
            log.error("message %s: its answer could not be recorded: %s", message, type(error).__name__)
            connection.close()

    def _learn(self, lane: Lane, answers: list[ProfileAnswer | SendAnswer]) -> None:
        """What the answers say about the account: its breaker, its pause."""
        throttled = [answer.outcome.after for answer in answers if isinstance(answer.outcome, Throttled)]
        if throttled:
            self._give_up(lane)
            lanes.pause(lane.io_account, seconds=max((after for after in throttled if after is not None), default=None))
        if lane.breaker == Breaker() and all(_is_definite(answer.outcome) for answer in answers):
            return  # IO is well and was well: nothing to write, which is nearly always.

        def fold(breaker: Breaker, now: datetime) -> Breaker:
            for answer in answers:
                was_send = isinstance(answer, SendAnswer)
                if not _is_definite(answer.outcome):
                    breaker = breaker.failed(now, was_send=was_send)
                elif _tells_of_io(answer.outcome):
                    breaker = breaker.answered(was_send=was_send)
            return breaker

        lane.breaker = lanes.learn(lane.io_account, fold=fold)

    # --- lanes -------------------------------------------------------------------------------------------------

    def _give_up(self, lane: Lane) -> None:
        """Start nothing more here, and let nothing leave that has not left yet."""
        lane.is_served = False

    def _leave(self, *, all_of_them: bool) -> None:
        """Give up lanes that have nothing more to do in this slice; at its end all, whatever is still under way.

        What is under way needs no lane: its answers are recorded by attempt, and another slice may begin meanwhile.
        """
        now = time.monotonic()
        done = [
            lane
            for lane in self._lanes.values()
            if all_of_them
            or (
                not lane.in_flight
                and (not lane.is_served or (lane.look_at > now and not lane.is_out_of_tokens) or lane.is_shut())
            )
        ]
        # Forgotten first: should the database or Redis be away, the lanes run out by themselves, and this slice ends.
        for lane in done:
            del self._lanes[lane.io_account]
            if lane.in_flight:
                self._draining.append(lane)
        for lane in done:
            self._pace.give_back(lane.io_account, count=lane.tokens)
            lane.tokens = 0
        if done:
            lanes.leave_lanes([lane.io_account for lane in done], holder=self._holder)
            if all_of_them and self._trouble is None and not stopping.is_set():
                # What is left must not wait for the tick.
                nudge()

    def _keep(self) -> None:
        """Hold the lanes on; one that another worker took meanwhile (we were paused) is given up."""
        if not self._lanes or time.monotonic() - self._kept_at < KEEP_EVERY_SECONDS:
            return
        self._kept_at = time.monotonic()
        ours = lanes.keep_lanes(list(self._lanes), holder=self._holder)
        for lane in self._lanes.values():
            if lane.io_account not in ours:
                self._give_up(lane)
