from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from io_client.payloads import AMOUNT
from messaging.states import SuspensionReason
from registry.models import IOAccount, Organization
from sealed.boxes import Sealed
from sealed.fields import SealedField


class ActiveKey(models.TextChoices):
    """Which of the two equivalent use keys calls are made with: switching lets the other be regenerated without a stop."""

    PRIMARY = "primary", _("Primaria")
    SECONDARY = "secondary", _("Secondaria")


class IOService(models.Model):
    """Our record of a service published on IO: its id and keys there, and whether we may send through it now."""

    io_account = models.ForeignKey(IOAccount, models.PROTECT, related_name="io_services", verbose_name=_("account IO"))
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="io_services", verbose_name=_("ente"))
    io_service_id = models.CharField(_("ID servizio IO"), max_length=255)
    primary_key = SealedField(_("chiave API primaria"))
    secondary_key = SealedField(_("chiave API secondaria"))
    active_key = models.CharField(
        _("chiave in uso"), max_length=16, choices=ActiveKey.choices, default=ActiveKey.PRIMARY
    )
    payment_cap_cents = models.PositiveBigIntegerField(
        _("importo massimo (centesimi)"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(AMOUNT[1])],
        help_text=_("Il limite del servizio su IO (max_allowed_payment_amount). Vuoto: decide IO."),
    )
    # IO's own fictitious citizen unless the ente names another: asked about by "Prova la chiave".
    test_taxcode = models.CharField(_("codice fiscale di prova"), max_length=16, default="AAAAAA00A00A000A", blank=True)
    require_secure_channels = models.BooleanField(_("canali sicuri"), default=False)

    suspended_at = models.DateTimeField(_("sospeso dal"), null=True, blank=True, editable=False)
    suspended_reason = models.CharField(
        _("motivo della sospensione"), max_length=32, choices=SuspensionReason.choices, blank=True, editable=False
    )
    # IO's own words, so that whoever fixes it need not ask us.
    suspended_detail = models.TextField(blank=True, editable=False)
    # After a resume: one message at a time until one is accepted.
    is_probing = models.BooleanField(default=False, editable=False)
    # First unclear refusal since the last acceptance; three recipients refused since then suspend the service.
    refusing_since = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("servizio IO")
        verbose_name_plural = _("servizi IO")
        ordering = ["organization_id", "io_service_id"]
        constraints = [
            models.UniqueConstraint(fields=["io_account", "io_service_id"], name="io_service_id_unique_in_account"),
            models.CheckConstraint(
                condition=models.Q(suspended_at=None, suspended_reason="")
                | (models.Q(suspended_at__isnull=False) & ~models.Q(suspended_reason="")),
                name="io_service_suspension_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.io_service_id

    @property
    def key(self) -> Sealed:
        """The key that calls are made with now."""
        return self.secondary_key if self.active_key == ActiveKey.SECONDARY else self.primary_key
