"""When a waiting message leaves, in words: its date, at once, or what holds it and who can help."""

from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from messaging.models import Message
from messaging.states import WAITING, WaitingReason
from portal import wording

# A reason that no column keeps: it is true as long as the connection is switched off.
DISABLED = "disabled"
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


def hold_of(message: Message) -> str:
    """What keeps a waiting message here: a value of WaitingReason or DISABLED, empty for nothing but its date.

    The service instance and its IO service must be loaded: a suspension holds also those that were never refused.
    """
    if message.delivery not in WAITING:
        return ""
    if message.waiting_reason == WaitingReason.SET_ASIDE:
        return WaitingReason.SET_ASIDE.value
    if not message.service_instance.enabled:
        return DISABLED
    if message.service_instance.io_service.suspended_at is not None:
        return WaitingReason.SUSPENDED.value
    return message.waiting_reason


def short_reason(message: Message) -> Promise | str:
    """For a list: the reason alone, empty where nothing holds it."""
    hold = hold_of(message)
    return _SHORT[hold] if hold in _SHORT else WaitingReason(hold).label if hold else ""


def departure_words(message: Message, *, at: datetime, may_cancel: bool) -> str:
    """For the page of a message in WAITING: what holds it, or when it leaves; and whether this reader can still stop it."""
    hold = hold_of(message)
    sentences = []
    if hold:
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
