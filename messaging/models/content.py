from django.db import models
from django.utils.translation import gettext_lazy as _

from io_client.payloads import AMOUNT
from messaging.models.message import Message
from templates_app.models import TemplateVersion


class MessageContent(models.Model):
    """What a message says: personal data, in a row of its own that retention deletes.

    Rendered once, at composition, and never again: what was previewed and approved is what is stored and sent.
    """

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="content")
    version = models.ForeignKey(TemplateVersion, models.PROTECT, related_name="+", db_index=False)
    subject = models.CharField(_("titolo"), max_length=255, blank=True)
    markdown = models.TextField(_("testo"), blank=True)
    values = models.JSONField(_("valori dei segnaposto"), default=dict)
    amount_cents = models.PositiveBigIntegerField(_("importo (centesimi)"), null=True)
    notice_number = models.CharField(_("codice avviso"), max_length=18, blank=True)
    invalid_after_due_date = models.BooleanField(_("non valido dopo la scadenza"), default=False)
    payee_taxcode = models.CharField(_("ente creditore"), max_length=11, blank=True)
    email = models.EmailField(_("indirizzo e-mail"), max_length=255, blank=True)
    # What the validator warned of: [{code, pointer, detail}], answered again to a replay.
    warnings = models.JSONField(default=list)
    # A draft's form as typed, field -> text; kept, so that a message given back by its approver can be corrected.
    draft_form = models.JSONField(null=True)

    class Meta:
        verbose_name = _("contenuto del messaggio")
        verbose_name_plural = _("contenuti dei messaggi")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount_cents=None)
                | models.Q(amount_cents__gte=AMOUNT[0], amount_cents__lte=AMOUNT[1]),
                name="content_amount_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(amount_cents=None, notice_number="")
                | (models.Q(amount_cents__isnull=False) & ~models.Q(notice_number="")),
                name="content_payment_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"content of message {self.pk}"

    @property
    def has_payment(self) -> bool:
        return self.amount_cents is not None
