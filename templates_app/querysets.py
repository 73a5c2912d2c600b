"""Questions about templates and placeholders. Whatever a person sees starts with `visible_to`."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from registry.permissions import Action, covered_organization, may_somewhere

if TYPE_CHECKING:
    from templates_app.models import Placeholder, Template  # noqa: F401  (named in quotes below, as the types need)


class TemplateQuerySet(models.QuerySet["Template"]):
    def visible_to(self, user: Any, *, at: datetime | None = None) -> "TemplateQuerySet":
        return self.filter(_seen_by(user, at=at))

    def with_text(self) -> "TemplateQuerySet":
        """With what `Template.newest_version` needs, in the same query."""
        return self.select_related("current_version", "draft")

    def using_placeholder(self, placeholder: "Placeholder") -> "TemplateQuerySet":
        """Those of which the text in force, or the draft, uses it."""
        uses = {f"{version}__placeholders__placeholder": placeholder for version in ("current_version", "draft")}
        in_force, waiting = (
            Q(pk__in=self.model.objects.filter(**{path: one}).values("pk")) for path, one in uses.items()
        )
        return self.filter(in_force | waiting).order_by("pk")


class PlaceholderQuerySet(models.QuerySet["Placeholder"]):
    def visible_to(self, user: Any, *, at: datetime | None = None) -> "PlaceholderQuerySet":
        return self.filter(_seen_by(user, at=at))

    def usable_in(self, organization_id: int | None) -> "PlaceholderQuerySet":
        """What a template of this ente may use: its own and the shared ones; of a shared template, these alone."""
        return self.filter(Q(organization=None) | Q(organization_id=organization_id))


def _seen_by(user: Any, *, at: datetime | None) -> Q:
    """Of the enti where the person has any role; what is shared, for whoever has a role anywhere. Everything, for staff."""
    if may_somewhere(user, Action.RUN_PLATFORM):
        return Q()
    seen = covered_organization(user, Action.SEE_CONFIGURATION, organization="organization_id", at=at)
    if may_somewhere(user, Action.SEE_CONFIGURATION, at=at):
        seen |= Q(organization=None)
    return seen
