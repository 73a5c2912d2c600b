"""When an ente sends: hours, days of the week, holidays and its own days of closure, a row of fields each."""

from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from portal.forms.fields import DayField, HourField
from portal.rendering import ItaliaForm
from registry.opening_hours import EVERY_DAY, Closure, OpeningHours
from registry.weekdays import WeekdaysField

ALWAYS, WITHIN = "sempre", "orario"
# More days of closure than this are a calendar, not exceptions.
MAX_ROWS: Final = 60
NAME_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class ClosureRow:
    """The fields of one day of closure."""

    number: int
    day: forms.BoundField
    is_yearly: forms.BoundField
    name: forms.BoundField
    # Ticked to take the day away; empty rows have nothing to take away.
    gone: forms.BoundField | None


class SendingHoursForm(ItaliaForm):
    # What the page showed: two people changing the hours at once must not undo each other unseen.
    visto = forms.CharField(max_length=64, widget=forms.HiddenInput(), required=False)
    righe = forms.IntegerField(min_value=1, max_value=MAX_ROWS, widget=forms.HiddenInput(), required=False)
    orario = forms.ChoiceField(
        label=_("A che ora partono i messaggi?"),
        widget=forms.RadioSelect,
        choices=[(ALWAYS, _("A qualsiasi ora")), (WITHIN, _("Solo in un orario"))],
        error_messages={"required": _("Scegli a che ora partono i messaggi.")},
    )
    dalle = HourField(label=_("Dalle"), required=False)
    alle = HourField(label=_("Alle"), required=False)
    giorni = WeekdaysField(label=_("In quali giorni?"))
    festivi = forms.BooleanField(
        label=_("Non inviare nei giorni festivi"),
        required=False,
        help_text=_(
            "Le feste nazionali, con il Lunedì dell’Angelo e dal 2026 il 4 ottobre, e i giorni di chiusura dell’ente."
        ),
    )

    def __init__(self, data: Any = None, *, hours: OpeningHours, read: str = "", adds_row: bool = False) -> None:
        super().__init__(data, initial=_typed(hours, read=read))
        for name in ("dalle", "alle"):
            self.with_shape(name, "field-date")
            self.fields[name].depends_on_another = True  # type: ignore[attr-defined]  # read by portal.rendering
        self._count = min(self._rows_asked(hours) + adds_row, MAX_ROWS)
        for number in range(self._count):
            self._add_row(number)
        if self.is_bound:
            # The page written again has as many rows as it now has fields for.
            self.data = {**{key: self.data.get(key) for key in self.data}, **self._lists(), "righe": str(self._count)}

    def _lists(self) -> dict[str, Any]:
        """The one field of several values, which copying the query into a plain dictionary would cut to one."""
        getlist = getattr(self.data, "getlist", None)
        return {"giorni": getlist("giorni")} if getlist else {}

    def _rows_asked(self, hours: OpeningHours) -> int:
        if not self.is_bound:
            return len(hours.closures) + 1
        asked = str(self.data.get("righe", ""))
        return max(1, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 4 else 1

    def _add_row(self, number: int) -> None:
        fields: dict[str, forms.Field] = {
            f"giorno_{number}": DayField(label=_("Giorno"), required=False),
            f"ogni_anno_{number}": forms.BooleanField(label=_("Ogni anno"), required=False),
            f"nome_{number}": forms.CharField(label=_("Nome"), required=False, max_length=NAME_LENGTH),
            f"togli_{number}": forms.BooleanField(label=_("Togli"), required=False),
        }
        for name, field in fields.items():
            field.depends_on_another = True  # type: ignore[attr-defined]  # read by portal.rendering
            self.fields[name] = field
        self.with_shape(f"giorno_{number}", "field-date")

    @property
    def rows(self) -> list[ClosureRow]:
        return [
            ClosureRow(
                number + 1,
                self[f"giorno_{number}"],
                self[f"ogni_anno_{number}"],
                self[f"nome_{number}"],
                self[f"togli_{number}"] if self[f"giorno_{number}"].value() else None,
            )
            for number in range(self._count)
        ]

    @property
    def may_add_row(self) -> bool:
        return self._count < MAX_ROWS

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("orario") == WITHIN:
            self._check_hours()
        closures: dict[Any, Closure] = {}
        for number in range(self._count):
            day, name = data.get(f"giorno_{number}"), data.get(f"nome_{number}", "").strip()
            if data.get(f"togli_{number}") or f"giorno_{number}" in self.errors:
                continue
            if day is None and name:
                self.add_error(f"giorno_{number}", ValidationError(_("Indica il giorno."), code="required"))
            elif day is not None and not name:
                self.add_error(f"nome_{number}", ValidationError(_("Scrivi come si chiama."), code="required"))
            elif day in closures:
                self.add_error(f"giorno_{number}", ValidationError(_("Questo giorno c’è già."), code="twice"))
            elif day is not None:
                closures[day] = Closure(day, is_yearly=data.get(f"ogni_anno_{number}", False), name=name)
        if closures and not data.get("festivi"):
            cure = _("Hai indicato giorni di chiusura: valgono solo se spunti questa casella. Spuntala, o toglili.")
            self.add_error("festivi", ValidationError(cure, code="closures_ignored"))
        data["closures"] = tuple(sorted(closures.values(), key=lambda closure: closure.day))
        return data

    def _check_hours(self) -> None:
        opens, closes = self.cleaned_data.get("dalle"), self.cleaned_data.get("alle")
        for name, found, cure in (
            ("dalle", opens, _("Indica da che ora.")),
            ("alle", closes, _("Indica fino a che ora.")),
        ):
            if found is None and name not in self.errors:
                self.add_error(name, ValidationError(cure, code="required"))
        if opens is not None and closes is not None and opens >= closes:
            cure = _("L’ora di fine viene dopo quella di inizio, nello stesso giorno.")
            self.add_error("alle", ValidationError(cure, code="order"))

    @property
    def hours(self) -> OpeningHours | None:
        """What the form says; None while something cannot be read."""
        if not self.is_valid():
            return None
        data = self.cleaned_data
        has_hours = data["orario"] == WITHIN
        return OpeningHours(
            opens=data["dalle"] if has_hours else None,
            closes=data["alle"] if has_hours else None,
            days=data["giorni"],
            observes_holidays=data["festivi"],
            closures=data["closures"],
        )


def _typed(hours: OpeningHours, *, read: str) -> dict[str, Any]:
    typed: dict[str, Any] = {
        "visto": read,
        "righe": len(hours.closures) + 1,
        "orario": ALWAYS if hours.opens is None else WITHIN,
        "dalle": hours.opens,
        "alle": hours.closes,
        "giorni": hours.days or EVERY_DAY,
        "festivi": hours.observes_holidays,
    }
    for number, closure in enumerate(hours.closures):
        typed |= {
            f"giorno_{number}": closure.day,
            f"ogni_anno_{number}": closure.is_yearly,
            f"nome_{number}": closure.name,
        }
    return typed
