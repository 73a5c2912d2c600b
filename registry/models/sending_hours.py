from datetime import date
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from registry.models.organization import Organization
from registry.models.people import User
from registry.opening_hours import Closure


class ClosureDayQuerySet(models.QuerySet["ClosureDay"]):
    def falling_on(self, day: date) -> "ClosureDayQuerySet":
        return self.filter(Q(is_yearly=False, day=day) | Q(is_yearly=True, day__month=day.month, day__day=day.day))


class ClosureDay(models.Model):
    """A day on which an ente that observes holidays sends nothing: once, or every year (its patron saint)."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="closure_days", verbose_name=_("ente"))
    # Of a yearly one, day and month count.
    day = models.DateField(_("giorno"))
    is_yearly = models.BooleanField(_("ogni anno"), default=False)
    name = models.CharField(_("nome"), max_length=80, help_text=_("Per esempio: Santo patrono."))

    objects = ClosureDayQuerySet.as_manager()

    class Meta:
        verbose_name = _("giorno di chiusura")
        verbose_name_plural = _("giorni di chiusura")
        ordering = ["day", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day"],
                name="closure_day_once",
                violation_error_message=_("Questo giorno di chiusura c'è già."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.day})"

    def as_closure(self) -> Closure:
        return Closure(day=self.day, is_yearly=self.is_yearly, name=self.name)


class SendingHoursChange(models.Model):
    """Who changed when an ente sends, and from what to what; append-only (`registry.setting_hours` tells the shape)."""

    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="sending_hours_changes", verbose_name=_("ente")
    )
    at = models.DateTimeField(_("quando"))
    actor = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("chi"))
    before: "models.JSONField[Any, Any]" = models.JSONField(_("prima"))
    after: "models.JSONField[Any, Any]" = models.JSONField(_("dopo"))

    class Meta:
        verbose_name = _("modifica degli orari di invio")
        verbose_name_plural = _("modifiche degli orari di invio")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"
