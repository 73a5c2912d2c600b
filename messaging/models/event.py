from django.db import models
from django.utils.translation import gettext_lazy as _

from messaging.models.message import Message
from messaging.states import Delivery
from registry.models import User


class EventKind(models.TextChoices):
    """What happened. The log keeps the key and data; the sentence is made when shown, in the reader's language."""

    COMPOSED = "composed", _("Composto")
    DRAFTED = "drafted", _("Salvato come bozza")
    SUBMITTED = "submitted", _("Mandato in approvazione")
    APPROVED = "approved", _("Approvato")
    REFUSED_BY_APPROVER = "refused_by_approver", _("Non approvato")
    SCHEDULED = "scheduled", _("Pianificato")
    PROFILE_ALLOWED = "profile_allowed", _("Il cittadino è contattabile su IO")
    PROFILE_STALE = "profile_stale", _("Verifica del cittadino da ripetere")
    NOT_ON_IO = "not_on_io", _("Il cittadino non è su IO")
    NOT_ALLOWED = "not_allowed", _("Il cittadino ha disattivato il servizio")
    MARKED = "marked", _("Invio iniziato")
    SENT = "sent", _("Preso in carico da IO")
    RELEASED = "released", _("Non partito: rimesso in coda")
    THROTTLED = "throttled", _("IO ha chiesto di rallentare")
    SUSPENDED = "suspended", _("In attesa: servizio IO sospeso")
    SET_ASIDE = "set_aside", _("Messo da parte: IO lo ha rifiutato senza un motivo chiaro")
    REQUEUED = "requeued", _("Rimesso in coda")
    REFUSED = "refused", _("Rifiutato da IO")
    OUTCOME_UNKNOWN = "outcome_unknown", _("Esito incerto: non sappiamo se IO lo ha preso")
    LATE_ANSWER = "late_answer", _("Risposta di IO arrivata in ritardo")
    POSSIBLE_DOUBLE = "possible_double", _("Possibile doppio: IO ha accettato due volte")
    SETTLED_ARRIVED = "settled_arrived", _("Dato per arrivato da una persona")
    SETTLED_RESEND = "settled_resend", _("Una persona ha chiesto di inviarlo di nuovo")
    RESENT_BY_RULE = "resent_by_rule", _("Inviato di nuovo dalla regola del collegamento a IO")
    STATUS = "status", _("Stato su IO aggiornato")
    READ_STATUS = "read_status", _("Lettura aggiornata")
    PAYMENT_STATUS = "payment_status", _("Pagamento aggiornato")
    FOLLOWING_ENDED = "following_ended", _("IO non ha più dato notizie: non lo seguiamo oltre")
    CANCELLED = "cancelled", _("Annullato")
    EXPIRED = "expired", _("Scaduto prima dell'invio")
    RESENT_AS = "resent_as", _("Inviato di nuovo con un altro messaggio")
    REVEALED = "revealed", _("Codice fiscale mostrato per intero")


class MessageEvent(models.Model):
    """One line of a message's history, append-only; its id numbers the history of all messages together."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=32, choices=EventKind.choices)
    # The delivery state right after; blank where the event moved none.
    state = models.CharField(max_length=32, choices=Delivery.choices, blank=True)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    # Small facts without personal data: IO's status code and words, the attempt, a person's reason.
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("evento")
        verbose_name_plural = _("eventi")
        ordering = ["id"]
        indexes = [models.Index(fields=["message", "id"], name="event_by_message")]

    def __str__(self) -> str:
        return f"{self.kind} of message {self.message_id}"
