"""A form that somebody had open while others worked: what they left as they saw it stays as it is now."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    _Form = forms.ModelForm[Any]
else:
    _Form = forms.ModelForm


class FreshForm(_Form):
    """For a row that exists: each field carries along, hidden, what it showed; whoever sends the form back has touched a
    field only if it differs from that. What they did not touch is cleaned as it is stored now, not as they saw it, and
    `changed_data` leaves it out.

    A form sent without those hidden values is compared with what is stored, as Django does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if self._shows_something(name, field):
                field.show_hidden_initial = not self.is_bound or self._says_what_it_showed(name, field)

    def full_clean(self) -> None:
        untouched = []
        if self.is_bound:
            shown = {name: field for name, field in self.fields.items() if field.show_hidden_initial}
            untouched = [field for name, field in shown.items() if name not in self.changed_data]
        # Django cleans what nobody can edit from its initial value, which is what is stored.
        for field in untouched:
            field.disabled = True
        try:
            super().full_clean()
        finally:
            for field in untouched:
                field.disabled = False

    def written(self) -> set[str]:
        """The columns that the person changed; and those that the form it is made of sets by itself, which it names in a
        method `columns_set`."""
        columns = {field.name for field in self._meta.model._meta.concrete_fields}
        of_its_own: Callable[[], set[str]] = getattr(super(), "columns_set", set)
        return {name for name in self.changed_data if name in columns} | of_its_own()

    def _shows_something(self, name: str, field: forms.Field) -> bool:
        """Not what nobody can edit, and not fields that start empty, such as those for pictures and keys."""
        return not field.disabled and (name in self.initial or field.initial is not None)

    def _says_what_it_showed(self, name: str, field: forms.Field) -> bool:
        widget = field.hidden_widget()
        return not widget.value_omitted_from_data(self.data, self.files, self.add_initial_prefix(name))
