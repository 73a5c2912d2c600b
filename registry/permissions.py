"""The one answerer of "may this person…?", for pages, API, files and back office alike.

An action needs one of some roles, in one live grant that covers the ente and the service together. Querysets use
`covered(...)`, so that what a person may not see is never read; single objects use `can(...)`, which asks the same.
"""

import enum
from datetime import datetime
from typing import Any, Protocol

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from registry.models import Grant, Organization, Role, User
from registry.querysets import GrantQuerySet


class Action(enum.Enum):
    """What can be asked for."""

    SEE_MESSAGES = "see messages"
    WRITE_DRAFTS = "write drafts"
    SEND_MESSAGES = "send messages"
    APPROVE_MESSAGES = "approve messages"
    # The full fiscal code instead of the masked one; every look is recorded.
    REVEAL_RECIPIENT = "reveal a recipient"
    SETTLE_DOUBTS = "settle doubts"
    CONFIGURE_SENDING = "configure sending"
    # Queues, paces and stops, in numbers: nothing of any message.
    SEE_SENDING = "see how sending goes"
    # Of the whole ente: needed on every service that it sends for.
    SET_SENDING_HOURS = "set sending hours"
    # Its address, contacts and logo: likewise of the whole ente.
    EDIT_ORGANIZATION = "edit an organization"
    # Enti, services, templates, service instances (never their keys): whoever has any role at all needs to find them.
    SEE_CONFIGURATION = "see configuration"
    WRITE_TEMPLATES = "write templates"
    # Users, their grants, consumers and their keys.
    MANAGE_PEOPLE = "manage people"
    # Enti, services, shared templates, IO accounts, grants on "all": of platform staff, and of nobody's grants.
    RUN_PLATFORM = "run the platform"


# Of these roles, any one suffices (docs/glossary.md tells what each role is).
ROLES: dict[Action, frozenset[Role]] = {
    Action.SEE_MESSAGES: frozenset({Role.VIEWER, Role.EDITOR, Role.SENDER, Role.APPROVER, Role.ADMINISTRATOR}),
    Action.WRITE_DRAFTS: frozenset({Role.EDITOR, Role.SENDER}),
    Action.SEND_MESSAGES: frozenset({Role.SENDER}),
    Action.APPROVE_MESSAGES: frozenset({Role.APPROVER}),
    # Whoever says yes to a message must be able to read to whom it goes.
    Action.REVEAL_RECIPIENT: frozenset({Role.SENDER, Role.APPROVER}),
    Action.SETTLE_DOUBTS: frozenset({Role.SENDER}),
    Action.CONFIGURE_SENDING: frozenset({Role.CONFIGURATOR}),
    Action.SEE_SENDING: frozenset({Role.CONFIGURATOR, Role.ADMINISTRATOR}),
    Action.SET_SENDING_HOURS: frozenset({Role.CONFIGURATOR, Role.ADMINISTRATOR}),
    Action.EDIT_ORGANIZATION: frozenset({Role.CONFIGURATOR, Role.ADMINISTRATOR}),
    Action.SEE_CONFIGURATION: frozenset(Role),
    Action.WRITE_TEMPLATES: frozenset({Role.EDITOR, Role.SENDER, Role.CONFIGURATOR}),
    Action.MANAGE_PEOPLE: frozenset({Role.ADMINISTRATOR}),
    Action.RUN_PLATFORM: frozenset(),
}


class OnOrganizationAndService(Protocol):
    """Anything that belongs to one ente and one service: a service instance, or a message's."""

    @property
    def organization_id(self) -> int: ...

    @property
    def service_id(self) -> int: ...


def can(user: Any, action: Action, *, on: OnOrganizationAndService | None = None, at: datetime | None = None) -> bool:
    """True when one live grant of this person covers the action, the ente and the service together.

    `on` is left out only for what belongs to the platform as a whole.
    """
    if not isinstance(user, User) or not user.is_active:
        return False
    if action is Action.RUN_PLATFORM:
        return user.is_staff
    if on is None:
        return False
    return (
        _grants(user, action, at=at)
        .filter(Q(all_organizations=True) | Q(organizations=on.organization_id))
        .filter(Q(all_services=True) | Q(services=on.service_id))
        .exists()
    )


def covered(user: Any, action: Action, *, organization: str, service: str, at: datetime | None = None) -> Q:
    """The same rule as a condition for a queryset; `organization` and `service` are paths to the two foreign keys' ids.

    In doubt (nobody signed in, disabled) it matches nothing.
    """
    if not isinstance(user, User) or not user.is_active:
        return Q(pk__in=[])
    grants = (
        _grants(user, action, at=at)
        .filter(Q(all_organizations=True) | Q(organizations=OuterRef(organization)))
        .filter(Q(all_services=True) | Q(services=OuterRef(service)))
    )
    return Q(Exists(grants))


def covered_organization(user: Any, action: Action, *, organization: str, at: datetime | None = None) -> Q:
    """For what belongs to an ente and to no service: some live grant covers the action there, on whatever services.

    Enough to see it. To change what several services share, ask `can` on each of them as well.
    """
    if not isinstance(user, User) or not user.is_active:
        return Q(pk__in=[])
    grants = _grants(user, action, at=at).covering_something()
    return Q(Exists(grants.filter(Q(all_organizations=True) | Q(organizations=OuterRef(organization)))))


def covered_service(user: Any, action: Action, *, service: str, at: datetime | None = None) -> Q:
    """Likewise for what belongs to a service and to no ente."""
    if not isinstance(user, User) or not user.is_active:
        return Q(pk__in=[])
    grants = _grants(user, action, at=at).covering_something()
    return Q(Exists(grants.filter(Q(all_services=True) | Q(services=OuterRef(service)))))


def can_on_whole(user: Any, action: Action, organization: Organization, *, at: datetime | None = None) -> bool:
    """For what all the services of an ente share: a live grant names the ente, and none of its services is left out."""
    named = Organization.objects.filter(
        covered_organization(user, action, organization="pk", at=at), pk=organization.pk
    )
    # What the ente sends through is declared above the registry; from here it is a relation with two columns.
    here = covered(user, action, organization="organization_id", service="service_id", at=at)
    return named.exists() and not organization.service_instances.exclude(here).exists()


def may_somewhere(user: Any, action: Action, *, at: datetime | None = None) -> bool:
    """Whether to offer the action at all: some live grant has it, wherever."""
    if not isinstance(user, User) or not user.is_active:
        return False
    if action is Action.RUN_PLATFORM:
        return user.is_staff
    return _grants(user, action, at=at).covering_something().exists()


def _grants(user: User, action: Action, *, at: datetime | None) -> GrantQuerySet:
    return Grant.objects.of(user, roles=ROLES[action], at=at or timezone.now())
