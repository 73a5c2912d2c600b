"""An acceptance that no row is waiting for is never thrown away: it says what the citizen really has.

It is matched by the message. Where IO took the same message twice, the history says so.
"""

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from messaging.answers import SendAnswer
from messaging.attempts import ENDED
from messaging.models import EventKind, Message, MessageEvent
from messaging.moving import move, record
from messaging.states import WAITING, Delivery

ARRIVED_AT_FIRST = gettext_noop("IO lo aveva accettato al primo invio: il cittadino lo ha ricevuto.")


def alert_doubles(taken: Mapping[int, str], *, attempts: Mapping[int, uuid.UUID], at: datetime) -> None:
    """IO took these now: say so where an earlier attempt, given up by a person, turned out to be accepted as well."""
    for pk, earlier in _accepted_before(taken, attempts=attempts).items():
        if not earlier.io_id or earlier.io_id != taken[pk]:
            facts = {"io_id": taken[pk], "known_io_id": earlier.io_id}
            record([pk], kind=EventKind.POSSIBLE_DOUBLE, at=at, data=facts)


def stop_what_arrived(messages: Collection[int], *, attempts: Mapping[int, uuid.UUID], at: datetime) -> None:
    """These were not taken now, or nobody knows; where an earlier attempt is known to have arrived, that settles it.

    Call it in the transaction that wrote down what became of the present attempts.
    """
    for pk, earlier in _accepted_before(messages, attempts=attempts).items():
        moved = move(
            [pk],
            to=Delivery.SENT,
            kind=EventKind.LATE_ANSWER,
            sources=[*WAITING, Delivery.UNCERTAIN],
            at=at,
            data={"io_id": earlier.io_id, "attempt": str(earlier.attempt_id)},
            columns={
                **ENDED,
                "io_service": earlier.io_service,
                "attempt_id": earlier.attempt_id,
                "appio_message_id": earlier.io_id,
                "expedition_date": earlier.at,
                "next_poll_at": Now() if earlier.io_id else None,
            },
        )
        if not moved:
            Message.objects.filter(pk=pk).exclude(delivery_state=Delivery.SENDING).update(
                status_detail=ARRIVED_AT_FIRST
            )


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An acceptance that came while a later attempt was under way, as the history kept it."""

    attempt_id: uuid.UUID
    io_service: int
    io_id: str
    at: datetime


def _accepted_before(messages: Collection[int], *, attempts: Mapping[int, uuid.UUID]) -> dict[int, _Earlier]:
    """Of these messages, those of which another attempt than the present one is known to have been accepted."""
    if not messages:
        return {}
    events = MessageEvent.objects.filter(message_id__in=list(messages), kind=EventKind.LATE_ANSWER).order_by("pk")
    found = {}
    for pk, at, data in events.values_list("message_id", "at", "data"):
        # Only what `_Unawaited.tell` wrote: other late answers belong to the attempt that the row had then.
        if "io_service" in data and data.get("attempt") != str(attempts.get(pk)):
            found[pk] = _Earlier(uuid.UUID(data["attempt"]), data["io_service"], data["io_id"], at)
    return found


@dataclass(frozen=True, slots=True)
class _Unawaited:
    """An acceptance, and the locked row as it is now."""

    answer: SendAnswer
    io_id: str
    next_poll_at: Any
    row: Message
    at: datetime

    def tell(self, kind: EventKind) -> None:
        facts = {
            "io_id": self.io_id,
            "known_io_id": self.row.appio_message_id,
            "attempt": str(self.answer.attempt_id),
            "io_service": self.answer.io_service,
        }
        record([self.row.pk], kind=kind, at=self.at, data=facts)


def record_unawaited(answer: SendAnswer, *, io_id: str, next_poll_at: Any, at: datetime) -> None:
    """IO took a message whose row no longer waits for this attempt: settled by a person, or sent again."""
    row = Message.objects.select_for_update(no_key=True).filter(pk=answer.message).first()
    if row is None or (io_id and row.appio_message_id == io_id):
        return  # Retention removed it, or this very answer was recorded before.
    found = _Unawaited(answer, io_id, next_poll_at, row, at)
    for applies, act in _CASES:
        if applies(found):
            act(found)
            return


def _has_arrived_before(found: _Unawaited) -> None:
    """A person said "send it again"; it has not left yet, or nobody knows: now we know that it arrived at first.

    Should a second one turn out to have been taken as well, that is told as a double.
    """
    move(
        [found.row.pk],
        to=Delivery.SENT,
        kind=EventKind.LATE_ANSWER,
        sources=[*WAITING, Delivery.UNCERTAIN],
        at=found.at,
        data={"io_id": found.io_id, "known_io_id": found.row.appio_message_id},
        columns={
            **ENDED,
            "io_service": found.answer.io_service,
            "attempt_id": found.answer.attempt_id,
            "appio_message_id": found.io_id,
            "expedition_date": found.answer.at,
            "next_poll_at": found.next_poll_at if found.io_id else None,
        },
    )


def _proves_the_person_right(found: _Unawaited) -> None:
    """It was taken as arrived, and did: with IO's id it is followed from now on."""
    if found.io_id:
        Message.objects.filter(pk=found.row.pk).update(
            appio_message_id=found.io_id, is_taken_as_arrived=False, next_poll_at=found.next_poll_at
        )
    found.tell(EventKind.LATE_ANSWER)


def _is_known(found: _Unawaited) -> None:
    """Recorded before, and IO gave no id."""


def _waits_for_the_second(found: _Unawaited) -> None:
    """The second sending is under way: what becomes of it will tell whether there are two (`stop_what_arrived`)."""
    found.tell(EventKind.LATE_ANSWER)


def _is_a_double(found: _Unawaited) -> None:
    found.tell(EventKind.POSSIBLE_DOUBLE)


def _was_given_up(found: _Unawaited) -> None:
    """Cancelled, expired or refused at the second try; yet the citizen has it."""
    Message.objects.filter(pk=found.row.pk).update(status_detail=ARRIVED_AT_FIRST)
    found.tell(EventKind.LATE_ANSWER)


# What the row is now -> what the acceptance makes of it; the first that applies.
_CASES: tuple[tuple[Callable[[_Unawaited], bool], Callable[[_Unawaited], None]], ...] = (
    (lambda found: found.row.delivery is Delivery.SENT and found.row.is_taken_as_arrived, _proves_the_person_right),
    (lambda found: found.row.attempt_id == found.answer.attempt_id, _is_known),
    (lambda found: found.row.delivery in WAITING or found.row.delivery is Delivery.UNCERTAIN, _has_arrived_before),
    (lambda found: found.row.delivery is Delivery.SENDING, _waits_for_the_second),
    (lambda found: found.row.expedition_date is not None, _is_a_double),
    (lambda found: True, _was_given_up),
)
