"""Housekeeping of the queue: requests whose answer never came become doubts, waiting messages past their due date end."""

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Now

from messaging.models import EventKind, Message
from messaging.moving import move
from messaging.states import WAITING, Delivery, WaitingReason

BATCH = 500


def sweep(*, at: datetime) -> int:
    """Rows `sending` past their lease: the process that sent them is gone, or cannot tell. Returns how many."""
    lost = list(
        Message.objects.filter(delivery_state=Delivery.SENDING, lease_until__lt=Now()).values_list("pk", flat=True)[
            :BATCH
        ]
    )
    return len(
        move(
            lost,
            to=Delivery.UNCERTAIN,
            kind=EventKind.OUTCOME_UNKNOWN,
            at=at,
            data={"reason": "no answer recorded"},
            columns={"lease_until": None},
            skip_locked=True,
            # Not one that was released and marked again since we looked.
            condition=Q(lease_until__lt=Now()),
        )
    )


def expire(*, at: datetime) -> int:
    """Waiting rows whose due date passed in the queue: sending them now would only mislead. Returns how many."""
    over = list(
        Message.objects.filter(delivery_state__in=sorted(WAITING), expires_at__lte=Now()).values_list("pk", flat=True)[
            :BATCH
        ]
    )
    return len(
        move(
            over,
            to=Delivery.EXPIRED,
            kind=EventKind.EXPIRED,
            at=at,
            columns={"waiting_reason": WaitingReason.NONE},
            skip_locked=True,
        )
    )
