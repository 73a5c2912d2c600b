"""The back office asks the one answerer: whoever runs the platform works here, and Django's own permissions say nothing."""

from typing import Any

from django.http import HttpRequest

from registry.permissions import Action, can


class PlatformAdmin:
    """For every admin and every inline: `class ThingAdmin(PlatformAdmin, admin.ModelAdmin)`. What it forbids to all stays
    forbidden by its own `has_..._permission`."""

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
