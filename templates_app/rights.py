"""Who may write templates and placeholders.

What belongs to an ente is written by whoever writes templates there; a text in use only by whoever may on every service
that sends it. What is shared is of the platform.
"""

from collections.abc import Collection
from datetime import datetime
from enum import Enum

from registry.models import Organization, User
from registry.permissions import Action, can, covered, covered_organization
from registry.querysets import OrganizationQuerySet
from templates_app import sharing
from templates_app.models import Placeholder, Template


class Lack(Enum):
    """Why somebody may not."""

    STAFF = "only platform staff write what is shared"
    ROLE = "no role that writes templates for this ente"
    SERVICES = "no role that writes templates on some service that uses them"


def writable_enti(user: User, *, at: datetime) -> OrganizationQuerySet:
    """Those for which the person may make templates."""
    return Organization.objects.filter(
        covered_organization(user, Action.WRITE_TEMPLATES, organization="pk", at=at)
    ).order_by("pk")


def lack_for(user: User, *, organization_id: int | None, templates: Collection[int] = (), at: datetime) -> Lack | None:
    """What the person lacks to write what belongs to this ente (None: shared), `templates` that exist included."""
    if organization_id is None:
        return None if can(user, Action.RUN_PLATFORM) else Lack.STAFF
    if not writable_enti(user, at=at).filter(pk=organization_id).exists():
        return Lack.ROLE
    if not templates:
        return None
    here = covered(user, Action.WRITE_TEMPLATES, organization="organization_id", service="service_id", at=at)
    for users in sharing.users():
        if users.filter(template__in=templates).exclude(here).exists():
            return Lack.SERVICES
    return None


def lack_for_template(user: User, template: Template, *, at: datetime) -> Lack | None:
    return lack_for(user, organization_id=template.organization_id, templates=[template.pk], at=at)


def lack_for_placeholder(user: User, placeholder: Placeholder, *, at: datetime) -> Lack | None:
    """Changing a placeholder changes every template that uses it."""
    using = list(Template.objects.using_placeholder(placeholder).values_list("pk", flat=True))
    return lack_for(user, organization_id=placeholder.organization_id, templates=using, at=at)
