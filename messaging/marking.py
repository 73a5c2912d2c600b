"""The mark: the row says "this attempt is sending it", committed, before any request leaves."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from io_client.outcomes import Cause, Refused, SendOutcome, Withheld
from io_client.payloads import NewMessage, PaymentData
from messaging.checkpoints import checkpoint
from messaging.database_clock import now_plus
from messaging.models import EventKind, IOService, Message, ServiceInstance
from messaging.moving import move
from messaging.states import Delivery
from messaging.suspending import digest_of_key
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

# From the moment the mark is asked for, a request may leave for this long.
SEND_ALLOWANCE_SECONDS = 5.0
LEASE_MARGIN_SECONDS = 10.0
CONTENT_GONE = gettext_noop("Il testo del messaggio è stato cancellato prima dell’invio.")


class Allowance:
    """Whether a request may still leave. Two clocks: the monotonic one may stand still while a machine sleeps, the
    other may be set back; past the allowance on either, the answer is no for ever."""

    def __init__(self) -> None:
        self._wall = time.time()
        self._monotonic = time.monotonic()

    def holds(self) -> bool:
        return (
            time.monotonic() - self._monotonic < SEND_ALLOWANCE_SECONDS
            and time.time() - self._wall < SEND_ALLOWANCE_SECONDS
        )


@dataclass(frozen=True, slots=True)
class Departure:
    """A marked message with all that its request needs."""

    message: int
    io_service: int
    attempt_id: uuid.UUID
    letter: NewMessage
    key: str = field(repr=False)
    key_digest: str
    is_allowed: Callable[[], bool] = field(repr=False)


def lease_seconds() -> float:
    """Past it, no answer can come any more: the allowance, the send's own timeout, and a margin."""
    return SEND_ALLOWANCE_SECONDS + settings.IO_SEND_TIMEOUT + LEASE_MARGIN_SECONDS


# Told of messages that were or may have been marked and whose request will not leave: ids, attempt, and what it came to.
Stayed = Callable[[list[int], uuid.UUID, SendOutcome], None]


def mark(ids: Sequence[int], *, stayed: Stayed) -> list[Departure]:
    """Mark these messages for one attempt and return those that are now ours to send, and no others.

    Whatever fails is raised, and `stayed` has then been called with all the ids: nobody knows whether the mark was committed,
    and no request left. It is also called for one that cannot leave although the others can.
    """
    if not ids:
        return []
    allowance = Allowance()
    attempt_id = uuid.uuid4()
    checkpoint("before_mark")
    try:
        marked = move(
            ids,
            to=Delivery.SENDING,
            kind=EventKind.MARKED,
            at=datetime.now(UTC),
            data={"attempt": str(attempt_id)},
            columns={
                "attempt_id": attempt_id,
                "marked_at": Now(),
                "lease_until": now_plus(lease_seconds()),
                "waiting_reason": "",
                # Frozen here: a late answer, and every poll, must use the service the message was sent with.
                "io_service": Subquery(
                    ServiceInstance.objects.filter(pk=OuterRef("service_instance_id")).values("io_service_id")[:1]
                ),
            },
            # The account whose lane and bucket this is must still be the one that the message leaves through.
            condition=(Q(expires_at=None) | Q(expires_at__gt=Now()))
            & Q(service_instance__io_service__io_account=F("io_account")),
            skip_locked=True,
        )
        checkpoint("marked")
        rows = Message.objects.filter(pk__among=marked, attempt_id=attempt_id).values_list(*_NEEDED, named=True)
        ready = list(rows.order_by())
        services = IOService.objects.in_bulk({row.io_service_id for row in ready})
        return _departures(ready, services=services, attempt_id=attempt_id, allowance=allowance, stayed=stayed)
    except Exception:
        stayed(list(ids), attempt_id, Withheld())
        raise


def _departures(
    rows: Iterable[Any],
    *,
    services: Mapping[int, IOService],
    attempt_id: uuid.UUID,
    allowance: Allowance,
    stayed: Stayed,
) -> list[Departure]:
    keys: dict[int, tuple[str, str]] = {}
    departures = []
    staying: list[tuple[int, SendOutcome]] = []
    for row in rows:
        service = services[row.io_service_id]
        try:
            if service.pk not in keys:
                key = service.key.open()
                keys[service.pk] = key, digest_of_key(key)
            letter = _letter(row, service=service)
        except SealBroken:
            # Replaced a moment ago by one that we cannot open: choosing will see it and suspend the service.
            log.error("message %s cannot leave: its key cannot be opened", row.pk)
            staying.append((row.pk, Withheld()))
            continue
        except ContentGone:
            # It will not come back: waiting for it would mark this message again for ever.
            log.error("message %s cannot leave: its content is gone", row.pk)
            gone = Refused(status=0, title="", detail=CONTENT_GONE, cause=Cause.CONTENT)
            staying.append((row.pk, gone))
            continue
        key, digest = keys[service.pk]
        departures.append(
            Departure(
                message=row.pk,
                io_service=service.pk,
                attempt_id=attempt_id,
                letter=letter,
                key=key,
                key_digest=digest,
                is_allowed=allowance.holds,
            )
        )
    for pk, outcome in staying:
        stayed([pk], attempt_id, outcome)
    return departures


class ContentGone(Exception):
    """The message has no text any more: somebody deleted it by hand."""


# What a request is made of, and nothing else: a group is read a hundred at a time.
_NEEDED = (
    "pk",
    "taxcode",
    "due_date",
    "feature_level",
    "io_service_id",
    "content__pk",
    "content__subject",
    "content__markdown",
    "content__amount_cents",
    "content__notice_number",
    "content__invalid_after_due_date",
    "content__payee_taxcode",
)


def _letter(row: Any, *, service: IOService) -> NewMessage:
    """The request's content, from the frozen text: nothing is rendered or decided here."""
    if row.content__pk is None:
        raise ContentGone
    payment = None
    if row.content__amount_cents is not None:
        payment = PaymentData(
            amount=row.content__amount_cents,
            notice_number=row.content__notice_number,
            invalid_after_due_date=row.content__invalid_after_due_date,
            payee_fiscal_code=row.content__payee_taxcode or None,
        )
    return NewMessage(
        fiscal_code=row.taxcode,
        subject=row.content__subject,
        markdown=row.content__markdown,
        due_date=row.due_date,
        payment=payment,
        # Absent leaves it to the service's own setting on IO; we only ever ask for more.
        require_secure_channels=True if service.require_secure_channels else None,
        feature_level=row.feature_level,
    )
