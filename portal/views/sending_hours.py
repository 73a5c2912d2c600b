"""The settings of an ente: when it sends, what that means for the coming days, and who changed it."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from messaging.models import Message, ServiceInstance
from portal import opening, wording
from portal.context import is_fragment
from portal.forms.sending_hours import SendingHoursForm
from portal.io_services import COUNTED
from portal.organizations import hours_settable_by
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from registry import setting_hours
from registry.models import Organization, SendingHoursChange
from registry.opening_hours import OpeningHours, is_open, next_closures, next_opening
from registry.permissions import Action
from templates_app.rome_time import to_rome

CLOSURES_SHOWN = 5
CHANGES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class HoursPreview:
    """What some hours mean from now on."""

    in_words: str
    is_open: bool
    # None where there is none in sight.
    opening: datetime | None
    closures: tuple[tuple[date, Promise | str], ...]


@operator_page
@require_safe
def organization_list(request: OperatorRequest) -> HttpResponse:
    """The enti to choose from; with one alone there is nothing to choose."""
    require_somewhere(request.user, Action.SET_SENDING_HOURS)
    rows = list(hours_settable_by(request.user).prefetch_related("closure_days"))
    if len(rows) == 1:
        return redirect("portal:sending_hours", rows[0].pk)
    context = {
        "section": "organizations",
        "rows": [(row, opening.hours_in_words(row.opening_hours())) for row in rows],
    }
    return render(request, "portal/organizations/list.html", context)


@operator_page
@require_http_methods(["GET", "HEAD", "POST"])
def sending_hours(request: OperatorRequest, pk: int) -> HttpResponse:
    """The form, with a preview beside it; its buttons save, add a row, or only draw the preview again."""
    require_somewhere(request.user, Action.SET_SENDING_HOURS)
    organization: Organization = get_object_or_404(hours_settable_by(request.user), pk=pk)
    now = timezone.now()
    button = request.POST.get("azione", "")
    closures = tuple(closure.as_closure() for closure in organization.closure_days.all())
    # Those that do not count, since holidays are not observed, are shown as well: the form says so.
    stored = replace(organization.opening_hours(), closures=closures)
    form = SendingHoursForm(
        request.POST if request.method == "POST" else None,
        hours=stored,
        read=setting_hours.reading_of(organization),
        adds_row=button == "aggiungi",
    )
    if request.method == "POST" and button not in ("aggiungi", "anteprima") and form.hours is not None:
        try:
            has_changed = setting_hours.change_hours(
                organization, form.hours, by=request.user, at=now, read=form.cleaned_data["visto"]
            )
        except setting_hours.NeverOpen:
            never = _("Così non partirebbe mai nulla: nei prossimi due anni non c’è un giorno di invio.")
            form.add_error(None, ValidationError(never, code="never_open"))
        except setting_hours.HoursOutdated:
            messages.warning(request, _("Nel frattempo qualcuno ha cambiato gli orari: qui vedi come sono ora."))
            return redirect("portal:sending_hours", pk)
        else:
            messages.success(
                request,
                f"{_('Orari salvati.')} {_held_words(organization, form.hours, at=now)}".strip()
                if has_changed
                else _("Erano già così: non è cambiato nulla."),
            )
            return redirect("portal:sending_hours", pk)
    hours = form.hours if form.is_bound else stored
    context: dict[str, Any] = {
        "preview": None if hours is None else _preview(hours, at=now),
        "organization": organization,
    }
    if is_fragment(request):
        return render(request, "portal/organizations/hours_preview.html", context)
    is_wrong = bool(form.errors) and button not in ("aggiungi", "anteprima")
    context |= {
        "section": "organizations",
        "form": form,
        "invalid": is_wrong,
        "now_in_words": opening.hours_in_words(stored),
        "changes": [
            (change, opening.changes_in_words(change.before, change.after))
            for change in SendingHoursChange.objects.filter(organization=organization).select_related("actor")[
                :CHANGES_SHOWN
            ]
        ],
        "has_others": hours_settable_by(request.user).exclude(pk=pk).exists(),
    }
    return render(request, "portal/organizations/hours.html", context, status=422 if is_wrong else 200)


def _held_words(organization: Organization, hours: OpeningHours, *, at: datetime) -> str:
    """How many messages wait from this moment on, and until when; empty where these hours hold none."""
    opens = next_opening(hours, at)
    if is_open(hours, at) or opens is None:
        return ""
    uses = ServiceInstance.objects.filter(organization=organization).values_list("pk", "io_service__io_account")
    # Found by the queue's own index, as far as is counted.
    held = Message.objects.waiting().filter(
        io_account__in={account for _pk, account in uses},
        service_instance__in=[pk for pk, _account in uses],
        not_before__lte=at,
    )
    number = held.order_by()[: COUNTED + 1].count()
    if not number:
        return ""
    values = {"number": wording.count(min(number, COUNTED)), "when": wording.full_moment(opens)}
    if number > COUNTED:
        return _("Adesso è fuori orario: oltre %(number)s messaggi aspettano fino a %(when)s.") % values
    return (
        ngettext(
            "Adesso è fuori orario: %(number)s messaggio aspetta fino a %(when)s.",
            "Adesso è fuori orario: %(number)s messaggi aspettano fino a %(when)s.",
            number,
        )
        % values
    )


def _preview(hours: OpeningHours, *, at: datetime) -> HoursPreview:
    return HoursPreview(
        in_words=opening.hours_in_words(hours),
        is_open=is_open(hours, at),
        opening=next_opening(hours, at),
        closures=tuple(next_closures(hours, after=to_rome(at).date(), number=CLOSURES_SHOWN)),
    )
