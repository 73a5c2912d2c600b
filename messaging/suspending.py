"""Suspending an IO service and resuming it; setting one message aside and releasing it.

A key that IO refuses is a fault of the service, not of its messages: they wait, a person fixes it, they leave.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from messaging import auditing, logs
from messaging.database_clock import now_plus
from messaging.models import ActiveKey, EventKind, IOService, Message, SuspensionReason
from messaging.moving import StateConflict, record
from messaging.states import WAITING, Priority, WaitingReason
from registry.models import User
from sealed.boxes import SealBroken

# Of a service whose key IO refuses nothing can be asked: looked at again after this long, or when it is resumed.
NOT_ASKED_FOR_SECONDS = 600.0
# Different recipients refused without a clear reason, with no acceptance in between.
REFUSALS_TO_SUSPEND = 3
# A message refused once, and again after each of two resumes, is itself to blame.
REFUSALS_TO_END = 3
# Where a suspension is not IO's doing but ours: there is no key that a call could be made with.
NO_KEY = gettext_noop("Nessuna chiave inserita.")
KEY_UNREADABLE = gettext_noop("La chiave salvata non si può più aprire: inseriscila di nuovo.")


def digest_of_key(key: str) -> str:
    """Tells keys apart without telling them; in memory only."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def suspend(io_service: int, *, reason: SuspensionReason, detail: str, at: datetime, only_with_key: str = "") -> bool:
    """Stop sending for this IO service until a person resumes it. False when it was suspended already.

    `only_with_key` is the digest of the key that was refused: where another is in use by now, the refusal is of the past.
    """
    going = IOService.objects.filter(pk=io_service, suspended_at=None)
    if only_with_key:
        service = going.first()
        if service is None or not _is_in_use(service, only_with_key):
            return False
        # A key replaced or switched since we looked a moment ago must not be blamed either.
        column = "secondary_key" if service.active_key == ActiveKey.SECONDARY else "primary_key"
        going = going.filter(active_key=service.active_key, **{column: service.key})
    suspended = going.update(suspended_at=at, suspended_reason=reason, suspended_detail=detail[:1000], is_probing=False)
    if suspended:
        logs.service_suspended(io_service, reason=reason.value)
    return bool(suspended)


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
        auditing.note(io_service, auditing.RESUMED, by=by)
        logs.service_resumed(io_service.pk)
        release_set_aside(io_service, by=by, at=at)
        # By way of the queue's index: a suspension may have let a long queue grow.
        Message.objects.waiting().filter(
            io_account=io_service.io_account_id,
            service_instance__io_service=io_service,
            waiting_reason=WaitingReason.SUSPENDED,
        ).update(waiting_reason=WaitingReason.NONE)
        # What could not be asked about was put off meanwhile.
        Message.objects.filter(
            io_account=io_service.io_account_id,
            io_service=io_service,
            next_poll_at__gt=Now(),
            next_poll_at__lte=now_plus(NOT_ASKED_FOR_SECONDS),
        ).update(next_poll_at=Now())


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
        accounts = IOService.objects.filter(pk__in=recovered).values_list("io_account", flat=True)
        Message.objects.waiting().filter(
            io_account__in=list(accounts), service_instance__io_service__in=recovered, priority=Priority.LAST
        ).update(priority=Priority.SCHEDULED)


def count_refusals(ids: Collection[int], *, at: datetime) -> None:
    """Remember that these were refused for a reason that is not clearly theirs, and let others go first next time."""
    Message.objects.filter(pk__in=ids).update(refusals=F("refusals") + 1, refused_at=at, priority=Priority.LAST)
