"""In and out."""

import logging
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from portal.forms.sign_in import SignInForm
from portal.sign_in_guard import seconds_locked
from portal.views import errors

log = logging.getLogger(__name__)


class SignIn(LoginView):
    template_name = "portal/sign_in.html"
    form_class = SignInForm
    next_page = "portal:home"
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form, invalid=True), status=422)


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """In place of the form, here and in the back office, after too many wrong passwords (AXES_LOCKOUT_CALLABLE)."""
    log.warning("a sign-in was refused: too many failures before it")
    return errors.too_many_attempts(seconds=seconds_locked(request))


@method_decorator(never_cache, name="dispatch")
class SignOut(LogoutView):
    """By POST only: a link that signs out could be planted in any page. GET asks, for pages that have no form of their own."""

    next_page = "portal:login"
    http_method_names = ["get", "head", "post", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect("portal:login")
        return render(request, "portal/sign_out.html")
