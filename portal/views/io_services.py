"""IO services: how each one is, why one stopped sending, its keys, and starting it again."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from messaging import proving, rekeying, suspending
from messaging.auditing import rekeyed_since_suspended
from messaging.configuring import configurable_by, covered_by, shown_to
from messaging.models import ActiveKey, IOService
from messaging.moving import StateConflict
from messaging.proving import Proof, Verdict
from portal import wording
from portal.forms.keys import KeyForm, SwitchForm
from portal.io_services import (
    KEY_NAMES,
    SLUGS,
    changes_of,
    count_waiting,
    cure_of_suspension,
    slots_of,
    standings_of,
    waiting_words,
    why_suspended,
    words_of_io,
)
from portal.lane_standings import standing_of
from portal.problems import problems_of_account, problems_of_sending
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from registry.permissions import Action

question = require_http_methods(["GET", "HEAD", "POST"])


@operator_page
@require_safe
def io_service_list(request: OperatorRequest) -> HttpResponse:
    """Where whoever configures sending starts from: nothing of any message is told here but how many wait."""
    require_somewhere(request.user, Action.CONFIGURE_SENDING)
    context = {
        "section": "io_services",
        "standings": standings_of(request.user),
        "problems": problems_of_sending(request.user),
    }
    return render(request, "portal/io_services/list.html", context)


@operator_page
@require_safe
def io_service_page(request: OperatorRequest, pk: int) -> HttpResponse:
    """All there is to know of one: its state, its account, which keys there are (never the keys), what was done to it."""
    require_somewhere(request.user, Action.CONFIGURE_SENDING)
    rows = shown_to(request.user).select_related("io_account", "organization")
    io_service: IOService = get_object_or_404(rows, pk=pk)
    uses = list(
        covered_by(request.user)
        .filter(io_service=io_service)
        .select_related("service", "template", "organization")
        .order_by("service__service_name", "template__name")
    )
    may_change = configurable_by(request.user).filter(pk=pk).exists()
    account = standing_of(io_service.io_account)
    context = {
        "section": "io_services",
        "io_service": io_service,
        "services": sorted({use.service.service_name for use in uses}),
        "uses": uses,
        "may_change": may_change,
        "waiting": waiting_words(count_waiting(io_service, [use.pk for use in uses])),
        "slots": slots_of(io_service),
        "account": account,
        # While it is suspended nothing leaves, whatever the account does: the box above says all.
        "problems": [] if io_service.suspended_at else problems_of_account(account),
        "silent_since": wording.since(account.opened_at, now=account.now) if account.opened_at else "",
        "account_rate": wording.rate(account.rate),
        "paused": wording.until(account.paused_until, now=account.now) if account.paused_until else "",
        "polls_late": wording.duration(account.polls_late) if account.polls_late else "",
        "changes": changes_of(io_service),
        **_suspension_words(io_service, may_change=may_change),
    }
    return render(request, "portal/io_services/detail.html", context)


def _suspension_words(io_service: IOService, *, may_change: bool) -> dict[str, str]:
    if io_service.suspended_at is None:
        return {}
    was_rekeyed = io_service.pk in rekeyed_since_suspended([io_service])
    return {
        "since": wording.since(io_service.suspended_at, now=timezone.now()),
        "why": why_suspended(io_service),
        "cure": cure_of_suspension(io_service, may_change=may_change, was_rekeyed=was_rekeyed),
        "said": words_of_io(io_service),
    }


def _changeable(request: OperatorRequest, pk: int) -> IOService:
    """What is done to an IO service concerns everybody who sends through it, so the role is needed on all its uses."""
    require_somewhere(request.user, Action.CONFIGURE_SENDING)
    io_service: IOService = get_object_or_404(configurable_by(request.user).select_related("io_account"), pk=pk)
    return io_service


def _name_of(io_service: IOService) -> str:
    names = io_service.service_instances.values_list("service__service_name", flat=True).distinct()
    return ", ".join(sorted(set(names)))


# --- Proving ---------------------------------------------------------------------------------------------------------


@operator_page
@require_POST
def prove(request: OperatorRequest, pk: int) -> HttpResponse:
    """Asks IO about one of the two keys and says what came of it on the page that the button was on."""
    io_service = _changeable(request, pk)
    which = SLUGS.get(request.POST.get("chiave", ""), ActiveKey(io_service.active_key))
    proof = proving.prove_key(io_service, which=which, by=request.user)
    result = proof_words(proof, has_other=_has_other(io_service, which))
    sentence = _("Chiave %(which)s: %(result)s") % {"which": KEY_NAMES[which], "result": result}
    if proof.is_good:
        if io_service.suspended_at is not None and which == io_service.active_key:
            sentence += " " + _("L’invio resta sospeso finché non lo riprendi.")
        messages.success(request, sentence)
    else:
        messages.warning(request, sentence)
    return redirect("portal:resume" if request.POST.get("da") == "riprendi" else "portal:io_service", pk)


def proof_words(proof: Proof, *, has_other: bool) -> str:
    """The result as sentences: what it is, IO's own words, what to do. `has_other`: see `_has_other`."""
    sentences = [str(proof.verdict.words)]
    if proof.said and proof.verdict is not Verdict.REFUSED:
        sentences.append(_("Parole di IO: “%(words)s”.") % {"words": proof.said})
    if proof.until is not None:
        now = timezone.now()
        sentences.append(_("Non possiamo chiamarlo %(until)s.") % {"until": wording.until(proof.until, now=now)})
    elif proof.verdict.cure:
        sentences.append(str(proof.verdict.cure))
    if proof.verdict is Verdict.REFUSED and has_other:
        sentences.append(_("Oppure passa all’altra."))
    return " ".join(sentences)


def _has_other(io_service: IOService, which: ActiveKey) -> bool:
    """Whether there is another key to pass to, instead of this one: this one is in use, and the other slot is filled."""
    other = rekeying.other_than(which)
    return which == io_service.active_key and any(
        slot.is_filled for slot in slots_of(io_service) if slot.which is other
    )


# --- Keys ------------------------------------------------------------------------------------------------------------


@operator_page
@question
def switch(request: OperatorRequest, pk: int) -> HttpResponse:
    """To the other key, without a stop. It is proved first; one that IO does not take asks for a second yes."""
    io_service = _changeable(request, pk)
    to = rekeying.other_than(ActiveKey(io_service.active_key))
    slots = slots_of(io_service)
    if not next(slot for slot in slots if slot.which is to).is_filled:
        messages.warning(request, _("La chiave %(which)s non c’è: prima inseriscila.") % {"which": KEY_NAMES[to]})
        return redirect("portal:io_service", pk)
    tick = _("Passa lo stesso alla chiave %(which)s") % {"which": KEY_NAMES[to]}
    proof: Proof | None = None
    form = SwitchForm(seen=io_service.active_key)
    if request.method == "POST":
        form = SwitchForm(request.POST, tick=tick if "comunque" in request.POST else "")
        if not form.is_valid() or form.seen != io_service.active_key:
            return _overtaken(request, pk)
        proof = proving.prove_key(io_service, which=to, by=request.user)
        if proof.is_good or (form.asks and proof.is_usable):
            try:
                rekeying.switch_key(io_service, to=to, by=request.user)
            except StateConflict:
                return _overtaken(request, pk)
            sentence = _("In uso la chiave %(which)s: vale dal prossimo messaggio.") % {"which": KEY_NAMES[to]}
            _tell_kept(request, io_service, sentence, proof, which=to)
            return redirect("portal:io_service", pk)
        # A tick never shown before is a question, not a mistake.
        form = SwitchForm(seen=io_service.active_key, tick=tick if proof.is_usable else "")
    context = {
        "section": "io_services",
        "io_service": io_service,
        "name": _name_of(io_service),
        "from_name": KEY_NAMES[rekeying.other_than(to)],
        "to_name": KEY_NAMES[to],
        "proof": proof_words(proof, has_other=False) if proof else "",
        "proof_weight": "warning" if form.asks else "danger",
        "form": form,
        "invalid": proof is not None and not form.asks,
    }
    return render(request, "portal/io_services/switch.html", context, status=422 if context["invalid"] else 200)


@sensitive_post_parameters("chiave")
@operator_page
@question
@sensitive_variables("form", "key")
def enter_key(request: OperatorRequest, pk: int, slot: str) -> HttpResponse:
    """A new key for one of the two slots: proved, stored, never shown. Losing a key that works needs a second yes."""
    io_service = _changeable(request, pk)
    if slot not in SLUGS:
        raise Http404
    which = SLUGS[slot]
    is_active = which == io_service.active_key
    tick = _("Salvala lo stesso")
    proof: Proof | None = None
    form = KeyForm(seen=io_service.active_key)
    if request.method == "POST":
        form = KeyForm(request.POST, tick=tick if "comunque" in request.POST else "")
        if form.is_valid():
            key = form.cleaned_data["chiave"]
            if form.seen != io_service.active_key:
                return _overtaken(request, pk)
            if rekeying.is_same_as_other(io_service, which, key):
                form.add_error(
                    "chiave",
                    _("È la stessa della chiave %(which)s: le due devono essere diverse.")
                    % {"which": KEY_NAMES[rekeying.other_than(which)]},
                )
            else:
                proof = proving.prove_new_key(io_service, key, which=which, by=request.user)
                if form.asks or not rekeying.needs_a_second_yes(io_service, which=which, proof=proof):
                    try:
                        rekeying.store_key(io_service, which=which, key=key, seen_active=form.seen, by=request.user)
                    except StateConflict:
                        return _overtaken(request, pk)
                    sentence = _("Chiave %(which)s salvata.") % {"which": KEY_NAMES[which]}
                    _tell_kept(request, io_service, sentence, proof, which=which)
                    return redirect("portal:io_service", pk)
                # A tick never shown before is a question, not a mistake.
                form = KeyForm(seen=io_service.active_key, tick=tick)
    context = {
        "section": "io_services",
        "io_service": io_service,
        "name": _name_of(io_service),
        "which": KEY_NAMES[which],
        "is_active": is_active,
        "is_replacing": next(one for one in slots_of(io_service) if one.which is which).is_filled,
        "proof": proof_words(proof, has_other=_has_other(io_service, which)) if proof else "",
        "form": form,
        "invalid": bool(form.errors),
    }
    return render(request, "portal/io_services/enter_key.html", context, status=422 if form.errors else 200)


def _tell_kept(
    request: OperatorRequest, io_service: IOService, sentence: str, proof: Proof, *, which: ActiveKey
) -> None:
    """What was done and what IO thinks of the key; a good key in use on a suspended service leads to resuming."""
    words = f"{sentence} {proof_words(proof, has_other=_has_other(io_service, which))}"
    if not proof.is_good:
        messages.warning(request, words)
        return
    if IOService.objects.filter(pk=io_service.pk, suspended_at__isnull=False).exists():
        words += " " + _("L’invio resta sospeso finché non lo riprendi.")
    messages.success(request, words)


def _overtaken(request: OperatorRequest, pk: int) -> HttpResponse:
    messages.warning(
        request, _("Nel frattempo la chiave in uso è cambiata: non abbiamo fatto nulla. Qui vedi com’è ora.")
    )
    return redirect("portal:io_service", pk)


# --- Resuming --------------------------------------------------------------------------------------------------------


@operator_page
@question
def resume(request: OperatorRequest, pk: int) -> HttpResponse:
    """Says how many wait and what happens to them, offers to prove the key first, then starts again."""
    io_service = _changeable(request, pk)
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
    waiting = count_waiting(io_service, list(io_service.service_instances.values_list("pk", flat=True)))
    context = {
        "section": "io_services",
        "io_service": io_service,
        "name": _name_of(io_service),
        "waiting": waiting_words(waiting),
        "is_one_waiting": waiting == 1,
        "is_empty": waiting == 0,
        "active": next(slot for slot in slots_of(io_service) if slot.is_active),
        **_suspension_words(io_service, may_change=True),
    }
    return render(request, "portal/io_services/resume.html", context)
