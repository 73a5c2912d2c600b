"""Where an invitation link leads: the person chooses a password, and is in."""

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from portal.forms.invitation import ChoosePasswordForm
from registry import inviting

_IN_SESSION = "invitation"
# What stands in the address instead of the token once it has been read.
READ = "scelta-password"


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, people: str, token: str) -> HttpResponse:
    """The token goes from the address into the session at once, so that no link, log or history after that has it.

    Opening the page uses nothing up: those who look at links before people do would.
    """
    at = timezone.now()
    if token != READ:
        if inviting.invited_by_link(people, token, at=at) is None:
            return _no_longer(request)
        request.session[_IN_SESSION] = [people, token]
        return redirect("portal:invitation", people, READ)
    kept_people, kept_token = request.session.get(_IN_SESSION) or ("", "")
    person = inviting.invited_by_link(people, kept_token, at=at) if kept_people == people else None
    if person is None:
        return _no_longer(request)
    form = ChoosePasswordForm(person, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        context = {"form": form, "person": person, "invalid": bool(form.errors)}
        return render(request, "portal/invitation.html", context, status=422 if form.errors else 200)
    accepted = inviting.accept(people, kept_token, password=form.cleaned_data["new_password1"], at=at)
    if accepted is None:
        return _no_longer(request)
    # Also out of whatever session another person had here.
    login(request, accepted)
    request.session.pop(_IN_SESSION, None)
    messages.success(request, _("Password scelta: da ora accedi con il tuo nome utente e questa password."))
    return redirect("portal:home")


def _no_longer(request: HttpRequest) -> HttpResponse:
    """Used, old, withdrawn or never made: nobody learns which."""
    return render(request, "portal/invitation_over.html", status=404)
