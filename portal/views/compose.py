"""Writing one message, in three pages over one draft: service and template, content, check and confirm.

Every step is a plain POST; the draft keeps what was typed, complete or not. The live preview beside the fields is the same
partial as the one of the page, drawn by the same validator that decides at the end.
"""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from messaging import composing, drafting
from messaging.models import Message
from messaging.moving import StateConflict
from messaging.states import Delivery
from portal import drafts, opening
from portal.forms.choose_instance import ChooseInstanceForm, choosable
from portal.forms.compose import ComposeForm, raw_of
from portal.forms.confirm import ConfirmForm
from portal.sketching import Sketch, sketch
from portal.views.access import OperatorRequest, operator_page, require, require_somewhere
from registry.models import AmountUnit
from registry.permissions import Action, can

page = require_http_methods(["GET", "HEAD", "POST"])


class DraftGone(Exception):
    """The draft was confirmed or deleted meanwhile, perhaps in another tab."""


def draft_of(request: OperatorRequest, pk: int) -> Message:
    """404 for what cannot be seen, 403 without the role; raises DraftGone when it is no draft any more."""
    message = get_object_or_404(Message.objects.visible_to(request.user).with_everything(), pk=pk)
    require(request.user, Action.WRITE_DRAFTS, on=message)
    if message.delivery is not Delivery.DRAFT:
        raise DraftGone
    return message


@operator_page
@page
def choose(request: OperatorRequest, pk: int | None = None) -> HttpResponse:
    """Step 1. Without `pk` the choice makes a draft; with it, the draft changes service or template and keeps its values."""
    require_somewhere(request.user, Action.WRITE_DRAFTS)
    try:
        draft = None if pk is None else draft_of(request, pk)
    except DraftGone:
        return _gone(request, pk)
    instances = choosable(request.user)
    chosen = draft.service_instance_id if draft else (instances[0].pk if len(instances) == 1 else None)
    form = ChooseInstanceForm(request.POST if request.method == "POST" else None, instances=instances, chosen=chosen)
    if request.method == "POST" and form.is_valid():
        typed = drafts.typed_in(draft) if draft else {}
        try:
            draft = drafting.save_draft(typed, instance=form.instance, by=request.user, at=timezone.now(), draft=draft)
        except StateConflict:
            return _gone(request, pk)
        except (composing.InstanceDisabled, composing.TemplateMissing):
            form.add_error("collegamento", _("Nel frattempo è stato disabilitato: scegline un altro."))
        else:
            return redirect("portal:compose_content", draft.pk)
    context = {"section": "messages", "form": form, "invalid": bool(form.errors), "draft": draft, "step": 1}
    return render(request, "portal/compose/choose.html", context, status=422 if form.errors else 200)


@operator_page
@page
def content(request: OperatorRequest, pk: int) -> HttpResponse:
    """Step 2: recipient, values, due date and payment, date. Whatever the button, what was typed is saved first."""
    try:
        draft = draft_of(request, pk)
        if request.method == "POST":
            return _content_posted(request, draft)
        text = drafts.text_of(draft)
        typed = drafts.typed_in(draft)
        if "controlla" in request.GET:
            # Sent back from this step or from the last one: the errors must be seen.
            form = ComposeForm(typed, text=text)
            drafts.check(form, instance=draft.service_instance, at=timezone.now())
            return _content_page(request, draft, form=form, invalid=bool(form.errors))
        return _content_page(request, draft, form=ComposeForm(text=text, initial=typed), invalid=False)
    except (DraftGone, StateConflict):
        return _gone(request, pk)
    except (composing.InstanceDisabled, composing.TemplateMissing):
        return _unusable(request, pk)


def _content_posted(request: OperatorRequest, draft: Message) -> HttpResponse:
    now = timezone.now()
    form = ComposeForm(request.POST, text=drafts.text_of(draft))
    drafting.save_draft(raw_of(form), instance=draft.service_instance, by=request.user, at=now, draft=draft)
    match request.POST.get("azione"):
        case "salva":
            messages.success(request, _("Bozza salvata: nessuno l’ha ricevuta."))
            return redirect("portal:message", draft.pk)
        case "anteprima":
            form.full_clean()
            form.forget_missing()
            return _content_page(request, draft, form=form, invalid=False)
    drafts.check(form, instance=draft.service_instance, at=now)
    if form.errors:
        # By a redirect, so that going back in the browser never asks to send the form again.
        return redirect(f"{reverse('portal:compose_content', args=[draft.pk])}?controlla=1")
    return redirect("portal:compose_confirm", draft.pk)


def _content_page(request: OperatorRequest, draft: Message, *, form: ComposeForm, invalid: bool) -> HttpResponse:
    context = {
        "section": "messages",
        "draft": draft,
        "instance": draft.service_instance,
        "form": form,
        "invalid": invalid,
        "sketch": _sketch(
            draft, form if form.is_bound else ComposeForm(drafts.typed_in(draft), text=drafts.text_of(draft))
        ),
        "step": 2,
    }
    return render(request, "portal/compose/content.html", context, status=422 if invalid else 200)


@operator_page
@require_POST
def preview(request: OperatorRequest, pk: int) -> HttpResponse:
    """The live preview: the posted form, drawn; nothing is stored."""
    try:
        draft = draft_of(request, pk)
        form = ComposeForm(request.POST, text=drafts.text_of(draft))
        context = {"sketch": _sketch(draft, form), "draft": draft, "is_fragment": True}
        return render(request, "portal/compose/sketch.html", context)
    except (DraftGone, composing.TemplateMissing):
        # Nothing to draw any more: the whole page says what became of it.
        response = HttpResponse(status=204)
        response["HX-Redirect"] = reverse("portal:message", args=[pk])
        return response


def _sketch(draft: Message, form: ComposeForm) -> Sketch:
    return sketch(form, instance=draft.service_instance, text=drafts.text_of(draft), at=timezone.now())


@operator_page
@page
def confirm(request: OperatorRequest, pk: int) -> HttpResponse:
    """Step 3: everything once more, exactly as it will leave, and one button that says how many."""
    try:
        draft = draft_of(request, pk)
        text = drafts.text_of(draft)
    except DraftGone:
        return _gone(request, pk)
    except composing.TemplateMissing:
        return _unusable(request, pk)
    now = timezone.now()
    instance = draft.service_instance
    form = ComposeForm(drafts.typed_in(draft), text=text)
    checked = drafts.check(form, instance=instance, at=now)
    if checked.message is None:
        return redirect(f"{reverse('portal:compose_content', args=[pk])}?controlla=1")
    seen = drafting.fingerprint(checked.message, instance=instance, at=now)
    confirmation = ConfirmForm(
        request.POST if request.method == "POST" else None,
        seen=seen,
        is_overdue=checked.is_overdue,
        ends_while_closed=checked.ends_while_closed,
    )
    if request.method == "POST":
        require(request.user, Action.SEND_MESSAGES, on=draft)
        if confirmation.is_valid():
            outcome = _confirmed(request, draft, checked=checked, seen=confirmation.cleaned_data["visto"])
            if outcome is not None:
                return outcome
            confirmation = ConfirmForm(
                seen=seen, is_overdue=checked.is_overdue, ends_while_closed=checked.ends_while_closed
            )
    context = {
        "section": "messages",
        "draft": draft,
        "instance": instance,
        "compose_form": form,
        "checked": checked,
        "valid": checked.message,
        "preview": drafts.preview_of_valid(checked.message, instance=instance, at=now),
        "is_now": checked.message.scheduled_at <= now,
        "opening": opening.after(instance.organization, max(checked.message.scheduled_at, now)),
        "was_past": form.cleaned_data.get("scheduled_at") is not None and form.cleaned_data["scheduled_at"] <= now,
        "form": confirmation,
        "invalid": bool(confirmation.errors),
        "may_send": can(request.user, Action.SEND_MESSAGES, on=draft),
        "step": 3,
    }
    return render(request, "portal/compose/confirm.html", context, status=422 if confirmation.errors else 200)


def _confirmed(request: OperatorRequest, draft: Message, *, checked: drafts.Checked, seen: str) -> HttpResponse | None:
    """Off it goes; None when the page must be shown again, because it no longer is what was read."""
    try:
        message = drafting.confirm_draft(
            draft, checked.data, by=request.user, at=timezone.now(), amount_unit=AmountUnit.EURO, seen=seen
        )
    except drafting.PreviewOutdated:
        messages.warning(request, _("Il messaggio è cambiato mentre lo leggevi: rileggilo e conferma di nuovo."))
        return None
    except composing.ComposeRefused:
        return redirect(f"{reverse('portal:compose_content', args=[draft.pk])}?controlla=1")
    except (composing.InstanceDisabled, composing.TemplateMissing):
        return _unusable(request, draft.pk)
    except StateConflict:
        return _gone(request, draft.pk)
    if message.delivery is Delivery.PENDING_APPROVAL:
        messages.success(request, _("Mandato in approvazione: partirà dopo il sì di un’altra persona."))
    elif (
        awaited := opening.after(draft.service_instance.organization, max(message.scheduled_at, timezone.now()))
    ).is_awaited:
        messages.success(request, f"{_('Messaggio confermato.')} {awaited.in_words}")
    elif message.scheduled_at <= timezone.now():
        messages.success(request, _("Messaggio confermato: parte adesso."))
    else:
        messages.success(request, _("Messaggio pianificato."))
    return redirect("portal:message", draft.pk)


def _gone(request: OperatorRequest, pk: int | None) -> HttpResponse:
    """Confirmed already (a double click), or deleted: one message, never two."""
    messages.info(request, _("Questa bozza è già stata confermata o eliminata: qui vedi com’è ora."))
    return redirect("portal:messages") if pk is None else redirect("portal:message", pk)


def _unusable(request: OperatorRequest, pk: int) -> HttpResponse:
    messages.error(
        request,
        _(
            "Il servizio è disabilitato, o il suo modello non è più pubblicato: scegline un altro. La bozza resta salvata."
        ),
    )
    return redirect("portal:compose_choose", pk)
