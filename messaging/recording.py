"""What IO answered, written down: grouped by outcome, one transaction, only on rows that still belong to the attempt.

A late answer settles a doubt. Refusals are `refusing`'s, acceptances that no row waits for are `late_answers`'.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from io_client.outcomes import Accepted, OutcomeUnknown, Profile, Throttled, Unavailable, Withheld
from messaging import late_answers, refusing
from messaging.answers import ProfileAnswer, SendAnswer
from messaging.attempts import ENDED, UNMARKED, settle
from messaging.database_clock import now_plus
from messaging.models import EventKind, Message
from messaging.moving import PerRow, move
from messaging.states import WAITING, Delivery, WaitingReason
from messaging.suspending import note_acceptance

# A message that IO could not answer for waits 5 s, then twice as long each time, at most ten minutes.
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 600.0


def record_profiles(answers: Sequence[ProfileAnswer], *, at: datetime) -> None:
    """Write down profile answers. Rows that moved on in the meantime (cancelled, expired) are left alone."""
    allowed = [a.message for a in answers if isinstance(a.outcome, Profile) and a.outcome.sender_allowed]
    with transaction.atomic():
        move(
            allowed,
            to=Delivery.RECIPIENT_ALLOWED,
            kind=EventKind.PROFILE_ALLOWED,
            sources=[Delivery.SCHEDULED],
            at=at,
            columns={
                "profile_checked_at": now_plus(-_age(answers)),
                "retries": 0,
                "waiting_reason": WaitingReason.NONE,
            },
        )
        move(
            [a.message for a in answers if isinstance(a.outcome, Profile) and not a.outcome.sender_allowed],
            to=Delivery.SENDER_NOT_ALLOWED,
            kind=EventKind.NOT_ALLOWED,
            at=at,
            columns=ENDED,
        )
        for cause, group in refusing.by_cause(answers).items():
            refusing.record_profile_refusals(group, cause=cause, at=at)
        _back_off([a.message for a in answers if isinstance(a.outcome, Unavailable)], sources=WAITING)


def _age(answers: Sequence[ProfileAnswer]) -> float:
    """Seconds since the first of these was asked."""
    return time.monotonic() - min(answer.asked_at for answer in answers)


def record_sends(answers: Sequence[SendAnswer], *, at: datetime) -> None:
    """Write down what sending came to. Safe to call again with the same answers: the second time moves nothing."""
    with transaction.atomic():
        # All rows locked in one order first: groups of several outcomes must not wait for each other crosswise.
        if len({type(answer.outcome) for answer in answers}) > 1:
            list(
                Message.objects.filter(pk__among={answer.message for answer in answers})
                .order_by("pk")
                .select_for_update(no_key=True)
                .values_list("pk", flat=True)
            )
        # One message may have answers of two attempts here: the later one is then recorded after the earlier one.
        for round_of in _rounds(answers):
            _record(round_of, at=at)
        note_acceptance({a.io_service for a in answers if isinstance(a.outcome, Accepted)})


def _rounds(answers: Iterable[SendAnswer]) -> list[list[SendAnswer]]:
    """The answers in order, in as few groups as hold no message twice."""
    rounds: list[list[SendAnswer]] = []
    seen: dict[int, int] = defaultdict(int)
    for answer in answers:
        turn = seen[answer.message]
        seen[answer.message] += 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(answer)
    return rounds


def _record(answers: Sequence[SendAnswer], *, at: datetime) -> None:
    attempts = {answer.message: answer.attempt_id for answer in answers}
    accepted = [answer for answer in answers if isinstance(answer.outcome, Accepted)]
    if accepted:
        _record_acceptances(accepted, attempts=attempts, at=at)
    settle(
        {a.message: {"reason": a.outcome.reason} for a in answers if isinstance(a.outcome, OutcomeUnknown)},
        attempts=attempts,
        at=at,
        to=Delivery.UNCERTAIN,
        kind=EventKind.OUTCOME_UNKNOWN,
        columns={**ENDED, **UNMARKED},
    )
    released = settle(
        {
            a.message: {"reason": getattr(a.outcome, "reason", "allowance")}
            for a in answers
            if isinstance(a.outcome, Withheld | Unavailable)
        },
        attempts=attempts,
        at=at,
        to=Delivery.RECIPIENT_ALLOWED,
        kind=EventKind.RELEASED,
        columns=UNMARKED,
    )
    unanswered = {a.message for a in answers if isinstance(a.outcome, Unavailable)}
    _back_off([pk for pk in released if pk in unanswered], sources=[Delivery.RECIPIENT_ALLOWED])
    settle(
        {a.message: {} for a in answers if isinstance(a.outcome, Throttled)},
        attempts=attempts,
        at=at,
        to=Delivery.RECIPIENT_ALLOWED,
        kind=EventKind.THROTTLED,
        columns={**UNMARKED, "waiting_reason": WaitingReason.THROTTLED},
    )
    for cause, group in refusing.by_cause(answers).items():
        refusing.record_send_refusals(group, cause=cause, attempts=attempts, at=at)
    others = [a.message for a in answers if not isinstance(a.outcome, Accepted)]
    late_answers.stop_what_arrived(others, attempts=attempts, at=at)


def first_poll() -> Any:
    return now_plus(settings.IO_FIRST_POLLS[0])


def _record_acceptances(answers: Sequence[SendAnswer], *, attempts: Mapping[int, uuid.UUID], at: datetime) -> None:
    for is_followed in (True, False):
        group = {a.message: a for a in answers if bool(_io_id(a)) is is_followed}
        if not group:
            continue
        io_ids = {pk: _io_id(answer) for pk, answer in group.items()}
        moved = settle(
            {pk: {"io_id": io_id} for pk, io_id in io_ids.items()},
            attempts=attempts,
            at=at,
            to=Delivery.SENT,
            kind=EventKind.SENT,
            columns={
                **ENDED,
                **UNMARKED,
                "status_detail": "",
                "appio_message_id": PerRow(io_ids),
                "expedition_date": PerRow({pk: answer.at for pk, answer in group.items()}),
                "next_poll_at": first_poll() if is_followed else None,
            },
        )
        late_answers.alert_doubles({pk: io_ids[pk] for pk in moved}, attempts=attempts, at=at)
        for pk in group.keys() - set(moved):
            late_answers.record_unawaited(group[pk], io_id=io_ids[pk], next_poll_at=first_poll(), at=at)


def _io_id(answer: SendAnswer) -> str:
    return (answer.outcome.io_id or "") if isinstance(answer.outcome, Accepted) else ""


def _back_off(ids: Sequence[int], *, sources: Iterable[Delivery]) -> None:
    """IO could not answer for these: each waits longer than the last time, so that one bad message delays no other."""
    if not ids:
        return
    rows = Message.objects.filter(pk__in=ids, delivery_state__in=sorted(sources))
    by_delay: dict[float, list[int]] = defaultdict(list)
    for pk, retries in rows.values_list("pk", "retries"):
        by_delay[min(FIRST_RETRY_SECONDS * 2 ** min(retries, 10), LONGEST_RETRY_SECONDS)].append(pk)
    for seconds, pks in by_delay.items():
        rows.filter(pk__in=pks).update(
            not_before=now_plus(seconds), retries=F("retries") + 1, waiting_reason=WaitingReason.UNAVAILABLE
        )
