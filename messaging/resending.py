"""The rule that a person may switch on for a service instance: a doubt is sent again, once, without asking anybody.

Off by default, since IO can neither be asked whether it has a message nor be made to forget one: the citizen may get it
twice. It never touches what would do harm twice (payments), what IO fetches or delivers in another way (Premium, secure
channels), nor a message that was sent twice already.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from messaging.auditing import ON_DOUBT, note
from messaging.database_clock import now_plus
from messaging.models import EventKind, FeatureLevel, Message, MessageEvent, OnDoubt, ServiceInstance
from messaging.models.service_instance import ServiceInstanceQuerySet
from messaging.moving import StateConflict, move
from messaging.querysets import MessageQuerySet
from messaging.settling import AS_IF_NEVER_TRIED, GROUP, requests_of
from messaging.states import Delivery
from messaging.waking import nudge_on_commit
from registry.models import User

# A late answer has so much time to settle the doubt by itself.
WAIT_SECONDS = 600.0


def resend_by_rule(*, at: datetime) -> int:
    """Send again what the rule covers and has been in doubt for ten minutes; returns how many, at most a group.

    Harmless when doubled: the row itself remembers that the rule has had its turn.
    """
    instances = list(_ruled_instances().values_list("pk", flat=True))
    if not instances:
        return 0
    ready = covered_by_rule().filter(_waited_long_enough(), service_instance__in=instances)
    ids = list(ready.order_by("pk").values_list("pk", flat=True)[:GROUP])
    if not ids:
        return 0
    with transaction.atomic():
        # Everything is asked again of the locked rows, in the statement that moves them.
        moved = move(
            ids,
            to=Delivery.SCHEDULED,
            kind=EventKind.RESENT_BY_RULE,
            sources=[Delivery.UNCERTAIN],
            at=at,
            data=requests_of(Message.objects.filter(pk__in=ids)),
            # In its own place in the queue: nobody asked for it to overtake.
            columns={**AS_IF_NEVER_TRIED, "not_before": Now(), "is_resent_by_rule": True},
            condition=_covered() & _waited_long_enough(),
        )
        if moved:
            nudge_on_commit()
    return len(moved)


def covered_by_rule() -> MessageQuerySet:
    """The doubts that will be sent again by themselves, unless somebody settles them first."""
    return Message.objects.uncertain().filter(_covered())


def _ruled_instances() -> ServiceInstanceQuerySet:
    return ServiceInstance.objects.filter(
        on_doubt=OnDoubt.RESEND, enabled=True, io_service__suspended_at=None, io_service__require_secure_channels=False
    )


def _covered() -> Q:
    sent_again_by_a_person = MessageEvent.objects.filter(message=OuterRef("pk"), kind=EventKind.SETTLED_RESEND)
    return (
        Q(
            is_resent_by_rule=False,
            service_instance__in=_ruled_instances().values("pk"),
            # As it was sent: the service instance may send through another IO service by now.
            io_service__require_secure_channels=False,
            feature_level=FeatureLevel.STANDARD,
            # Without its text nobody can tell what it was, and there is nothing to send.
            content__isnull=False,
            content__amount_cents=None,
        )
        & (Q(expires_at=None) | Q(expires_at__gt=Now()))
        & ~Q(Exists(sent_again_by_a_person))
    )


def _waited_long_enough() -> Q:
    """The doubt arose when the row last moved, by the clock of the worker that said so; its request left before, by the
    database's. The later of the two counts, so that no wrong clock shortens the wait."""
    cutoff = now_plus(-WAIT_SECONDS)
    return Q(updated_at__lte=cutoff, marked_at__lte=cutoff)


def switch_rule(instance: ServiceInstance, *, to: OnDoubt, by: User) -> None:
    """Change what happens to this service instance's doubts, and keep who did it and when.

    Raises StateConflict where it is so already.
    """
    with transaction.atomic():
        if not ServiceInstance.objects.filter(pk=instance.pk).exclude(on_doubt=to).update(on_doubt=to):
            raise StateConflict
        note(instance, ON_DOUBT[to], by=by)
