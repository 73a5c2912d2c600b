"""Where a message can be, on three axes: delivery, reading, payment (`docs/states.md`).

One table says which delivery moves are allowed; every verb moves rows with a conditional UPDATE built from it.
Names, explanations and colours of states live here too, so that a page, the API and the help say the same.
"""

from enum import Enum

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Delivery(models.TextChoices):
    """How far a message has come on its way to the citizen."""

    DRAFT = "draft", _("Bozza")
    PENDING_APPROVAL = "pending_approval", _("In approvazione")
    SCHEDULED = "scheduled", _("Pianificato")
    RECIPIENT_ALLOWED = "recipient_allowed", _("Contattabile")
    SENDING = "sending", _("In invio")
    SENT = "sent", _("Preso in carico da IO")
    ACCEPTED = "accepted", _("In elaborazione su IO")
    THROTTLED = "throttled", _("In ritardo su IO")
    PROCESSED = "processed", _("Consegnato")
    REJECTED = "rejected", _("Rifiutato da IO")
    FAILED = "failed", _("Errore di IO")
    PROFILE_NOT_EXISTS = "profile_not_exists", _("Non su IO")
    SENDER_NOT_ALLOWED = "sender_not_allowed", _("Servizio disattivato dal cittadino")
    FORBIDDEN = "forbidden", _("Invio non autorizzato")
    BAD_REQUEST = "bad_request", _("Dati non validi")
    UNCERTAIN = "uncertain", _("Esito incerto")
    CANCELLED = "cancelled", _("Annullato")
    EXPIRED = "expired", _("Scaduto prima dell'invio")


class Reading(models.TextChoices):
    """Whether the citizen opened it: only Premium messages are ever known."""

    UNKNOWN = "unknown", _("Lettura non nota")
    UNREAD = "unread", _("Non ancora letto")
    READ = "read", _("Letto")
    UNAVAILABLE = "unavailable", _("Lettura non disponibile")


class Payment(models.TextChoices):
    """What pagoPA says of the notice. `not_paid` is absence of proof, never proof of debt."""

    UNKNOWN = "unknown", _("Pagamento non noto")
    NOT_PAID = "not_paid", _("Pagamento non risulta")
    PAID = "paid", _("Pagato")


class Group(Enum):
    """What a state means to the person at the desk. The value is the word that picks the colour in the pages."""

    ONGOING = "ongoing"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    TO_FIX = "to-fix"
    CLOSED = "closed"

    @property
    def label(self) -> Promise:
        return _GROUP_LABELS[self]


_GROUP_LABELS = {
    Group.ONGOING: _("In corso"),
    Group.DELIVERED: _("Consegnati"),
    Group.UNDELIVERABLE: _("Non recapitabili"),
    Group.TO_FIX: _("Da correggere"),
    Group.CLOSED: _("Chiusi"),
}

GROUP_OF: dict[Delivery, Group] = {
    Delivery.DRAFT: Group.ONGOING,
    Delivery.PENDING_APPROVAL: Group.ONGOING,
    Delivery.SCHEDULED: Group.ONGOING,
    Delivery.RECIPIENT_ALLOWED: Group.ONGOING,
    Delivery.SENDING: Group.ONGOING,
    Delivery.SENT: Group.ONGOING,
    Delivery.ACCEPTED: Group.ONGOING,
    Delivery.THROTTLED: Group.ONGOING,
    Delivery.PROCESSED: Group.DELIVERED,
    Delivery.PROFILE_NOT_EXISTS: Group.UNDELIVERABLE,
    Delivery.SENDER_NOT_ALLOWED: Group.UNDELIVERABLE,
    Delivery.REJECTED: Group.UNDELIVERABLE,
    Delivery.BAD_REQUEST: Group.TO_FIX,
    Delivery.FORBIDDEN: Group.TO_FIX,
    Delivery.FAILED: Group.TO_FIX,
    Delivery.UNCERTAIN: Group.TO_FIX,
    Delivery.CANCELLED: Group.CLOSED,
    Delivery.EXPIRED: Group.CLOSED,
}

EXPLANATION: dict[Delivery, Promise] = {
    Delivery.DRAFT: _("Non ancora confermato: nessuno lo ha ricevuto."),
    Delivery.PENDING_APPROVAL: _("Attende il via libera di un'altra persona."),
    Delivery.SCHEDULED: _(
        "Parte alla sua data, o appena possibile; fino ad allora chi ha il ruolo Invio può annullarlo."
    ),
    Delivery.RECIPIENT_ALLOWED: _("Il cittadino è su IO e accetta messaggi da questo servizio."),
    Delivery.SENDING: _("Lo stiamo consegnando a IO."),
    Delivery.SENT: _("IO lo ha ricevuto e lo sta elaborando."),
    Delivery.ACCEPTED: _("IO lo ha ricevuto e lo sta elaborando."),
    Delivery.THROTTLED: _("IO riproverà da solo, anche per 7 giorni."),
    Delivery.PROCESSED: _("È nella casella del cittadino; non vuol dire letto."),
    Delivery.PROFILE_NOT_EXISTS: _("Il cittadino non usa IO: scegli un altro canale."),
    Delivery.SENDER_NOT_ALLOWED: _("Usa IO ma non vuole messaggi da questo servizio."),
    Delivery.REJECTED: _(
        "Preso in carico, poi non consegnato: le preferenze sono cambiate nel frattempo o il servizio è bloccato."
    ),
    Delivery.BAD_REQUEST: _("IO non accetta questo contenuto: leggi il dettaglio, correggi e reinvia."),
    Delivery.FORBIDDEN: _(
        "IO non lo permette per questo destinatario (servizio in prova), o lo ha rifiutato più volte: vedi il dettaglio."
    ),
    Delivery.FAILED: _("IO non è riuscito a consegnarlo e non riproverà."),
    Delivery.UNCERTAIN: _("Potrebbe essere arrivato: decidi tu se reinviarlo."),
    Delivery.CANCELLED: _("Fermato prima dell'invio."),
    Delivery.EXPIRED: _("La scadenza è passata mentre era in coda: non lo abbiamo inviato."),
}

# From -> allowed next states (docs/states.md).
MOVES: dict[Delivery, frozenset[Delivery]] = {
    Delivery.DRAFT: frozenset({Delivery.PENDING_APPROVAL, Delivery.SCHEDULED, Delivery.CANCELLED}),
    Delivery.PENDING_APPROVAL: frozenset({Delivery.SCHEDULED, Delivery.DRAFT, Delivery.CANCELLED}),
    Delivery.SCHEDULED: frozenset(
        {
            Delivery.RECIPIENT_ALLOWED,
            Delivery.PROFILE_NOT_EXISTS,
            Delivery.SENDER_NOT_ALLOWED,
            Delivery.FORBIDDEN,
            Delivery.BAD_REQUEST,
            Delivery.CANCELLED,
            Delivery.EXPIRED,
            # Only where a person asked to send it again, and the first attempt proves to have arrived before this left.
            Delivery.SENT,
        }
    ),
    # Back to scheduled: the answer about the recipient is older than five minutes.
    Delivery.RECIPIENT_ALLOWED: frozenset(
        {Delivery.SENDING, Delivery.SCHEDULED, Delivery.CANCELLED, Delivery.EXPIRED, Delivery.SENT}
    ),
    Delivery.SENDING: frozenset(
        {
            Delivery.SENT,
            Delivery.RECIPIENT_ALLOWED,
            Delivery.SCHEDULED,
            Delivery.BAD_REQUEST,
            Delivery.FORBIDDEN,
            Delivery.UNCERTAIN,
        }
    ),
    Delivery.UNCERTAIN: frozenset(
        {
            Delivery.SENT,
            Delivery.RECIPIENT_ALLOWED,
            Delivery.SCHEDULED,
            Delivery.BAD_REQUEST,
            Delivery.FORBIDDEN,
        }
    ),
    Delivery.SENT: frozenset(
        {
            Delivery.ACCEPTED,
            Delivery.THROTTLED,
            Delivery.PROCESSED,
            Delivery.REJECTED,
            Delivery.FAILED,
            # Only where a person took it as arrived, and its request proves not to have arrived.
            Delivery.UNCERTAIN,
        }
    ),
    Delivery.ACCEPTED: frozenset(
        {Delivery.ACCEPTED, Delivery.THROTTLED, Delivery.PROCESSED, Delivery.REJECTED, Delivery.FAILED}
    ),
    Delivery.THROTTLED: frozenset(
        {Delivery.ACCEPTED, Delivery.THROTTLED, Delivery.PROCESSED, Delivery.REJECTED, Delivery.FAILED}
    ),
    Delivery.PROCESSED: frozenset(),
    Delivery.REJECTED: frozenset(),
    Delivery.FAILED: frozenset(),
    Delivery.PROFILE_NOT_EXISTS: frozenset(),
    Delivery.SENDER_NOT_ALLOWED: frozenset(),
    Delivery.FORBIDDEN: frozenset(),
    Delivery.BAD_REQUEST: frozenset(),
    Delivery.CANCELLED: frozenset(),
    Delivery.EXPIRED: frozenset(),
}

# States from which each state can be reached: what the conditional UPDATE asks.
SOURCES: dict[Delivery, frozenset[Delivery]] = {
    target: frozenset(source for source, targets in MOVES.items() if target in targets) for target in Delivery
}

WAITING = frozenset({Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED})
FOLLOWED = frozenset({Delivery.SENT, Delivery.ACCEPTED, Delivery.THROTTLED})
CANCELLABLE = SOURCES[Delivery.CANCELLED]
# In an index of their own, by which lists find them among any number of others. Left out are the states that a message only
# passes through on its way to IO, where every index is paid for, and the one where nearly all of them end.
LISTED_BY_STATE = frozenset(Delivery) - {Delivery.RECIPIENT_ALLOWED, Delivery.SENDING, Delivery.PROCESSED}
FINAL = frozenset(state for state, targets in MOVES.items() if not targets)


class WaitingReason(models.TextChoices):
    """Why a waiting message has not left yet, where it is not simply its date. A reason, never a state."""

    NONE = "", _("Nessun motivo")
    UNAVAILABLE = "unavailable", _("IO non risponde: riproviamo da soli")
    THROTTLED = "throttled", _("IO chiede di rallentare: riparte da solo")
    SUSPENDED = (
        "suspended",
        _("Il servizio IO è sospeso: parte dopo che chi ha il ruolo Configurazione ha ripreso l'invio"),
    )
    SET_ASIDE = "set_aside", _("IO lo ha rifiutato senza un motivo chiaro: verifica e rimettilo in coda")


class SuspensionReason(models.TextChoices):
    """Why nothing is sent for an IO service, in words that tell who fixes it (keys: the back office) and who resumes."""

    KEY_REFUSED = (
        "key_refused",
        _(
            "IO rifiuta la chiave (401): chi ha il ruolo Configurazione ne inserisce una valida nella pagina "
            "del servizio IO, poi riprende l'invio."
        ),
    )
    PERMISSION_MISSING = (
        "permission_missing",
        _(
            "IO nega il permesso (403): il personale della piattaforma verifica con IO l'indirizzo IP "
            "autorizzato e i permessi dell'account, poi chi ha il ruolo Configurazione riprende l'invio."
        ),
    )
    REFUSALS_IN_ROW = (
        "refusals_in_row",
        _(
            "IO ha rifiutato più destinatari di fila senza un motivo chiaro: verificate il motivo con IO, "
            "poi chi ha il ruolo Configurazione riprende l'invio."
        ),
    )


class Priority(models.IntegerChoices):
    """Who goes first when calls are scarce. Within the same priority, the earliest date."""

    INTERACTIVE = 0, _("Subito")
    SCHEDULED = 1, _("Pianificato")
    BULK = 2, _("Massivo")
    # Refused once without a clear reason: after the others, so that resuming starts with a message that is not to blame.
    LAST = 3, _("In coda agli altri")


# What the API says: GovIO's status names, lower case, from our finer states (docs/states.md).
API_STATUS: dict[Delivery, str] = {
    **{state: state.value for state in Delivery},
    Delivery.DRAFT: "created",
    Delivery.PENDING_APPROVAL: "created",
    Delivery.CANCELLED: "discarded",
    Delivery.EXPIRED: "discarded",
    Delivery.SENDING: "recipient_allowed",
}

# A status asked for in a filter, in any case -> our states. `denied` exists in GovIO and never here.
STATES_FOR_API_STATUS: dict[str, frozenset[Delivery]] = {
    "denied": frozenset(),
    **{
        name: frozenset(state for state in Delivery if API_STATUS[state] == name or state.value == name)
        for name in {*API_STATUS.values(), *Delivery.values}
    },
}
