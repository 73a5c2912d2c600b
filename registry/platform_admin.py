"""The back office asks the one answerer: whoever runs the platform works here, and Django's own permissions say nothing."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.db.models.options import Options
from django.http import HttpRequest

from registry.fresh_form import FreshForm
from registry.permissions import Action, can
from sealed.fields import SealedField

if TYPE_CHECKING:
    from django.contrib.admin.options import BaseModelAdmin

    _Admin = BaseModelAdmin[Any]
else:
    _Admin = object

# What is stored of passwords and keys; columns that are sealed are known by their field.
_SECRETS = frozenset({"password", "digest"})


def _reaches_a_secret(model: type[Model], lookup: str) -> bool:
    """Whether a filter such as `user__password__startswith` reads one."""
    options: Options[Any] | None = model._meta
    for step in lookup.split(LOOKUP_SEP):
        try:
            field = options.get_field(step) if options else None
        except FieldDoesNotExist:
            field = None
        if field is None:
            # How to compare, from here on.
            return False
        if field.name in _SECRETS or isinstance(field, SealedField):
            return True
        related: Any = field.related_model
        options = related._meta if related else None
    return False


class PlatformAdmin(_Admin):
    """For every admin and every inline: `class ThingAdmin(PlatformAdmin, admin.ModelAdmin)`. What it forbids to all stays
    forbidden by its own `has_..._permission`.

    Of a row that exists, a page writes what its person changed there and nothing else: the rest may have been changed by
    others, or by the program itself, since the page was opened. Inlines are Django's own.
    """

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002  (Django's signature)
        form: Any = super().get_form(request, obj, change=change, **options)  # type: ignore[misc]  # asked of pages only, never of inlines
        return form if obj is None else type(form)(form.__name__, (FreshForm, form), {})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001  (likewise)
        if change:
            obj.save(update_fields=form.written())
        else:
            super().save_model(request, obj, form, change)  # type: ignore[misc]  # likewise

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Nobody finds out a secret by asking, sign after sign, which rows begin like it."""
        return not _reaches_a_secret(self.model, lookup) and super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return can(request.user, Action.RUN_PLATFORM)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return can(request.user, Action.RUN_PLATFORM)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return can(request.user, Action.RUN_PLATFORM)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return can(request.user, Action.RUN_PLATFORM)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return can(request.user, Action.RUN_PLATFORM)
