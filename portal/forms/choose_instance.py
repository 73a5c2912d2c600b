"""First step: on behalf of which service, with which template."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from messaging.models import ServiceInstance
from portal.rendering import ItaliaForm
from registry.models import User
from registry.permissions import Action


def choosable(user: User) -> "list[ServiceInstance]":
    """The service instances this person may write through: enabled, with a published template, by service."""
    return list(
        ServiceInstance.objects.open_to(user, Action.WRITE_DRAFTS)
        .with_everything()
        .filter(enabled=True, template__current_version__isnull=False)
        .order_by("service__service_name", "template__name", "organization__legal_name", "pk")
    )


class ChooseInstanceForm(ItaliaForm):
    collegamento = forms.TypedChoiceField(
        label=_("Servizio e modello"),
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={
            "required": _("Scegli il servizio e il modello."),
            "invalid_choice": _("Scegli un servizio e un modello fra quelli elencati."),
        },
    )

    def __init__(self, data: Any = None, *, instances: list[ServiceInstance], chosen: int | None = None) -> None:
        super().__init__(data, initial={"collegamento": chosen})
        self._instances = {instance.pk: instance for instance in instances}
        self.fields["collegamento"].choices = [(pk, str(one)) for pk, one in self._instances.items()]  # type: ignore[attr-defined]

    @property
    def instance(self) -> ServiceInstance:
        return self._instances[self.cleaned_data["collegamento"]]

    @property
    def options(self) -> list[tuple[Any, ServiceInstance]]:
        """Each radio button with what it stands for."""
        return [(button, one) for button, one in zip(self["collegamento"], self._instances.values(), strict=True)]
