"""An acceptance that no row is waiting for is never thrown away: it says what the citizen really has.

It is matched by the message. Where IO took the same message twice, the history says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_noop

from messaging.answers import SendAnswer
from messaging.attempts import ENDED
from messaging.models import EventKind, Message, MessageEvent
from messaging.moving import move, record
from messaging.states import WAITING, Delivery

ARRIVED_AT_FIRST = gettext_noop("IO lo aveva accettato al primo invio: il cittadino lo ha ricevuto.")


def alert_doubles(taken: Mapping[int, str], *, at: datetime) -> None:
    """IO took these now: say so where an earlier attempt, given up by a person, turned out to be accepted as well."""
    if not taken:
        return
    earlier = MessageEvent.objects.filter(message_id__in=list(taken), kind=EventKind.LATE_ANSWER).order_by("pk")
    for pk, data in earlier.values_list("message_id", "data"):
        known = data.get("io_id")
        if known and known != taken[pk]:
            record([pk], kind=EventKind.POSSIBLE_DOUBLE, at=at, data={"io_id": taken[pk], "known_io_id": known})


@dataclass(frozen=True, slots=True)
class _Unawaited:
    """An acceptance, and the locked row as it is now."""

    answer: SendAnswer
    io_id: str
    next_poll_at: Any
    row: Message
    at: datetime

    def tell(self, kind: EventKind) -> None:
        facts = {"io_id": self.io_id, "known_io_id": self.row.appio_message_id}
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


def _has_arrived_while_waiting_again(found: _Unawaited) -> None:
    """A person said "send it again" and it has not left yet: now we know that it arrived, so it must not."""
    move(
        [found.row.pk],
        to=Delivery.SENT,
        kind=EventKind.LATE_ANSWER,
        sources=WAITING,
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
    """The second sending is under way: what becomes of it will tell whether there are two."""
    found.tell(EventKind.LATE_ANSWER)


def _is_a_double(found: _Unawaited) -> None:
    found.tell(EventKind.POSSIBLE_DOUBLE)


def _was_given_up(found: _Unawaited) -> None:
    """Cancelled, expired or refused at the second try; yet the citizen has it."""
    Message.objects.filter(pk=found.row.pk).update(status_detail=ARRIVED_AT_FIRST)
    found.tell(EventKind.LATE_ANSWER)


# What the row is now -> what the acceptance makes of it; the first that applies.
_CASES: tuple[tuple[Callable[[_Unawaited], bool], Callable[[_Unawaited], None]], ...] = (
    (lambda found: found.row.delivery in WAITING, _has_arrived_while_waiting_again),
    (lambda found: found.row.delivery is Delivery.SENT and found.row.is_taken_as_arrived, _proves_the_person_right),
    (lambda found: found.row.attempt_id == found.answer.attempt_id, _is_known),
    (lambda found: found.row.delivery in (Delivery.SENDING, Delivery.UNCERTAIN), _waits_for_the_second),
    (lambda found: found.row.expedition_date is not None, _is_a_double),
    (lambda found: True, _was_given_up),
)
