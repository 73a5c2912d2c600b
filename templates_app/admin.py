"""Back office: placeholders, and templates whose every saved change is checked and becomes a new version.

What a template or a placeholder belongs to is said once: messages, and the texts that use it, count on it.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import User
from registry.platform_admin import PlatformAdmin
from templates_app.findings import Severity
from templates_app.linting import check_declaration
from templates_app.models import Placeholder, Template
from templates_app.publishing import TemplateRefused, Use, check_text, publish, uses_of
from templates_app.turns import turn
from templates_app.writing import NameTaken, PlaceholderInUse, change_placeholder

if TYPE_CHECKING:
    _InTurn = admin.ModelAdmin[Any]
    _PlaceholderAdmin = admin.ModelAdmin[Placeholder]
    _TemplateAdmin = admin.ModelAdmin[Template]
    _TemplateForm = forms.ModelForm[Template]
    _PlaceholderForm = forms.ModelForm[Placeholder]
else:
    _InTurn = object
    _PlaceholderAdmin = _TemplateAdmin = admin.ModelAdmin
    _TemplateForm = _PlaceholderForm = forms.ModelForm


def _turn_of(request: HttpRequest) -> AbstractContextManager[None]:
    return turn() if request.method == "POST" else nullcontext()


class InTurn(_InTurn):
    """Pages that take their turn before they read anything: with a row locked first they would wait in a circle with
    everybody else, and what they read before it may be old when they write."""

    def changeform_view(self, request: HttpRequest, *of: Any, **options: Any) -> Any:
        with _turn_of(request):
            return super().changeform_view(request, *of, **options)

    def delete_view(self, request: HttpRequest, *of: Any, **options: Any) -> Any:
        with _turn_of(request):
            return super().delete_view(request, *of, **options)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        with _turn_of(request):
            return super().changelist_view(request, extra_context)


class PlaceholderForm(_PlaceholderForm):
    """A placeholder that is sound by itself, and with which every text that uses it stays valid."""

    class Meta:
        model = Placeholder
        fields = ["organization", "name", "type", "description", "pattern", "example", "choices", "is_markdown"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        # The choices of a field are known to be valid only once it is among the cleaned ones.
        if not self.errors:
            said = {name: data[name] for name in self.Meta.fields if name in data and name != "organization"}
            findings = check_declaration(Placeholder(**said).as_declaration(mandatory=True))
            for finding in findings:
                if finding.severity is not Severity.WARNING:
                    self.add_error(finding.pointer[1:], str(finding.detail))
        return data

    def clean_choices(self) -> list[str]:
        choices = self.cleaned_data["choices"] or []
        if not isinstance(choices, list) or not all(isinstance(choice, str) and choice for choice in choices):
            raise ValidationError(_("Serve un elenco di stringhe."))
        return choices

    def _post_clean(self) -> None:
        """Django sets the members on the instance here; only then can the texts be tried with them."""
        super()._post_clean()  # type: ignore[misc]  # Django's own, without a type
        if self.errors or not self.instance.pk:
            return
        try:
            # In the turn of the page: what is tried here is what will be saved.
            with transaction.atomic():
                change_placeholder(self.instance, by=None, at=timezone.now())
                transaction.set_rollback(True)
        except NameTaken:
            self.add_error("name", _("C'è già un segnaposto con questo nome."))
        except PlaceholderInUse as in_use:
            for template, refused in in_use.spoilt:
                self.add_error(None, f"{template}: {refused.findings[0].detail}")


@admin.register(Placeholder)
class PlaceholderAdmin(InTurn, PlatformAdmin, _PlaceholderAdmin):
    form = PlaceholderForm
    list_display = ["name", "organization", "type", "example", "description"]
    list_filter = ["organization"]
    search_fields = ["name", "description"]

    def get_readonly_fields(self, request: HttpRequest, obj: Placeholder | None = None) -> list[str]:
        return [] if obj is None else ["organization"]

    def save_model(self, request: HttpRequest, obj: Placeholder, form: Any, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        if not change:
            super().save_model(request, obj, form, change)
            return
        by = request.user if isinstance(request.user, User) else None
        rewritten = change_placeholder(obj, by=by, at=timezone.now())
        if rewritten:
            names = ", ".join(str(template) for template in rewritten)
            messages.info(request, _("Nuova versione dei modelli che lo usano: %(names)s.") % {"names": names})


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
        version = self.instance.newest_version
        self._used = {use.placeholder.name: use.placeholder for use in uses_of(version)}
        if version is not None:
            for name in ("subject", "body", "has_payment", "has_due_date"):
                self.fields[name].initial = getattr(version, name)
            self.fields["uses"].initial = "\n".join(
                use.placeholder.name + ("" if use.mandatory else "?") for use in uses_of(version)
            )

    def clean_uses(self) -> list[Use]:
        uses = []
        for line in self.cleaned_data["uses"].split("\n"):
            name = line.strip()
            if not name:
                continue
            placeholder = self._placeholder(name.removesuffix("?"))
            if placeholder is None:
                raise ValidationError(
                    _("Il segnaposto “%(name)s” non esiste: crealo prima, fra i segnaposto."),
                    params={"name": name.removesuffix("?")},
                )
            uses.append(Use(placeholder, mandatory=not name.endswith("?")))
        return uses

    def _placeholder(self, name: str) -> Placeholder | None:
        """The one that the template uses, else one of its ente, else a shared one."""
        if name in self._used:
            return self._used[name]
        ente = self.cleaned_data.get("organization") or self.instance.organization
        usable = Placeholder.objects.usable_in(None if ente is None else ente.pk).filter(name=name)
        return usable.order_by(F("organization").asc(nulls_last=True)).first()

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
class TemplateAdmin(InTurn, PlatformAdmin, _TemplateAdmin):
    form = TemplateForm
    list_display = ["name", "organization", "description"]
    list_filter = ["organization"]
    search_fields = ["name", "description"]

    def get_readonly_fields(self, request: HttpRequest, obj: Template | None = None) -> list[str]:
        return [] if obj is None else ["organization"]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        super().save_related(request, form, formsets, change)
        if change and not set(form.changed_data) - {"organization", "name", "description"}:
            return
        by = request.user if isinstance(request.user, User) else None
        version, warnings = publish(form.instance, **form.text(), by=by, at=timezone.now())
        messages.info(request, _("Pubblicata la versione %(number)s.") % {"number": version.number})
        for finding in warnings:
            messages.warning(request, str(finding.detail))
