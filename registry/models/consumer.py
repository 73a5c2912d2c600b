import hashlib
import secrets
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from registry.models.people import User
from registry.querysets import ConsumerKeyQuerySet, ConsumerQuerySet

# Recognisable on sight and by secret scanners.
KEY_START = "giop_"


class AmountUnit(models.TextChoices):
    """How a consumer writes and reads `payment.amount`. The form of the number never decides: 62 would be ambiguous."""

    EURO = "euro", _("Euro, con due decimali (62.12)")
    CENTS = "cents", _("Centesimi, numero intero (6212)")


class Scope(models.TextChoices):
    """What a key was made for; which request needs which one is in docs/api/permissions.md."""

    MESSAGES_SEND = "messages:send", _("Inviare messaggi")
    MESSAGES_READ = "messages:read", _("Leggere messaggi")
    # Templates, placeholders, service instances, IO services.
    CONFIG_READ = "config:read", _("Leggere la configurazione")
    CONFIG_WRITE = "config:write", _("Cambiare la configurazione")
    # People, grants, consumers, keys, enti, services.
    ADMIN_READ = "admin:read", _("Leggere persone, autorizzazioni, enti e servizi")
    ADMIN_WRITE = "admin:write", _("Cambiare persone, autorizzazioni, enti e servizi")


def digest_of(key: str) -> str:
    """SHA-256, hexadecimal. A key has 256 random bits, so a slow hash would add nothing but latency."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Consumer(models.Model):
    """An integrator's program. What it may do is its user's right, narrowed by the scopes of the key it shows."""

    name = models.CharField(_("nome"), max_length=120, unique=True)
    user = models.ForeignKey(
        User,
        models.PROTECT,
        related_name="consumers",
        verbose_name=_("utente"),
        help_text=_("Per conto di chi agisce."),
    )
    # No default: whoever registers a consumer must know.
    amount_unit = models.CharField(_("unità degli importi"), max_length=8, choices=AmountUnit.choices)
    is_active = models.BooleanField(_("abilitato"), default=True)
    created_at = models.DateTimeField(_("creato il"), auto_now_add=True)

    objects = ConsumerQuerySet.as_manager()

    class Meta:
        verbose_name = _("integrazione")
        verbose_name_plural = _("integrazioni")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(amount_unit__in=AmountUnit.values), name="consumer_amount_unit_is_known"
            )
        ]

    def __str__(self) -> str:
        return self.name


def check_scopes(value: object) -> None:
    if not isinstance(value, list) or not value or not set(value) <= set(Scope.values):
        raise ValidationError(
            _("Gli ambiti sono una lista non vuota fra: %(scopes)s."), params={"scopes": ", ".join(Scope.values)}
        )


class ConsumerKey(models.Model):
    """A secret that a consumer shows. Only its digest is stored; the prefix is what people see in lists."""

    consumer = models.ForeignKey(Consumer, models.CASCADE, related_name="keys", verbose_name=_("integrazione"))
    prefix = models.CharField(_("prefisso"), max_length=16)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("ambiti"), validators=[check_scopes])
    created_at = models.DateTimeField(_("creata il"), auto_now_add=True)
    expires_at = models.DateTimeField(_("scade il"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revocata il"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("ultimo uso"), null=True, editable=False)
    # Whoever saw the key when it was made, and may have it still. None for those of before this was written down.
    issued_by = models.ForeignKey(
        User, models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("emessa da")
    )

    objects = ConsumerKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("chiave di integrazione")
        verbose_name_plural = _("chiavi di integrazione")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @classmethod
    def issue(
        cls,
        consumer: Consumer,
        *,
        scopes: list[str],
        expires_at: datetime | None = None,
        by: User | None = None,
        key: str | None = None,
    ) -> tuple["ConsumerKey", str]:
        """Make a key for this consumer; the second value is the key itself, shown once and never stored.

        `by` is who gets to see it. `key` is given only by the demo, which shows the same keys at every start.
        """
        check_scopes(scopes)
        clear = key or KEY_START + secrets.token_urlsafe(32)
        row = cls.objects.create(
            consumer=consumer,
            prefix=clear[:12],
            digest=digest_of(clear),
            scopes=scopes,
            expires_at=expires_at,
            issued_by=by,
        )
        return row, clear
