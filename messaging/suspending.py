"""Suspending an IO service and resuming it; setting one message aside and releasing it.

A key that IO refuses is a fault of the service, not of its messages: they wait, a person fixes it, they leave.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from messaging.models import EventKind, IOService, Message, SuspensionReason
from messaging.moving import StateConflict, record
from messaging.states import WAITING, Priority, WaitingReason
from registry.models import User
from sealed.boxes import SealBroken

# Different recipients refused without a clear reason, with no acceptance in between.
REFUSALS_TO_SUSPEND = 3
# A message refused once, and again after each of two resumes, is itself to blame.
REFUSALS_TO_END = 3


def digest_of_key(key: str) -> str:
    """Tells keys apart without telling them; in memory only."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def suspend(io_service: int, *, reason: SuspensionReason, detail: str, at: datetime, only_with_key: str = "") -> bool:
    """Stop sending for this IO service until a person resumes it. False when it was suspended already.

    `only_with_key` is the digest of the key that was refused: where another is in use by now, the refusal is of the past.
    """
    if only_with_key:
        service = IOService.objects.filter(pk=io_service).first()
        if service is None or not _is_in_use(service, only_with_key):
            return False
    return bool(
        IOService.objects.filter(pk=io_service, suspended_at=None).update(
            suspended_at=at, suspended_reason=reason, suspended_detail=detail[:1000], is_probing=False
        )
    )


def _is_in_use(service: IOService, digest: str) -> bool:
    try:
        return digest_of_key(service.key.open()) == digest
    except SealBroken:
        return True


def resume(io_service: IOService, *, by: User, at: datetime) -> None:
    """Send again: one message at a time until one is accepted, those that were refused before after the others.

    Raises StateConflict when it is not suspended.
    """
    with transaction.atomic():
        resumed = IOService.objects.filter(pk=io_service.pk, suspended_at__isnull=False).update(
            suspended_at=None, suspended_reason="", suspended_detail="", is_probing=True, refusing_since=None
        )
        if not resumed:
            raise StateConflict
        release_set_aside(io_service, by=by, at=at)
        Message.objects.filter(
            service_instance__io_service=io_service,
            delivery_state__in=sorted(WAITING),
            waiting_reason=WaitingReason.SUSPENDED,
        ).update(waiting_reason=WaitingReason.NONE)


def release_set_aside(
    io_service: IOService, *, by: User, at: datetime, ids: Collection[int] | None = None
) -> list[int]:
    """Put messages that were set aside back in the queue, after the others; returns which."""
    with transaction.atomic():
        rows = Message.objects.filter(
            service_instance__io_service=io_service,
            delivery_state__in=sorted(WAITING),
            waiting_reason=WaitingReason.SET_ASIDE,
        )
        if ids is not None:
            rows = rows.filter(pk__in=ids)
        released = list(rows.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
        Message.objects.filter(pk__in=released).update(
            waiting_reason=WaitingReason.NONE, priority=Priority.LAST, not_before=at
        )
        record(released, kind=EventKind.REQUEUED, at=at, by=by)
    return released


def note_unclear_refusals(io_service: int, *, detail: str, at: datetime) -> None:
    """After messages of this service were set aside: suspend it when three recipients in a row were refused."""
    IOService.objects.filter(pk=io_service, refusing_since=None).update(refusing_since=at)
    since = IOService.objects.filter(pk=io_service).values_list("refusing_since", flat=True).first()
    recipients = (
        Message.objects.filter(
            Q(service_instance__io_service=io_service),
            waiting_reason=WaitingReason.SET_ASIDE,
            refused_at__gte=since,
        )
        .values("taxcode")
        .distinct()
        .count()
    )
    if recipients >= REFUSALS_TO_SUSPEND:
        suspend(io_service, reason=SuspensionReason.REFUSALS_IN_ROW, detail=detail, at=at)


def note_acceptance(io_services: Collection[int]) -> None:
    """IO took a message: whatever streak of refusals there was has ended, and so has probing."""
    recovered = list(
        IOService.objects.filter(Q(refusing_since__isnull=False) | Q(is_probing=True), pk__in=io_services).values_list(
            "pk", flat=True
        )
    )
    if recovered:
        IOService.objects.filter(pk__in=recovered).update(refusing_since=None, is_probing=False)
        # They were put last because something was wrong with the service; nothing is any more.
        Message.objects.waiting().filter(service_instance__io_service__in=recovered, priority=Priority.LAST).update(
            priority=Priority.SCHEDULED
        )


def count_refusals(ids: Collection[int], *, at: datetime) -> None:
    """Remember that these were refused for a reason that is not clearly theirs, and let others go first next time."""
    Message.objects.filter(pk__in=ids).update(refusals=F("refusals") + 1, refused_at=at, priority=Priority.LAST)
