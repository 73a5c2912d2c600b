"""How a message leaves: take lanes, take tokens, choose rows, ask for the profile, mark, send, record.

One call of `dispatch` is a *slice*: up to 64 lanes served for at most ten seconds, then the worker is free again. This
thread does the SQL, in groups over all its lanes; the calls to IO run on the engine's loop and come back through a queue.

What makes it safe (docs/architecture.md): a request leaves only for a row that this attempt marked `sending`, committed
before; the mark is a conditional UPDATE; past its allowance the request is withheld; an answer is recorded only on the
row that still belongs to the attempt. Everything else here only avoids waste.
"""

import logging
import math
import queue
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial

from django.db import Error as DatabaseFailed
from django.db import connection

from io_client.outcomes import SendOutcome, Throttled
from messaging import claiming, draining, lanes, logs, tallies
from messaging.answers import Answer, ProfileAnswer, SendAnswer, folding, is_definite
from messaging.breaker import Breaker, Position
from messaging.calling import Answers, Call, Calls
from messaging.checkpoints import checkpoint
from messaging.claiming import Chosen, Turns
from messaging.engine import Engine, EngineDead, engine, stopping
from messaging.gathering import gather
from messaging.holders import new_holder
from messaging.keeping_answers import keep
from messaging.marking import mark
from messaging.models import EventKind, IOService, SuspensionReason
from messaging.moving import move
from messaging.pacing import Pacer, pacer
from messaging.sending_hours import ClosedNow
from messaging.serving import GROUP, ServedLane
from messaging.states import Delivery
from messaging.suspending import KEY_UNREADABLE, NO_KEY, digest_of_key, suspend
from messaging.waking import nudge
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

LANES_PER_SLICE = 64
SLICE_SECONDS = 10.0
# How long the thread waits for a first answer before it looks at the lanes again, and then for more to record with it:
# ten cost little more than one.
LOOK_EVERY_SECONDS = 0.05
SHORTEST_WAIT_SECONDS = 0.01
GATHER_SECONDS = 0.02
# While hundreds of calls are under way, the more at once the better.
GATHER_MANY_SECONDS = 0.05
ANSWERS_AT_ONCE = 200
# A lane that had nothing due is asked again this soon, as long as other work keeps the slice alive.
LOOK_AGAIN_SECONDS = 0.25
# A lane without tokens looks for the next this often: at a tenth of a second one part in two hundred of the rate is lost.
LOOK_FOR_TOKENS_SECONDS = 0.04
# Also how soon a lane is given up that another process asks for.
KEEP_EVERY_SECONDS = 1.0
# Whoever asked for lanes looks this often whether they are free.
LOOK_FOR_LANES_SECONDS = 0.1
# Connections that an account with calls under way does not take, however many it could use.
KEPT_FREE = 50

_turns = Turns()


def dispatch() -> int:
    """Serve free lanes for one slice; returns how many there were. Harmless when doubled, late or killed."""
    holder = new_holder()
    closed = ClosedNow()
    taken = lanes.take_lanes(holder=holder, limit=LANES_PER_SLICE, closed=closed())
    if not taken and lanes.ask_for_a_share(closed=closed()):
        taken = _share(holder, closed=closed())
    if not taken:
        return 0
    checkpoint("lane_taken")
    for lane in taken:
        logs.lane_taken(lane.io_account, rate=lane.rate)
    Slice(taken, holder=holder, motor=engine(), pace=pacer(), closed=closed).run()
    return len(taken)


def _share(holder: uuid.UUID, *, closed: frozenset[int]) -> list[lanes.TakenLane]:
    """What others gave up because we asked; none where they did not, or are no more."""
    until = time.monotonic() + lanes.WANTED_FOR_SECONDS
    while time.monotonic() < until and not stopping.is_set():
        time.sleep(LOOK_FOR_LANES_SECONDS)
        if taken := lanes.take_lanes(holder=holder, limit=LANES_PER_SLICE, closed=closed):
            # The others come within a moment, if several slices were asked.
            return taken
    return []


class Slice:
    """Lanes held by one task, and the calls under way for them."""

    def __init__(
        self,
        taken: Collection[lanes.TakenLane],
        *,
        holder: uuid.UUID,
        motor: Engine,
        pace: Pacer,
        closed: ClosedNow | None = None,
    ) -> None:
        self._holder = holder
        self._motor = motor
        self._pace = pace
        self._lanes = {lane.io_account: ServedLane.of(lane) for lane in taken}
        self._answers: Answers = queue.SimpleQueue()
        self._calls = Calls(motor, self._answers)
        self._kept_at = time.monotonic()
        self._closed = closed or ClosedNow()
        self._looks = 0
        # Lanes already given up whose calls are still under way.
        self._draining: list[ServedLane] = []
        self._trouble: Exception | None = None

    def run(self) -> None:
        """Raises what went wrong, if anything did, after every call under way was recorded."""
        until = time.monotonic() + SLICE_SECONDS
        while self._lanes:
            starting = self._trouble is None and time.monotonic() < until and not stopping.is_set()
            if starting:
                self._attempt(self._start)
            self._collect()
            self._attempt(partial(self._leave, all_of_them=not starting))
            self._attempt(self._keep)
        # Slow answers must not keep the place of the next slice, unless nobody would wait for them elsewhere.
        if self._has_calls() and (self._trouble is not None or not draining.hand_over(self.drain)):
            self.drain()
        if self._trouble is not None:
            raise self._trouble

    def drain(self) -> None:
        """Record what is still under way, until nothing is."""
        while self._has_calls():
            self._collect()

    def _has_calls(self) -> bool:
        for lane in self._draining:
            for message in lane.forget_lost_calls():
                log.error("message %s: its call never came back", message)
        self._attempt(partial(self._tell_late, self._draining))
        self._draining = [lane for lane in self._draining if lane.in_flight]
        return bool(self._draining)

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

    def _start(self) -> None:
        """Begin what may begin, on every lane at once: a hundred lanes cost as many statements as one."""
        rooms = self._rooms()
        if not rooms:
            return
        self._take_tokens(rooms)
        wanted = {
            account: self._lanes[account].wanted(room=room)
            for account, room in rooms.items()
            if self._lanes[account].tokens > 0
        }
        if not wanted:
            return
        streams = claiming.streams_due(list(wanted), closed=self._closed())
        rows = claiming.choose(streams, wanted=wanted, turns=_turns)
        self._rest(wanted.keys() - {row.io_account for row in rows})
        if not rows:
            return
        checkpoint("rows_chosen")
        keys = self._usable(rows)
        rows = [row for row in rows if row.io_service in keys]
        to_send: list[int] = []
        to_ask: list[Chosen] = []
        for account, own in _by_account(rows).items():
            lane = self._lanes[account]
            only_probes = lane.breaker.position is Position.OPEN
            to_ask += [row for row in own if only_probes or not row.is_ready]
            if not only_probes:
                to_send += [row.message for row in own if row.is_ready][: max(0, lane.room_to_send())]
        self._put_back_the_stale(to_ask)
        try:
            self._motor.start_all([self._asking(row, keys[row.io_service]) for row in to_ask])
        except EngineDead:
            for row in to_ask:
                self._lanes[row.io_account].ended(row.message)
            raise
        for account, count in Counter(row.io_account for row in to_ask).items():
            tallies.count_tokens(account, count)
        for begin in range(0, len(to_send), GROUP):
            group = to_send[begin : begin + GROUP]
            self._send(group, of={row.message: row for row in rows})
        begun = {row.io_account for row in rows if row.message in self._lanes[row.io_account].in_flight}
        for account in wanted.keys() - begun:
            # No room to send until some answer comes, which looks at once: asking the database meanwhile would be idle.
            lane = self._lanes[account]
            lane.look_at = max(lane.look_at, time.monotonic() + LOOK_FOR_TOKENS_SECONDS)
        # Tokens kept until there is room again would be old by then, and older than the window after a stall of IO.
        self._return_tokens(self._lanes[account] for account in wanted)

    def _rooms(self) -> dict[int, int]:
        """Lanes to look at now -> how many calls may begin there.

        No more than can really begin: a marked message that queued for a connection would outlive its allowance.
        """
        now, free = time.monotonic(), self._motor.free()
        rooms = {}
        lanes_in_turn = list(self._lanes.values())
        # Not always the same first, when there is not enough for all.
        self._looks += 1
        begin = self._looks % max(1, len(lanes_in_turn))
        for lane in lanes_in_turn[begin:] + lanes_in_turn[:begin]:
            if not lane.is_served or lane.is_wanted or now < lane.look_at or free <= 0:
                continue
            # What its rate allows in a second, and not what it could have at most: fifty slow accounts fit together.
            # An account has at most half of what it and the free ones are together, and the last ones are for those that have
            # nothing under way.
            own = len(lane.in_flight)
            share = (free + own) // 2 - own if own else (free + 1) // 2
            left = free - KEPT_FREE if own else free
            room = min(lane.room(), math.ceil(lane.rate), share, left)
            if room > 0 and not lanes.is_paused_here(lane.io_account):
                rooms[lane.io_account] = room
                free -= room
        return rooms

    def _take_tokens(self, rooms: Mapping[int, int]) -> None:
        self._look_around(rooms)
        wishes = {account: self._lanes[account].wish(room=room) for account, room in rooms.items()}
        asked_at = time.monotonic()
        for account, given in self._pace.take_many(wishes).items():
            lane = self._lanes[account]
            lane.given(given, asked_at=asked_at)
            lane.is_out_of_tokens = lane.tokens <= 0
            if lane.is_out_of_tokens:
                lane.look_at = time.monotonic() + LOOK_FOR_TOKENS_SECONDS

    def _look_around(self, accounts: Collection[int]) -> None:
        """Polls take what sending leaves, and at least a tenth; what others still send counts with ours: once a second."""
        now = time.monotonic()
        old = [account for account in accounts if now >= self._lanes[account].looked_at + 1]
        if not old:
            return
        waiting = lanes.with_polls_waiting(old)
        sending = lanes.being_sent(old)
        for account in old:
            lane = self._lanes[account]
            lane.looked_at = now
            lane.polls_wait = account in waiting
            lane.knows_of(sending.get(account, 0))

    def _rest(self, accounts: Collection[int]) -> None:
        """Nothing due there: others may have the tokens, and we look again in a moment."""
        self._return_tokens(self._lanes[account] for account in accounts)
        for account in accounts:
            self._lanes[account].look_at = time.monotonic() + LOOK_AGAIN_SECONDS

    def _return_tokens(self, some: Iterable[ServedLane]) -> None:
        counts, ages = {}, {}
        for lane in some:
            if lane.tokens > 0:
                counts[lane.io_account] = lane.tokens
                ages[lane.io_account] = time.monotonic() - lane.given_at
            lane.tokens = 0
        if counts:
            self._pace.give_back_many(counts, ages=ages)

    def _tell_late(self, some: Iterable[ServedLane]) -> None:
        """Which calls left late, of lanes that ask for nothing more: they count for whoever takes tokens next."""
        self._pace.take_many({lane.io_account: lane.wish(room=0) for lane in some})

    def _usable(self, rows: Collection[Chosen]) -> dict[int, tuple[str, str]]:
        """IO service -> key and its digest. One whose key is missing or cannot be opened is suspended instead, saying so."""
        keys: dict[int, tuple[str, str]] = {}
        for service in IOService.objects.filter(pk__in={row.io_service for row in rows}):
            try:
                key = service.key.open()
            except SealBroken as broken:
                log.error("IO service %s: %s", service.pk, broken)
                key, detail = "", KEY_UNREADABLE
            else:
                detail = NO_KEY
            if key:
                keys[service.pk] = key, digest_of_key(key)
            else:
                suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail=detail, at=datetime.now(UTC))
        return keys

    def _put_back_the_stale(self, rows: Collection[Chosen]) -> None:
        """A probe asks again about one that was allowed, and an answer may be too old: the new one must count."""
        move(
            [row.message for row in rows if row.is_allowed],
            to=Delivery.SCHEDULED,
            kind=EventKind.PROFILE_STALE,
            sources=[Delivery.RECIPIENT_ALLOWED],
            at=datetime.now(UTC),
            skip_locked=True,
        )

    def _asking(self, row: Chosen, key_and_digest: tuple[str, str]) -> Call:
        key, digest = key_and_digest
        return self._calls.asking(self._lanes[row.io_account], row, key=key, digest=digest)

    def _send(self, ids: list[int], *, of: Mapping[int, Chosen]) -> None:
        marked: dict[int, list[int]] = defaultdict(list)
        calls: list[Call] = []
        departures = mark(ids, stayed=partial(self._stayed, of))
        for departure in departures:
            lane = self._lanes[of[departure.message].io_account]
            marked[lane.io_account].append(departure.message)
            calls.append(self._calls.sending(lane, departure))
        try:
            self._motor.start_all(calls)
        except EngineDead:
            for departure in departures:
                self._calls.withheld(self._lanes[of[departure.message].io_account], departure)
            raise
        for account, messages in marked.items():
            tallies.count_tokens(account, len(messages))
            logs.group_marked(account, messages)

    def _stayed(self, of: Mapping[int, Chosen], ids: list[int], attempt_id: uuid.UUID, outcome: SendOutcome) -> None:
        """Marked, or perhaps marked, and no request left: said so as soon as the database is back."""
        for pk in ids:
            self._calls.stayed(self._lanes[of[pk].io_account], of[pk], attempt_id, outcome)

    # --- collecting --------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Wait a moment for answers, then record all that came."""
        under_way = sum(len(lane.in_flight) for lane in (*self._lanes.values(), *self._draining))
        batch = gather(
            self._answers,
            first_within=self._until_next_look(),
            more_within=GATHER_MANY_SECONDS if under_way >= 2 * GROUP else GATHER_SECONDS,
            most=ANSWERS_AT_ONCE,
        )
        if not batch:
            return
        answers = [answer for _, answer in batch]
        profiles = any(isinstance(answer, ProfileAnswer) for answer in answers)
        sends = any(isinstance(answer, SendAnswer) for answer in answers)
        if profiles:
            checkpoint("profile_answered")
        if sends:
            checkpoint("before_record")
        failed = keep(answers)
        if failed is not None:
            self._trouble = failed
        if profiles:
            checkpoint("profile_recorded")
        if sends:
            checkpoint("recorded")
        by_lane: dict[ServedLane, list[Answer]] = defaultdict(list)
        for lane, answer in batch:
            lane.ended(answer.message)
            by_lane[lane].append(answer)
        for lane, own in by_lane.items():
            if not lane.is_out_of_tokens:
                lane.look_at = 0.0
            self._attempt(partial(_tell, lane.io_account, own))
            self._attempt(partial(self._learn, lane, own))

    def _until_next_look(self) -> float:
        """Seconds, at most LOOK_EVERY_SECONDS, until some lane should be looked at again."""
        now = time.monotonic()
        looks = [lane.look_at - now for lane in self._lanes.values() if lane.is_served]
        return min(LOOK_EVERY_SECONDS, max(SHORTEST_WAIT_SECONDS, min(looks, default=LOOK_EVERY_SECONDS)))

    def _learn(self, lane: ServedLane, answers: list[Answer]) -> None:
        """What the answers say about the account: its breaker, its pause."""
        throttled = [answer.outcome.after for answer in answers if isinstance(answer.outcome, Throttled)]
        if throttled:
            lane.is_served = False
            lanes.pause(lane.io_account, seconds=max((after for after in throttled if after is not None), default=None))
        if lane.breaker == Breaker() and all(map(is_definite, answers)):
            return  # IO is well and was well: nothing to write, which is nearly always.
        lane.learns(lanes.learn(lane.io_account, fold=folding(answers)))

    # --- lanes -------------------------------------------------------------------------------------------------

    def _leave(self, *, all_of_them: bool) -> None:
        """Give up lanes that have nothing more to do in this slice; at its end all, whatever is still under way.

        What is under way needs no lane: its answers are recorded by attempt, and another slice may begin meanwhile.
        """
        now = time.monotonic()
        done = [
            lane
            for lane in self._lanes.values()
            if all_of_them
            or lane.is_wanted
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
        if done:
            self._return_tokens(done)
            self._tell_late(done)
            lanes.leave_lanes([lane.io_account for lane in done], holder=self._holder)
            for lane in done:
                logs.lane_left(lane.io_account)
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
            if lane.io_account in ours:
                lane.hears(ours[lane.io_account])
            else:
                # Start nothing more here, and let nothing leave that has not left yet.
                lane.is_served = False


def _by_account(rows: Collection[Chosen]) -> dict[int, list[Chosen]]:
    found: dict[int, list[Chosen]] = defaultdict(list)
    for row in rows:
        found[row.io_account].append(row)
    return found


def _tell(io_account: int, answers: Collection[Answer]) -> None:
    """Count the calls, and write what came of them in the log: ids and words of ours."""
    for call, kind in (("profile", ProfileAnswer), ("send", SendAnswer)):
        words = {each.message: tallies.outcome_word(each.outcome) for each in answers if isinstance(each, kind)}
        for word in words.values():
            tallies.count_call(io_account, call, word)
        logs.group_recorded(io_account, call, words)
