"""Messages whose outcome nobody knows: why, which ones a person is looking at, and which of them are theirs to settle."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from django.db.models import OuterRef, Q, Subquery
from django.db.models.fields.json import KT
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from messaging.attempts import NOT_ARRIVED_AFTER_ALL
from messaging.models import EventKind, Message, MessageEvent, ServiceInstance
from messaging.querysets import MessageQuerySet
from messaging.resending import WAIT_SECONDS, covered_by_rule
from messaging.states import Delivery
from portal.selections import MAX_CHOSEN
from registry.models import User
from registry.permissions import Action

GROUP = 500

# As `io_client` names an answer that concludes nothing.
_ANSWERED: Final = re.compile(r"HTTP ([0-9]{3})", re.ASCII)


class Cause(Enum):
    """Why the outcome is not known, as the filter of the page tells it apart."""

    SILENCE = "silenzio"
    ERROR = "errore"
    UNEXPECTED = "inattesa"
    # A person took it as arrived, and its request proved not to have.
    NOT_ARRIVED = "non-arrivato"

    @property
    def label(self) -> Promise:
        return _CAUSES[self]


_CAUSES = {
    Cause.SILENCE: gettext_lazy("La risposta di IO non è arrivata"),
    Cause.ERROR: gettext_lazy("IO ha risposto con un errore"),
    Cause.UNEXPECTED: gettext_lazy("IO ha risposto in modo inatteso"),
    Cause.NOT_ARRIVED: gettext_lazy("Segnato come arrivato, e non lo era"),
}
_PROVED = Q(status_detail=NOT_ARRIVED_AFTER_ALL)
_CONDITIONS = {
    Cause.SILENCE: ~_PROVED & (Q(cause=None) | ~Q(cause__regex=r"^HTTP [0-9]{3}")),
    Cause.ERROR: ~_PROVED & Q(cause__regex=r"^HTTP [4-9][0-9]{2}"),
    Cause.UNEXPECTED: ~_PROVED & Q(cause__regex=r"^HTTP [0-3][0-9]{2}"),
    Cause.NOT_ARRIVED: _PROVED,
}


def cause_in_words(reason: object) -> str:
    """`reason` is what the event of the doubt wrote down."""
    found = _ANSWERED.match(str(reason or ""))
    if found is None:
        return _("la risposta di IO non è arrivata")
    if found[1] < "400":
        return _("IO ha risposto in modo inatteso (%(status)s)") % {"status": found[1]}
    return _("IO ha risposto con un errore (%(status)s)") % {"status": found[1]}


def causes_of(rows: Iterable[Message]) -> dict[int, str]:
    """The words of the last doubt of each of these messages; one query."""
    by_id = {row.pk: row for row in rows}
    events = MessageEvent.objects.filter(message__in=list(by_id), kind=EventKind.OUTCOME_UNKNOWN).order_by("pk")
    causes = {message: cause_in_words(data.get("reason")) for message, data in events.values_list("message", "data")}
    # What IO proved since says more than why nobody knew at first.
    return causes | {pk: _(row.status_detail) for pk, row in by_id.items() if has_not_arrived(row)}


def has_not_arrived(message: Message) -> bool:
    """Whether a person took this doubt as arrived, and IO's late answer proved that it did not."""
    return message.delivery is Delivery.UNCERTAIN and message.status_detail == NOT_ARRIVED_AFTER_ALL


def in_doubt(user: User, *, filters: Mapping[str, Any]) -> MessageQuerySet:
    """The doubts this person may see that pass the filters (the cleaned data of `DoubtFilters`)."""
    rows = Message.objects.visible_to(user).uncertain()
    if service := filters.get("servizio"):
        rows = rows.filter(service_instance__service=service)
    if since := filters.get("dal"):
        rows = rows.filter(marked_at__gte=since)
    if until := filters.get("al"):
        # A minute is written without its seconds, and meant whole.
        rows = rows.filter(marked_at__lt=until + timedelta(minutes=1))
    if cause := filters.get("causa"):
        last = MessageEvent.objects.filter(message=OuterRef("pk"), kind=EventKind.OUTCOME_UNKNOWN).order_by("-pk")
        reason = Subquery(last.annotate(reason=KT("data__reason")).values("reason")[:1])
        rows = rows.alias(cause=reason).filter(_CONDITIONS[Cause(cause)])
    return rows


def resent_after(messages: Sequence[Message]) -> dict[int, datetime]:
    """Those of these doubts that their rule will send again unless a person settles them: id -> not before when."""
    covered = covered_by_rule().filter(pk__in=[row.pk for row in messages]).values_list("pk", "updated_at", "marked_at")
    wait = timedelta(seconds=WAIT_SECONDS)
    return {pk: max(at for at in since if at is not None) + wait for pk, *since in covered}


@dataclass(slots=True)
class Choice:
    """Messages that somebody wants to settle, counted as a confirmation tells them."""

    # In doubt and theirs to settle, in order.
    ids: list[int] = field(default_factory=list)
    # Seen, but for somebody else to settle.
    not_theirs: int = 0
    # Chosen one by one, and no longer in doubt (or never seen by this person).
    gone: int = 0
    is_cut: bool = False
    payments: int = 0
    # Past their due date: sent again they would end at once.
    overdue: int = 0
    services: Counter[str] = field(default_factory=Counter)
    # Service instance id -> how many.
    instances: Counter[int] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    @property
    def number(self) -> int:
        return len(self.ids)


def choose_all(user: User, rows: MessageQuerySet) -> Choice:
    """All of these doubts, up to MAX_CHOSEN; read as a stream."""
    choice = Choice()
    _count_in(choice, rows.order_by("pk"), names=_settled_by(user))
    return choice


def choose(user: User, ids: Sequence[int]) -> Choice:
    """These messages, whatever became of them; what this person may not see is as good as gone."""
    choice, names = Choice(), _settled_by(user)
    visible = Message.objects.visible_to(user).uncertain()
    for start in range(0, len(ids), GROUP):
        _count_in(choice, visible.filter(pk__in=ids[start : start + GROUP]).order_by("pk"), names=names)
    choice.gone = len(ids) - choice.number - choice.not_theirs
    return choice


def _settled_by(user: User) -> dict[int, str]:
    """Service instances whose doubts this person settles, with the names of their services."""
    instances = ServiceInstance.objects.open_to(user, Action.SETTLE_DOUBTS)
    return dict(instances.values_list("pk", "service__service_name"))


def _count_in(choice: Choice, rows: MessageQuerySet, *, names: Mapping[int, str]) -> None:
    now = timezone.now()
    columns = ("pk", "service_instance", "marked_at", "content__amount_cents", "expires_at")
    for pk, instance, requested, amount, expires_at in rows.values_list(*columns).iterator(chunk_size=2000):
        if instance not in names:
            choice.not_theirs += 1
            continue
        if choice.number == MAX_CHOSEN:
            choice.is_cut = True
            continue
        choice.ids.append(pk)
        choice.services[names[instance]] += 1
        choice.instances[instance] += 1
        choice.payments += amount is not None
        choice.overdue += expires_at is not None and expires_at <= now
        if requested is not None:
            choice.first = min(choice.first or requested, requested)
            choice.last = max(choice.last or requested, requested)
