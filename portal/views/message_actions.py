"""Decisions on one message, each with a page of its own that says what will happen: cancel, settle a doubt, requeue."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from messaging import deciding, settling, suspending
from messaging.doubting import left_in_doubt
from messaging.models import Message
from messaging.moving import StateConflict
from messaging.states import CANCELLABLE, Delivery, WaitingReason
from portal.doubts import causes_of, has_not_arrived
from portal.forms.decisions import ArrivedForm, CancelForm, ProvedResendForm, ResendForm
from portal.rendering import ItaliaForm
from portal.views.access import OperatorRequest, operator_page, require
from portal.views.message_detail import visible_message
from portal.waiting import hold_words
from registry.permissions import Action

question = require_http_methods(["GET", "HEAD", "POST"])


@operator_page
@question
def cancel(request: OperatorRequest, pk: int) -> HttpResponse:
    message = visible_message(request, pk)
    is_draft = message.delivery is Delivery.DRAFT
    require(request.user, Action.WRITE_DRAFTS if is_draft else Action.SEND_MESSAGES, on=message)

    may_have_it = bool(left_in_doubt([message.pk]))
    if is_draft:
        done = _("Bozza eliminata.")
    elif may_have_it:
        done = _("Nuovo invio annullato: quello già partito potrebbe essere arrivato.")
    else:
        done = _("Messaggio annullato: non partirà.")

    def act(data: Mapping[str, Any]) -> None:
        deciding.cancel(message, by=request.user, at=timezone.now(), reason=data["motivo"])

    return _ask(
        request,
        message,
        template="cancel",
        here=_("Elimina la bozza") if is_draft else _("Annulla il messaggio"),
        form_class=CancelForm,
        is_open=message.delivery in CANCELLABLE,
        act=act,
        done=done,
        more={"in_doubt": may_have_it},
    )


@operator_page
@question
def arrived(request: OperatorRequest, pk: int) -> HttpResponse:
    message = visible_message(request, pk, action=Action.SETTLE_DOUBTS)

    def act(data: Mapping[str, Any]) -> None:
        settling.settle_arrived(message, by=request.user, at=timezone.now(), reason=data["motivo"])

    return _ask(
        request,
        message,
        template="arrived",
        here=_("Segna come arrivato"),
        form_class=ArrivedForm,
        is_open=message.delivery is Delivery.UNCERTAIN,
        act=act,
        done=_("Segnato come arrivato."),
    )


@operator_page
@question
def resend(request: OperatorRequest, pk: int) -> HttpResponse:
    message = visible_message(request, pk, action=Action.SETTLE_DOUBTS)

    def act(data: Mapping[str, Any]) -> None:
        settling.settle_resend(message, by=request.user, at=timezone.now(), reason=data["motivo"])

    is_proved = has_not_arrived(message) and not left_in_doubt([message.pk])
    return _ask(
        request,
        message,
        template="resend",
        here=_("Invia di nuovo"),
        more={"is_proved": is_proved, "hold": hold_words(message.service_instance, at=timezone.now())},
        # Where nothing can come twice nobody is asked to know it.
        form_class=ProvedResendForm if is_proved else ResendForm,
        is_open=message.delivery is Delivery.UNCERTAIN,
        act=act,
        done=_("Rimesso in coda."),
    )


@operator_page
@question
def requeue(request: OperatorRequest, pk: int) -> HttpResponse:
    """A message that IO refused without a clear reason, given another try."""
    message = visible_message(request, pk, action=Action.SEND_MESSAGES)

    def act(data: Mapping[str, Any]) -> None:
        io_service = message.service_instance.io_service
        if not suspending.release_set_aside(io_service, by=request.user, at=timezone.now(), ids=[message.pk]):
            raise StateConflict

    return _ask(
        request,
        message,
        template="requeue",
        here=_("Rimetti in coda"),
        form_class=ItaliaForm,
        is_open=message.waiting_reason == WaitingReason.SET_ASIDE,
        act=act,
        done=_("Rimesso in coda, dopo gli altri."),
    )


def _ask(
    request: OperatorRequest,
    message: Message,
    *,
    template: str,
    form_class: type[ItaliaForm],
    here: str,
    is_open: bool,
    act: Callable[[Mapping[str, Any]], None],
    done: str,
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The page with the question; on POST, the act, then the message's page. Too late says so and changes nothing."""
    if not is_open:
        return _too_late(request, message)
    form = form_class(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            act(form.cleaned_data)
        except StateConflict:
            return _too_late(request, message)
        messages.success(request, done)
        return redirect("portal:message", message.pk)
    context = {
        "section": "messages",
        "message": message,
        "form": form,
        "invalid": bool(form.errors),
        "here": here,
        "doubt": causes_of([message]).get(message.pk, ""),
        "is_missing": has_not_arrived(message),
        "is_overdue": message.expires_at is not None and message.expires_at <= timezone.now(),
        **(more or {}),
    }
    return render(request, f"portal/messages/{template}.html", context, status=422 if form.errors else 200)


def _too_late(request: OperatorRequest, message: Message) -> HttpResponse:
    messages.warning(request, _("Nel frattempo lo stato è cambiato: non abbiamo fatto nulla. Qui vedi com’è ora."))
    return redirect("portal:message", message.pk)
