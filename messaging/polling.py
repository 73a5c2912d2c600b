"""Asking IO what became of a message: whom next, and within whose pace.

IO has no call back to us, so polling is the only tracking. Polls take what sending leaves of an account's calls, and at
least a tenth. Whoever is due longest is asked first; a read that fails concludes nothing (`following`).
"""

import logging
import math
import queue
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Now

from io_client.outcomes import Unavailable
from messaging import lanes, tallies
from messaging.database_clock import now_plus
from messaging.engine import engine, stopping
from messaging.following import Question, Reply, record_replies, wait_for_next_date
from messaging.models import IOService, Message, SuspensionReason
from messaging.pacing import pacer
from messaging.sending_hours import closed_organizations
from messaging.states import Delivery
from messaging.suspending import NOT_ASKED_FOR_SECONDS, digest_of_key
from registry.models import Lane
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

ACCOUNTS_PER_SLICE = 64
SLICE_SECONDS = 10.0
GROUP = 100
# A row being asked about is not taken by another worker for this long; longer than the call can last.
CLAIMED_FOR_SECONDS = 60.0
LONGEST_CALL_SECONDS = 50.0
# Answers that come together are recorded together.
GATHER_SECONDS = 0.05


def poll() -> int:
    """Ask about what is due, for at most a slice; returns how many questions were asked. Harmless when doubled."""
    until = time.monotonic() + SLICE_SECONDS
    asked = 0
    while time.monotonic() < until and not stopping.is_set():
        _put_off_where_the_key_is_refused()
        accounts = _accounts_with_polls()
        sending = lanes.accounts_due([lane.pk for lane in accounts], closed=closed_organizations(datetime.now(UTC)))
        questions = [each for lane in accounts for each in _claim(lane, sending_waits=lane.pk in sending)]
        if not questions:
            break
        asked += len(questions)
        _ask_all(questions)
    return asked


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
        .annotate(now=Now(), oldest=Subquery(due.values("next_poll_at")[:1]))
        .exclude(oldest=None)
        .order_by("oldest")[:ACCOUNTS_PER_SLICE]
    )


def _claim(lane: Any, *, sending_waits: bool) -> list[Question]:
    """As many due rows as there are tokens, put off so that no other worker asks the same meanwhile."""
    rate = lanes.effective_rate(lane, now=lane.now)
    # No more than can really begin, so that no claim runs out while its call waits for a connection.
    want = min(GROUP, math.ceil(rate), engine().free())
    # An outage may find nothing left to send: then only a question can find out that IO is back.
    is_probe = lane.opened_at is not None
    if is_probe:
        want = min(want, 1)
    tokens = pacer().take_for_polls(lane.pk, want=want, rate=rate, sending_waits=sending_waits)
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
    pacer().give_back(lane.pk, count=tokens - len(rows))
    tallies.count_tokens(lane.pk, len(rows))
    return [
        Question(pk, account, service, taxcode, io_id, asks_profile=state == Delivery.REJECTED, is_probe=is_probe)
        for pk, account, service, taxcode, io_id, state in rows
    ]


def _ask_all(questions: Sequence[Question]) -> None:
    """Ask them all at once and record the answers as they come: a slow one keeps no other waiting."""
    motor = engine()
    keys = _keys({question.io_service for question in questions})
    replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
    # Nothing can be asked without a key: at the next regular date there may be one.
    wait_for_next_date([each.message for each in questions if each.io_service not in keys], at=datetime.now(UTC))
    calls = []
    for question in questions:
        if question.io_service not in keys:
            continue
        key = keys[question.io_service]
        call: Any = (
            motor.client.profile(question.taxcode, key=key)
            if question.asks_profile
            else motor.client.status(question.taxcode, question.io_id, key=key)
        )
        calls.append((call, _answering(question, digest_of_key(key), replies)))
    motor.start_all(calls)
    expected, until = len(calls), time.monotonic() + LONGEST_CALL_SECONDS
    while expected:
        together = _gathered(replies, until=until)
        if not together:
            log.error("%d polls never came back: they are asked again", expected)
            return
        expected -= len(together)
        record_replies(together, at=datetime.now(UTC))


def _gathered(replies: "queue.SimpleQueue[Reply]", *, until: float) -> list[Reply]:
    """The next answer and those that come right after it; none when time is up."""
    together: list[Reply] = []
    try:
        together.append(replies.get(timeout=max(0.0, until - time.monotonic())))
        until = time.monotonic() + GATHER_SECONDS
        while len(together) < GROUP:
            together.append(replies.get(timeout=max(0.0, until - time.monotonic())))
    except queue.Empty:
        pass
    return together


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
