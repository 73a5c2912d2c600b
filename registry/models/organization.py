from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.querysets import OrganizationQuerySet


class ApprovalRule(models.TextChoices):
    """Whether a colleague must say yes before a message leaves."""

    NEVER = "never", _("Mai")
    ALWAYS = "always", _("Sempre")


class Organization(models.Model):
    """An ente: the public body in whose name messages are sent (GovIO: Organization, whose field names these are)."""

    tax_code = models.CharField(
        _("codice fiscale"),
        max_length=11,
        unique=True,
        validators=[RegexValidator(r"\A[0-9]{11}\Z", _("Il codice fiscale di un ente ha 11 cifre."))],
    )
    legal_name = models.CharField(_("denominazione"), max_length=80, unique=True)
    office_at = models.CharField(_("presso"), max_length=255, blank=True)
    office_address = models.CharField(_("indirizzo"), max_length=255, blank=True)
    office_address_details = models.CharField(_("dettagli dell'indirizzo"), max_length=255, blank=True)
    office_zip = models.CharField(_("CAP"), max_length=255, blank=True)
    office_municipality = models.CharField(_("comune"), max_length=255, blank=True)
    office_municipality_details = models.CharField(_("località"), max_length=255, blank=True)
    office_province = models.CharField(_("provincia"), max_length=255, blank=True)
    office_foreign_state = models.CharField(_("stato estero"), max_length=255, blank=True)
    office_phone_number = models.CharField(_("telefono"), max_length=255, blank=True)
    office_email_address = models.EmailField(_("indirizzo e-mail"), max_length=255, blank=True)
    office_pec_address = models.EmailField(_("indirizzo PEC"), max_length=255, blank=True)
    approval = models.CharField(
        _("approvazione"),
        max_length=16,
        choices=ApprovalRule.choices,
        default=ApprovalRule.NEVER,
        help_text=_("Vale per ogni messaggio dell'ente, anche da API, salvo regola diversa sul collegamento a IO."),
    )
    io_account = models.ForeignKey(
        "registry.IOAccount",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("account IO predefinito"),
        help_text=_("L'account in cui nascono i nuovi servizi IO dell'ente."),
    )

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("ente")
        verbose_name_plural = _("enti")
        ordering = ["legal_name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(tax_code__regex=r"^[0-9]{11}$"), name="organization_tax_code_11_digits"
            ),
        ]

    def __str__(self) -> str:
        return self.legal_name
