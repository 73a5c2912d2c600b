"""Questions about the registry, as chainable querysets. Every one that a person's page uses starts with `visible_to`."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Exists, OuterRef, Q

from registry.opening_hours import EVERY_DAY

if TYPE_CHECKING:
    from registry.models import ConsumerKey, Grant, Organization, Service, User  # noqa: F401  (named in quotes below, as the types need)


class GrantQuerySet(models.QuerySet["Grant"]):
    def active(self, at: datetime) -> "GrantQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at), user__is_active=True)

    def of(self, user: "User", *, roles: Any, at: datetime) -> "GrantQuerySet":
        return self.active(at).filter(user=user, role__in=roles)


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def visible_to(self, user: "User", *, at: datetime) -> "OrganizationQuerySet":
        """The enti named by any live grant of this person."""
        from registry.models import Grant  # the grant knows the ente: the other way is a named cycle

        covering = Grant.objects.active(at).filter(user=user)
        return self.filter(Exists(covering.filter(Q(all_organizations=True) | Q(organizations=OuterRef("pk")))))

    def with_sending_hours(self) -> "OrganizationQuerySet":
        """Those whose messages wait at certain times."""
        return self.filter(Q(sends_from__isnull=False) | ~Q(sending_days=EVERY_DAY) | Q(observes_holidays=True))


class ServiceQuerySet(models.QuerySet["Service"]):
    def visible_to(self, user: "User", *, at: datetime) -> "ServiceQuerySet":
        from registry.models import Grant  # the grant knows the service: the other way is a named cycle

        covering = Grant.objects.active(at).filter(user=user)
        return self.filter(Exists(covering.filter(Q(all_services=True) | Q(services=OuterRef("pk")))))


class ConsumerKeyQuerySet(models.QuerySet["ConsumerKey"]):
    def live(self, at: datetime) -> "ConsumerKeyQuerySet":
        """Keys that open the door now: not expired, not revoked, of an enabled consumer acting for an enabled person."""
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=at),
            Q(revoked_at=None) | Q(revoked_at__gt=at),
            consumer__is_active=True,
            consumer__user__is_active=True,
        )
