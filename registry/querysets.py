"""Questions about the registry, as chainable querysets. Every one that a person's page uses starts with `visible_to`."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import models
from django.db.models import Exists, OuterRef, Q

from registry.opening_hours import EVERY_DAY

# In a set of services, every one: also those that do not exist yet.
_ALL: Final = None

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
        everywhere = Q(Exists(mine.filter(all_organizations=True)))
        named = Grant.organizations.through.objects.filter(grant=OuterRef("pk"))
        here = Grant.organizations.through.objects.filter(grant__in=mine.values("pk")).values("organization_id")
        return self.filter(
            Q(all_organizations=True) & everywhere
            | Q(all_organizations=False) & Q(Exists(named)) & everywhere
            | Q(all_organizations=False) & Q(Exists(named.filter(organization__in=here)))
        )

    def beyond(self, user: "User", *, at: datetime) -> "GrantQuerySet":
        """Those that give something, on some ente and service together, where this person does not administer.

        Asks what this person administers at once (two queries), and then looks at the enti and at the services of each
        grant, never at every pair of them.
        """
        from registry.models import Grant  # likewise

        organizations = Grant.organizations.through.objects.filter(grant=OuterRef("pk"))
        services = Grant.services.through.objects.filter(grant=OuterRef("pk"))
        beyond = Q(pk__in=[])
        for area in administered_areas(user, at=at):
            if area.all_services:
                continue
            if area.organizations is None:
                here = Q(all_organizations=True) | Q(Exists(organizations.exclude(organization__in=area.but)))
            else:
                here = Q(all_organizations=False) & Q(Exists(organizations.filter(organization__in=area.organizations)))
            covered = Grant.services.through.objects.filter(grant__in=area.grants).values("service_id")
            more = Q(all_services=True) | Q(all_services=False) & Q(Exists(services.exclude(service__in=covered)))
            beyond |= here & more
        return self.filter(beyond)

    def visible_to(self, user: "User", *, at: datetime) -> "GrantQuerySet":
        """One's own, and those that touch an ente one administers; staff see all."""
        from registry.models import Grant  # likewise

        if not user.is_active:
            return self.none()
        if user.is_staff:
            return self.all()
        return self.filter(Q(user=user) | Q(pk__in=Grant.objects.touching(user, at=at).values("pk")))


@dataclass(frozen=True, slots=True)
class Area:
    """Enti on which a person administers the same services: those of `grants`, or all of them.

    `organizations` is None for the enti that no grant of theirs names, which are all `but` these.
    """

    organizations: frozenset[int] | None
    but: frozenset[int]
    grants: frozenset[int]
    all_services: bool


def administered_areas(user: "User", *, at: datetime) -> "list[Area]":
    """Every ente is in one of these. There are as many as there are different sets of services: one, for most people."""
    from registry.models import Grant  # the grant knows the person: the other way is a named cycle

    mine = Grant.objects.administering(user, at=at)
    everywhere: set[int] = set()
    of_ente: dict[int, set[int]] = defaultdict(set)
    for pk, whole, organization in mine.values_list("pk", "all_organizations", "organizations"):
        if whole:
            everywhere.add(pk)
        elif organization is not None:
            of_ente[organization].add(pk)
    services: dict[int, set[int | None]] = defaultdict(set)
    for pk, whole, service in mine.values_list("pk", "all_services", "services"):
        services[pk].add(_ALL if whole else service)
    together: dict[frozenset[int], frozenset[int | None]] = {}
    enti: dict[frozenset[int | None], set[int]] = defaultdict(set)
    grants: dict[frozenset[int | None], frozenset[int]] = {}
    for organization, of_it in of_ente.items():
        named = frozenset(of_it | everywhere)
        if named not in together:
            covered = frozenset().union(*(services[pk] for pk in named))
            together[named] = frozenset({_ALL}) if _ALL in covered else covered
        enti[together[named]].add(organization)
        grants[together[named]] = named
    elsewhere = frozenset[int | None]().union(*(services[pk] for pk in everywhere))
    areas = [Area(None, frozenset(of_ente), frozenset(everywhere), _ALL in elsewhere)]
    return areas + [Area(frozenset(rows), frozenset(), grants[what], _ALL in what) for what, rows in enti.items()]


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
