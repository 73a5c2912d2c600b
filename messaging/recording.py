"""What IO answered, written down: grouped by outcome, one transaction, only on rows that still belong to the attempt.

A late answer settles a doubt. An acceptance that no row is waiting for is never thrown away: it is matched by the
message, and where IO took the same message twice, the history says so.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext_noop

from io_client.outcomes import (
    Accepted,
    Cause,
    OutcomeUnknown,
    Profile,
    ProfileOutcome,
    Refused,
    SendOutcome,
    Throttled,
    Unavailable,
    Withheld,
)
from messaging.database_clock import now_plus
from messaging.models import EventKind, Message, MessageEvent, SuspensionReason
from messaging.moving import PerRow, move, record
from messaging.states import WAITING, Delivery, WaitingReason
from messaging.suspending import (
    REFUSALS_TO_END,
    count_refusals,
    note_acceptance,
    note_unclear_refusals,
    suspend,
)

# A message that IO could not answer for waits 5 s, then twice as long each time, at most ten minutes.
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 600.0

_SUSPENDING = {
    Cause.KEY: SuspensionReason.KEY_REFUSED,
    Cause.PERMISSION: SuspensionReason.PERMISSION_MISSING,
}
ARRIVED_AT_FIRST = gettext_noop("IO lo aveva accettato al primo invio: il cittadino lo ha ricevuto.")
# Why the message waits after a refusal that is not its own; suspended where nothing else is said.
_HOLDING = {Cause.UNCLEAR: WaitingReason.SET_ASIDE}


@dataclass(frozen=True, slots=True)
class ProfileAnswer:
    """What a profile call about the recipient of this message came to."""

    message: int
    io_service: int
    outcome: ProfileOutcome
    # Of the key that was used (suspending.digest_of_key): a refused key that was replaced meanwhile suspends nothing.
    key_digest: str = ""
    # When it was asked (monotonic seconds): a process that stood still must not take an old answer for a new one.
    asked_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """What the sending of this message, by this attempt, came to; `at` is when the answer arrived."""

    message: int
    io_service: int
    attempt_id: uuid.UUID
    outcome: SendOutcome
    at: datetime
    key_digest: str = ""


def record_profiles(answers: Sequence[ProfileAnswer], *, at: datetime) -> None:
    """Write down profile answers. Rows that moved on in the meantime (cancelled, expired) are left alone."""
    with transaction.atomic():
        allowed = [a.message for a in answers if isinstance(a.outcome, Profile) and a.outcome.sender_allowed]
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
            columns=_ENDED,
        )
        for cause, group in _refusals(answers).items():
            _record_profile_refusals(group, cause=cause, at=at)
        _back_off([a.message for a in answers if isinstance(a.outcome, Unavailable)], sources=WAITING)


def _age(answers: Sequence[ProfileAnswer]) -> float:
    """Seconds since the first of these was asked."""
    return time.monotonic() - min(answer.asked_at for answer in answers)


def record_sends(answers: Sequence[SendAnswer], *, at: datetime) -> None:
    """Write down what sending came to. Safe to call again with the same answers: the second time moves nothing."""
    with transaction.atomic():
        # All rows locked in one order first: groups of several attempts must not wait for each other crosswise.
        list(
            Message.objects.filter(pk__in={answer.message for answer in answers})
            .order_by("pk")
            .select_for_update()
            .values_list("pk", flat=True)
        )
        by_attempt: dict[uuid.UUID, list[SendAnswer]] = defaultdict(list)
        for answer in answers:
            by_attempt[answer.attempt_id].append(answer)
        for attempt_id, group in by_attempt.items():
            _record_attempt(group, attempt_id=attempt_id, at=at)
        note_acceptance({a.io_service for a in answers if isinstance(a.outcome, Accepted)})


_ENDED: dict[str, Any] = {"waiting_reason": WaitingReason.NONE, "retries": 0}
_UNMARKED: dict[str, Any] = {"lease_until": None}


def _record_attempt(answers: Sequence[SendAnswer], *, attempt_id: uuid.UUID, at: datetime) -> None:
    accepted = {a.message: (a.outcome, a.at) for a in answers if isinstance(a.outcome, Accepted)}
    if accepted:
        services = {answer.message: answer.io_service for answer in answers}
        _record_acceptances(accepted, services=services, attempt_id=attempt_id, at=at)
    _settle(
        {a.message: {"reason": a.outcome.reason} for a in answers if isinstance(a.outcome, OutcomeUnknown)},
        attempt_id=attempt_id,
        at=at,
        to=Delivery.UNCERTAIN,
        kind=EventKind.OUTCOME_UNKNOWN,
        columns={**_ENDED, **_UNMARKED},
    )
    released = _settle(
        {
            a.message: {"reason": getattr(a.outcome, "reason", "allowance")}
            for a in answers
            if isinstance(a.outcome, Withheld | Unavailable)
        },
        attempt_id=attempt_id,
        at=at,
        to=Delivery.RECIPIENT_ALLOWED,
        kind=EventKind.RELEASED,
        columns=_UNMARKED,
    )
    unanswered = {a.message for a in answers if isinstance(a.outcome, Unavailable)}
    _back_off([pk for pk in released if pk in unanswered], sources=[Delivery.RECIPIENT_ALLOWED])
    _settle(
        {a.message: {} for a in answers if isinstance(a.outcome, Throttled)},
        attempt_id=attempt_id,
        at=at,
        to=Delivery.RECIPIENT_ALLOWED,
        kind=EventKind.THROTTLED,
        columns={**_UNMARKED, "waiting_reason": WaitingReason.THROTTLED},
    )
    for cause, group in _refusals(answers).items():
        _record_send_refusals(group, cause=cause, attempt_id=attempt_id, at=at)


def _settle(
    facts: Mapping[int, Mapping[str, Any]],
    *,
    to: Delivery,
    kind: EventKind,
    attempt_id: uuid.UUID,
    at: datetime,
    columns: Mapping[str, Any],
) -> list[int]:
    """Move rows of this attempt from `sending`; those already in doubt are settled by the late answer, and say so."""
    moved = move(
        list(facts),
        to=to,
        kind=kind,
        sources=[Delivery.SENDING],
        attempt_id=attempt_id,
        at=at,
        data=facts,
        columns=columns,
    )
    if to is not Delivery.UNCERTAIN and len(moved) < len(facts):
        late = {pk: {**facts[pk], "answer": kind.value} for pk in facts.keys() - set(moved)}
        moved += move(
            list(late),
            to=to,
            kind=EventKind.LATE_ANSWER,
            sources=[Delivery.UNCERTAIN],
            attempt_id=attempt_id,
            at=at,
            data=late,
            columns=columns,
        )
    return moved


def first_poll() -> Any:
    return now_plus(settings.IO_FIRST_POLLS[0])


def _record_acceptances(
    accepted: Mapping[int, tuple[Accepted, datetime]],
    *,
    services: Mapping[int, int],
    attempt_id: uuid.UUID,
    at: datetime,
) -> None:
    for followed in (True, False):
        group = {pk: each for pk, each in accepted.items() if bool(each[0].io_id) is followed}
        if not group:
            continue
        moved = _settle(
            {pk: {"io_id": outcome.io_id or ""} for pk, (outcome, _when) in group.items()},
            attempt_id=attempt_id,
            at=at,
            to=Delivery.SENT,
            kind=EventKind.SENT,
            columns={
                **_ENDED,
                **_UNMARKED,
                "status_detail": "",
                "appio_message_id": PerRow({pk: outcome.io_id or "" for pk, (outcome, _when) in group.items()}),
                "expedition_date": PerRow({pk: when for pk, (_outcome, when) in group.items()}),
                "next_poll_at": first_poll() if followed else None,
            },
        )
        _alert_doubles({pk: group[pk][0].io_id or "" for pk in moved}, at=at)
        for pk in group.keys() - set(moved):
            _record_orphan(
                pk,
                io_id=group[pk][0].io_id or "",
                io_service=services[pk],
                attempt_id=attempt_id,
                when=group[pk][1],
                at=at,
            )


def _alert_doubles(taken: Mapping[int, str], *, at: datetime) -> None:
    """IO took these now: say so where an earlier attempt, given up by a person, turned out to be accepted as well."""
    earlier = MessageEvent.objects.filter(message_id__in=list(taken), kind=EventKind.LATE_ANSWER)
    for pk, data in earlier.values_list("message_id", "data"):
        known = data.get("io_id")
        if known and known != taken[pk]:
            record([pk], kind=EventKind.POSSIBLE_DOUBLE, at=at, data={"io_id": taken[pk], "known_io_id": known})


def _record_orphan(
    message: int, *, io_id: str, io_service: int, attempt_id: uuid.UUID, when: datetime, at: datetime
) -> None:
    """IO took a message whose row no longer waits for this attempt: settled by a person, or sent again."""
    row = Message.objects.select_for_update().filter(pk=message).first()
    if row is None or (io_id and row.appio_message_id == io_id):
        return  # Retention removed it, or this very answer was recorded before.
    facts = {"io_id": io_id, "known_io_id": row.appio_message_id}
    if row.delivery in WAITING:
        # A person said "send it again" and it has not left yet: now we know that it arrived, so it must not.
        move(
            [message],
            to=Delivery.SENT,
            kind=EventKind.LATE_ANSWER,
            sources=WAITING,
            at=at,
            data=facts,
            columns={
                **_ENDED,
                "io_service": io_service,
                "attempt_id": attempt_id,
                "appio_message_id": io_id,
                "expedition_date": when,
                "next_poll_at": first_poll() if io_id else None,
            },
        )
    elif row.delivery_state == Delivery.SENT and row.is_taken_as_arrived:
        if io_id:
            Message.objects.filter(pk=message).update(
                appio_message_id=io_id, is_taken_as_arrived=False, next_poll_at=first_poll()
            )
        record([message], kind=EventKind.LATE_ANSWER, at=at, data=facts)
    elif row.attempt_id == attempt_id:
        return  # Recorded before, and IO gave no id.
    elif row.delivery_state in (Delivery.SENDING, Delivery.UNCERTAIN):
        # The second sending is under way: what becomes of it will tell whether there are two.
        record([message], kind=EventKind.LATE_ANSWER, at=at, data=facts)
    elif row.expedition_date is not None:
        record([message], kind=EventKind.POSSIBLE_DOUBLE, at=at, data=facts)
    else:
        # Given up meanwhile (cancelled, expired, refused at the second try): yet the citizen has it.
        Message.objects.filter(pk=message).update(status_detail=ARRIVED_AT_FIRST)
        record([message], kind=EventKind.LATE_ANSWER, at=at, data=facts)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal with what it is about."""

    message: int
    io_service: int
    refused: Refused
    key_digest: str


def _refusals(answers: Iterable[ProfileAnswer | SendAnswer]) -> dict[Cause, list[_Refusal]]:
    """Refusals by cause."""
    found: dict[Cause, list[_Refusal]] = defaultdict(list)
    for answer in answers:
        if isinstance(answer.outcome, Refused):
            found[answer.outcome.cause].append(
                _Refusal(answer.message, answer.io_service, answer.outcome, answer.key_digest)
            )
    return found


def facts_of(refusal: Refused) -> dict[str, Any]:
    return {"status": refusal.status, "title": refusal.title, "detail": refusal.detail}


def in_words(refusal: Refused) -> str:
    """IO's own words, for `status_detail`."""
    return ": ".join(part for part in (refusal.title, refusal.detail) if part) or f"HTTP {refusal.status}"


_Refusals = Sequence[_Refusal]


def _record_profile_refusals(group: _Refusals, *, cause: Cause, at: datetime) -> None:
    match cause:
        case Cause.NOT_FOUND:
            move(
                [each.message for each in group],
                to=Delivery.PROFILE_NOT_EXISTS,
                kind=EventKind.NOT_ON_IO,
                at=at,
                columns=_ENDED,
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

            def ends(over: _Refusals) -> None:
                _end(over, to=Delivery.FORBIDDEN, at=at, condition=is_new)

            _hold(group, cause=cause, at=at, waits=waits, ends=ends)


def _record_send_refusals(group: _Refusals, *, cause: Cause, attempt_id: uuid.UUID, at: datetime) -> None:
    match cause:
        case Cause.RECIPIENT | Cause.CONTENT | Cause.NOT_FOUND:
            to = Delivery.FORBIDDEN if cause is Cause.RECIPIENT else Delivery.BAD_REQUEST
            _end(group, to=to, at=at, attempt_id=attempt_id)
        case _:

            def waits(
                pks: list[int], reason: WaitingReason, kind: EventKind, facts: dict[int, dict[str, Any]]
            ) -> list[int]:
                return _settle(
                    {pk: facts[pk] for pk in pks},
                    attempt_id=attempt_id,
                    at=at,
                    to=Delivery.SCHEDULED,
                    kind=kind,
                    columns={**_UNMARKED, "waiting_reason": reason},
                )

            _hold(
                group,
                cause=cause,
                at=at,
                waits=waits,
                ends=lambda ended: _end(ended, to=Delivery.FORBIDDEN, at=at, attempt_id=attempt_id),
            )


def _end(
    group: _Refusals,
    *,
    to: Delivery,
    at: datetime,
    attempt_id: uuid.UUID | None = None,
    condition: Q | None = None,
) -> None:
    facts = {each.message: facts_of(each.refused) for each in group}
    columns = {**_ENDED, "status_detail": PerRow({each.message: in_words(each.refused) for each in group})}
    if attempt_id is None:
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
        _settle(facts, attempt_id=attempt_id, at=at, to=to, kind=EventKind.REFUSED, columns={**columns, **_UNMARKED})


def _hold(
    group: _Refusals,
    *,
    cause: Cause,
    at: datetime,
    waits: Callable[[list[int], WaitingReason, EventKind, dict[int, dict[str, Any]]], list[int]],
    ends: Callable[[_Refusals], None],
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


def _back_off(ids: Sequence[int], *, sources: Iterable[Delivery]) -> None:
    """IO could not answer for these: each waits longer than the last time, so that one bad message delays no other."""
    rows = Message.objects.filter(pk__in=ids, delivery_state__in=sorted(sources))
    by_delay: dict[float, list[int]] = defaultdict(list)
    for pk, retries in rows.values_list("pk", "retries"):
        by_delay[min(FIRST_RETRY_SECONDS * 2 ** min(retries, 10), LONGEST_RETRY_SECONDS)].append(pk)
    for seconds, pks in by_delay.items():
        rows.filter(pk__in=pks).update(
            not_before=now_plus(seconds), retries=F("retries") + 1, waiting_reason=WaitingReason.UNAVAILABLE
        )
