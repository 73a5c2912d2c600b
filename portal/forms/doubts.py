"""The page of the doubts: its filters, what a confirmation asks, and the rule of a service instance."""

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from messaging.models import ServiceInstance
from portal import wording
from portal.doubts import Cause
from portal.forms.decisions import reason_field
from portal.rendering import ItaliaForm
from registry.models import Service, User
from registry.permissions import Action
from templates_app.rome_time import UnreadableTime, from_rome


class MinuteInput(forms.DateTimeInput):
    """The browser's own field for a date with an hour."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class MinuteField(forms.DateTimeField):
    """A minute on the wall clock of Rome. Of an hour that comes twice, the first for a beginning, the second for an end."""

    widget = MinuteInput
    default_error_messages = {
        "invalid": _("Scrivi data e ora con giorno, mese, anno, ore e minuti, per esempio 31/12/2027 9:30."),
        "year": _("L’anno deve essere fra 1900 e 9998."),
    }

    def __init__(self, *, is_end: bool, **options: Any) -> None:
        formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y %H.%M"]
        super().__init__(input_formats=formats, **options)
        self._fold = int(is_end)

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip()
        if not text:
            return None
        for form in self.input_formats:
            try:
                typed = datetime.strptime(text, str(form))  # noqa: DTZ007  (a wall clock has no zone until Rome gives it one)
            except ValueError:
                continue
            return self._instant(typed)
        raise ValidationError(self.error_messages["invalid"], code="invalid")

    def _instant(self, typed: datetime) -> datetime:
        if not 1900 <= typed.year <= 9998:
            raise ValidationError(self.error_messages["year"], code="year")
        try:
            return from_rome(typed, fold=self._fold)
        except UnreadableTime as unreadable:
            raise ValidationError(unreadable.fault.cure, code=unreadable.fault.value) from None


class DoubtFilters(ItaliaForm):
    servizio = forms.ModelChoiceField(
        label=_("Servizio"), required=False, queryset=Service.objects.none(), empty_label=_("Tutti")
    )
    causa = forms.ChoiceField(
        label=_("Che cosa è successo"),
        required=False,
        choices=[("", _("Qualunque cosa")), *((cause.value, cause.label) for cause in Cause)],
    )
    dal = MinuteField(label=_("Richiesta partita dal"), required=False, is_end=False)
    al = MinuteField(label=_("fino al"), required=False, is_end=True)

    marks_optional = False

    def __init__(self, data: Any, *, user: User) -> None:
        super().__init__(data)
        instances = ServiceInstance.objects.open_to(user, Action.SEE_MESSAGES)
        services = Service.objects.filter(pk__in=instances.values("service")).order_by("service_name")
        self.fields["servizio"].queryset = services  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        since, until = cleaned.get("dal"), cleaned.get("al")
        if since and until and until < since:
            self.add_error("al", _("“fino al” viene prima di “dal”: correggi una delle due date."))
        return cleaned

    def in_use(self) -> dict[str, str]:
        """The filters as the query string carries them, those that are empty left out."""
        return {name: str(self.data[name]) for name in self.fields if self.data.get(name)}


_NO_PERSONAL_DATA = _("Resta nella storia di ogni messaggio. Non scrivere dati personali.")


class ManyArrivedForm(ItaliaForm):
    motivo = reason_field(required=True, label=_("Come lo sai?"), help_text=_NO_PERSONAL_DATA)

    def __init__(self, data: Any = None, *, number: int) -> None:
        super().__init__(data)


class ManyResendForm(ItaliaForm):
    motivo = reason_field(required=True, label=_("Perché li invii di nuovo?"), help_text=_NO_PERSONAL_DATA)
    consapevole = forms.BooleanField(
        error_messages={"required": _("Conferma di sapere che potrebbero riceverlo due volte.")}
    )

    def __init__(self, data: Any = None, *, number: int) -> None:
        super().__init__(data)
        self.fields["consapevole"].label = ngettext(
            "So che %(number)s cittadino potrebbe riceverlo due volte",
            "So che fino a %(number)s cittadini potrebbero riceverlo due volte",
            number,
        ) % {"number": wording.count(number)}


class ResendByRuleForm(ItaliaForm):
    consapevole = forms.BooleanField(
        label=_("So che il cittadino può ricevere due volte lo stesso messaggio"),
        error_messages={
            "required": _("Conferma di sapere che il cittadino può ricevere due volte lo stesso messaggio.")
        },
    )
