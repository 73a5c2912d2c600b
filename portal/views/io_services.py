"""IO services: how each one is, why one stopped sending, and starting it again."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from messaging import suspending
from messaging.models import IOService
from messaging.moving import StateConflict
from portal.io_services import configurable_by, standings_of
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from registry.permissions import Action


@operator_page
@require_safe
def io_service_list(request: OperatorRequest) -> HttpResponse:
    """Where whoever configures sending starts from: nothing of any message is told here but how many wait."""
    require_somewhere(request.user, Action.CONFIGURE_SENDING)
    context = {"section": "io_services", "standings": standings_of(request.user)}
    return render(request, "portal/io_services/list.html", context)


@operator_page
@require_http_methods(["GET", "HEAD", "POST"])
def resume(request: OperatorRequest, pk: int) -> HttpResponse:
    """Resuming concerns everybody who sends through it, so the role is needed on every one of its uses."""
    require_somewhere(request.user, Action.CONFIGURE_SENDING)
    io_service: IOService = get_object_or_404(configurable_by(request.user), pk=pk)
    if request.method == "POST":
        try:
            suspending.resume(io_service, by=request.user, at=timezone.now())
            messages.success(request, _("Invio ripreso: parte un messaggio alla volta finché IO ne accetta uno."))
        except StateConflict:
            messages.warning(request, _("Era già ripreso: non abbiamo fatto nulla."))
        return redirect("portal:io_services")
    if io_service.suspended_at is None:
        messages.warning(request, _("Era già ripreso: non abbiamo fatto nulla."))
        return redirect("portal:io_services")
    names = io_service.service_instances.values_list("service__service_name", flat=True).distinct()
    context = {"section": "io_services", "io_service": io_service, "services": sorted(set(names))}
    return render(request, "portal/io_services/resume.html", context)
