"""What a key was made for. The user's own rights are asked of `registry.permissions`, in the querysets."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry.api.callers import TrustedPrincipal, holds_one_of
from registry.models import ConsumerKey, Scope
from rest.problems import Problem

# Method -> scopes of which the key must hold one. An empty tuple: any key will do.
Scopes = Mapping[str, tuple[Scope, ...]]

ANY_SCOPE: tuple[Scope, ...] = ()
# Whoever sends or configures must find enti, services, templates and service instances.
READS_CONFIGURATION = (Scope.CONFIG_READ, Scope.CONFIG_WRITE, Scope.MESSAGES_SEND, Scope.MESSAGES_READ)
# Enti and services are in every grant, so whoever manages people must find them too.
READS_REGISTRY = (*READS_CONFIGURATION, Scope.ADMIN_READ, Scope.ADMIN_WRITE)


class HasScope(BasePermission):
    """The key holds one of the scopes that the view names for this method: `scopes = {"GET": (Scope.MESSAGES_READ,)}`.

    A method that the view does not have needs none: its answer is 405.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ConsumerKey | TrustedPrincipal):
            return False
        scopes: Scopes = view.scopes
        method = "GET" if request.method == "HEAD" else str(request.method)
        needed = scopes.get(method, ANY_SCOPE)
        if needed and not holds_one_of(request, needed):
            detail = _("La chiave non ha l'ambito %(scope)s: chiedine una che lo abbia.")
            raise Problem(403, code="scope_missing", detail=detail % {"scope": " / ".join(needed)})
        return True
