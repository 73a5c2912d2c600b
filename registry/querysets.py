"""Questions about the registry, as chainable querysets. Every one that a person's page uses starts with `visible_to`."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Exists, OuterRef, Q

from registry.opening_hours import EVERY_DAY

if TYPE_CHECKING:
    from registry.models import Consumer, ConsumerKey, Grant, Organization, Role, Service, User  # noqa: F401  (named in quotes below, as the types need)


class GrantQuerySet(models.QuerySet["Grant"]):
    def active(self, at: datetime) -> "GrantQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at), user__is_active=True)

    def of(self, user: "User", *, roles: Any, at: datetime) -> "GrantQuerySet":
        return self.active(at).filter(user=user, role__in=roles)

    def unexpired(self, at: datetime) -> "GrantQuerySet":
        """Also of people disabled, who would have them again once enabled."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at))

    def administering(self, user: "User", *, at: datetime) -> "GrantQuerySet":
        """This person's live grants that let them manage people, somewhere."""
        from registry.permissions import ROLES, Action  # permissions ask grants: the other way is a named cycle

        return self.of(user, roles=ROLES[Action.MANAGE_PEOPLE], at=at).covering_something()

    def covering_something(self) -> "GrantQuerySet":
        """Without those emptied, that give no right to anything."""
        from registry.models import Grant  # the class of these rows

        organizations = Grant.organizations.through.objects.filter(grant=OuterRef("pk"))
        services = Grant.services.through.objects.filter(grant=OuterRef("pk"))
        return self.filter(
            Q(all_organizations=True) | Q(Exists(organizations)), Q(all_services=True) | Q(Exists(services))
        )

    def touching(self, user: "User", *, at: datetime) -> "GrantQuerySet":
        """Those that name an ente which this person administers, whatever the service; "all" is named by an "all" alone."""
        from registry.models import Grant  # likewise

        mine = Grant.objects.administering(user, at=at)
        named = Grant.organizations.through.objects.filter(grant=OuterRef("pk")).filter(
            Exists(mine.filter(Q(all_organizations=True) | Q(organizations=OuterRef("organization_id"))))
        )
        everywhere = Q(all_organizations=True) & Q(Exists(mine.filter(all_organizations=True)))
        return self.filter(everywhere | Q(all_organizations=False) & Q(Exists(named)))

    def beyond(self, user: "User", *, at: datetime) -> "GrantQuerySet":
        """Those that give something, on some ente and service together, where this person does not administer."""
        from registry.models import Grant  # likewise

        mine = Grant.objects.administering(user, at=at)
        organizations = Grant.organizations.through.objects.filter(grant=OuterRef("pk"))
        services = Grant.services.through.objects.filter(grant=OuterRef("pk"))
        whole = mine.filter(all_organizations=True, all_services=True)
        here = Q(all_organizations=True) | Q(organizations=OuterRef("organization_id"))
        this = Q(all_services=True) | Q(services=OuterRef("service_id"))
        everywhere = services.filter(~Exists(mine.filter(all_organizations=True).filter(this)))
        with_all = organizations.filter(~Exists(mine.filter(all_services=True).filter(here)))
        pair = mine.filter(Q(all_organizations=True) | Q(organizations=OuterRef(OuterRef("organization_id")))).filter(
            this
        )
        named = Grant.services.through.objects.filter(grant=OuterRef("grant_id")).filter(~Exists(pair))
        return self.filter(
            Q(all_organizations=True, all_services=True) & ~Q(Exists(whole))
            | Q(all_organizations=True, all_services=False) & Q(Exists(everywhere))
            | Q(all_organizations=False, all_services=True) & Q(Exists(with_all))
            | Q(all_organizations=False, all_services=False) & Q(Exists(organizations.filter(Exists(named))))
        )

    def visible_to(self, user: "User", *, at: datetime) -> "GrantQuerySet":
        """One's own, and those that touch an ente one administers; staff see all."""
        from registry.models import Grant  # likewise

        if not user.is_active:
            return self.none()
        if user.is_staff:
            return self.all()
        return self.filter(Q(user=user) | Q(pk__in=Grant.objects.touching(user, at=at).values("pk")))


class UserQuerySet(models.QuerySet["User"]):
    def visible_to(self, user: "User", *, at: datetime) -> "UserQuerySet":
        """Oneself, those whom one administers, and those who have, or had, a grant naming an ente that one administers.

        Platform staff see everybody.
        """
        from registry.models import Grant  # the grant knows the person: the other way is a named cycle

        if not user.is_active:
            return self.none()
        if user.is_staff:
            return self.all()
        mine = Grant.objects.administering(user, at=at)
        touching = Grant.objects.touching(user, at=at).filter(user=OuterRef("pk"))
        made = Q(created_by=user.pk) & Q(Exists(mine))
        return self.filter(Q(pk=user.pk) | made | Q(Exists(touching)))

    def administered_by(self, user: "User", *, at: datetime) -> "UserQuerySet":
        """Those whom this person may rename, disable, invite and give programs to: all that they hold is administered.

        Whoever holds nothing is administered by who made them. Nobody but a superuser administers a superuser, nobody
        but staff administers staff. Oneself is no exception, so that a right that somebody else gave cannot be handed
        to a program.
        """
        from registry.models import Grant  # likewise

        if not user.is_active:
            return self.none()
        if user.is_staff:
            return self.all() if user.is_superuser else self.filter(Q(is_superuser=False) | Q(pk=user.pk))
        mine = Grant.objects.administering(user, at=at)
        held = Grant.objects.unexpired(at).filter(user=OuterRef("pk"))
        known = Q(created_by=user.pk) | Q(Exists(held.covering_something()))
        return self.filter(
            Q(Exists(mine)), ~Q(Exists(held.beyond(user, at=at))), known, is_staff=False, is_superuser=False
        )


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def visible_to(self, user: "User", *, at: datetime) -> "OrganizationQuerySet":
        """The enti named by any live grant of this person."""
        from registry.models import Grant  # the grant knows the ente: the other way is a named cycle

        covering = Grant.objects.active(at).filter(user=user).covering_something()
        return self.filter(Exists(covering.filter(Q(all_organizations=True) | Q(organizations=OuterRef("pk")))))

    def readable_by(self, user: "User", *, at: datetime) -> "OrganizationQuerySet":
        """Those visible; every one to platform staff, who keep the register."""
        return self.all() if _runs_platform(user) else self.visible_to(user, at=at)

    def where_held(
        self, user: "User", alternatives: "Iterable[Collection[Role]]", *, at: datetime
    ) -> "OrganizationQuerySet":
        """Those on which this person holds, in live grants, all the roles of one of these sets."""
        return self.filter(
            _held(user, alternatives, on=Q(all_organizations=True) | Q(organizations=OuterRef("pk")), at=at)
        )

    def with_sending_hours(self) -> "OrganizationQuerySet":
        """Those whose messages wait at certain times."""
        return self.filter(Q(sends_from__isnull=False) | ~Q(sending_days=EVERY_DAY) | Q(observes_holidays=True))


class ServiceQuerySet(models.QuerySet["Service"]):
    def visible_to(self, user: "User", *, at: datetime) -> "ServiceQuerySet":
        from registry.models import Grant  # the grant knows the service: the other way is a named cycle

        covering = Grant.objects.active(at).filter(user=user).covering_something()
        return self.filter(Exists(covering.filter(Q(all_services=True) | Q(services=OuterRef("pk")))))

    def readable_by(self, user: "User", *, at: datetime) -> "ServiceQuerySet":
        """As for enti."""
        return self.all() if _runs_platform(user) else self.visible_to(user, at=at)

    def where_held(
        self, user: "User", alternatives: "Iterable[Collection[Role]]", *, at: datetime
    ) -> "ServiceQuerySet":
        """As for enti."""
        return self.filter(_held(user, alternatives, on=Q(all_services=True) | Q(services=OuterRef("pk")), at=at))


def _runs_platform(user: "User") -> bool:
    from registry.permissions import Action, can  # it asks the grants, whose querysets are here: a named cycle

    return can(user, Action.RUN_PLATFORM)


def _held(user: "User", alternatives: "Iterable[Collection[Role]]", *, on: Q, at: datetime) -> Q:
    from registry.models import Grant  # the grant knows enti and services: the other way is a named cycle

    covering = Grant.objects.active(at).filter(user=user).filter(on)
    condition = Q(pk__in=[])
    for roles in alternatives:
        together = Q()
        for role in sorted(roles):
            together &= Q(Exists(covering.filter(role=role)))
        condition |= together
    return condition


class ConsumerQuerySet(models.QuerySet["Consumer"]):
    def visible_to(self, user: "User", *, at: datetime) -> "ConsumerQuerySet":
        """Those that act for somebody whom this person administers: whoever may see one may change it."""
        from registry.models import User  # the consumer knows the person: the other way is a named cycle

        return self.filter(user__in=User.objects.administered_by(user, at=at).values("pk"))


class ConsumerKeyQuerySet(models.QuerySet["ConsumerKey"]):
    def unrevoked(self, at: datetime) -> "ConsumerKeyQuerySet":
        """Neither expired nor revoked, also where the consumer or its person is disabled for now."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at), Q(revoked_at=None) | Q(revoked_at__gt=at))

    def live(self, at: datetime) -> "ConsumerKeyQuerySet":
        """Keys that open the door now: not expired, not revoked, of an enabled consumer acting for an enabled person."""
        return self.unrevoked(at).filter(consumer__is_active=True, consumer__user__is_active=True)
