"""Questions about messages, as chainable querysets. Whatever a person sees starts with `visible_to`."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from messaging.states import FOLLOWED, WAITING, Delivery, Priority, SuspensionReason, WaitingReason
from registry.permissions import Action

if TYPE_CHECKING:
    from messaging.models import Message  # noqa: F401  (named in quotes below, as the types need)

# An answer about the recipient is good for five minutes.
PROFILE_GOOD_FOR = timedelta(minutes=5)


class MessageQuerySet(models.QuerySet["Message"]):
    def visible_to(
        self, user: Any, *, action: Action = Action.SEE_MESSAGES, at: datetime | None = None
    ) -> "MessageQuerySet":
        """Messages of the service instances on which one live grant covers the action; in doubt, none."""
        from messaging.models import ServiceInstance  # the message points at it: the other way is a named cycle

        return self.filter(service_instance__in=ServiceInstance.objects.open_to(user, action, at=at).values("pk"))

    def waiting(self) -> "MessageQuerySet":
        """In the queue and not set aside; naming every priority lets the queue's index be used from its first column."""
        return self.filter(
            ~Q(waiting_reason=WaitingReason.SET_ASIDE), priority__in=Priority.values, delivery_state__in=sorted(WAITING)
        )

    def due(self, *, at: Any) -> "MessageQuerySet":
        """In the queue, its time has come, and there is a way to send it: neither suspended nor switched off."""
        return self.waiting().filter(
            not_before__lte=at,
            service_instance__enabled=True,
            service_instance__io_service__suspended_at=None,
        )

    def claimable(self, *, io_account: int, at: Any) -> "MessageQuerySet":
        """What of one account may be taken up now, in the order in which it leaves."""
        return (
            self.due(at=at)
            .filter(Q(expires_at=None) | Q(expires_at__gt=at), io_account=io_account)
            .order_by("priority", "not_before", "id")
        )

    def uncertain(self) -> "MessageQuerySet":
        return self.filter(delivery_state=Delivery.UNCERTAIN)

    def to_poll(self, *, io_account: Any, at: Any) -> "MessageQuerySet":
        """Due for a question to IO with a key that it takes, the longest-waiting first."""
        return (
            self.filter(io_account=io_account, next_poll_at__lte=at)
            .exclude(io_service__suspended_reason=SuspensionReason.KEY_REFUSED)
            .order_by("next_poll_at")
        )

    def followed(self) -> "MessageQuerySet":
        return self.filter(delivery_state__in=FOLLOWED, is_taken_as_arrived=False)

    def silent(self) -> "MessageQuerySet":
        """IO took them and gives no more news: seven days of questions are over, or there is no id to ask by.

        In the order of the index `message_silent`, which holds these alone; take a bounded number of them in that order.
        PostgreSQL takes the three conditions for independent, hence for common: in another order it looks through millions.
        """
        return self.filter(
            delivery_state__in=sorted(FOLLOWED), next_poll_at__isnull=True, is_taken_as_arrived=False
        ).order_by("service_instance_id", "-pk")

    def with_everything(self) -> "MessageQuerySet":
        """What one message's page or API answer shows, in one query."""
        return self.select_related(
            "content__version",
            "sender",
            "consumer",
            "service_instance__organization",
            "service_instance__service",
            "service_instance__template__current_version",
            "service_instance__template__draft",
            "service_instance__io_service",
        )
