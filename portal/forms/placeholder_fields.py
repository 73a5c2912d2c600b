"""The input for a placeholder, by its type; its value goes on as the text that the renderer reads."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from messaging.money import UnreadableAmount, typed_cents
from portal.forms.fields import NO_HELP_FROM_BROWSER, DayField
from templates_app.placeholders import Declaration, InvalidValue, PlaceholderType, read_value
from templates_app.rome_time import TimeFault


class PlaceholderField(forms.CharField):
    """A text checked by the placeholder's own reader, so that form, API and CSV refuse the same values."""

    def __init__(self, declaration: Declaration, **options: Any) -> None:
        self.declaration = declaration
        super().__init__(
            label=label_of(declaration),
            help_text=help_of(declaration),
            required=declaration.mandatory,
            strip=False,
            error_messages={"required": _("Manca il valore: il modello lo richiede.")},
            **options,
        )

    def to_python(self, value: Any) -> str:
        text = super().to_python(value) or ""
        return "" if not text.strip() else self.normalised(text)

    def normalised(self, text: str) -> str:
        """What people may write differently from the reader's one form."""
        match self.declaration.type:
            case PlaceholderType.DATE:
                return _iso_day(text)
            case PlaceholderType.AMOUNT:
                return _with_cents(text)
            case PlaceholderType.INTEGER:
                return "".join(text.split())
        return text

    def validate(self, value: str) -> None:
        super().validate(value)
        if value:
            try:
                read_value(self.declaration, value)
            except InvalidValue as invalid:
                if invalid.code == TimeFault.AMBIGUOUS:
                    return  # the form asks which of the two
                raise ValidationError(invalid.detail, code=invalid.code) from None


def _iso_day(text: str) -> str:
    try:
        found = DayField(required=False).clean(text)
    except ValidationError:
        return text
    return found.isoformat() if found else text


def _with_cents(text: str) -> str:
    try:
        cents = typed_cents(text)
    except UnreadableAmount:
        return text
    return f"{cents // 100},{cents % 100:02}"


def label_of(declaration: Declaration) -> str:
    """Its description; without one, `data_appuntamento` reads "Data appuntamento"."""
    if description := declaration.description.strip().rstrip(".:"):
        return description
    words = declaration.name.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else declaration.name


def help_of(declaration: Declaration) -> str:
    """The name that the text of the template shows between braces, where the label is another one, and the example."""
    parts = []
    if declaration.description.strip():
        parts.append(_("Nel modello: %(name)s.") % {"name": declaration.name})
    if declaration.example and declaration.type not in (PlaceholderType.BOOLEAN, PlaceholderType.CHOICE):
        parts.append(_("Esempio: %(example)s") % {"example": _example(declaration)})
    return " ".join(parts)


def _example(declaration: Declaration) -> str:
    if declaration.type is PlaceholderType.DATE:
        try:
            return date.fromisoformat(declaration.example).strftime("%d/%m/%Y")
        except ValueError:
            return declaration.example
    return declaration.example


def field_for(declaration: Declaration) -> forms.Field:
    """The field of this placeholder, with the shape and the keyboard that its type wants."""
    field, shape = _MAKERS[declaration.type](declaration)
    field.shape = shape  # type: ignore[attr-defined]  # drawn by portal.rendering
    return field


def text_of(value: Any) -> str:
    """A cleaned value as the renderer's text."""
    return value.isoformat() if isinstance(value, date | datetime) else str(value or "")


_Made = tuple[forms.Field, str]


def _string(declaration: Declaration) -> _Made:
    if declaration.is_markdown:
        return PlaceholderField(declaration, widget=forms.Textarea(attrs={"rows": 6})), ""
    return PlaceholderField(declaration, widget=forms.TextInput(attrs={"autocomplete": "off"})), "field-medium"


def _date(declaration: Declaration) -> _Made:
    return PlaceholderField(declaration, widget=forms.DateInput(attrs={"type": "date"})), "field-date"


def _datetime(declaration: Declaration) -> _Made:
    widget = forms.TextInput(attrs={"type": "datetime-local", "autocomplete": "off"})
    return PlaceholderField(declaration, widget=widget), "field-short"


def _integer(declaration: Declaration) -> _Made:
    widget = forms.TextInput(attrs={**NO_HELP_FROM_BROWSER, "inputmode": "numeric"})
    return PlaceholderField(declaration, widget=widget), "field-short"


def _amount(declaration: Declaration) -> _Made:
    widget = forms.TextInput(attrs={**NO_HELP_FROM_BROWSER, "inputmode": "decimal"})
    return PlaceholderField(declaration, widget=widget), "field-amount"


def _boolean(declaration: Declaration) -> _Made:
    choices = [("", _("Scegli")), ("true", _("Sì")), ("false", _("No"))]
    return PlaceholderField(declaration, widget=forms.Select(choices=choices)), "field-short"


def _choice(declaration: Declaration) -> _Made:
    choices = [("", _("Scegli")), *((choice, choice) for choice in declaration.choices)]
    return PlaceholderField(declaration, widget=forms.Select(choices=choices)), "field-medium"


_MAKERS: Final[Mapping[PlaceholderType, Callable[[Declaration], _Made]]] = {
    PlaceholderType.STRING: _string,
    PlaceholderType.DATE: _date,
    PlaceholderType.DATETIME: _datetime,
    PlaceholderType.INTEGER: _integer,
    PlaceholderType.AMOUNT: _amount,
    PlaceholderType.BOOLEAN: _boolean,
    PlaceholderType.CHOICE: _choice,
}
