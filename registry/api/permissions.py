"""What a key was made for. The user's own rights are asked of `registry.permissions`, in the querysets."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry.models import ConsumerKey
from rest.problems import Problem


class HasScope(BasePermission):
    """The key holds the scope that the view names for this method: `scopes = {"GET": Scope.MESSAGES_READ}`.

    A method that the view does not have needs none: its answer is 405.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ConsumerKey):
            return False
        method = "GET" if request.method == "HEAD" else request.method
        scope = view.scopes.get(method)
        if scope is not None and scope not in request.auth.scopes:
            detail = _("La chiave non ha l'ambito %(scope)s: chiedine una che lo abbia.") % {"scope": scope}
            raise Problem(403, code="scope_missing", detail=detail)
        return True
