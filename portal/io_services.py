"""The IO services that a person configures: which they may change, how each one is, and what stopped it, in words."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from messaging import auditing, suspending
from messaging.configuring import configurable_by, covered_by
from messaging.models import ActiveKey, IOService, Message, ServiceInstance, SuspensionReason
from messaging.states import WaitingReason
from portal import wording
from registry.models import User

# Counting stops here; the sentence then says "oltre 1.000".
COUNTED = 1000
# Proofs of keys are among them.
CHANGES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Standing:
    """One IO service. `services` are the names of those that send through it, as far as this person may know them."""

    io_service: IOService
    services: tuple[str, ...]
    # Waiting one by one for a person, because IO refused them without a clear reason.
    set_aside: int
    # False where some use of it is not this person's: whatever is done to it concerns them all.
    may_change: bool

    @property
    def why_suspended(self) -> str:
        return why_suspended(self.io_service)

    @property
    def words_of_io(self) -> str:
        return words_of_io(self.io_service)


@dataclass(frozen=True, slots=True)
class Change:
    """A line of an IO service's history."""

    at: datetime
    who: str
    what: str


def standings_of(user: User) -> list[Standing]:
    """Every IO service of which this person configures some use, the suspended ones first. Four queries."""
    names: dict[int, set[str]] = {}
    for io_service, name in covered_by(user).values_list("io_service__pk", "service__service_name"):
        names.setdefault(io_service, set()).add(name)
    changeable = set(configurable_by(user).values_list("pk", flat=True))
    rows = (
        IOService.objects.filter(pk__in=names)
        .select_related("io_account", "organization")
        .order_by("organization__legal_name", "io_service_id")
    )
    aside = Counter(
        Message.objects.filter(
            waiting_reason=WaitingReason.SET_ASIDE, service_instance__in=covered_by(user).values("pk")
        ).values_list("service_instance__io_service__pk", flat=True)
    )
    standings = [Standing(row, tuple(sorted(names[row.pk])), aside[row.pk], row.pk in changeable) for row in rows]
    return sorted(standings, key=lambda standing: standing.io_service.suspended_at is None)


# --- How many wait ---------------------------------------------------------------------------------------------------


def count_waiting(io_service: IOService, instances: Collection[int]) -> int:
    """How many messages of these service instances wait to leave through it, at most one more than COUNTED.

    The columns are the queue's index from its first on, so that a queue of 100,000 costs no more than one of 1,000.
    """
    waiting = Message.objects.waiting().filter(io_account=io_service.io_account_id, service_instance__in=instances)
    return waiting.order_by()[: COUNTED + 1].count()


def waiting_words(number: int) -> str:
    """`12 messaggi restano in coda`, for a number of `count_waiting`."""
    if number > COUNTED:
        return _("oltre %(number)s messaggi restano in coda") % {"number": wording.count(COUNTED)}
    if not number:
        return _("nessun messaggio in coda")
    sentence = ngettext("%(number)s messaggio resta in coda", "%(number)s messaggi restano in coda", number)
    return sentence % {"number": wording.count(number)}


# --- Why it stopped, and what to do ----------------------------------------------------------------------------------

_WHY: dict[str, Promise] = {
    SuspensionReason.KEY_REFUSED: gettext_lazy("IO rifiuta la chiave API (401)."),
    SuspensionReason.PERMISSION_MISSING: gettext_lazy(
        "IO nega il permesso (403): l’indirizzo IP non è autorizzato, o manca un permesso dell’account."
    ),
    SuspensionReason.REFUSALS_IN_ROW: gettext_lazy(
        "IO ha rifiutato più destinatari di fila senza un motivo chiaro (403)."
    ),
}
_CURE: dict[str, Promise] = {
    SuspensionReason.KEY_REFUSED: gettext_lazy(
        "Inserisci una chiave valida o passa all’altra, provala, poi riprendi l’invio."
    ),
    SuspensionReason.PERMISSION_MISSING: gettext_lazy(
        "Correggilo nel back office di IO, prova la chiave, poi riprendi l’invio."
    ),
    SuspensionReason.REFUSALS_IN_ROW: gettext_lazy("Chiarisci il motivo con IO, poi riprendi l’invio."),
}
_CURE_OF_OTHERS: dict[str, Promise] = {
    SuspensionReason.KEY_REFUSED: gettext_lazy(
        "Chi ha il ruolo Configurazione inserisce una chiave valida e riprende l’invio: i messaggi partono allora."
    ),
    SuspensionReason.PERMISSION_MISSING: gettext_lazy(
        "Chi ha il ruolo Configurazione lo corregge con IO e riprende l’invio: i messaggi partono allora."
    ),
    SuspensionReason.REFUSALS_IN_ROW: gettext_lazy(
        "Chi ha il ruolo Configurazione chiarisce il motivo con IO e riprende l’invio: i messaggi partono allora."
    ),
}
_OURS = frozenset({suspending.NO_KEY, suspending.KEY_UNREADABLE})


def why_suspended(io_service: IOService) -> str:
    """What happened, in a sentence."""
    if io_service.suspended_detail in _OURS:
        return str(_(io_service.suspended_detail))
    return str(_WHY[io_service.suspended_reason])


def words_of_io(io_service: IOService) -> str:
    """What IO itself said, empty where the suspension was not of its making."""
    return "" if io_service.suspended_detail in _OURS else io_service.suspended_detail


def cure_of_suspension(io_service: IOService, *, may_change: bool, was_rekeyed: bool) -> str:
    """What to do, for whoever may do it; for anybody else, who does. `was_rekeyed`: `auditing.rekeyed_since_suspended`."""
    if may_change and was_rekeyed and io_service.suspended_reason == SuspensionReason.KEY_REFUSED:
        return _("Da allora la chiave in uso è cambiata: se la prova è buona, riprendi l’invio.")
    return str((_CURE if may_change else _CURE_OF_OTHERS)[io_service.suspended_reason])


# --- One service's page ----------------------------------------------------------------------------------------------

KEY_NAMES: dict[ActiveKey, Promise] = {
    ActiveKey.PRIMARY: gettext_lazy("primaria"),
    ActiveKey.SECONDARY: gettext_lazy("secondaria"),
}
# In addresses, which are Italian whatever the reader's language.
SLUGS = {"primaria": ActiveKey.PRIMARY, "secondaria": ActiveKey.SECONDARY}


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the two places for a key."""

    which: ActiveKey
    is_filled: bool
    is_active: bool

    @property
    def name(self) -> str:
        return str(KEY_NAMES[self.which])

    @property
    def slug(self) -> str:
        return next(slug for slug, which in SLUGS.items() if which is self.which)


def slots_of(io_service: IOService) -> tuple[Slot, Slot]:
    """Primary, then secondary. Whether there is a key, never which."""
    return (
        Slot(
            ActiveKey.PRIMARY,
            is_filled=bool(io_service.primary_key),
            is_active=io_service.active_key == ActiveKey.PRIMARY,
        ),
        Slot(
            ActiveKey.SECONDARY,
            is_filled=bool(io_service.secondary_key),
            is_active=io_service.active_key == ActiveKey.SECONDARY,
        ),
    )


def changes_of(target: IOService | ServiceInstance) -> list[Change]:
    """What people did to it lately, newest first."""
    entries = auditing.history_of(target, limit=CHANGES_SHOWN)
    return [Change(entry.action_time, entry.user.get_full_name(), _change_words(entry)) for entry in entries]


def _change_words(entry: LogEntry) -> str:
    deeds = auditing.deeds_of(entry)
    if deeds and all(deed in auditing.DEEDS for deed in deeds):
        return "; ".join(_(deed) for deed in deeds)
    return str(entry.get_change_message()) or str(entry.get_action_flag_display())
