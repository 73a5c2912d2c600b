"""Back office: IO services with their keys, and service instances. Messages are not here: staff may not read them."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from io_client.payloads import FISCAL_CODE
from messaging.models import IOService, ServiceInstance
from messaging.rekeying import is_well_formed
from registry.platform_admin import PlatformAdmin
from sealed.boxes import Sealed

if TYPE_CHECKING:
    _IOServiceAdmin = admin.ModelAdmin[IOService]
    _ServiceInstanceAdmin = admin.ModelAdmin[ServiceInstance]
    _IOServiceForm = forms.ModelForm[IOService]
else:
    _IOServiceAdmin = _ServiceInstanceAdmin = admin.ModelAdmin
    _IOServiceForm = forms.ModelForm


class IOServiceForm(_IOServiceForm):
    """Keys go in and never come out: an empty field keeps the stored one."""

    new_primary_key = forms.CharField(
        label=_("Chiave API primaria"),
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    new_secondary_key = forms.CharField(
        label=_("Chiave API secondaria"),
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )

    class Meta:
        model = IOService
        fields = [
            "io_account",
            "organization",
            "io_service_id",
            "active_key",
            "payment_cap_cents",
            "test_taxcode",
            "require_secure_channels",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("primary_key", "secondary_key"):
            stored = bool(getattr(self.instance, name))
            self.fields[f"new_{name}"].help_text = (
                _("Inserita. Lascia vuoto per non cambiarla.") if stored else _("Non ancora inserita.")
            )

    def clean_new_primary_key(self) -> str:
        return self._well_formed("new_primary_key")

    def clean_new_secondary_key(self) -> str:
        return self._well_formed("new_secondary_key")

    def _well_formed(self, name: str) -> str:
        key: str = self.cleaned_data[name]
        if key and not is_well_formed(key):
            raise forms.ValidationError(_("Una chiave è fatta di lettere, cifre e segni senza spazi."))
        return key

    def clean_test_taxcode(self) -> str:
        taxcode = str(self.cleaned_data["test_taxcode"]).strip().upper()
        if taxcode and not FISCAL_CODE.fullmatch(taxcode):
            raise forms.ValidationError(
                _("Un codice fiscale ha 16 caratteri, come RSSMRA80A01H501U: controlla di averlo scritto per intero.")
            )
        return taxcode

    def save(self, commit: bool = True) -> IOService:  # noqa: FBT001, FBT002  (Django's signature)
        for name in self.columns_set():
            setattr(self.instance, name, Sealed.close(self.cleaned_data[f"new_{name}"]))
        return super().save(commit)

    def columns_set(self) -> set[str]:
        """The keys that were typed."""
        return {name for name in ("primary_key", "secondary_key") if self.cleaned_data[f"new_{name}"]}


@admin.register(IOService)
class IOServiceAdmin(PlatformAdmin, _IOServiceAdmin):
    form = IOServiceForm
    list_display = ["io_service_id", "organization", "io_account", "suspended_reason"]
    list_filter = ["organization", "io_account"]
    search_fields = ["io_service_id"]

    def get_readonly_fields(self, request: HttpRequest, obj: IOService | None = None) -> list[str]:
        # Messages already in the queue belong to the account's lane; which key is in use changes in the portal alone, where
        # a form left open cannot switch it back.
        return ["io_account", "organization", "active_key"] if obj is not None else []


@admin.register(ServiceInstance)
class ServiceInstanceAdmin(PlatformAdmin, _ServiceInstanceAdmin):
    list_display = ["id", "organization", "service", "template", "io_service", "enabled"]
    list_display_links = ["id", "organization"]
    list_filter = ["organization", "service", "enabled"]

    def get_readonly_fields(self, request: HttpRequest, obj: ServiceInstance | None = None) -> list[str]:
        # Switched on in the portal alone, by somebody of the ente who is told what it means.
        if obj is None:
            return ["on_doubt"]
        # Messages already composed belong to the account's lane, and to what their citizens were asked about.
        frozen = ["io_service"] if obj.messages.exists() else []
        return ["organization", "service", "template", "on_doubt", *frozen]
