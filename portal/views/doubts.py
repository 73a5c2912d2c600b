"""The doubts: the list, and deciding about many at once; a page says exactly how many before, and what was done after."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from messaging import settling
from messaging.models import Message
from messaging.settling import Meanwhile, Outcome
from portal import doubts, wording
from portal.doubts import Choice, causes_of, in_doubt, resent_after
from portal.forms.doubts import DoubtFilters, ManyArrivedForm, ManyResendForm
from portal.message_search import address
from portal.paging import page_of, total_of
from portal.selections import MAX_CHOSEN, packed, unpacked
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from portal.views.message_list import id_in
from portal.waiting import holds_in_words
from registry.permissions import Action, may_somewhere

# A request that settles goes on for so long; what is left is asked again, so that no proxy loses patience.
SETTLING_SECONDS = 20.0
# Ticked one by one: what fits on a page, with some margin for whoever writes addresses by hand.
TICKED_AT_MOST = 1000


@operator_page
@require_safe
def uncertain_list(request: OperatorRequest) -> HttpResponse:
    """The messages whose request left and whose outcome nobody knows, for a person to settle."""
    require_somewhere(request.user, Action.SEE_MESSAGES)
    form = DoubtFilters(request.GET, user=request.user)
    form.is_valid()  # a filter that cannot be read is told, and nothing is listed: it would not be what was asked for
    rows = in_doubt(request.user, filters=form.cleaned_data)
    if form.errors:
        rows = rows.none()
    query = {key: str(value) for key, value in request.GET.items() if value}
    kept = form.in_use()
    page = page_of(
        rows.select_related(
            "content", "service_instance__service", "service_instance__organization", "service_instance__template"
        ),
        before=id_in(query, "prima"),
        after=id_in(query, "dopo"),
    )
    path = reverse("portal:uncertain")
    causes, resent = causes_of(page.rows), resent_after(page.rows)
    settleable = Message.objects.visible_to(request.user, action=Action.SETTLE_DOUBTS)
    mine = set(settleable.filter(pk__in=[row.pk for row in page.rows]).values_list("pk", flat=True))
    context = {
        "section": "uncertain",
        "form": form,
        "invalid": bool(form.errors),
        "path": path,
        "page": page,
        "rows": [(row, causes.get(row.pk, ""), resent.get(row.pk)) for row in page.rows],
        "total": total_of(rows),
        "is_filtered": bool(kept),
        "kept": kept.items(),
        "newer_url": page.newer and address(path, {**kept, "dopo": page.newer}),
        "older_url": page.older and address(path, {**kept, "prima": page.older}),
        "settleable": mine,
        # Where there are other pages, some of theirs may be this person's though none of this one is.
        "may_settle": bool(mine)
        or (bool(page.newer or page.older) and may_somewhere(request.user, Action.SETTLE_DOUBTS)),
    }
    return render(request, "portal/messages/uncertain.html", context)


@dataclass(frozen=True, slots=True)
class _Decision:
    """One of the two ways out of a doubt, as a page for many."""

    route: str
    one: str
    template: str
    here: Promise
    form_class: type[ManyArrivedForm] | type[ManyResendForm]


ARRIVED = _Decision(
    "many_arrived", "arrived", "portal/messages/many_arrived.html", gettext_lazy("Segna come arrivati"), ManyArrivedForm
)
RESEND = _Decision(
    "many_resend", "resend", "portal/messages/many_resend.html", gettext_lazy("Invia di nuovo"), ManyResendForm
)
question = require_http_methods(["GET", "HEAD", "POST"])


@operator_page
@question
def many_arrived(request: OperatorRequest) -> HttpResponse:
    return _decide(request, ARRIVED)


@operator_page
@question
def many_resend(request: OperatorRequest) -> HttpResponse:
    return _decide(request, RESEND)


def _decide(request: OperatorRequest, decision: _Decision) -> HttpResponse:
    """The question, asked by GET of what was ticked or of all that match; POST carries exactly what the question counted."""
    require_somewhere(request.user, Action.SETTLE_DOUBTS)
    if request.method == "POST":
        # Whatever somebody wrote there: each once.
        ids = sorted(set(unpacked(request.POST.get("scelti", ""))))
        form = decision.form_class(request.POST, number=len(ids))
        if ids and form.is_valid():
            return _settle(request, decision, form, ids)
        return _question(request, decision, doubts.choose(request.user, ids), form=form)
    choice = _chosen(request)
    if choice is None:
        messages.warning(request, _("Seleziona almeno un messaggio, poi scegli che cosa fare."))
        return redirect(_back(request))
    if choice.number == 1 and not choice.not_theirs and not choice.gone:
        # A page of its own says more of a single one; that of many tells what became of the others.
        return redirect(f"portal:{decision.one}", choice.ids[0])
    return _question(request, decision, choice)


def _chosen(request: OperatorRequest) -> Choice | None:
    """None when nothing is."""
    if request.GET.get("tutti"):
        filters = DoubtFilters(request.GET, user=request.user)
        if not filters.is_valid():
            return None
        return doubts.choose_all(request.user, in_doubt(request.user, filters=filters.cleaned_data))
    ticked = request.GET.getlist("messaggio")[:TICKED_AT_MOST]
    ids = sorted({pk for value in ticked if (pk := id_in({"id": value}, "id"))})
    return doubts.choose(request.user, ids) if ids else None


def _back(request: OperatorRequest) -> str:
    """The list with the filters that were in use."""
    return address(reverse("portal:uncertain"), _filters(request))


def _filters(request: OperatorRequest) -> dict[str, str]:
    """As the address of the first question carries them, or the form of the question."""
    data = QueryDict(request.POST.get("filtro", "")[:2000]) if request.method == "POST" else request.GET
    return DoubtFilters(data, user=request.user).in_use()


def _question(
    request: OperatorRequest,
    decision: _Decision,
    choice: Choice,
    *,
    form: ManyArrivedForm | ManyResendForm | None = None,
    status: int | None = None,
) -> HttpResponse:
    if not choice.number:
        messages.warning(
            request,
            _("Fra i messaggi scelti non ce n’è più nessuno che puoi decidere: non abbiamo fatto nulla."),
        )
        return redirect(_back(request))
    form = form or decision.form_class(number=choice.number)
    context = {
        "section": "uncertain",
        "choice": choice,
        "services": choice.services.most_common(),
        "chosen": packed(choice.ids),
        "form": form,
        "invalid": bool(form.errors),
        "here": decision.here,
        "path": reverse(f"portal:{decision.route}"),
        "back": _back(request),
        "filter": urlencode(_filters(request)),
        "holds": holds_in_words(choice.instances, at=timezone.now()) if decision is RESEND else [],
        "limit": MAX_CHOSEN,
    }
    return render(request, decision.template, context, status=status or (422 if form.errors else 200))


def _settle(
    request: OperatorRequest,
    decision: _Decision,
    form: ManyArrivedForm | ManyResendForm,
    ids: Sequence[int],
) -> HttpResponse:
    """Settle for a while; then the account, or the question about what is left."""
    slice_ = _Slice(ids)
    settle = settling.settle_many_arrived if decision is ARRIVED else settling.settle_many_resend
    outcome = settle(
        iter(slice_),
        by=request.user,
        at=timezone.now(),
        reason=form.cleaned_data["motivo"],
        # Asked again of every group: ids of a form are whatever somebody wrote into it.
        among=Message.objects.visible_to(request.user, action=Action.SETTLE_DOUBTS),
    )
    left = ids[slice_.taken :]
    _tell(request, decision, outcome, untold=slice_.taken - len(outcome.settled) - len(outcome.too_late))
    if not left:
        return redirect(_back(request))
    messages.info(
        request,
        _("Ne restano %(number)s: conferma di nuovo per continuare.") % {"number": wording.count(len(left))},
    )
    choice = doubts.choose(request.user, left)
    again = decision.form_class(request.POST, number=choice.number)
    return _question(request, decision, choice, form=again, status=200)


class _Slice:
    """Ids, until the time is over; it ends between two groups."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = ids
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        until = time.monotonic() + SETTLING_SECONDS
        for pk in self._ids:
            if self.taken and self.taken % settling.GROUP == 0 and time.monotonic() > until:
                return
            self.taken += 1
            yield pk


def _tell(request: OperatorRequest, decision: _Decision, outcome: Outcome, *, untold: int) -> None:
    """The exact account: what was done, and what had become of the others meanwhile."""
    number = len(outcome.settled)
    if number:
        messages.success(request, _done(decision, number))
    others = [_late(kind, count) for kind, count in sorted(outcome.meanwhile.items(), key=lambda each: each[0].value)]
    if untold > 0:
        others.append(
            ngettext(
                "%(number)s non è fra quelli che puoi decidere.",
                "%(number)s non sono fra quelli che puoi decidere.",
                untold,
            )
            % {"number": wording.count(untold)}
        )
    if others:
        messages.warning(request, " ".join([*others, _("Questi sono rimasti com’erano.")]))


def _done(decision: _Decision, number: int) -> str:
    values = {"number": wording.count(number)}
    if decision is ARRIVED:
        return (
            ngettext(
                "%(number)s messaggio segnato come arrivato.", "%(number)s messaggi segnati come arrivati.", number
            )
            % values
        )
    return (
        ngettext(
            "%(number)s messaggio rimesso in coda.",
            "%(number)s messaggi rimessi in coda, dopo i messaggi singoli e quelli pianificati.",
            number,
        )
        % values
    )


def _late(kind: Meanwhile, number: int) -> str:
    values = {"number": wording.count(number)}
    match kind:
        case Meanwhile.ANSWERED:
            return (
                ngettext(
                    "%(number)s nel frattempo aveva già una risposta di IO.",
                    "%(number)s nel frattempo avevano già una risposta di IO.",
                    number,
                )
                % values
            )
        case Meanwhile.TAKEN_AS_ARRIVED:
            return (
                ngettext(
                    "%(number)s nel frattempo era già stato segnato come arrivato.",
                    "%(number)s nel frattempo erano già stati segnati come arrivati.",
                    number,
                )
                % values
            )
        case Meanwhile.SENDING_AGAIN:
            return (
                ngettext(
                    "%(number)s nel frattempo era già tornato in coda.",
                    "%(number)s nel frattempo erano già tornati in coda.",
                    number,
                )
                % values
            )
        case Meanwhile.CLOSED:
            return (
                ngettext(
                    "%(number)s nel frattempo era già stato chiuso.",
                    "%(number)s nel frattempo erano già stati chiusi.",
                    number,
                )
                % values
            )
