"""The list of messages and its filters."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from messaging import deciding
from messaging.doubting import left_in_doubt
from messaging.models import Message
from messaging.states import Delivery, Group
from portal import searches, selections
from portal.forms.message_filters import MessageFilters, RecipientSearch
from portal.message_search import address, chips, found
from portal.navigation import COUNTED
from portal.paging import page_of, total_of
from portal.problems import problems_of
from portal.views.access import OperatorRequest, operator_page, require_somewhere
from registry.models import User
from registry.permissions import Action, may_somewhere

# The filter of the messages of which IO gives no more news.
SILENT = "fermi"


@operator_page
@require_safe
def message_list(request: OperatorRequest) -> HttpResponse:
    """Everything that decides what is shown is in the query string, so that the address can be kept and shared."""
    require_somewhere(request.user, Action.SEE_MESSAGES)
    return _list_page(request, search_form=RecipientSearch())


@operator_page
@require_POST
def search_recipient(request: OperatorRequest) -> HttpResponse:
    """Keeps the fiscal code in the session and goes to the list by the id of the search."""
    require_somewhere(request.user, Action.SEE_MESSAGES)
    form = RecipientSearch(request.POST)
    if not form.is_valid():
        return _list_page(request, search_form=form, status=422)
    search_id = searches.remember(request.session, form.cleaned_data["codice_fiscale"])
    return redirect(address(reverse("portal:messages"), {"ricerca": search_id}))


def _list_page(request: OperatorRequest, *, search_form: RecipientSearch, status: int = 200) -> HttpResponse:
    path = reverse("portal:messages")
    query = {key: str(value) for key, value in request.GET.items() if value}
    form = MessageFilters(request.GET, user=request.user)
    form.is_valid()  # a filter that cannot be read is told, and nothing is listed: it would not be what was asked for
    filters = form.cleaned_data
    search_id = filters.get("ricerca")
    taxcode = (searches.recall(request.session, search_id) or "") if search_id else None
    late_ids = selections.late_ids(request.session, filters.get("tardi"))
    rows = found(request.user, filters=filters, taxcode=taxcode, among=late_ids)
    if form.errors:
        rows = rows.none()
    page = page_of(rows, before=id_in(query, "prima"), after=id_in(query, "dopo"))
    kept = {key: value for key, value in query.items() if key not in ("prima", "dopo")}
    context = {
        "section": "messages",
        "form": form,
        "search_form": search_form,
        "invalid": bool(form.errors or search_form.errors),
        "page": page,
        "total": total_of(rows),
        "newer_url": page.newer and address(path, {**kept, "dopo": page.newer}),
        "older_url": page.older and address(path, {**kept, "prima": page.older}),
        "chips": chips(filters, query=query, path=path, taxcode=taxcode),
        "tabs": _tabs(path, kept, chosen=SILENT if filters.get("fermi") else filters.get("gruppo", "")),
        "silent_tab": _silent_tab(request.user, path, kept, is_chosen=bool(filters.get("fermi"))),
        "is_filtered": bool(kept),
        "is_beyond": kept != query,
        "first_url": address(path, kept),
        "path": path,
        "problems": problems_of(request.user),
        "may_compose": may_somewhere(request.user, Action.WRITE_DRAFTS),
        "stoppable": set(
            deciding.cancellable_by(request.user)
            .filter(pk__in=[row.pk for row in page.rows])
            .values_list("pk", flat=True)
        ),
        "in_doubt": left_in_doubt(
            row.pk for row in page.rows if row.delivery in (Delivery.CANCELLED, Delivery.EXPIRED)
        ),
        "filter": urlencode(kept),
    }
    return render(request, "portal/messages/list.html", context, status=status)


def _tabs(path: str, query: dict[str, str], *, chosen: str) -> list[tuple[str, str, bool]]:
    """(label, address, is chosen) of "all" and of each group; the other filters stay."""
    others = {key: value for key, value in query.items() if key not in ("gruppo", "stato", SILENT)}
    groups = [
        (str(group.label), address(path, {**others, "gruppo": group.value}), chosen == group.value) for group in Group
    ]
    return [("", address(path, others), not chosen), *groups]


def _silent_tab(user: User, path: str, query: dict[str, str], *, is_chosen: bool) -> tuple[str, str, bool] | None:
    """(how many, address, is chosen) of the messages that IO took and tells nothing more of; None where there are none.

    Counted up to a bound by an index that holds these alone, whatever else there is.
    """
    number = Message.objects.visible_to(user).silent()[:COUNTED].count()
    if not number and not is_chosen:
        return None
    others = {key: value for key, value in query.items() if key not in ("gruppo", "stato")}
    return (f"{COUNTED - 1}+" if number >= COUNTED else str(number), address(path, {**others, SILENT: "1"}), is_chosen)


def id_in(query: dict[str, str], name: str) -> int | None:
    """An id of the query string; what is not one is as good as absent."""
    value = query.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None
