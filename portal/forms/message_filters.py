"""The filters of the message list. Field names are the words of the query string, so that an address reads and can be shared."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from messaging.models import ServiceInstance
from messaging.states import Delivery, Group, WaitingReason
from portal.forms.fields import DayField, FiscalCodeField
from portal.rendering import ItaliaForm
from registry.models import Service, User
from registry.permissions import Action


class MessageFilters(ItaliaForm):
    gruppo = forms.ChoiceField(
        label=_("Gruppo"),
        required=False,
        widget=forms.HiddenInput(),
        choices=[(group.value, group.label) for group in Group],
    )
    titolo = forms.CharField(label=_("Titolo contiene"), required=False, max_length=120)
    stato = forms.ChoiceField(label=_("Stato"), required=False, choices=[("", _("Tutti")), *Delivery.choices])
    servizio = forms.ModelChoiceField(
        label=_("Servizio"), required=False, queryset=Service.objects.none(), empty_label=_("Tutti")
    )
    creato_dal = DayField(label=_("Creato dal"), required=False)
    creato_al = DayField(label=_("Creato fino al"), required=False)
    pianificato_dal = DayField(label=_("Pianificato dal"), required=False)
    pianificato_al = DayField(label=_("Pianificato fino al"), required=False)
    # Only ever reached from the line that tells of messages set aside, and shown as a chip.
    attesa = forms.ChoiceField(required=False, widget=forms.HiddenInput(), choices=WaitingReason.choices)
    # Likewise from the tab of those of which IO gives no more news.
    fermi = forms.BooleanField(required=False, widget=forms.HiddenInput())
    ricerca = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput())
    # Only ever reached from the account of a cancellation of many.
    tardi = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput())

    marks_optional = False
    # Shown only when opened, or when one of them is in use.
    DATES = ("creato_dal", "creato_al", "pianificato_dal", "pianificato_al")

    def __init__(self, data: Any, *, user: User) -> None:
        super().__init__(data)
        instances = ServiceInstance.objects.open_to(user, Action.SEE_MESSAGES)
        services = Service.objects.filter(pk__in=instances.values("service")).order_by("service_name")
        self.fields["servizio"].queryset = services  # type: ignore[attr-defined]

    @property
    def dates(self) -> list[forms.BoundField]:
        return [self[name] for name in self.DATES]

    @property
    def uses_dates(self) -> bool:
        return any(self.data.get(name) for name in self.DATES)


class RecipientSearch(ItaliaForm):
    """By fiscal code: posted, never in an address."""

    codice_fiscale = FiscalCodeField(
        label=_("Codice fiscale"), error_messages={"required": _("Scrivi il codice fiscale da cercare.")}
    )
