"""Amounts as people type them, in euro."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from messaging.money import UnreadableAmount, typed_cents
from portal.forms.fields import NO_HELP_FROM_BROWSER


class EuroField(forms.CharField):
    """Cleans to euro with two decimals, exact; None when left empty."""

    default_error_messages = {"required": _("Scrivi l’importo.")}

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={**NO_HELP_FROM_BROWSER, "inputmode": "decimal"})
        super().__init__(widget=widget, max_length=40, **options)
        self.shape = "field-amount"

    def clean(self, value: Any) -> Decimal | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return Decimal(typed_cents(text)).scaleb(-2)
        except UnreadableAmount as unreadable:
            raise ValidationError(unreadable.detail, code=unreadable.code) from None
