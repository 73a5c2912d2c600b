"""How a form field becomes Bootstrap Italia markup: one place, so that no template writes a field by hand.

Labels carry `active` because the theme otherwise lays them over the value until a script moves them. Django itself names the
help text and the errors in `aria-describedby` and sets `aria-invalid`.
"""

from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.forms.renderers import DjangoTemplates
from django.forms.widgets import CheckboxInput, CheckboxSelectMultiple, RadioSelect

CHOICE_WIDGETS = (CheckboxInput, CheckboxSelectMultiple, RadioSelect)


class ItaliaBoundField(BoundField):
    """Adds the theme's classes to the control and tells the template which of its shapes to draw."""

    @property
    def is_single_choice(self) -> bool:
        """A lone checkbox: its label stands beside it, not above."""
        return isinstance(self.field.widget, CheckboxInput)

    @property
    def shape(self) -> str:
        """The field's width and typeface as a class, set by `field_shape` on the form field (`field-amount`, ...)."""
        return str(getattr(self.field, "shape", ""))

    @property
    def summary_prefix(self) -> str:
        """The field's name before its error in the summary, where it reads as a name."""
        label = str(self.label)
        return "" if self.is_single_choice or label.endswith("?") else f"{label}: "

    @property
    def is_marked_optional(self) -> bool:
        """Whether to say that it may be left empty. A field that another choice makes necessary is not called optional."""
        form_says = getattr(self.form, "marks_optional", True)
        return bool(form_says and not self.field.required and not getattr(self.field, "depends_on_another", False))

    def build_widget_attrs(self, attrs: dict[str, Any], widget: forms.Widget | None = None) -> dict[str, Any]:
        widget = widget or self.field.widget
        attrs = super().build_widget_attrs(attrs, widget)
        if not isinstance(widget, CHOICE_WIDGETS) and not widget.is_hidden:
            attrs["class"] = " ".join(filter(None, [str(widget.attrs.get("class", "")), "form-control"]))
        return dict(attrs)


class ItaliaRenderer(DjangoTemplates):
    """Forms of the portal render with the portal's templates; those of the back office stay Django's."""

    form_template_name = "portal/forms/form.html"
    field_template_name = "portal/forms/field.html"
    bound_field_class = ItaliaBoundField


class ItaliaForm(forms.Form):
    """The base of every form of the portal."""

    default_renderer = ItaliaRenderer
    # Filters say nothing about what is optional: all of it is.
    marks_optional = True
    use_required_attribute = False  # the server explains errors, in our words and all at once
    error_css_class = "invalid"

    def with_shape(self, name: str, shape: str) -> None:
        """Give a field the width of what is typed into it."""
        self.fields[name].shape = shape  # type: ignore[attr-defined]
