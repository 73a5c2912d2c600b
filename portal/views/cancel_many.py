"""Stopping many messages: which ones, are you sure, and the exact account of what was too late.

The page that asks carries the ids it counted. Between asking and the yes some may leave: those, and no others, are told as
too late.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from messaging import deciding
from messaging.doubting import left_in_doubt
from messaging.models import Message, ServiceInstance
from messaging.states import CANCELLABLE, Delivery
from portal import searches, selections, wording
from portal.forms.decisions import CancelForm
from portal.forms.message_filters import MessageFilters
from portal.message_search import address, found
from portal.selections import MAX_CHOSEN
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from registry.permissions import Action

# As many ids as one question to the database may name.
ASKED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What can be stopped of what was chosen, as the page tells it. `services` are (name, messages), the most first."""

    ids: tuple[int, ...]
    drafts: int
    # Those that left once in doubt: their citizens may have them.
    in_doubt: int
    services: tuple[tuple[str, int], ...]
    # Chosen, and this person cannot stop them (any more).
    beyond: int
    # There are more than can be stopped at once.
    is_cut: bool


@operator_page
@require_http_methods(["GET", "HEAD", "POST"])
def cancel_many(request: OperatorRequest) -> HttpResponse:
    """From the list: the question. From the question: the act, then its account."""
    require_somewhere(request.user, Action.WRITE_DRAFTS)
    if request.method != "POST":
        return redirect("portal:messages")
    query = QueryDict(request.POST.get("filtro", "")[:2000])
    back = address(reverse("portal:messages"), {key: str(value) for key, value in query.items() if value})
    is_confirmed = "scelti" in request.POST
    choice = (
        _choice(request, selections.unpacked(request.POST["scelti"]))
        if is_confirmed
        else _chosen(request, query, everything=request.POST.get("azione") == "tutti")
    )
    form = CancelForm(request.POST if is_confirmed else None)
    if is_confirmed and form.is_valid():
        stopped = deciding.cancel_many(
            selections.unpacked(request.POST["scelti"]),
            by=request.user,
            at=timezone.now(),
            reason=form.cleaned_data["motivo"],
        )
        word = selections.keep(request.session, stopped, left_in_doubt=len(left_in_doubt(stopped.cancelled)))
        return redirect(address(reverse("portal:cancelled"), {"resoconto": word}))
    if not choice.ids:
        messages.warning(
            request, _("Scegli almeno un messaggio che si possa ancora annullare: non abbiamo fatto nulla.")
        )
        return redirect(back)
    context = {
        "section": "messages",
        "choice": choice,
        "number": len(choice.ids),
        "others": len(choice.ids) - choice.in_doubt,
        "chosen": selections.packed(choice.ids),
        "filter": query.urlencode(),
        "form": form,
        "invalid": bool(form.errors),
        "back": back,
        "limit": MAX_CHOSEN,
    }
    return render(request, "portal/messages/cancel_many.html", context, status=422 if form.errors else 200)


@operator_page
@require_safe
def cancelled(request: OperatorRequest) -> HttpResponse:
    """The account, as it was when the cancellation ended."""
    require_somewhere(request.user, Action.WRITE_DRAFTS)
    word = request.GET.get("resoconto", "")
    account = selections.recall(request.session, word)
    if account is None:
        messages.info(
            request, _("Questo resoconto non è più disponibile: la storia di ogni messaggio dice com’è andata.")
        )
        return redirect("portal:messages")
    late = sum(account.late.values())
    context = {
        "section": "messages",
        "sentence": _cancelled_in_words(account.cancelled),
        "cancelled": account.cancelled,
        "in_doubt": account.left_in_doubt,
        "late": late,
        "late_sentence": _late_in_words(account.late, number=late),
        "listed": len(account.late_ids),
        "late_url": address(reverse("portal:messages"), {"tardi": word}),
    }
    return render(request, "portal/messages/cancelled.html", context)


def _chosen(request: OperatorRequest, query: QueryDict, *, everything: bool) -> Choice:
    if not everything:
        ticked = [
            int(pk) for pk in request.POST.getlist("messaggio") if pk.isascii() and pk.isdigit() and len(pk) <= 18
        ]
        return _choice(request, ticked[:MAX_CHOSEN])
    filters = MessageFilters(query, user=request.user)
    if not filters.is_valid():
        return _choice(request, [])
    chosen = filters.cleaned_data
    search_id = chosen.get("ricerca")
    taxcode = (searches.recall(request.session, search_id) or "") if search_id else None
    late_ids = selections.late_ids(request.session, chosen.get("tardi"))
    rows = found(request.user, filters=chosen, taxcode=taxcode, among=late_ids)
    rows &= deciding.cancellable_by(request.user)
    if chosen.get("stato") != Delivery.DRAFT:
        # What colleagues are still writing goes only where it is asked for by name.
        rows = rows.exclude(delivery_state=Delivery.DRAFT)
    # Those that leave first are stopped first, should there be too many for once.
    ids = list(rows.order_by("not_before", "pk").values_list("pk", flat=True)[: MAX_CHOSEN + 1])
    return _choice(request, ids[:MAX_CHOSEN], is_cut=len(ids) > MAX_CHOSEN)


def _choice(request: OperatorRequest, ids: list[int], *, is_cut: bool = False) -> Choice:
    """What of these this person can stop now; ids of others are as good as absent."""
    may_stop = deciding.cancellable_by(request.user)
    stoppable: list[int] = []
    instances: Counter[int] = Counter()
    drafts = seen = 0
    for some in _by_groups(sorted(set(ids))):
        for pk, instance, state in may_stop.filter(pk__in=some).values_list(
            "pk", "service_instance_id", "delivery_state"
        ):
            stoppable.append(pk)
            instances[instance] += 1
            drafts += state == Delivery.DRAFT
        seen += Message.objects.visible_to(request.user).filter(pk__in=some).count()
    services: Counter[str] = Counter()
    names = ServiceInstance.objects.filter(pk__in=instances).values_list(
        "pk", "service__service_name", "organization__legal_name"
    )
    for pk, service, organization in names:
        services[f"{service} · {organization}"] += instances[pk]
    return Choice(
        ids=tuple(stoppable),
        drafts=drafts,
        in_doubt=len(left_in_doubt(stoppable)),
        services=tuple(services.most_common()),
        beyond=seen - len(stoppable),
        is_cut=is_cut,
    )


def _by_groups(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), ASKED_AT_ONCE):
        yield ids[start : start + ASKED_AT_ONCE]


def _cancelled_in_words(number: int) -> str:
    if not number:
        return _("Nessun messaggio annullato.")
    words = ngettext("Annullato %(number)s messaggio.", "Annullati %(number)s messaggi.", number)
    return words % {"number": wording.count(number)}


def _late_in_words(late: Mapping[Delivery, int], *, number: int) -> str:
    """`Troppo tardi per 42: 2 in invio, 40 già presi in carico da IO.`"""
    parts = []
    for states, words in _MEANWHILE:
        if together := sum(late.get(state, 0) for state in states):
            parts.append(words(together) % {"number": wording.count(together)})
    return _("Troppo tardi per %(number)s: %(parts)s.") % {"number": wording.count(number), "parts": ", ".join(parts)}


# What those that could not be stopped had become, in the order in which a person asks.
_MEANWHILE: Final[tuple[tuple[frozenset[Delivery], Callable[[int], str]], ...]] = (
    (frozenset({Delivery.SENDING}), lambda number: _("%(number)s in invio")),
    (
        frozenset({Delivery.SENT, Delivery.ACCEPTED, Delivery.THROTTLED, Delivery.PROCESSED}),
        lambda number: ngettext("%(number)s già preso in carico da IO", "%(number)s già presi in carico da IO", number),
    ),
    (frozenset({Delivery.UNCERTAIN}), lambda number: _("%(number)s con esito incerto")),
    (
        frozenset({Delivery.REJECTED, Delivery.FAILED, Delivery.FORBIDDEN, Delivery.BAD_REQUEST}),
        lambda number: ngettext("%(number)s rifiutato da IO", "%(number)s rifiutati da IO", number),
    ),
    (
        frozenset({Delivery.PROFILE_NOT_EXISTS, Delivery.SENDER_NOT_ALLOWED}),
        lambda number: ngettext("%(number)s non recapitabile", "%(number)s non recapitabili", number),
    ),
    (
        frozenset({Delivery.CANCELLED}),
        lambda number: ngettext("%(number)s già annullato", "%(number)s già annullati", number),
    ),
    (
        frozenset({Delivery.EXPIRED}),
        lambda number: ngettext("%(number)s scaduto prima dell’invio", "%(number)s scaduti prima dell’invio", number),
    ),
    # A draft that somebody confirmed meanwhile, stopped by a person who may not stop messages.
    (
        CANCELLABLE,
        lambda number: ngettext("%(number)s cambiato nel frattempo", "%(number)s cambiati nel frattempo", number),
    ),
)
