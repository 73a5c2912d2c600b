"""What IO's answers about a message that it took change: its state, its words, and when to ask again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop

from io_client.outcomes import (
    Call,
    Cause,
    MessageStatus,
    Profile,
    ProfileOutcome,
    Refused,
    StatusOutcome,
    Throttled,
    Unavailable,
)
from messaging import lanes, logs, tallies
from messaging.breaker import Breaker
from messaging.database_clock import now_plus
from messaging.models import EventKind, Message, SuspensionReason
from messaging.moving import PerRow, move, record
from messaging.refusing import in_words
from messaging.states import FINAL, FOLLOWED, SOURCES, Delivery
from messaging.suspending import suspend

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
_SETTLED = frozenset({Delivery.PROCESSED, Delivery.REJECTED, Delivery.FAILED})

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

    @property
    def call(self) -> Call:
        return Call.PROFILE if self.asks_profile else Call.STATUS


@dataclass(frozen=True, slots=True)
class Reply:
    question: Question
    outcome: StatusOutcome | ProfileOutcome
    key_digest: str = ""


def record_replies(replies: Sequence[Reply], *, at: datetime) -> None:
    """Write down what IO said, in groups: rows that somebody changed meanwhile are left alone."""
    _tell(replies)
    statuses: dict[int, MessageStatus] = {}
    put_off: list[int] = []
    again: list[int] = []
    for reply in replies:
        question, outcome = reply.question, reply.outcome
        if question.is_probe:
            lanes.learn(question.io_account, fold=partial(_after_probe, outcome))
        match outcome:
            case MessageStatus():
                statuses[question.message] = outcome
            case Profile() | Refused(cause=Cause.NOT_FOUND) if question.asks_profile:
                _explain_rejection(question.message, outcome)
            case Throttled(after=after):
                lanes.pause(question.io_account, seconds=after)
                again.append(question.message)
            case Refused(cause=Cause.KEY):
                suspend(
                    question.io_service,
                    reason=SuspensionReason.KEY_REFUSED,
                    detail=in_words(outcome),
                    at=at,
                    only_with_key=reply.key_digest,
                )
                again.append(question.message)
            case _:
                # A refused or failed read changes no state: the next regular date asks again.
                put_off.append(question.message)
    _record_statuses(statuses, at=at)
    wait_for_next_date(put_off, at=at)
    if again:
        Message.objects.filter(pk__among=again, next_poll_at__isnull=False).update(
            next_poll_at=now_plus(ASK_AGAIN_SECONDS)
        )


def _tell(replies: Sequence[Reply]) -> None:
    """Count the calls and write what came of them in the log: ids and words of ours."""
    told: dict[tuple[int, str], dict[int, str]] = {}
    for reply in replies:
        question, word = reply.question, tallies.outcome_word(reply.outcome)
        tallies.count_call(question.io_account, question.call.value, word)
        told.setdefault((question.io_account, question.call.value), {})[question.message] = word
    for (io_account, call), words in told.items():
        logs.group_recorded(io_account, call, words)


def _after_probe(outcome: StatusOutcome | ProfileOutcome, breaker: Breaker, now: datetime) -> Breaker:
    return breaker.failed(now, was_send=False) if isinstance(outcome, Unavailable) else breaker.answered(was_send=False)


def wait_for_next_date(messages: Collection[int], *, at: datetime) -> None:
    """Ask about these again at the next regular date; those for which there is none are not followed any longer."""
    if not messages:
        return
    sent = Message.objects.filter(pk__among=messages).values_list("pk", "expedition_date")
    later = {pk: next_poll_after(sent_at=sent_at or at, at=at) for pk, sent_at in sent}
    asked = {pk: when for pk, when in later.items() if when is not None}
    if asked:
        Message.objects.filter(pk__among=asked).update(next_poll_at=PerRow(asked).as_expression("next_poll_at"))
    _stop_following([pk for pk, when in later.items() if when is None], at=at)


def _stop_following(messages: Collection[int], *, at: datetime) -> None:
    if not messages:
        return
    with transaction.atomic():
        rows = Message.objects.filter(pk__among=messages)
        rows.update(next_poll_at=None)
        # One that IO rejected has its end: only the reason was still being asked.
        rows.filter(delivery_state__in=sorted(FOLLOWED)).update(status_detail=NO_MORE_NEWS)
        record(messages, kind=EventKind.FOLLOWING_ENDED, at=at)


def _record_statuses(answers: Mapping[int, MessageStatus], *, at: datetime) -> None:
    if not answers:
        return
    with transaction.atomic():
        rows = (
            Message.objects.filter(pk__among=answers)
            .order_by("pk")
            .select_for_update(no_key=True)
            .values_list("pk", "delivery_state", "io_status", "expedition_date")
        )
        moving: dict[Delivery, list[int]] = {}
        staying: list[int] = []
        unheard: list[int] = []
        over: list[int] = []
        next_dates: dict[int, datetime | None] = {}
        for pk, before, io_status, sent_at in rows:
            word = answers[pk].status
            state = WORDS.get(word)
            # Also where it ended under an answer that came before this one.
            is_settled = state in _SETTLED or Delivery(before) in FINAL
            next_dates[pk] = None if is_settled else next_poll_after(sent_at=sent_at or at, at=at)
            if next_dates[pk] is None and not is_settled:
                over.append(pk)
            if state is Delivery.REJECTED:
                # Once more, at once: the profile tells what IO does not.
                next_dates[pk] = at
            if state is not None and state != before and before in SOURCES[state]:
                moving.setdefault(state, []).append(pk)
            else:
                staying.append(pk)
                if state is None and word != io_status:
                    unheard.append(pk)

        def columns(pks: Collection[int]) -> dict[str, PerRow]:
            return {
                "io_status": PerRow({pk: answers[pk].status for pk in pks}),
                "next_poll_at": PerRow({pk: next_dates[pk] for pk in pks}),
            }

        facts = {pk: {"io_status": answer.status} for pk, answer in answers.items()}
        for state, pks in moving.items():
            own = {pk: facts[pk] for pk in pks}
            move(pks, to=state, kind=EventKind.STATUS, at=at, data=own, columns=columns(pks))
        if staying:
            same: dict[str, Any] = {name: value.as_expression(name) for name, value in columns(staying).items()}
            Message.objects.filter(pk__among=staying).update(**same)
        record(unheard, kind=EventKind.STATUS, at=at, data={pk: facts[pk] for pk in unheard})
        _stop_following(over, at=at)


def _explain_rejection(message: int, outcome: Profile | Refused) -> None:
    if isinstance(outcome, Refused):
        reason = NOT_ON_IO_NOW
    else:
        reason = REJECTED_UNEXPLAINED if outcome.sender_allowed else DISABLED_NOW
    Message.objects.filter(pk=message, delivery_state=Delivery.REJECTED).update(status_detail=reason, next_poll_at=None)
