"""Composing one message: the form of a template, and the input that it stands for.

The form reads what people type (euro, wall clocks, spaces in codes) and turns it into the input of the API; what a message
may be is then decided by the one validator, whose findings come back to the fields by their pointers.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, time
from typing import Any, Final, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.forms.fields import NO_HELP_FROM_BROWSER, DayField, FiscalCodeField, HourField
from portal.forms.money import EuroField
from portal.forms.placeholder_fields import field_for, text_of
from portal.forms.wall_time import AMBIGUOUS, OFFSETS, instant, is_ambiguous, is_ambiguous_text, typed, which_of_two
from portal.rendering import ItaliaBoundField, ItaliaForm
from templates_app.findings import Finding
from templates_app.placeholders import PlaceholderType
from templates_app.rendering import TemplateText

NOW, LATER = "subito", "data"
# A day without an hour means its last second, so that "entro il 31" includes the 31st.
END_OF_DAY: Final = time(23, 59, 59)

# Where the validator's findings belong, by JSON Pointer; placeholders are found by their position.
FIELD_AT: Final[Mapping[str, str]] = {
    "/taxcode": "codice_fiscale",
    "/due_date": "scadenza_data",
    "/payment": "codice_avviso",
    "/payment/notice_number": "codice_avviso",
    "/payment/amount": "importo",
    "/payment/invalid_after_due_date": "non_valido_dopo",
    "/payment/payee_taxcode": "ente_creditore",
    "/scheduled_expedition_date": "quando_data",
}
# Where one thing of the input is several fields: a fault in one of them must not make the others look wrong.
PARTS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "/payment": ("codice_avviso", "importo"),
    "/due_date": ("scadenza_data", "scadenza_ora", "scadenza_volta"),
}


class ComposeForm(ItaliaForm):
    """Fields for one template. Raw texts are kept in the draft under the names of these fields."""

    codice_fiscale = FiscalCodeField(
        label=gettext_lazy("Codice fiscale del destinatario"),
        error_messages={"required": gettext_lazy("Scrivi il codice fiscale del destinatario.")},
    )
    quando = forms.ChoiceField(
        label=gettext_lazy("Quando inviarlo"),
        widget=forms.RadioSelect,
        choices=[(NOW, gettext_lazy("Appena possibile")), (LATER, gettext_lazy("A una data e un’ora"))],
        initial=NOW,
        error_messages={"required": gettext_lazy("Scegli quando inviarlo.")},
    )
    quando_data = DayField(label=gettext_lazy("Data di spedizione"), required=False)
    quando_ora = HourField(label=gettext_lazy("Ora"), required=False)

    def __init__(self, data: Any = None, *, text: TemplateText, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial=dict(initial or {}))
        self._text = text
        self._names = {declaration.name: f"s_{declaration.name}" for declaration in text.declarations}
        for declaration in text.declarations:
            self.fields[self._names[declaration.name]] = field_for(declaration)
        if text.has_due_date:
            self._add_due_date()
        if text.has_payment:
            self._add_payment()
        self._ask_which_of_two()
        for name in ("quando_data", "quando_ora"):
            self.with_shape(name, "field-date")
            self.fields[name].depends_on_another = True  # type: ignore[attr-defined]  # read by portal.rendering
        self.order_fields(
            [
                "codice_fiscale",
                *(field.name for field in (*self.content_fields, *self.due_date_fields, *self.payment_fields)),
                "quando",
            ]
        )

    def _add_due_date(self) -> None:
        self.fields["scadenza_data"] = DayField(
            label=_("Data di scadenza"), error_messages={"required": _("Indica la data di scadenza.")}
        )
        self.fields["scadenza_ora"] = HourField(
            label=_("Ora della scadenza"), required=False, help_text=_("Se non la indichi, le 23:59.")
        )
        for name in ("scadenza_data", "scadenza_ora"):
            self.with_shape(name, "field-date")

    def _add_payment(self) -> None:
        digits = {**NO_HELP_FROM_BROWSER, "inputmode": "numeric"}
        self.fields["codice_avviso"] = forms.CharField(
            label=_("Codice avviso"),
            max_length=40,
            help_text=_("18 cifre, come sull’avviso pagoPA. Gli spazi non contano."),
            widget=forms.TextInput(attrs=digits),
            error_messages={"required": _("Scrivi il codice avviso.")},
        )
        self.fields["importo"] = EuroField(label=_("Importo in euro"), help_text=_("Per esempio 145,50"))
        self.fields["non_valido_dopo"] = forms.BooleanField(
            label=_("Non valido dopo la scadenza"),
            required=False,
            help_text=_("Passata la scadenza l’app non permette più di pagarlo."),
        )
        self.fields["ente_creditore"] = forms.CharField(
            label=_("Codice fiscale dell’ente creditore"),
            required=False,
            max_length=20,
            help_text=_("Solo se non è l’ente che scrive; 11 cifre."),
            widget=forms.TextInput(attrs=digits),
        )
        for name in ("codice_avviso", "ente_creditore"):
            self.with_shape(name, "field-digits")

    def _ask_which_of_two(self) -> None:
        """The question of the autumn night exists only while what is typed raises it."""
        source = self.data if self.is_bound else self.initial
        for declaration in self._text.declarations:
            if declaration.type is PlaceholderType.DATETIME:
                name = self._names[declaration.name]
                if is_ambiguous_text(source.get(name)):
                    self.fields[f"volta_{name}"] = which_of_two(_("Quale delle due?"))
        for group, label in (("scadenza", _("Quale scadenza?")), ("quando", _("Quale delle due?"))):
            found = typed(source.get(f"{group}_data"), source.get(f"{group}_ora"))
            if f"{group}_data" in self.fields and found and is_ambiguous(*found):
                self.fields[f"{group}_volta"] = which_of_two(label)

    # --- Sections, as the page lays them out

    def _bound(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names if name in self.fields]

    @property
    def content_fields(self) -> list[forms.BoundField]:
        return self._bound(*(each for name in self._names.values() for each in (name, f"volta_{name}")))

    @property
    def due_date_fields(self) -> list[forms.BoundField]:
        return self._bound("scadenza_data", "scadenza_ora", "scadenza_volta")

    @property
    def payment_fields(self) -> list[forms.BoundField]:
        return self._bound("codice_avviso", "importo", "non_valido_dopo", "ente_creditore")

    @property
    def later_fields(self) -> list[forms.BoundField]:
        return self._bound("quando_data", "quando_ora", "quando_volta")

    # --- Reading

    def clean_codice_avviso(self) -> str:
        return "".join(str(self.cleaned_data["codice_avviso"]).split())

    def clean_ente_creditore(self) -> str:
        return "".join(str(self.cleaned_data["ente_creditore"]).split())

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        for name in self._names.values():
            if f"volta_{name}" in self.fields and name in data:
                data[name] = self._with_offset(name)
        data["due_date"] = self._instant_of("scadenza", hour_if_missing=END_OF_DAY)
        data["scheduled_at"] = self._instant_of("quando") if data.get("quando") == LATER else None
        if data.get("quando") == LATER:
            for name, error in (
                ("quando_data", _("Indica la data di spedizione.")),
                ("quando_ora", _("Indica l’ora di spedizione.")),
            ):
                if data.get(name) is None and name not in self.errors:
                    self.add_error(name, ValidationError(error, code="required"))
        return data

    def _with_offset(self, name: str) -> str:
        """A placeholder's moment in the autumn night, with the offset that the answer stands for."""
        offset = OFFSETS.get(self.cleaned_data.get(f"volta_{name}", ""))
        if offset is None:
            self.add_error(f"volta_{name}", ValidationError(AMBIGUOUS, code="ambiguous"))
        return f"{self.cleaned_data[name]}{offset or ''}"

    def _instant_of(self, group: str, *, hour_if_missing: time | None = None) -> datetime | None:
        day, hour = self.cleaned_data.get(f"{group}_data"), self.cleaned_data.get(f"{group}_ora")
        if f"{group}_ora" in self.errors:
            return None
        hour = hour or hour_if_missing
        if not day or not hour:
            return None
        try:
            return instant(day, hour, which=self.cleaned_data.get(f"{group}_volta", ""))
        except ValidationError as error:
            asked = f"{group}_volta"
            self.add_error(asked if asked in self.fields and error.code == "ambiguous" else f"{group}_ora", error)
            return None

    # --- What it stands for

    def as_input(self, *, examples_for_missing: bool = False) -> dict[str, Any]:
        """The input of the API (amounts in euro) that the readable fields stand for; what is missing is left out.

        With `examples_for_missing`, placeholders without a readable value take their example: for a preview only.
        """
        data = self.cleaned_data
        found: dict[str, Any] = {"taxcode": data.get("codice_fiscale", "")}
        if data.get("scheduled_at"):
            found["scheduled_expedition_date"] = data["scheduled_at"].isoformat()
        if data.get("due_date"):
            found["due_date"] = data["due_date"].isoformat()
        # What can be read of a notice is judged, even while its other half cannot.
        notice = {"amount": data.get("importo"), "notice_number": data.get("codice_avviso") or None}
        if self._text.has_payment and any(part is not None for part in notice.values()):
            found["payment"] = {
                **{name: part for name, part in notice.items() if part is not None},
                "invalid_after_due_date": data.get("non_valido_dopo", False),
            }
            if data.get("ente_creditore"):
                found["payment"]["payee_taxcode"] = data["ente_creditore"]
        values = self._values(examples_for_missing=examples_for_missing)
        found["placeholders"] = [{"name": name, "value": value} for name, value in values.items()]
        return found

    def _values(self, *, examples_for_missing: bool) -> dict[str, str]:
        values = {}
        for declaration in self._text.declarations:
            value = text_of(self.cleaned_data.get(self._names[declaration.name]))
            if not value and examples_for_missing and declaration.mandatory:
                value = declaration.example
            if value:
                values[declaration.name] = value
        return values

    @property
    def names_shown_by_example(self) -> list[str]:
        """Labels of the placeholders that a preview fills with their example."""
        fields = {self._names[declaration.name]: declaration.mandatory for declaration in self._text.declarations}
        return [
            str(self.fields[name].label)
            for name, is_mandatory in fields.items()
            if is_mandatory and not text_of(self.cleaned_data.get(name))
        ]

    @property
    def mistyped(self) -> list[str]:
        """What cannot be read of what is typed, each with its field's name; what is still empty is left in peace."""
        return [
            f"{cast(ItaliaBoundField, self[name]).summary_prefix}{error}" if name in self.fields else str(error)
            for name, errors in self.errors.as_data().items()
            for fault in errors
            if fault.code != "required"
            for error in fault.messages
        ]

    def take_findings(self, findings: Iterable[Finding], *, data: Mapping[str, Any]) -> None:
        """Put what the validator found beside the fields it concerns; what concerns none goes on top."""
        names = [placeholder["name"] for placeholder in data["placeholders"]]
        for finding in findings:
            field = self.field_of(finding.pointer, names=names)
            if field and not self.errors.keys().isdisjoint({field, f"volta_{field}"}):
                continue  # the field already says what is wrong, in its own words
            if not self.errors.keys().isdisjoint(PARTS_OF.get(finding.pointer, ())):
                continue  # likewise: one of its parts cannot be read, so the whole seems missing
            if finding.pointer == "/placeholders" and any(name in self.errors for name in self._names.values()):
                continue  # likewise: a value left out has no place in the input
            self.add_error(field, ValidationError(finding.detail, code=finding.code))

    def forget_missing(self) -> None:
        """For a preview asked while writing: what is still empty is no mistake yet."""
        for name in list(self.errors):
            kept = [error for error in self.errors.as_data()[name] if error.code != "required"]
            del self.errors[name]
            if kept:
                self.add_error(name, ValidationError(kept))

    def field_of(self, pointer: str, *, names: list[str]) -> str | None:
        parts = pointer.split("/")
        if len(parts) > 2 and parts[1] == "placeholders" and parts[2].isdigit() and int(parts[2]) < len(names):
            return self._names.get(names[int(parts[2])])
        field = FIELD_AT.get(pointer)
        return field if field in self.fields else None


def raw_of(form: ComposeForm) -> dict[str, str]:
    """What was typed, field by field, to be kept in the draft. No database keeps a NUL, and nobody means one."""
    typed = {name: str(form.data.get(name, "")).replace("\0", "") for name in form.fields}
    return {name: text for name, text in typed.items() if text}
