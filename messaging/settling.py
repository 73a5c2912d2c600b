"""A person decides about a doubt: it arrived, or send it again. Nothing else ever resends."""

from datetime import datetime

from django.db import transaction

from messaging.models import EventKind, Message
from messaging.moving import StateConflict, move
from messaging.states import Delivery, Priority, WaitingReason
from messaging.waking import nudge_on_commit
from registry.models import User


def settle_arrived(message: Message, *, by: User, at: datetime, reason: str) -> None:
    """Somebody knows that the citizen has it. It is not followed (IO never told its id), and counted apart.

    Raises StateConflict when it is no longer in doubt.
    """
    moved = move(
        [message.pk],
        to=Delivery.SENT,
        kind=EventKind.SETTLED_ARRIVED,
        sources=[Delivery.UNCERTAIN],
        at=at,
        by=by,
        data={"reason": reason},
        # The attempt stays: should IO's answer come after all, it fills the id and following starts.
        columns={"is_taken_as_arrived": True, "expedition_date": message.marked_at},
    )
    if not moved:
        raise StateConflict


def settle_resend(message: Message, *, by: User, at: datetime, reason: str) -> None:
    """Send it again, knowing that the citizen may then have it twice. Raises StateConflict when it is no longer in doubt."""
    with transaction.atomic():
        moved = move(
            [message.pk],
            to=Delivery.SCHEDULED,
            kind=EventKind.SETTLED_RESEND,
            sources=[Delivery.UNCERTAIN],
            at=at,
            by=by,
            data={"reason": reason},
            columns={
                # The old attempt no longer owns the row: whatever it still says becomes an event, not a move.
                "attempt_id": None,
                "marked_at": None,
                "io_service": None,
                "profile_checked_at": None,
                "not_before": at,
                "priority": Priority.INTERACTIVE,
                "waiting_reason": WaitingReason.NONE,
                "retries": 0,
            },
        )
        if not moved:
            raise StateConflict
        nudge_on_commit()
