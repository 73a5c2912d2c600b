"""When a waiting message leaves, in words: its date, at once, or what holds it and who can help."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from messaging.models import Message, ServiceInstance
from messaging.states import WAITING, WaitingReason
from portal import opening, wording

# Reasons that no column keeps: true as long as the connection is switched off, or until the ente's next opening.
DISABLED = "disabled"
CLOSED = "closed"
_SHORT = {
    DISABLED: gettext_lazy(
        "Il collegamento a IO è disabilitato: parte dopo che il personale della piattaforma lo riabilita"
    ),
}
_WHY = {
    DISABLED: gettext_lazy(
        "Fermo perché il collegamento a IO è disabilitato: parte dopo che il personale della piattaforma lo riabilita."
    ),
    WaitingReason.SUSPENDED.value: gettext_lazy(
        "Fermo perché il servizio IO è sospeso: parte dopo che chi ha il ruolo Configurazione ha ripreso l’invio."
    ),
    WaitingReason.SET_ASIDE.value: gettext_lazy(
        "Fermo perché IO lo ha rifiutato senza un motivo chiaro: verifica e rimettilo in coda."
    ),
    WaitingReason.UNAVAILABLE.value: gettext_lazy("Fermo perché IO non risponde: riproviamo da soli."),
    WaitingReason.THROTTLED.value: gettext_lazy("Fermo perché IO chiede di rallentare: riparte da solo."),
}
_RESUMES_BY_ITSELF = frozenset({WaitingReason.UNAVAILABLE.value, WaitingReason.THROTTLED.value})


def hold_of(message: Message, *, at: datetime | None = None) -> str:
    """What keeps a waiting message here: a value of WaitingReason, DISABLED or CLOSED, empty for nothing but its date.

    The service instance, its IO service and its ente must be loaded (the ente's closure days too, in a list): a suspension
    holds also those that were never refused, and the hours of the ente those whose time would come while it is closed.
    """
    if message.delivery not in WAITING:
        return ""
    if message.waiting_reason == WaitingReason.SET_ASIDE:
        return WaitingReason.SET_ASIDE.value
    if not message.service_instance.enabled:
        return DISABLED
    if message.service_instance.io_service.suspended_at is not None:
        return WaitingReason.SUSPENDED.value
    if _opening_of(message, at=at or timezone.now()).is_awaited:
        return CLOSED
    return message.waiting_reason


def _opening_of(message: Message, *, at: datetime) -> opening.Opening:
    """The ente's first opening once the message's own date has come."""
    return opening.after(message.service_instance.organization, max(message.not_before, at))


def short_reason(message: Message) -> Promise | str:
    """For a list: the reason alone, empty where nothing holds it."""
    at = timezone.now()
    hold = hold_of(message, at=at)
    if hold == CLOSED:
        return _opening_of(message, at=at).as_reason(now=at)
    return _SHORT[hold] if hold in _SHORT else WaitingReason(hold).label if hold else ""


def hold_words(instance: ServiceInstance, *, at: datetime) -> str:
    """What would keep a message of this service instance from leaving, were it put in the queue now; empty for nothing.

    Needs what `hold_of` needs.
    """
    if not instance.enabled:
        return _("Il collegamento a IO è disabilitato: partirà dopo che il personale della piattaforma lo riabilita.")
    if instance.io_service.suspended_at is not None:
        return _("Il servizio IO è sospeso: partirà dopo che chi ha il ruolo Configurazione ha ripreso l’invio.")
    return opening.after(instance.organization, at).in_words


def holds_in_words(instances: Mapping[int, int], *, at: datetime) -> list[str]:
    """The same of many, a sentence for each hold; `instances` is how many messages are of each service instance (by id)."""
    rows = ServiceInstance.objects.filter(pk__in=instances).select_related("organization", "io_service")
    held: Counter[str] = Counter()
    for instance in rows.prefetch_related("organization__closure_days"):
        if not instance.enabled:
            held[DISABLED] += instances[instance.pk]
        elif instance.io_service.suspended_at is not None:
            held[WaitingReason.SUSPENDED.value] += instances[instance.pk]
        elif opening.after(instance.organization, at).is_awaited:
            held[CLOSED] += instances[instance.pk]
    return [words(held[hold]) % {"number": wording.count(held[hold])} for hold, words in _MANY.items() if held[hold]]


_MANY: Final[Mapping[str, Callable[[int], str]]] = {
    DISABLED: lambda number: ngettext(
        "%(number)s ha il collegamento a IO disabilitato: partirà dopo che il personale della piattaforma lo riabilita.",
        "%(number)s hanno il collegamento a IO disabilitato: partiranno dopo che il personale della piattaforma lo "
        "riabilita.",
        number,
    ),
    WaitingReason.SUSPENDED.value: lambda number: ngettext(
        "%(number)s è di un servizio IO sospeso: partirà dopo che chi ha il ruolo Configurazione ha ripreso l’invio.",
        "%(number)s sono di un servizio IO sospeso: partiranno dopo che chi ha il ruolo Configurazione ha ripreso l’invio.",
        number,
    ),
    CLOSED: lambda number: ngettext(
        "%(number)s è di un ente ora fuori dal suo orario di invio: partirà quando riapre.",
        "%(number)s sono di un ente ora fuori dal suo orario di invio: partiranno quando riapre.",
        number,
    ),
}


def departure_words(message: Message, *, at: datetime, may_cancel: bool) -> str:
    """For the page of a message in WAITING: what holds it, or when it leaves; and whether this reader can still stop it."""
    hold = hold_of(message, at=at)
    sentences = []
    if hold == CLOSED:
        sentences.append(_opening_of(message, at=at).in_words)
    elif hold:
        sentences.append(str(_WHY[hold]))
        if hold in _RESUMES_BY_ITSELF and message.not_before > at:
            sentences.append(_("Riprende %(when)s.") % {"when": wording.moment(message.not_before, now=at)})
    if message.scheduled_at > at:
        words = _("È pianificato per %(when)s.") if hold else _("Partirà %(when)s.")
        sentences.append(words % {"when": wording.full_moment(message.scheduled_at)})
    elif not hold:
        sentences.append(_("Sta per partire."))
    if may_cancel:
        sentences.append(_("Puoi ancora annullarlo."))
    return " ".join(sentences)
