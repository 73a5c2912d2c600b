from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from messaging.models.io_service import IOService
from registry.models import ApprovalRule, Organization, Service
from registry.permissions import Action, covered
from templates_app.models import Template


class InstanceApproval(models.TextChoices):
    """The rule of approval here; the ente's own where nothing else is said."""

    INHERIT = "inherit", _("Come l'ente")
    NEVER = "never", _("Mai")
    ALWAYS = "always", _("Sempre")


class OnDoubt(models.TextChoices):
    """What happens to a message when nobody knows whether IO took it."""

    ASK = "ask", _("Decide una persona")
    RESEND = "resend", _("Reinvia una volta, dopo 10 minuti")


class ServiceInstanceQuerySet(models.QuerySet["ServiceInstance"]):
    def open_to(self, user: Any, action: Action, *, at: datetime | None = None) -> "ServiceInstanceQuerySet":
        """Those on which one live grant of this person covers the action."""
        return self.filter(covered(user, action, organization="organization_id", service="service_id", at=at))

    def with_everything(self) -> "ServiceInstanceQuerySet":
        """All that composing and showing need, in one query."""
        return self.select_related(
            "organization", "service", "template__current_version", "template__draft", "io_service"
        )


class ServiceInstance(models.Model):
    """What one sends through (GovIO's word): an ente, a service and a template, by way of an IO service.

    On screen: "Collegamento a IO".
    """

    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="service_instances", verbose_name=_("ente")
    )
    service = models.ForeignKey(Service, models.PROTECT, related_name="service_instances", verbose_name=_("servizio"))
    template = models.ForeignKey(Template, models.PROTECT, related_name="service_instances", verbose_name=_("modello"))
    io_service = models.ForeignKey(
        IOService, models.PROTECT, related_name="service_instances", verbose_name=_("servizio IO")
    )
    enabled = models.BooleanField(_("abilitato"), default=True)
    approval = models.CharField(
        _("approvazione"), max_length=16, choices=InstanceApproval.choices, default=InstanceApproval.INHERIT
    )

    on_doubt = models.CharField(
        _("in caso di esito incerto"), max_length=16, choices=OnDoubt.choices, default=OnDoubt.ASK
    )

    objects = ServiceInstanceQuerySet.as_manager()

    class Meta:
        verbose_name = _("collegamento a IO")
        verbose_name_plural = _("collegamenti a IO")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "service", "template"], name="service_instance_once_per_template"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} · {self.template} ({self.organization})"

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        if self.io_service_id and self.organization_id and self.io_service.organization_id != self.organization_id:
            errors["io_service"] = _("Il servizio IO è di un altro ente: scegline uno di questo ente.")
        if self.template_id and self.template.organization_id not in (None, self.organization_id):
            errors["template"] = _("Il modello è di un altro ente: scegline uno di questo ente o uno condiviso.")
        if errors:
            raise ValidationError(errors)

    @property
    def needs_approval(self) -> bool:
        if self.approval == InstanceApproval.INHERIT:
            return self.organization.approval == ApprovalRule.ALWAYS
        return self.approval == InstanceApproval.ALWAYS
