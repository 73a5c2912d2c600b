"""Back office: placeholders, and templates whose every saved change is checked and becomes a new version."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import User
from templates_app.models import Placeholder, Template
from templates_app.publishing import TemplateRefused, Use, check_text, publish

if TYPE_CHECKING:
    _PlaceholderAdmin = admin.ModelAdmin[Placeholder]
    _TemplateAdmin = admin.ModelAdmin[Template]
    _TemplateForm = forms.ModelForm[Template]
else:
    _PlaceholderAdmin = _TemplateAdmin = admin.ModelAdmin
    _TemplateForm = forms.ModelForm


@admin.register(Placeholder)
class PlaceholderAdmin(_PlaceholderAdmin):
    list_display = ["name", "type", "example", "description"]
    search_fields = ["name", "description"]


class TemplateForm(_TemplateForm):
    """A template with the text of its next version."""

    subject = forms.CharField(label=_("Titolo"), max_length=255, widget=forms.TextInput(attrs={"size": 100}))
    body = forms.CharField(label=_("Testo"), widget=forms.Textarea(attrs={"rows": 16, "cols": 100}))
    has_payment = forms.BooleanField(label=_("Con avviso di pagamento"), required=False)
    has_due_date = forms.BooleanField(label=_("Con scadenza"), required=False)
    uses = forms.CharField(
        label=_("Segnaposto"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("Uno per riga, nell'ordine delle colonne. Un ? dopo il nome lo rende facoltativo."),
    )

    class Meta:
        model = Template
        fields = ["organization", "name", "description"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        version = self.instance.current_version
        if version is not None:
            for name in ("subject", "body", "has_payment", "has_due_date"):
                self.fields[name].initial = getattr(version, name)
            self.fields["uses"].initial = "\n".join(
                use.placeholder.name + ("" if use.mandatory else "?") for use in version.placeholders.all()
            )

    def clean_uses(self) -> list[Use]:
        uses = []
        for line in self.cleaned_data["uses"].split("\n"):
            name = line.strip()
            if not name:
                continue
            placeholder = Placeholder.objects.filter(name=name.removesuffix("?")).first()
            if placeholder is None:
                raise ValidationError(
                    _("Il segnaposto “%(name)s” non esiste: crealo prima, fra i segnaposto."),
                    params={"name": name.removesuffix("?")},
                )
            uses.append(Use(placeholder, mandatory=not name.endswith("?")))
        return uses

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        try:
            self.warnings = check_text(**self.text())
        except TemplateRefused as refused:
            raise ValidationError([str(finding.detail) for finding in refused.findings]) from None
        return data

    def text(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("subject", "body", "has_payment", "has_due_date", "uses")}


@admin.register(Template)
class TemplateAdmin(_TemplateAdmin):
    form = TemplateForm
    list_display = ["name", "organization", "description"]
    list_filter = ["organization"]
    search_fields = ["name", "description"]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        super().save_related(request, form, formsets, change)
        if change and not set(form.changed_data) - {"organization", "name", "description"}:
            return
        by = request.user if isinstance(request.user, User) else None
        version, warnings = publish(form.instance, **form.text(), by=by, at=timezone.now())
        messages.info(request, _("Pubblicata la versione %(number)s.") % {"number": version.number})
        for finding in warnings:
            messages.warning(request, str(finding.detail))
