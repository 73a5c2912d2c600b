"""Four eyes: another person reads exactly what will leave, and says yes or no."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from messaging import deciding
from messaging.moving import StateConflict
from messaging.states import Delivery
from portal import opening
from portal.forms.decisions import RefuseForm
from portal.preview import preview_of
from portal.views.access import OperatorRequest, operator_page
from portal.views.message_detail import visible_message
from registry.permissions import Action, can


@operator_page
@require_http_methods(["GET", "HEAD", "POST"])
def approval(request: OperatorRequest, pk: int) -> HttpResponse:
    """Two buttons in two forms: yes hands back what was read, no needs a reason."""
    message = visible_message(request, pk, action=Action.APPROVE_MESSAGES)
    if message.delivery is not Delivery.PENDING_APPROVAL:
        messages.warning(request, _("Questo messaggio non attende più un’approvazione. Qui vedi com’è ora."))
        return redirect("portal:message", pk)
    refuses = request.method == "POST" and request.POST.get("decisione") == "no"
    read = request.POST.get("letto", "")
    form = RefuseForm(request.POST if refuses else None)
    try:
        if refuses and form.is_valid():
            deciding.refuse(message, by=request.user, at=timezone.now(), reason=form.cleaned_data["motivo"], read=read)
            messages.success(request, _("Non approvato: è tornato una bozza, con il tuo motivo."))
            return redirect("portal:message", pk)
        if request.method == "POST" and request.POST.get("decisione") == "si":
            deciding.approve(message, by=request.user, at=timezone.now(), read=read)
            messages.success(request, _("Approvato."))
            return redirect("portal:message", pk)
    except deciding.OwnMessage:
        messages.error(request, _("Lo hai preparato tu: deve approvarlo un’altra persona."))
        return redirect("portal:message", pk)
    except StateConflict:
        # Given back and submitted again meanwhile it waits once more, with another text; else its own page tells the rest.
        messages.warning(
            request, _("Il messaggio è cambiato mentre lo leggevi: non abbiamo fatto nulla. Qui vedi com’è ora.")
        )
        return redirect("portal:approval", pk)
    context = {
        "section": "messages",
        "message": message,
        "preview": preview_of(message),
        "form": form,
        "invalid": bool(form.errors),
        "may_reveal": can(request.user, Action.REVEAL_RECIPIENT, on=message),
        "is_own": deciding.is_own(message, by=request.user),
        "read": deciding.reading_of(message),
        "now": timezone.now(),
        "opening": opening.after(message.service_instance.organization, max(message.scheduled_at, timezone.now())),
    }
    return render(request, "portal/messages/approval.html", context, status=422 if form.errors else 200)
