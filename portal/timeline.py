"""The history of a message in sentences: events store keys, the words come when they are read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from messaging.models import EventKind, MessageEvent
from messaging.settling import REQUESTED_AT
from messaging.states import GROUP_OF, Delivery, Group
from portal.doubts import cause_in_words

BAD = frozenset(
    {
        EventKind.REFUSED,
        EventKind.OUTCOME_UNKNOWN,
        EventKind.POSSIBLE_DOUBLE,
        EventKind.SUSPENDED,
        EventKind.SET_ASIDE,
        EventKind.REFUSED_BY_APPROVER,
    }
)
REASON = "reason"
# What IO wrote or we counted, shown on demand; keys without a name here are shown as they are.
FACTS = {
    REASON: gettext_lazy("Causa"),
    "status": gettext_lazy("Risposta di IO"),
    "title": gettext_lazy("Parole di IO"),
    "detail": gettext_lazy("Parole di IO, dettaglio"),
    "io_status": gettext_lazy("Stato, come lo scrive IO"),
    "attempt": gettext_lazy("Tentativo"),
    "answer": gettext_lazy("Risposta"),
    "io_id": gettext_lazy("ID messaggio su IO"),
    "known_io_id": gettext_lazy("ID già noto"),
    "resend_of": gettext_lazy("Nuovo invio del messaggio"),
    "resent_as": gettext_lazy("Nuovo messaggio"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One line. `look` is the colour of its dot, `facts` are (label, value) for whoever wants IO's own words.

    `requested_at` is when exactly the request had left whose doubt was decided.
    """

    sentence: str
    at: datetime
    actor: str
    reason: str
    requested_at: datetime | None
    facts: tuple[tuple[str, str], ...]
    look: str


def steps_of(events: Iterable[MessageEvent]) -> list[Step]:
    """The latest first. Events need their actor loaded."""
    return [_step(event) for event in sorted(events, key=lambda event: event.pk, reverse=True)]


def _step(event: MessageEvent) -> Step:
    kind = EventKind(event.kind)
    # A person's reason is theirs to read at once; a program's goes with the other facts.
    reason = str(event.data.get(REASON, "")) if event.actor else ""
    told_at_once = {REQUESTED_AT} | ({REASON} if reason else set())
    facts = {key: value for key, value in event.data.items() if value not in ("", None) and key not in told_at_once}
    return Step(
        sentence=_sentence(event, kind=kind),
        at=event.at,
        actor=event.actor.full_name if event.actor else "",
        reason=reason,
        requested_at=parse_datetime(str(event.data.get(REQUESTED_AT, ""))),
        facts=tuple((str(FACTS.get(key, key)), _shown(value)) for key, value in facts.items()),
        look=_look(event, kind=kind),
    )


def _sentence(event: MessageEvent, *, kind: EventKind) -> str:
    if kind is EventKind.STATUS and event.state:
        return _("IO: %(state)s") % {"state": Delivery(event.state).label}
    if kind is EventKind.OUTCOME_UNKNOWN:
        return _("Esito incerto: %(cause)s") % {"cause": cause_in_words(event.data.get(REASON))}
    return str(kind.label)


def _look(event: MessageEvent, *, kind: EventKind) -> str:
    if kind in BAD:
        return Group.TO_FIX.value
    return GROUP_OF[Delivery(event.state)].value if event.state else ""


def _shown(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
