"""A mask of weekdays as seven boxes to tick, for the portal and the back office alike."""

from typing import Any

from django import forms
from django.utils.dates import WEEKDAYS as NAMES
from django.utils.translation import gettext_lazy as _

from registry.opening_hours import WEEKDAYS, includes


class WeekdaysField(forms.MultipleChoiceField):
    """Its value is the mask: one bit a day, Monday the lowest."""

    default_error_messages = {"required": _("Scegli almeno un giorno: altrimenti non partirebbe mai nulla.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=[(str(number), NAMES[number]) for number in range(WEEKDAYS)],
            widget=options.pop("widget", forms.CheckboxSelectMultiple),
            **options,
        )

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return [str(number) for number in range(WEEKDAYS) if includes(value, number)]
        return value

    def clean(self, value: Any) -> int:
        return sum(1 << int(number) for number in set(super().clean(self.prepare_value(value))))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)
