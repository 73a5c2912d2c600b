"""Refusals: whose fault each is, and what becomes of the message and of the IO service it was sent through."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from io_client.outcomes import Cause, Refused
from messaging.answers import Answer
from messaging.attempts import ENDED, UNMARKED, settle
from messaging.models import EventKind, Message, SuspensionReason
from messaging.moving import PerRow, move, record
from messaging.states import WAITING, Delivery, WaitingReason
from messaging.suspending import REFUSALS_TO_END, count_refusals, note_unclear_refusals, suspend

_SUSPENDING = {
    Cause.KEY: SuspensionReason.KEY_REFUSED,
    Cause.PERMISSION: SuspensionReason.PERMISSION_MISSING,
}
# Why the message waits after a refusal that is not its own; suspended where nothing else is said.
_HOLDING = {Cause.UNCLEAR: WaitingReason.SET_ASIDE}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal with what it is about."""

    message: int
    io_service: int
    refused: Refused
    key_digest: str


def by_cause(answers: Iterable[Answer]) -> dict[Cause, list[Refusal]]:
    """Refusals by cause."""
    found: dict[Cause, list[Refusal]] = defaultdict(list)
    for answer in answers:
        if isinstance(answer.outcome, Refused):
            found[answer.outcome.cause].append(
                Refusal(answer.message, answer.io_service, answer.outcome, answer.key_digest)
            )
    return found


def facts_of(refusal: Refused) -> dict[str, Any]:
    return {"status": refusal.status, "title": refusal.title, "detail": refusal.detail}


def in_words(refusal: Refused) -> str:
    """IO's own words, for `status_detail`."""
    return ": ".join(part for part in (refusal.title, refusal.detail) if part) or f"HTTP {refusal.status}"


Refusals = Sequence[Refusal]


def record_profile_refusals(group: Refusals, *, cause: Cause, at: datetime) -> None:
    match cause:
        case Cause.NOT_FOUND:
            move(
                [each.message for each in group],
                to=Delivery.PROFILE_NOT_EXISTS,
                kind=EventKind.NOT_ON_IO,
                at=at,
                columns=ENDED,
            )
        case Cause.RECIPIENT | Cause.CONTENT:
            _end(group, to=Delivery.FORBIDDEN if cause is Cause.RECIPIENT else Delivery.BAD_REQUEST, at=at)
        case _:
            # A row held already for the same reason has this answer written down: it is not counted twice.
            is_new = ~Q(waiting_reason=_HOLDING.get(cause, WaitingReason.SUSPENDED))

            def waits(
                pks: list[int], reason: WaitingReason, kind: EventKind, facts: dict[int, dict[str, Any]]
            ) -> list[int]:
                # It was waiting and goes on waiting: a reason and an event. Only a probe asks about one that is allowed.
                held = list(
                    Message.objects.filter(is_new, pk__in=pks, delivery_state=Delivery.SCHEDULED)
                    .order_by("pk")
                    .select_for_update()
                    .values_list("pk", flat=True)
                )
                Message.objects.filter(pk__in=held).update(waiting_reason=reason)
                record(held, kind=kind, at=at, data=facts)
                return held + move(
                    pks,
                    to=Delivery.SCHEDULED,
                    kind=kind,
                    sources=[Delivery.RECIPIENT_ALLOWED],
                    at=at,
                    data=facts,
                    columns={"waiting_reason": reason},
                )

            def ends(over: Refusals) -> None:
                _end(over, to=Delivery.FORBIDDEN, at=at, condition=is_new)

            _hold(group, cause=cause, at=at, waits=waits, ends=ends)


def record_send_refusals(group: Refusals, *, cause: Cause, attempts: Mapping[int, uuid.UUID], at: datetime) -> None:
    match cause:
        case Cause.RECIPIENT | Cause.CONTENT | Cause.NOT_FOUND:
            to = Delivery.FORBIDDEN if cause is Cause.RECIPIENT else Delivery.BAD_REQUEST
            _end(group, to=to, at=at, attempts=attempts)
        case _:

            def waits(
                pks: list[int], reason: WaitingReason, kind: EventKind, facts: dict[int, dict[str, Any]]
            ) -> list[int]:
                return settle(
                    {pk: facts[pk] for pk in pks},
                    attempts=attempts,
                    at=at,
                    to=Delivery.SCHEDULED,
                    kind=kind,
                    columns={**UNMARKED, "waiting_reason": reason},
                )

            _hold(
                group,
                cause=cause,
                at=at,
                waits=waits,
                ends=lambda ended: _end(ended, to=Delivery.FORBIDDEN, at=at, attempts=attempts),
            )


def _end(
    group: Refusals,
    *,
    to: Delivery,
    at: datetime,
    attempts: Mapping[int, uuid.UUID] | None = None,
    condition: Q | None = None,
) -> None:
    facts = {each.message: facts_of(each.refused) for each in group}
    columns = {**ENDED, "status_detail": PerRow({each.message: in_words(each.refused) for each in group})}
    if attempts is None:
        move(
            list(facts),
            to=to,
            kind=EventKind.REFUSED,
            sources=WAITING,
            at=at,
            data=facts,
            columns=columns,
            condition=condition,
        )
    else:
        settle(facts, attempts=attempts, at=at, to=to, kind=EventKind.REFUSED, columns={**columns, **UNMARKED})


def _hold(
    group: Refusals,
    *,
    cause: Cause,
    at: datetime,
    waits: Callable[[list[int], WaitingReason, EventKind, dict[int, dict[str, Any]]], list[int]],
    ends: Callable[[Refusals], None],
) -> None:
    """The key, a permission or something unclear: the message waits, unless two resumes have not helped it."""
    blames_message = cause is not Cause.KEY
    refused_before = dict(Message.objects.filter(pk__in=[each.message for each in group]).values_list("pk", "refusals"))
    over = [each for each in group if blames_message and refused_before.get(each.message, 0) + 1 >= REFUSALS_TO_END]
    if over:
        ends(over)
    rest = [each for each in group if each not in over]
    facts = {each.message: facts_of(each.refused) for each in rest}
    kind = EventKind.SET_ASIDE if cause is Cause.UNCLEAR else EventKind.SUSPENDED
    held = waits(list(facts), _HOLDING.get(cause, WaitingReason.SUSPENDED), kind, facts)
    if blames_message:
        count_refusals(held, at=at)
    for io_service, refusal in {each.io_service: each for each in group}.items():
        detail = in_words(refusal.refused)
        if cause is Cause.UNCLEAR:
            note_unclear_refusals(io_service, detail=detail, at=at)
        else:
            suspend(io_service, reason=_SUSPENDING[cause], detail=detail, at=at, only_with_key=refusal.key_digest)
