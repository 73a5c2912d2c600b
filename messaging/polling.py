"""Asking IO what became of a message: whom next, and within whose pace.

IO has no call back to us, so polling is the only tracking. Polls take what sending leaves of an account's calls, and at
least a tenth; of the process's connections they leave half to sending. Whoever is due longest is asked first; a read
that fails concludes nothing (`following`).

One call of `poll` is a *slice*: every account with something due is looked at in turn, for at most ten seconds. No
account waits for the answers of another: calls begin and answers are recorded all the time. Answers still under way at
the end are recorded beside the tasks (`draining`).
"""

import logging
import math
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection, transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Now

from io_client.outcomes import Throttled, Unavailable
from messaging import draining, lanes, tallies
from messaging.database_clock import now_plus
from messaging.engine import Engine, engine, stopping
from messaging.following import Question, Reply, record_replies, wait_for_next_date
from messaging.gathering import gather
from messaging.models import IOService, Message, SuspensionReason
from messaging.pacing import Pacer, pacer
from messaging.sending_hours import ClosedNow
from messaging.states import Delivery
from messaging.suspending import NOT_ASKED_FOR_SECONDS, digest_of_key
from registry.models import Lane
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

SLICE_SECONDS = 10.0
# Accounts whose rows are claimed before the answers that came meanwhile are recorded.
ACCOUNTS_AT_ONCE = 64
GROUP = 100
# A row being asked about is not taken by another worker for this long; longer than the call can last.
CLAIMED_FOR_SECONDS = 60.0
LONGEST_CALL_SECONDS = 50.0
# How long the thread waits for a first answer before it looks at the accounts again.
LOOK_EVERY_SECONDS = 0.05
# Answers that come together are recorded together.
GATHER_SECONDS = 0.05
# An account without tokens, or with nothing more due, is looked at again this soon: half of what a bucket holds.
LOOK_AGAIN_SECONDS = 0.25
# Which accounts have something due is asked this often while calls are under way.
SURVEY_EVERY_SECONDS = 0.25
# Rows that cannot be asked about are put off this often.
PUT_OFF_EVERY_SECONDS = 1.0

# One slice claims at a time, so that two do not both count on the same free connections.
_claiming = threading.Lock()


class _Shares:
    """How many polls are under way in this process, whichever slice began them; the loop's thread counts them out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()

    def count(self, motor: Engine, change: int) -> None:
        with self._lock:
            self._under_way[motor] = self._under_way.get(motor, 0) + change

    def left(self, motor: Engine) -> int:
        """How many polls may begin: together they keep to half of the connections that sending does not use."""
        with self._lock:
            ours = self._under_way.get(motor, 0)
        return max(0, (motor.free() + ours) // 2 - ours)


_shares = _Shares()


def poll() -> int:
    """Ask about what is due, for at most a slice; returns how many questions were asked. Harmless when doubled."""
    return Slice(motor=engine(), pace=pacer()).run()


class Slice:
    """The accounts with something due, and the calls under way for them."""

    def __init__(self, *, motor: Engine, pace: Pacer) -> None:
        self._motor = motor
        self._pace = pace
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        # io_account -> {message id: since when (monotonic)}
        self._under_way: dict[int, dict[int, float]] = defaultdict(dict)
        # Lanes with something due, the longest-waiting first, and those of them that have something to send, too.
        self._due: list[Any] = []
        self._sending: frozenset[int] = frozenset()
        self._survey_at = 0.0
        self._put_off_at = 0.0
        self._closed = ClosedNow()
        # io_account -> when to look at it next; those never looked at come first.
        self._look_at: dict[int, float] = {}
        self._asked = 0

    def run(self) -> int:
        """Returns how many questions were asked."""
        until = time.monotonic() + SLICE_SECONDS
        try:
            while time.monotonic() < until and not stopping.is_set():
                self._survey()
                self._start()
                if not self._has_calls() and self._is_done():
                    break
                self._collect()
        finally:
            # Slow answers must not keep the place of the next slice, unless nobody would wait for them elsewhere.
            if self._has_calls() and not draining.hand_over(self._drain):
                self._drain()
        return self._asked

    def _drain(self) -> None:
        """Record what is still under way, until nothing is. What cannot be recorded is asked again."""
        while self._has_calls():
            try:
                self._collect()
            except Exception as error:  # noqa: BLE001  (those still under way may yet be recorded)
                log.warning("answers to polls were not recorded: %s", type(error).__name__)
                connection.close()

    def _has_calls(self) -> bool:
        """Whether any answer may still come; forgets the calls that are older than any can get."""
        if not self._motor.is_alive:
            return False
        oldest = time.monotonic() - LONGEST_CALL_SECONDS
        lost = [
            (account, message)
            for account, calls in self._under_way.items()
            for message, since in calls.items()
            if since < oldest
        ]
        if lost:
            log.error("%d polls never came back: they are asked again", len(lost))
        for account, message in lost:
            del self._under_way[account][message]
        return any(self._under_way.values())

    def _is_done(self) -> bool:
        """Nothing is due, or only where every new token is sending's: the next tick finds what was laid aside for polls."""
        return all(lane.pk in self._sending and lane.pk in self._look_at for lane in self._due)

    # --- starting ----------------------------------------------------------------------------------------------

    def _survey(self) -> None:
        """Look up now and then who has something due. With nothing due this is all that a slice costs."""
        now = time.monotonic()
        if now < self._survey_at:
            return
        if now >= self._put_off_at:
            self._put_off_at = now + PUT_OFF_EVERY_SECONDS
            _put_off_where_the_key_is_refused()
        self._due = _accounts_with_polls()
        if self._due:
            self._sending = lanes.accounts_due([lane.pk for lane in self._due], closed=self._closed())
        self._survey_at = time.monotonic() + SURVEY_EVERY_SECONDS

    def _start(self) -> None:
        """Begin what may begin, at the accounts whose turn it is."""
        now = time.monotonic()
        # A sort keeps the order of equals: of those not looked at yet the longest-waiting goes first.
        in_turn = sorted(
            (lane for lane in self._due if self._look_at.get(lane.pk, 0.0) <= now and self._room(lane) > 0),
            key=lambda lane: self._look_at.get(lane.pk, 0.0),
        )[:ACCOUNTS_AT_ONCE]
        if not in_turn:
            return
        with _claiming:
            for lane in in_turn:
                left = _shares.left(self._motor)
                if left <= 0 or stopping.is_set():
                    # Those passed over are the first to be looked at when there are connections again.
                    return
                # Half of what is left at most, so that one to which IO answers slowly leaves some to the others.
                want = min(self._room(lane), GROUP, (left + 1) // 2)
                questions = self._claim(lane, want=want)
                is_hungry = len(questions) == want
                self._look_at[lane.pk] = time.monotonic() + (0.0 if is_hungry else LOOK_AGAIN_SECONDS)
                self._ask(questions)

    def _room(self, lane: Any) -> int:
        """How many more calls the account may have under way: a second's worth, one while its breaker is open."""
        # An outage may find nothing left to send: then only a question can find out that IO is back.
        most = 1 if lane.opened_at is not None else math.ceil(lanes.effective_rate(lane, now=lane.now))
        return most - len(self._under_way[lane.pk])

    def _claim(self, lane: Any, *, want: int) -> list[Question]:
        """As many due rows as there are tokens, put off so that no other worker asks the same meanwhile."""
        rate = lanes.effective_rate(lane, now=lane.now)
        tokens = self._pace.take_for_polls(lane.pk, want=want, rate=rate, sending_waits=lane.pk in self._sending)
        given_at = time.monotonic()
        if tokens <= 0:
            return []
        with transaction.atomic():
            rows = list(
                Message.objects.to_poll(io_account=lane.pk, at=Now())
                .select_for_update(skip_locked=True, of=("self",))
                .values_list("pk", "io_account_id", "io_service_id", "taxcode", "appio_message_id", "delivery_state")[
                    :tokens
                ]
            )
            Message.objects.filter(pk__among=[row[0] for row in rows]).update(
                next_poll_at=now_plus(CLAIMED_FOR_SECONDS), polls=F("polls") + 1
            )
        self._pace.give_back(lane.pk, count=tokens - len(rows), age=time.monotonic() - given_at)
        tallies.count_tokens(lane.pk, len(rows))
        is_probe = lane.opened_at is not None
        return [
            Question(pk, account, service, taxcode, io_id, asks_profile=state == Delivery.REJECTED, is_probe=is_probe)
            for pk, account, service, taxcode, io_id, state in rows
        ]

    def _ask(self, questions: Sequence[Question]) -> None:
        """Begin them at once, while their tokens are fresh."""
        if not questions:
            return
        self._asked += len(questions)
        keys = _keys({question.io_service for question in questions})
        # Nothing can be asked without a key: at the next regular date there may be one.
        wait_for_next_date([each.message for each in questions if each.io_service not in keys], at=datetime.now(UTC))
        calls = []
        for question in questions:
            if question.io_service not in keys:
                continue
            key = keys[question.io_service]
            call: Any = (
                self._motor.client.profile(question.taxcode, key=key)
                if question.asks_profile
                else self._motor.client.status(question.taxcode, question.io_id, key=key)
            )
            calls.append((call, self._answering(question, digest_of_key(key))))
            self._under_way[question.io_account][question.message] = time.monotonic()
        self._motor.start_all(calls)
        _shares.count(self._motor, len(calls))

    def _answering(self, question: Question, key_digest: str) -> Any:
        def answered(outcome: Any) -> None:
            _shares.count(self._motor, -1)
            known = Unavailable("internal") if isinstance(outcome, BaseException) else outcome
            self._replies.put(Reply(question, known, key_digest))

        return answered

    # --- collecting --------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Wait a moment for answers, then record all that came."""
        together = gather(self._replies, first_within=LOOK_EVERY_SECONDS, more_within=GATHER_SECONDS, most=GROUP)
        if not together:
            return
        for reply in together:
            self._under_way[reply.question.io_account].pop(reply.question.message, None)
        record_replies(together, at=datetime.now(UTC))
        is_news = any(isinstance(reply.outcome, Throttled) or reply.question.is_probe for reply in together)
        if is_news or not any(self._under_way.values()):
            # An account was paused or its breaker moved, or this may have been all.
            self._survey_at = 0.0


def _put_off_where_the_key_is_refused() -> None:
    """Nothing can be asked of such a service: its rows leave the front of the queue, or each claim would walk past them."""
    refused = IOService.objects.filter(suspended_reason=SuspensionReason.KEY_REFUSED)
    for io_service, account in refused.values_list("pk", "io_account_id"):
        front = Message.objects.filter(io_account=account, next_poll_at__lte=Now()).order_by("next_poll_at")
        stuck = [pk for pk, service in front.values_list("pk", "io_service_id")[:GROUP] if service == io_service]
        if stuck:
            Message.objects.filter(pk__among=stuck, next_poll_at__lte=Now()).update(
                next_poll_at=now_plus(NOT_ASKED_FOR_SECONDS)
            )


def _accounts_with_polls() -> list[Any]:
    """Accounts with something to ask, not paused, and where the breaker is open due for a probe; the longest-waiting first."""
    due = Message.objects.to_poll(io_account=OuterRef("pk"), at=Now())
    return list(
        Lane.objects.filter(
            Q(paused_until=None) | Q(paused_until__lte=Now()), Q(opened_at=None) | Q(probe_at__lte=Now())
        )
        .select_related("io_account")
        .defer("grants")
        .annotate(now=Now(), oldest=Subquery(due.values("next_poll_at")[:1]))
        .exclude(oldest=None)
        .order_by("oldest")
    )


def _keys(io_services: set[int]) -> dict[int, str]:
    keys = {}
    for service in IOService.objects.filter(pk__in=io_services):
        try:
            if key := service.key.open():
                keys[service.pk] = key
        except SealBroken:
            continue  # Choosing what to send meets the same key and suspends the service with the reason.
    return keys
