"""What happens to the doubts of a service instance: a person decides, or it is sent again once; told in words, then confirmed."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from messaging.models import OnDoubt, ServiceInstance
from messaging.moving import StateConflict
from messaging.resending import switch_rule
from portal.forms.doubts import ResendByRuleForm
from portal.io_services import changes_of
from portal.rendering import ItaliaForm
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from registry.permissions import Action


@operator_page
@require_http_methods(["GET", "HEAD", "POST"])
def doubt_rule(request: OperatorRequest, pk: int) -> HttpResponse:
    """The rule as it is, with its history, and the other one to switch to. The form names where it goes, so that a page
    opened before somebody else switched does not switch back."""
    require_somewhere(request.user, Action.CONFIGURE_SENDING)
    instances = ServiceInstance.objects.open_to(request.user, Action.CONFIGURE_SENDING).with_everything()
    instance: ServiceInstance = get_object_or_404(instances, pk=pk)
    to = OnDoubt.ASK if instance.on_doubt == OnDoubt.RESEND else OnDoubt.RESEND
    form_class = ResendByRuleForm if to is OnDoubt.RESEND else ItaliaForm
    form = form_class(request.POST if request.method == "POST" else None)
    if request.method == "POST" and request.POST.get("regola") != to.value:
        return _said_so_already(request, pk)
    if request.method == "POST" and form.is_valid():
        try:
            switch_rule(instance, to=to, by=request.user)
        except StateConflict:
            return _said_so_already(request, pk)
        messages.success(
            request,
            _("Fatto: un messaggio con esito incerto ora viene inviato di nuovo una volta, dopo 10 minuti.")
            if to is OnDoubt.RESEND
            else _("Fatto: di ogni messaggio con esito incerto ora decide una persona."),
        )
        return redirect("portal:doubt_rule", pk)
    context = {
        "section": "io_services",
        "instance": instance,
        "to": to.value,
        "resends": instance.on_doubt == OnDoubt.RESEND,
        "form": form,
        "invalid": bool(form.errors),
        "changes": changes_of(instance),
    }
    return render(request, "portal/io_services/doubt_rule.html", context, status=422 if form.errors else 200)


def _said_so_already(request: OperatorRequest, pk: int) -> HttpResponse:
    messages.warning(request, _("Nel frattempo la regola è cambiata: non abbiamo fatto nulla. Qui vedi com’è ora."))
    return redirect("portal:doubt_rule", pk)
