"""Send again what a message said, as a message of its own: composed anew from the values that were stored.

Nothing is copied but the values: they go through the one validator and the text that the template has now, so that what is
sent again is as sound as what is sent for the first time.
"""

from datetime import datetime
from enum import Enum
from typing import Any

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from messaging.composing import Composed, Idempotency, KeyReused, compose, find_replay
from messaging.doubting import left_in_doubt
from messaging.models import EventKind, Message, MessageContent, MessageEvent
from messaging.moving import record
from messaging.states import FINAL, Delivery
from registry.models import AmountUnit, Consumer, User

# How the two histories tell of each other, in the data of their events.
RESEND_OF = "resend_of"
RESENT_AS = "resent_as"


class Obstacle(Enum):
    """Why a message is not sent again; the value is the word for programs."""

    UNCERTAIN = "uncertain"
    DELIVERED = "already_delivered"
    TAKEN_AS_ARRIVED = "taken_as_arrived"
    NOT_FINAL = "not_final"
    NEVER_COMPOSED = "never_composed"
    CONTENT_DELETED = "content_deleted"
    ALREADY_RESENT = "already_resent"
    MAY_HAVE_ARRIVED = "may_have_arrived"

    @property
    def cure(self) -> Promise:
        return _CURES[self]


_CURES = {
    Obstacle.UNCERTAIN: _("Non sappiamo se è arrivato: decidilo con /settle, che lo può anche inviare di nuovo."),
    Obstacle.DELIVERED: _("È già nella casella del cittadino: per scrivergli ancora componi un altro messaggio."),
    Obstacle.TAKEN_AS_ARRIVED: _(
        "Una persona lo ha dato per arrivato: per scrivergli ancora componi un altro messaggio."
    ),
    Obstacle.NOT_FINAL: _("Il suo invio non è concluso: attendi, oppure annullalo con /cancel finché non è partito."),
    Obstacle.NEVER_COMPOSED: _("È una bozza mai confermata: non c'è nulla da inviare di nuovo."),
    Obstacle.CONTENT_DELETED: _("Il suo contenuto è stato cancellato: componi un altro messaggio."),
    Obstacle.ALREADY_RESENT: _(
        "È già stato inviato di nuovo con un altro messaggio, in viaggio o arrivato: se va inviato lo stesso, ripeti la "
        "richiesta con even_if_arrived true."
    ),
    Obstacle.MAY_HAVE_ARRIVED: _(
        "Un suo invio rimase senza esito certo e il cittadino potrebbe averlo: se va inviato lo stesso, "
        "ripeti la richiesta con even_if_arrived true."
    ),
}


class NotResendable(Exception):
    """The message is not sent again; `obstacle` says why."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.value)
        self.obstacle = obstacle


def resend(
    original: Message,
    *,
    by: User,
    at: datetime,
    idempotency: Idempotency,
    consumer: Consumer | None = None,
    scheduled_at: datetime | None = None,
    even_if_arrived: bool = False,
) -> Composed:
    """A new message with what this one said, and a line in the history of each that names the other.

    `original` is as read with everything; it stays as it is, but for its state, read again. The same request gives the
    message made the first time, even after the content of the original was deleted. `even_if_arrived` is somebody's word
    that a double is acceptable.
    Raises KeyReused, NotResendable, ComposeRefused (its findings point into the stored values), InstanceDisabled,
    TemplateMissing.
    """
    with transaction.atomic():
        _take_turns(original)
        earlier = find_replay(idempotency.key, by=by, consumer=consumer)
        if earlier is not None:
            if earlier.body_hash != idempotency.body_hash:
                raise KeyReused
            return Composed(earlier.message, is_new=False)
        obstacle = obstacle_to(original, even_if_arrived=even_if_arrived)
        if obstacle is not None:
            raise NotResendable(obstacle)
        composed = compose(
            as_asked(original, original.content, scheduled_at=scheduled_at),
            instance=original.service_instance,
            by=by,
            consumer=consumer,
            # As amounts are stored; whoever asks says none.
            amount_unit=AmountUnit.CENTS,
            at=at,
            idempotency=idempotency,
            first_event_data={RESEND_OF: original.pk},
        )
        if composed.is_new:
            record([original.pk], kind=EventKind.RESENT_AS, at=at, by=by, data={RESENT_AS: composed.message.pk})
    return composed


def _take_turns(original: Message) -> None:
    """Wait for whoever sends again this message, or another one that says the same: they would not know of each other."""
    first = min(_saying_the_same(original.pk))
    locked = Message.objects.select_for_update(no_key=True).filter(pk__in={first, original.pk}).order_by("pk")
    for pk, state, is_taken_as_arrived in locked.values_list("pk", "delivery_state", "is_taken_as_arrived"):
        if pk == original.pk:
            original.delivery_state, original.is_taken_as_arrived = state, is_taken_as_arrived


def _saying_the_same(message: int) -> set[int]:
    """This message, what it was made from, and what was made from any of them. The first of all has the lowest id."""
    found, unread = {message}, {message}
    while unread:
        facts = MessageEvent.objects.filter(message__in=unread, kind__in=[EventKind.COMPOSED, EventKind.RESENT_AS])
        named = {data.get(word) for data in facts.values_list("data", flat=True) for word in (RESEND_OF, RESENT_AS)}
        unread = {pk for pk in named if pk is not None} - found
        found |= unread
    return found


def obstacle_to(original: Message, *, even_if_arrived: bool = False) -> Obstacle | None:
    """Why this message cannot be sent again, if it cannot. Costs queries only where nothing else stands in the way."""
    match original.delivery:
        case Delivery.UNCERTAIN:
            return Obstacle.UNCERTAIN
        case Delivery.PROCESSED:
            return Obstacle.DELIVERED
        case _ if original.is_taken_as_arrived:
            return Obstacle.TAKEN_AS_ARRIVED
        case state if state not in FINAL:
            return Obstacle.NOT_FINAL
    content: MessageContent | None = getattr(original, "content", None)
    if content is None:
        return Obstacle.CONTENT_DELETED
    if not content.subject:
        # Only a draft that was thrown away has no text: rendered ones are never empty.
        return Obstacle.NEVER_COMPOSED if content.draft_form is not None else Obstacle.CONTENT_DELETED
    if not original.taxcode:
        return Obstacle.CONTENT_DELETED
    return None if even_if_arrived else _another_that_may_arrive(original)


def _another_that_may_arrive(original: Message) -> Obstacle | None:
    """Of all the messages that say the same, one that is not known to have ended without arriving."""
    same = _saying_the_same(original.pk)
    ended = Message.objects.filter(delivery_state__in=FINAL - {Delivery.PROCESSED}, is_taken_as_arrived=False)
    if Message.objects.filter(pk__in=same - {original.pk}).exclude(pk__in=ended.values("pk")).exists():
        return Obstacle.ALREADY_RESENT
    return Obstacle.MAY_HAVE_ARRIVED if left_in_doubt(same) else None


def as_asked(original: Message, content: MessageContent, *, scheduled_at: datetime | None) -> dict[str, Any]:
    """What was stored, as the validator reads it: a body of POST with amounts in cents."""
    return {
        "taxcode": original.taxcode,
        "payment": _payment(content) if content.has_payment else None,
        "email": content.email or None,
        "scheduled_expedition_date": scheduled_at.isoformat() if scheduled_at else None,
        "due_date": original.due_date.isoformat() if original.due_date else None,
        "placeholders": [{"name": name, "value": value} for name, value in content.values.items()],
    }


def _payment(content: MessageContent) -> dict[str, Any]:
    return {
        "amount": content.amount_cents,
        "notice_number": content.notice_number,
        "invalid_after_due_date": content.invalid_after_due_date,
        "payee_taxcode": content.payee_taxcode or None,
    }
