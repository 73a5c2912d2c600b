"""The mark: the row says "this attempt is sending it", committed, before any request leaves."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error as DatabaseFailed
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Now

from io_client.payloads import NewMessage, PaymentData
from messaging.checkpoints import checkpoint
from messaging.database_clock import now_plus
from messaging.models import EventKind, Message, ServiceInstance
from messaging.moving import move
from messaging.states import Delivery
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

# From the moment the mark is asked for, a request may leave for this long.
SEND_ALLOWANCE_SECONDS = 5.0
LEASE_MARGIN_SECONDS = 10.0


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
    is_allowed: Callable[[], bool] = field(repr=False)


def lease_seconds() -> float:
    """Past it, no answer can come any more: the allowance, the send's own timeout, and a margin."""
    return SEND_ALLOWANCE_SECONDS + settings.IO_SEND_TIMEOUT + LEASE_MARGIN_SECONDS


def mark(ids: Sequence[int], *, withheld: Callable[[list[int], uuid.UUID], None]) -> Iterator[Departure]:
    """Mark these messages for one attempt and yield those that are now ours to send, and no others.

    Raises what the database raises; `withheld` has then been called with the ids and the attempt, since nobody knows whether the
    mark was committed, and no request left.
    """
    if not ids:
        return
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
        rows = list(
            Message.objects.filter(pk__in=marked, attempt_id=attempt_id).select_related("content", "io_service")
        )
    except DatabaseFailed:
        withheld(list(ids), attempt_id)
        raise
    for row in rows:
        service = row.io_service
        assert service is not None  # the constraint message_sending_has_attempt
        try:
            key, letter = service.key.open(), letter_of(row)
        except (SealBroken, ObjectDoesNotExist) as fault:
            # The key was replaced a moment ago by one that we cannot open (choosing will see it and suspend), or the
            # content is gone: this one stays, the others leave.
            log.error("message %s cannot leave: %s", row.pk, type(fault).__name__)
            withheld([row.pk], attempt_id)
            continue
        yield Departure(
            message=row.pk,
            io_service=service.pk,
            attempt_id=attempt_id,
            letter=letter,
            key=key,
            is_allowed=allowance.holds,
        )


def letter_of(message: Message) -> NewMessage:
    """The request's content, from the frozen text: nothing is rendered or decided here."""
    content = message.content
    payment = None
    if content.amount_cents is not None:
        payment = PaymentData(
            amount=content.amount_cents,
            notice_number=content.notice_number,
            invalid_after_due_date=content.invalid_after_due_date,
            payee_fiscal_code=content.payee_taxcode or None,
        )
    service = message.io_service
    return NewMessage(
        fiscal_code=message.taxcode,
        subject=content.subject,
        markdown=content.markdown,
        due_date=message.due_date,
        payment=payment,
        # Absent leaves it to the service's own setting on IO; we only ever ask for more.
        require_secure_channels=True if service is not None and service.require_secure_channels else None,
        feature_level=message.feature_level,
    )
