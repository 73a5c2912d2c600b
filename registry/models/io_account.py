from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _


class IOAccount(models.Model):
    """The owner of keys at IO. The rate limit belongs to it: all its services share one bucket."""

    name = models.CharField(_("nome"), max_length=120, unique=True)
    calls_per_second = models.PositiveSmallIntegerField(
        _("chiamate al secondo"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text=_("Quante chiamate al secondo fare a IO. IO ne concede circa 30 (50 con Premium veloce)."),
    )

    class Meta:
        verbose_name = _("account IO")
        verbose_name_plural = _("account IO")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(calls_per_second__gte=1, calls_per_second__lte=10_000),
                name="io_account_rate_in_range",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The lane is born with its account: sending never has to ask whether there is one.
        with transaction.atomic():
            super().save(*args, **kwargs)
            Lane.objects.get_or_create(io_account=self)


class Lane(models.Model):
    """The moving parts of an IO account: who serves it, its breaker, its pause, its bucket.

    In a row of their own, so that saving the account in the back office overwrites none of it. All instants are the
    database's clock, since workers on other hosts compare them.
    """

    io_account = models.OneToOneField(IOAccount, models.CASCADE, primary_key=True, related_name="lane")
    holder = models.UUIDField(null=True, editable=False)
    held_until = models.DateTimeField(null=True, editable=False)
    # Which process asks its holder for it, and until when it is kept for that process (`messaging.lanes`).
    wanted_by = models.UUIDField(null=True, editable=False)
    wanted_until = models.DateTimeField(null=True, editable=False)
    # 429: nobody calls for this account before this instant.
    paused_until = models.DateTimeField(null=True, editable=False)
    # After a 429 and its pause the rate is multiplied by this, then by a little more every second until `slowed_until`.
    rate_factor = models.FloatField(default=1.0, editable=False)
    slowed_until = models.DateTimeField(null=True, editable=False)
    # Breaker: closed while `opened_at` is null; open until a probe succeeds; then half open, one message at a time.
    failures_in_row = models.PositiveSmallIntegerField(default=0, editable=False)
    send_failures_in_row = models.PositiveSmallIntegerField(default=0, editable=False)
    opened_at = models.DateTimeField(null=True, editable=False)
    probe_at = models.DateTimeField(null=True, editable=False)
    probes_failed = models.PositiveSmallIntegerField(default=0, editable=False)
    is_half_open = models.BooleanField(default=False, editable=False)
    # The bucket, where there is no Redis; `grants` are [milliseconds since 1970, count] of the last few seconds.
    tokens = models.FloatField(default=0.0, editable=False)
    poll_tokens = models.FloatField(default=0.0, editable=False)
    refilled_at = models.DateTimeField(null=True, editable=False)
    grants = models.JSONField(default=list, editable=False)

    class Meta:
        verbose_name = _("corsia di invio")
        verbose_name_plural = _("corsie di invio")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rate_factor__gt=0, rate_factor__lte=1), name="lane_rate_factor_in_range"
            ),
        ]

    def __str__(self) -> str:
        return f"lane {self.pk}"
