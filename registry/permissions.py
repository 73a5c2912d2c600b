"""The one answerer of "may this person…?", for pages, API, files and back office alike.

An action needs one of some roles, in one live grant that covers the ente and the service together. Querysets use
`covered(...)`, so that what a person may not see is never read; single objects use `can(...)`, which asks the same.
"""

import enum
from datetime import datetime
from typing import Any, Protocol

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from registry.models import Grant, Role, User


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
}


class OnOrganizationAndService(Protocol):
    """Anything that belongs to one ente and one service: a service instance, or a message's."""

    @property
    def organization_id(self) -> int: ...

    @property
    def service_id(self) -> int: ...


def can(user: Any, action: Action, *, on: OnOrganizationAndService, at: datetime | None = None) -> bool:
    """True when one live grant of this person covers the action, the ente and the service together."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return (
        Grant.objects.of(user, roles=ROLES[action], at=at or timezone.now())
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
        Grant.objects.of(user, roles=ROLES[action], at=at or timezone.now())
        .filter(Q(all_organizations=True) | Q(organizations=OuterRef(organization)))
        .filter(Q(all_services=True) | Q(services=OuterRef(service)))
    )
    return Q(Exists(grants))


def may_somewhere(user: Any, action: Action, *, at: datetime | None = None) -> bool:
    """Whether to offer the action at all: some live grant has it, wherever."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return Grant.objects.of(user, roles=ROLES[action], at=at or timezone.now()).exists()
