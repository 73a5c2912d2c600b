"""What the message list shows for its filters: the rows, and the same filters as chips that can be taken away."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from messaging.models import Message
from messaging.states import GROUP_OF, Delivery, Group, WaitingReason
from portal.wording import date_of, masked
from registry.models import User
from templates_app.rome_time import ROME

# Of the messages without news, so many are listed.
LISTED = 10_000


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in use, in words, with the address of the list without it."""

    label: str
    url: str


def found(
    user: User, *, filters: Mapping[str, Any], taxcode: str | None, among: Collection[int] | None = None
) -> QuerySet[Message]:
    """The messages this person may see that pass the filters (the cleaned data of `MessageFilters`), newest first.

    `taxcode` is the one searched for; the empty string is a search that is no longer known and finds nothing. `among`
    narrows to these ids.
    """
    rows = Message.objects.visible_to(user)
    if group := filters.get("gruppo"):
        rows = rows.filter(in_group(Group(group)))
    if state := filters.get("stato"):
        rows = rows.filter(delivery_state=state)
    if reason := filters.get("attesa"):
        rows = rows.filter(waiting_reason=reason)
    if filters.get("fermi"):
        # First which ones, by their own index, then the rest of the question about those alone.
        rows = rows.filter(pk__in=list(Message.objects.visible_to(user).silent().values_list("pk", flat=True)[:LISTED]))
    if service := filters.get("servizio"):
        rows = rows.filter(service_instance__service=service)
    if words := filters.get("titolo"):
        rows = rows.filter(content__subject__icontains=words)
    if taxcode is not None:
        rows = rows.filter(taxcode=taxcode) if taxcode else rows.none()
    if among is not None:
        rows = rows.filter(pk__in=among)
    rows = rows.filter(
        between("created_at", first=filters.get("creato_dal"), last=filters.get("creato_al")),
        between("scheduled_at", first=filters.get("pianificato_dal"), last=filters.get("pianificato_al")),
    )
    return (
        rows.select_related(
            "content",
            "sender",
            "service_instance__service",
            "service_instance__organization",
            "service_instance__template",
            "service_instance__io_service",
        )
        # Whether its ente is closed is asked of every waiting row.
        .prefetch_related("service_instance__organization__closure_days")
        .order_by("-pk")
    )


def in_group(group: Group) -> Q:
    """The messages that a group shows; what a person settled as arrived counts as delivered."""
    states = sorted(state for state in Delivery if GROUP_OF[state] is group)
    if group is Group.DELIVERED:
        return Q(delivery_state__in=states) | Q(is_taken_as_arrived=True)
    return Q(delivery_state__in=states, is_taken_as_arrived=False)


def between(column: str, *, first: date | None, last: date | None) -> Q:
    """From the first instant of a day in Rome to the last of another, both included; either may be missing."""
    condition = Q()
    if first:
        condition &= Q(**{f"{column}__gte": _midnight(first)})
    if last:
        condition &= Q(**{f"{column}__lt": _midnight(last + timedelta(days=1))})
    return condition


def chips(filters: Mapping[str, Any], *, query: Mapping[str, str], path: str, taxcode: str | None) -> tuple[Chip, ...]:
    """One for each filter in use but the group, which has its own tabs. `query` is the query string as it is now."""

    def without(name: str) -> str:
        kept = {key: value for key, value in query.items() if key not in (name, "prima", "dopo") and value}
        return address(path, kept)

    in_words = []
    if words := filters.get("titolo"):
        in_words.append(("titolo", _("Titolo: “%(words)s”") % {"words": words}))
    if state := filters.get("stato"):
        in_words.append(("stato", _("Stato: %(state)s") % {"state": Delivery(state).label}))
    if reason := filters.get("attesa"):
        in_words.append(("attesa", _("In attesa: %(reason)s") % {"reason": WaitingReason(reason).label}))
    if service := filters.get("servizio"):
        in_words.append(("servizio", _("Servizio: %(service)s") % {"service": service}))
    if day := filters.get("creato_dal"):
        in_words.append(("creato_dal", _("Creato dal %(day)s") % {"day": date_of(day)}))
    if day := filters.get("creato_al"):
        in_words.append(("creato_al", _("Creato fino al %(day)s") % {"day": date_of(day)}))
    if day := filters.get("pianificato_dal"):
        in_words.append(("pianificato_dal", _("Pianificato dal %(day)s") % {"day": date_of(day)}))
    if day := filters.get("pianificato_al"):
        in_words.append(("pianificato_al", _("Pianificato fino al %(day)s") % {"day": date_of(day)}))
    if taxcode is not None:
        label = _("Destinatario: %(code)s") % {"code": masked(taxcode)} if taxcode else _("Ricerca scaduta: ripetila")
        in_words.append(("ricerca", label))
    if filters.get("tardi"):
        in_words.append(("tardi", _("Troppo tardi per annullarli")))
    return tuple(Chip(label, without(name)) for name, label in in_words)


def address(path: str, query: Mapping[str, Any]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=ROME)
