"""How sending goes now: the page of whoever answers for it."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.context import is_fragment
from portal.sending_state import BAR_WIDTH, CHART_HEIGHT, CHART_WIDTH, may_see_sending, states_for, workers_now
from portal.views.access import OperatorRequest, operator_page
from portal.views.errors import RoleMissing
from registry.permissions import Action, may_somewhere

REFRESH_SECONDS = 5


@operator_page
@require_safe
def sending(request: OperatorRequest) -> HttpResponse:
    """Asked by htmx, the part that changes; the verdict on the workers is read out only when it is another one."""
    if not may_see_sending(request.user):
        raise RoleMissing(Action.SEE_SENDING)
    workers = workers_now()
    verdict = "-".join(workers.old) or "ok"
    context = {
        "section": "sending",
        "workers": workers,
        "verdict": verdict,
        "is_news": request.GET.get("visto", verdict) != verdict,
        "states": states_for(request.user),
        "sees_messages": may_somewhere(request.user, Action.SEE_MESSAGES),
        "configures": may_somewhere(request.user, Action.CONFIGURE_SENDING),
        "refresh_seconds": REFRESH_SECONDS,
        # Who starts a worker is whoever runs the installation.
        "runs_it": request.user.is_staff,
        "is_one_process": not settings.REDIS_URL,
        "chart": {"width": CHART_WIDTH, "height": CHART_HEIGHT, "bar": BAR_WIDTH - 2},
    }
    page = "portal/sending/now.html" if is_fragment(request) else "portal/sending/page.html"
    return render(request, page, context)
