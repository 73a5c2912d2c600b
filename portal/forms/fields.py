"""Fields shared by the portal's forms: what people type, turned into what the domain speaks."""

from datetime import date, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from io_client.payloads import FISCAL_CODE

NO_HELP_FROM_BROWSER = {"autocomplete": "off", "spellcheck": "false"}


class DateInput(forms.DateInput):
    """The browser's own date field; it wants and gives ISO dates whatever the page's language."""

    input_type = "date"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs=attrs, format="%Y-%m-%d")


class TimeInput(forms.TimeInput):
    input_type = "time"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs=attrs, format="%H:%M")


class DayField(forms.DateField):
    """A date, from the browser's field or typed by hand where there is none."""

    widget = DateInput
    default_error_messages = {
        "required": _("Indica la data."),
        "invalid": _("Scrivi la data con giorno, mese e anno, per esempio 31/12/2027."),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(input_formats=["%Y-%m-%d", "%d/%m/%Y"], **options)

    def to_python(self, value: Any) -> date | None:
        found = super().to_python(value)
        # Below this, clocks had no time zones; above, UTC may run out of years.
        if found is not None and not 1900 <= found.year <= 9998:
            raise ValidationError(_("L’anno deve essere fra 1900 e 9998."), code="year")
        return found


class HourField(forms.TimeField):
    """Hours and minutes on the wall clock of Rome."""

    widget = TimeInput
    default_error_messages = {
        "required": _("Indica l’ora."),
        "invalid": _("Scrivi l’ora con ore e minuti, per esempio 9:30."),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(input_formats=["%H:%M", "%H:%M:%S", "%H.%M"], **options)

    def to_python(self, value: Any) -> time | None:
        return super().to_python(value)


class FiscalCodeField(forms.CharField):
    """Spaces and lower case are the typist's; the pattern is IO's. A wrong check character is not this field's concern."""

    default_error_messages = {
        "required": _("Scrivi il codice fiscale."),
        "invalid": _(
            "Un codice fiscale ha 16 caratteri, come RSSMRA80A01H501U: controlla di averlo scritto per intero."
        ),
    }

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={**NO_HELP_FROM_BROWSER, "autocapitalize": "characters"})
        super().__init__(widget=widget, **options)
        self.shape = "field-code"

    def to_python(self, value: Any) -> str:
        return "".join((super().to_python(value) or "").split()).upper()

    def validate(self, value: str) -> None:
        super().validate(value)
        if value and not FISCAL_CODE.fullmatch(value):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
