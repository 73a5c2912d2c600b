"""The first page: for now, the first one that this person may open."""

from django.http import HttpResponse
from django.shortcuts import redirect

from portal.navigation import menu_of
from portal.views.access import OperatorRequest, operator_page
from portal.views.errors import RoleMissing
from registry.permissions import Action


@operator_page
def home(request: OperatorRequest) -> HttpResponse:
    menu = menu_of(request.user)
    if not menu:
        raise RoleMissing(Action.SEE_MESSAGES)
    return redirect(menu[0].url)
