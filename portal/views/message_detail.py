"""One message: where it is, how it got there, what it says, and what can be done with it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from messaging import deciding
from messaging.attempts import NOT_ARRIVED_AFTER_ALL
from messaging.doubting import left_in_doubt
from messaging.late_answers import ARRIVED_AT_FIRST
from messaging.marking import CONTENT_GONE
from messaging.models import Message
from messaging.states import CANCELLABLE, EXPLANATION, FOLLOWED, WAITING, Delivery, Payment, Reading, WaitingReason
from portal.context import is_fragment
from portal.doubts import has_not_arrived, resent_after
from portal.preview import preview_of
from portal.timeline import steps_of
from portal.views.access import OperatorRequest, operator_page, require
from portal.waiting import departure_words, hold_of
from portal.wording import moment
from registry.models import User
from registry.permissions import Action, can

# Sentences of `status_detail` that are ours in whatever state.
OURS: Final = frozenset({NOT_ARRIVED_AFTER_ALL, ARRIVED_AT_FIRST, CONTENT_GONE})
# Of a message that left once in doubt, what became of sending it again.
_NOT_SENT_AGAIN: Final = {
    Delivery.CANCELLED: gettext_lazy(
        "Fermato prima del nuovo invio. Era già partito senza esito certo: il cittadino potrebbe averlo."
    ),
    Delivery.EXPIRED: gettext_lazy(
        "La scadenza è passata prima del nuovo invio. Era già partito senza esito certo: il cittadino potrebbe averlo."
    ),
}
LEFT_AGAIN: Final = WAITING | _NOT_SENT_AGAIN.keys()


@dataclass(frozen=True, slots=True)
class Offer:
    """Something this person may do with this message now; it leads to a page of its own."""

    label: str
    url: str
    is_main: bool = False


def visible_message(request: OperatorRequest, pk: int, *, action: Action = Action.SEE_MESSAGES) -> Message:
    """404 for what this person may not see; RoleMissing (403) for what they may see and not do."""
    message = get_object_or_404(Message.objects.visible_to(request.user).with_everything(), pk=pk)
    if action is not Action.SEE_MESSAGES:
        require(request.user, action, on=message)
    return message


@operator_page
@require_safe
def message_page(request: OperatorRequest, pk: int) -> HttpResponse:
    return _detail(request, visible_message(request, pk))


@operator_page
@require_POST
def reveal(request: OperatorRequest, pk: int) -> HttpResponse:
    """The full fiscal code, once, to whoever may; the history records the look before it is shown."""
    message = visible_message(request, pk, action=Action.REVEAL_RECIPIENT)
    deciding.reveal(message, by=request.user, at=timezone.now())
    if is_fragment(request):
        return render(request, "portal/messages/recipient.html", {"message": message, "revealed": True})
    return _detail(request, message, revealed=True)


@operator_page
@require_safe
def progress(request: OperatorRequest, pk: int) -> HttpResponse:
    """The part of the page that changes by itself; 204 while it has not."""
    message = visible_message(request, pk)
    context = progress_context(message, user=request.user, at=timezone.now())
    unchanged = (str(context["shown"]), str(context["poll_seconds"]))
    if (request.GET.get("visto"), request.GET.get("ogni")) == unchanged:
        return HttpResponse(status=204)
    return render(request, "portal/messages/progress.html", {**context, "is_fragment": True})


def _detail(request: OperatorRequest, message: Message, *, revealed: bool = False) -> HttpResponse:
    context = progress_context(message, user=request.user, at=timezone.now())
    context |= {
        "section": "messages",
        "preview": preview_of(message),
        "revealed": revealed,
        "may_reveal": can(request.user, Action.REVEAL_RECIPIENT, on=message),
    }
    return render(request, "portal/messages/detail.html", context)


def progress_context(message: Message, *, user: User, at: datetime) -> dict[str, Any]:
    events = list(message.events.select_related("actor"))
    return {
        "message": message,
        "now": at,
        "steps": steps_of(events),
        "shown": f"{max((event.pk for event in events), default=0)}-{hold_of(message, at=at)}",
        "explanation": explanation_of(message, user=user, at=at),
        # Sentences of ours are stored as keys, in Italian; IO's own words stay as they are.
        "detail": _(message.status_detail) if message.status_detail else "",
        # Of what IO took, the sentence is ours; where it refused, the words are its own.
        "detail_is_of_io": message.delivery not in FOLLOWED | {Delivery.REJECTED} and message.status_detail not in OURS,
        "state_words": message.delivery.label,
        "axes": axes_of(message),
        "actions": offers(message, user=user),
        "poll_seconds": poll_seconds(message, at=at),
    }


def explanation_of(message: Message, *, user: User, at: datetime) -> Promise | str:
    if message.is_taken_as_arrived:
        return _("Lo ha confermato una persona: non lo seguiamo, è contato a parte.")
    if has_not_arrived(message):
        return _("Non è arrivato: decidi tu se inviarlo di nuovo.")
    if message.delivery is Delivery.UNCERTAIN and (resent := resent_after([message])):
        by_itself = _("Se nessuno decide, riparte da solo %(when)s.")
        return f"{EXPLANATION[message.delivery]} {by_itself % {'when': moment(resent[message.pk], now=at)}}"
    may_have_it = message.delivery in LEFT_AGAIN and left_in_doubt([message.pk])
    if may_have_it and message.delivery in _NOT_SENT_AGAIN:
        return _NOT_SENT_AGAIN[message.delivery]
    if message.delivery not in WAITING:
        return EXPLANATION[message.delivery]
    words = departure_words(message, at=at, may_cancel=can(user, Action.SEND_MESSAGES, on=message))
    if may_have_it:
        words = f"{_('Era già partito senza esito certo: il cittadino potrebbe averlo.')} {words}"
    return f"{EXPLANATION[message.delivery]} {words}" if message.delivery is Delivery.RECIPIENT_ALLOWED else words


def axes_of(message: Message) -> list[Promise | str]:
    """Reading and payment, where anything is known of them; an unknown word of IO as IO wrote it."""
    known: list[Promise | str] = []
    if message.reading_state != Reading.UNKNOWN:
        known.append(Reading(message.reading_state).label)
    if message.payment_state != Payment.UNKNOWN:
        known.append(Payment(message.payment_state).label)
    if message.io_status and message.io_status.lower() not in Delivery.values:
        known.append(_("Stato scritto da IO: %(word)s") % {"word": message.io_status})
    return known


def poll_seconds(message: Message, *, at: datetime) -> int:
    """How often the page looks again: soon after a change, then less and less; 0 when nothing will change by itself."""
    waits_for_a_person = message.delivery in (Delivery.DRAFT, Delivery.PENDING_APPROVAL, Delivery.UNCERTAIN)
    if message.is_final or waits_for_a_person or message.waiting_reason == WaitingReason.SET_ASIDE:
        return 0
    since = min(at - message.updated_at, abs(at - message.scheduled_at))
    if since < timedelta(minutes=2):
        return 3
    return 15 if since < timedelta(minutes=15) else 60


def offers(message: Message, *, user: User) -> list[Offer]:
    """What this person may do with it in this state, the most likely first. The pages check again."""
    state = message.delivery
    found = []
    if state is Delivery.DRAFT and can(user, Action.WRITE_DRAFTS, on=message):
        found.append(
            Offer(_("Continua a scriverlo"), reverse("portal:compose_content", args=[message.pk]), is_main=True)
        )
        found.append(Offer(_("Elimina la bozza"), reverse("portal:cancel", args=[message.pk])))
    is_own = message.sender_id == user.pk
    if state is Delivery.PENDING_APPROVAL and not is_own and can(user, Action.APPROVE_MESSAGES, on=message):
        found.append(Offer(_("Leggi e decidi"), reverse("portal:approval", args=[message.pk]), is_main=True))
    if state is Delivery.UNCERTAIN and can(user, Action.SETTLE_DOUBTS, on=message):
        found.append(Offer(_("È arrivato"), reverse("portal:arrived", args=[message.pk])))
        found.append(Offer(_("Invia di nuovo"), reverse("portal:resend", args=[message.pk])))
    if message.waiting_reason == WaitingReason.SET_ASIDE and can(user, Action.SEND_MESSAGES, on=message):
        found.append(Offer(_("Rimetti in coda"), reverse("portal:requeue", args=[message.pk])))
    if state in CANCELLABLE and state is not Delivery.DRAFT and can(user, Action.SEND_MESSAGES, on=message):
        found.append(Offer(_("Annulla il messaggio"), reverse("portal:cancel", args=[message.pk])))
    return found
