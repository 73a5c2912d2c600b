"""Keys of an IO service: typed once, never shown again; and the tick that a key which IO did not take asks for."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from messaging.models import ActiveKey
from messaging.rekeying import LONGEST_KEY, is_well_formed
from portal.rendering import ItaliaForm


class _SeenForm(ItaliaForm):
    """Remembers which key was in use when the page was shown, and may ask for a second yes."""

    visto = forms.ChoiceField(choices=ActiveKey.choices, widget=forms.HiddenInput())

    def __init__(self, data: Any = None, *, seen: str = "", tick: Any = "") -> None:
        """`tick` are the words that the person must agree to; without any there is no tick."""
        super().__init__(data, initial={"visto": seen})
        self.asks = bool(tick)
        if tick:
            self.fields["comunque"] = forms.BooleanField(
                label=tick, error_messages={"required": _("Per farlo lo stesso serve la tua conferma.")}
            )

    @property
    def seen(self) -> ActiveKey:
        return ActiveKey(self.cleaned_data["visto"])


class SwitchForm(_SeenForm):
    pass


class KeyForm(_SeenForm):
    chiave = forms.CharField(
        label=_("Chiave API"),
        strip=True,
        help_text=_("Copiala dal back office di IO. La conserviamo cifrata: non la mostriamo più a nessuno."),
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": _("Scrivi o incolla la chiave.")},
    )

    field_order = ["chiave", "comunque"]

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.with_shape("chiave", "field-medium")
        self.order_fields(self.field_order)

    def clean_chiave(self) -> str:
        key: str = self.cleaned_data["chiave"]
        if not is_well_formed(key):
            raise ValidationError(
                _(
                    "Una chiave è fatta di lettere, cifre e segni senza spazi, al più %(number)s: controlla di averla "
                    "copiata per intero e da sola."
                ),
                params={"number": LONGEST_KEY},
                code="invalid",
            )
        return key
