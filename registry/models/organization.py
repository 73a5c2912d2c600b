from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.signals import post_delete
from django.utils.translation import gettext_lazy as _

from registry.models.logo import WithLogos, delete_logos_of
from registry.opening_hours import EVERY_DAY, Closure, OpeningHours
from registry.querysets import OrganizationQuerySet

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from registry.models.sending_hours import ClosureDay


TAX_CODE = RegexValidator(r"\A[0-9]{11}\Z", _("Il codice fiscale di un ente ha 11 cifre."), code="tax_code_invalid")
ONE_LINE = RegexValidator(
    r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]+\Z",
    _("Il testo sta su una riga, senza caratteri di controllo."),
    code="control_character",
)
PHONE_NUMBER = RegexValidator(
    r"\A(\+|00)?[0-9 \-().]{7,32}\Z",
    _("Un numero di telefono ha da 7 a 32 cifre, spazi, punti, trattini e parentesi, con + o 00 davanti se serve."),
    code="phone_number_invalid",
)
# As in GovIO, whose clients make room for no more; the columns are wider.
OFFICE_TEXT_LENGTH = 120
_OFFICE_TEXT: list[Callable[[Any], None]] = [MaxLengthValidator(OFFICE_TEXT_LENGTH), ONE_LINE]


class ApprovalRule(models.TextChoices):
    """Whether a colleague must say yes before a message leaves."""

    NEVER = "never", _("Mai")
    ALWAYS = "always", _("Sempre")


class Organization(WithLogos):
    """An ente: the public body in whose name messages are sent (GovIO: Organization, whose field names these are)."""

    tax_code = models.CharField(
        _("codice fiscale"),
        max_length=11,
        unique=True,
        validators=[TAX_CODE],
    )
    legal_name = models.CharField(_("denominazione"), max_length=80, unique=True, validators=[ONE_LINE])
    office_at = models.CharField(_("presso"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_address = models.CharField(_("indirizzo"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_address_details = models.CharField(
        _("dettagli dell'indirizzo"), max_length=255, blank=True, validators=_OFFICE_TEXT
    )
    office_zip = models.CharField(_("CAP"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_municipality = models.CharField(_("comune"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_municipality_details = models.CharField(_("località"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_province = models.CharField(_("provincia"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_foreign_state = models.CharField(_("stato estero"), max_length=255, blank=True, validators=_OFFICE_TEXT)
    office_phone_number = models.CharField(_("telefono"), max_length=255, blank=True, validators=[PHONE_NUMBER])
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
    # Sending hours, on the clock of Rome: null is the whole day. Changed through `registry.setting_hours`.
    sends_from = models.TimeField(_("invia dalle"), null=True, blank=True)
    sends_until = models.TimeField(_("invia fino alle"), null=True, blank=True)
    # One bit a day, Monday the lowest.
    sending_days = models.PositiveSmallIntegerField(
        _("giorni di invio"), default=EVERY_DAY, validators=[MinValueValidator(1), MaxValueValidator(EVERY_DAY)]
    )
    observes_holidays = models.BooleanField(
        _("non invia nei giorni festivi"),
        default=False,
        help_text=_("Né nelle feste nazionali, né nei giorni di chiusura dell'ente."),
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
            models.CheckConstraint(
                condition=Q(sends_from__isnull=True, sends_until__isnull=True)
                | Q(sends_from__isnull=False, sends_until__isnull=False, sends_from__lt=F("sends_until")),
                name="organization_hours_in_order",
            ),
            # Never closed on all days: what waits for an hour that never comes is lost.
            models.CheckConstraint(
                condition=Q(sending_days__gte=1, sending_days__lte=EVERY_DAY), name="organization_sends_on_some_day"
            ),
        ]

    if TYPE_CHECKING:
        closure_days: RelatedManager[ClosureDay]

    def __str__(self) -> str:
        return self.legal_name

    def clean(self) -> None:
        if (self.sends_from is None) != (self.sends_until is None):
            raise ValidationError({"sends_until": _("Indica da che ora e fino a che ora, oppure nessuna delle due.")})
        if self.sends_from is not None and self.sends_until is not None and self.sends_from >= self.sends_until:
            raise ValidationError({"sends_until": _("L'ora di fine viene dopo quella di inizio, nello stesso giorno.")})

    @property
    def has_sending_hours(self) -> bool:
        """Whether there are times at which its messages wait. Costs no query."""
        return OpeningHours(
            opens=self.sends_from, days=self.sending_days, observes_holidays=self.observes_holidays
        ).is_restricted

    def opening_hours(self) -> OpeningHours:
        """Costs one query where holidays are observed, unless `closure_days` are prefetched."""
        closures: tuple[Closure, ...] = ()
        if self.observes_holidays:
            closures = tuple(closure.as_closure() for closure in self.closure_days.all())
        return OpeningHours(
            opens=self.sends_from,
            closes=self.sends_until,
            days=self.sending_days,
            observes_holidays=self.observes_holidays,
            closures=closures,
        )


post_delete.connect(delete_logos_of, sender=Organization)
