"""Who may open a page: signed in, with the role; and where to go otherwise."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import urlencode

from portal.context import is_fragment
from portal.views.errors import RoleMissing, role_missing
from registry.models import User
from registry.permissions import Action, OnOrganizationAndService, can, may_somewhere

P = ParamSpec("P")


class OperatorRequest(HttpRequest):
    """A request of somebody signed in: what every page but the public ones receives."""

    user: User


def operator_page(
    view: Callable[Concatenate[OperatorRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """For every page that shows an ente's data: sign-in first, nothing kept by caches of browser or proxy."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return sign_in_first(request)
        try:
            response = view(request, *args, **kwargs)  # type: ignore[arg-type]  # the user is no longer anonymous
        except RoleMissing as missing:
            response = role_missing(missing)
        patch_vary_headers(response, ["HX-Request"])
        patch_cache_control(response, private=True, no_store=True)
        return response

    return guarded


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """To the sign-in page and back. A fragment sends the whole page there, instead of showing a form inside a box."""
    if not is_fragment(request):
        return redirect_to_login(request.get_full_path())
    try:
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:  # whatever a client writes there
        shown = urlsplit("")
    response = HttpResponse(status=204)
    back = shown.path + (f"?{shown.query}" if shown.query else "")
    response["HX-Redirect"] = f"{reverse('portal:login')}?{urlencode({'next': back or '/'})}"
    return response


def require_somewhere(user: User, action: Action) -> None:
    """Raises RoleMissing unless some grant has the action: a list may be empty, but not by lack of any right."""
    if not may_somewhere(user, action):
        raise RoleMissing(action)


def require(user: User, action: Action, *, on: OnOrganizationAndService) -> None:
    """Raises RoleMissing. What the person may not even see must be a 404: fetch it with `visible_to` first."""
    if not can(user, action, on=on):
        raise RoleMissing(action)
