"""The enti whose settings a person may change."""

from django.db.models import Exists, OuterRef, QuerySet

from messaging.models import ServiceInstance
from registry.models import Organization, User
from registry.permissions import Action


def hours_settable_by(user: User) -> QuerySet[Organization]:
    """The enti whose every service this person's role covers: hours hold for all that an ente sends."""
    mine = ServiceInstance.objects.open_to(user, Action.SET_SENDING_HOURS)
    others = ServiceInstance.objects.filter(organization=OuterRef("pk")).exclude(pk__in=mine.values("pk"))
    return Organization.objects.filter(Exists(mine.filter(organization=OuterRef("pk"))), ~Exists(others)).order_by(
        "legal_name"
    )
