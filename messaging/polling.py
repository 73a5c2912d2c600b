"""Asking IO what became of a message: when, within whose pace, and what its answer changes.

IO has no call back to us, so polling is the only tracking. Polls take what sending leaves of an account's calls, and at
least a tenth. Whoever is due longest is asked first; a read that fails concludes nothing.
"""

import logging
import math
import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from io_client.outcomes import (
    Cause,
    MessageStatus,
    Profile,
    ProfileOutcome,
    Refused,
    StatusOutcome,
    Throttled,
    Unavailable,
)
from messaging import lanes
from messaging.breaker import Breaker
from messaging.database_clock import now_plus
from messaging.engine import engine, stopping
from messaging.models import EventKind, IOService, Message, SuspensionReason
from messaging.moving import move, record
from messaging.pacing import pacer
from messaging.recording import in_words
from messaging.states import FINAL, FOLLOWED, SOURCES, Delivery
from messaging.suspending import digest_of_key, suspend
from registry.models import Lane
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

ACCOUNTS_PER_SLICE = 64
SLICE_SECONDS = 10.0
GROUP = 100
# A row being asked about is not taken by another worker for this long; longer than the call can last.
CLAIMED_FOR_SECONDS = 60.0
LONGEST_CALL_SECONDS = 50.0
ASK_AGAIN_SECONDS = 60.0
DAY = 86_400.0
FOLLOWED_FOR_DAYS = 7

# IO's words for delivery; its list is open, and any other word is kept as it is.
WORDS = {
    "ACCEPTED": Delivery.ACCEPTED,
    "THROTTLED": Delivery.THROTTLED,
    "PROCESSED": Delivery.PROCESSED,
    "REJECTED": Delivery.REJECTED,
    "FAILED": Delivery.FAILED,
}

NOT_ON_IO_NOW = gettext_noop("Il cittadino non è (più) su IO.")
DISABLED_NOW = gettext_noop("Il cittadino ha disattivato questo servizio su IO.")
REJECTED_UNEXPLAINED = gettext_noop("IO non ne dice il motivo: il cittadino risulta contattabile.")
NO_MORE_NEWS = gettext_noop("IO non ha dato altre notizie in 7 giorni.")


def next_poll_after(*, sent_at: datetime, at: datetime) -> datetime | None:
    """When to ask again about a message sent then; None when the seven days are over."""
    offsets = [*settings.IO_FIRST_POLLS, *(day * DAY for day in range(1, FOLLOWED_FOR_DAYS + 1))]
    elapsed = (at - sent_at).total_seconds()
    return next((sent_at + timedelta(seconds=offset) for offset in offsets if offset > elapsed), None)


@dataclass(frozen=True, slots=True)
class Question:
    """A row to ask about: its status, or, once IO rejected it, the profile that explains why."""

    message: int
    io_account: int
    io_service: int
    taxcode: str
    io_id: str
    asks_profile: bool
    # Asked while the breaker is open: the answer tells whether IO is back.
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    question: Question
    outcome: StatusOutcome | ProfileOutcome
    key_digest: str = ""


def poll() -> int:
    """Ask about what is due, for at most a slice; returns how many questions were asked. Harmless when doubled."""
    until = time.monotonic() + SLICE_SECONDS
    asked = 0
    while time.monotonic() < until and not stopping.is_set():
        questions = [question for account in _accounts_with_polls() for question in _claim(account)]
        if not questions:
            break
        asked += len(questions)
        _ask_all(questions)
    return asked


def _accounts_with_polls() -> list[Any]:
    """Accounts with something to ask, not paused, and where the breaker is open due for a probe; the longest-waiting first."""
    due = Message.objects.to_poll(io_account=OuterRef("pk"), at=Now())
    sending = Message.objects.due(at=Now()).filter(io_account=OuterRef("pk"))
    return list(
        Lane.objects.filter(
            Q(paused_until=None) | Q(paused_until__lte=Now()), Q(opened_at=None) | Q(probe_at__lte=Now())
        )
        .select_related("io_account")
        .annotate(now=Now(), is_sending=Exists(sending), oldest=Subquery(due.values("next_poll_at")[:1]))
        .exclude(oldest=None)
        .order_by("oldest")[:ACCOUNTS_PER_SLICE]
    )


def _claim(lane: Any) -> list[Question]:
    """As many due rows as there are tokens, put off so that no other worker asks the same meanwhile."""
    rate = lanes.effective_rate(lane, now=lane.now)
    # No more than can really begin, so that no claim runs out while its call waits for a connection.
    want = min(GROUP, math.ceil(rate), engine().free())
    # An outage may find nothing left to send: then only a question can find out that IO is back.
    is_probe = lane.opened_at is not None
    if is_probe:
        want = min(want, 1)
    tokens = pacer().take_for_polls(lane.pk, want=want, rate=rate, sending_waits=lane.is_sending)
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
        Message.objects.filter(pk__in=[row[0] for row in rows]).update(
            next_poll_at=now_plus(CLAIMED_FOR_SECONDS), polls=F("polls") + 1
        )
    pacer().give_back(lane.pk, count=tokens - len(rows))
    return [
        Question(pk, account, service, taxcode, io_id, asks_profile=state == Delivery.REJECTED, is_probe=is_probe)
        for pk, account, service, taxcode, io_id, state in rows
    ]


def _ask_all(questions: Sequence[Question]) -> None:
    """Ask them all at once and record the answers as they come: a slow one keeps no other waiting."""
    motor = engine()
    keys = _keys({question.io_service for question in questions})
    replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
    expected = 0
    for question in questions:
        key = keys.get(question.io_service)
        if key is None:
            # Nothing can be asked without a key: at the next regular date there may be one.
            _put_off(question.message, at=datetime.now(UTC))
            continue
        expected += 1
        call = (
            motor.client.profile(question.taxcode, key=key)
            if question.asks_profile
            else motor.client.status(question.taxcode, question.io_id, key=key)
        )
        motor.start(call, then=_answering(question, digest_of_key(key), replies))
    until = time.monotonic() + LONGEST_CALL_SECONDS
    while expected:
        try:
            reply = replies.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            log.error("%d polls never came back: they are asked again", expected)
            return
        expected -= 1
        record_replies([reply], at=datetime.now(UTC))


def _answering(question: Question, key_digest: str, replies: "queue.SimpleQueue[Reply]") -> Any:
    def answered(outcome: Any) -> None:
        known = Unavailable("internal") if isinstance(outcome, BaseException) else outcome
        replies.put(Reply(question, known, key_digest))

    return answered


def _keys(io_services: set[int]) -> dict[int, str]:
    keys = {}
    for service in IOService.objects.filter(pk__in=io_services):
        try:
            if key := service.key.open():
                keys[service.pk] = key
        except SealBroken:
            continue  # Choosing what to send meets the same key and suspends the service with the reason.
    return keys


def record_replies(replies: Sequence[Reply], *, at: datetime) -> None:
    """Write down what IO said: rows that somebody changed meanwhile are left alone."""
    for reply in replies:
        question, outcome = reply.question, reply.outcome
        if question.is_probe:
            lanes.learn(question.io_account, fold=partial(_after_probe, outcome))
        match outcome:
            case MessageStatus():
                _record_status(question.message, outcome, at=at)
            case Profile() | Refused(cause=Cause.NOT_FOUND) if question.asks_profile:
                _explain_rejection(question.message, outcome)
            case Throttled(after=after):
                lanes.pause(question.io_account, seconds=after)
                _ask_again(question.message)
            case Refused(cause=Cause.KEY):
                suspend(
                    question.io_service,
                    reason=SuspensionReason.KEY_REFUSED,
                    detail=in_words(outcome),
                    at=at,
                    only_with_key=reply.key_digest,
                )
                _ask_again(question.message)
            case _:
                # A refused or failed read changes no state: the next regular date asks again.
                _put_off(question.message, at=at)


def _after_probe(outcome: StatusOutcome | ProfileOutcome, breaker: Breaker, now: datetime) -> Breaker:
    return breaker.failed(now, was_send=False) if isinstance(outcome, Unavailable) else breaker.answered(was_send=False)


def _ask_again(message: int) -> None:
    Message.objects.filter(pk=message, next_poll_at__isnull=False).update(next_poll_at=now_plus(ASK_AGAIN_SECONDS))


def _put_off(message: int, *, at: datetime) -> None:
    row = Message.objects.filter(pk=message).only("expedition_date").first()
    if row is None:
        return
    later = next_poll_after(sent_at=row.expedition_date or at, at=at)
    if later is None:
        _stop_following(message, at=at)
    else:
        Message.objects.filter(pk=message).update(next_poll_at=later)


def _stop_following(message: int, *, at: datetime) -> None:
    with transaction.atomic():
        Message.objects.filter(pk=message).update(next_poll_at=None)
        # One that IO rejected has its end: only the reason was still being asked.
        Message.objects.filter(pk=message, delivery_state__in=sorted(FOLLOWED)).update(status_detail=NO_MORE_NEWS)
        record([message], kind=EventKind.FOLLOWING_ENDED, at=at)


def _record_status(message: int, answer: MessageStatus, *, at: datetime) -> None:
    with transaction.atomic():
        row = (
            Message.objects.select_for_update()
            .filter(pk=message)
            .only("delivery_state", "io_status", "expedition_date")
            .first()
        )
        if row is None:
            return
        state = WORDS.get(answer.status)
        moves = state is not None and state != row.delivery_state and row.delivery_state in SOURCES[state]
        # Also where it ended under an answer that came before this one.
        is_settled = state in {Delivery.PROCESSED, Delivery.REJECTED, Delivery.FAILED} or row.delivery in FINAL
        later = None if is_settled else next_poll_after(sent_at=row.expedition_date or at, at=at)
        columns: dict[str, Any] = {"io_status": answer.status, "next_poll_at": later}
        if state is Delivery.REJECTED:
            # Once more, at once: the profile tells what IO does not.
            columns["next_poll_at"] = Now()
        if moves and state is not None:
            move([message], to=state, kind=EventKind.STATUS, at=at, data={"io_status": answer.status}, columns=columns)
        else:
            if state is None and answer.status != row.io_status:
                record([message], kind=EventKind.STATUS, at=at, data={"io_status": answer.status})
            Message.objects.filter(pk=message).update(**columns)
        if later is None and not is_settled:
            _stop_following(message, at=at)


def _explain_rejection(message: int, outcome: Profile | Refused) -> None:
    if isinstance(outcome, Refused):
        reason = NOT_ON_IO_NOW
    else:
        reason = REJECTED_UNEXPLAINED if outcome.sender_allowed else DISABLED_NOW
    Message.objects.filter(pk=message, delivery_state=Delivery.REJECTED).update(status_detail=reason, next_poll_at=None)
