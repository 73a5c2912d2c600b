"""Last step: the page that was seen, and the tick that a due date already past asks for."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from portal.rendering import ItaliaForm


class ConfirmForm(ItaliaForm):
    # The fingerprint of what the page showed: what is confirmed is what was read.
    visto = forms.CharField(max_length=64, widget=forms.HiddenInput())

    def __init__(self, data: Any = None, *, seen: str, is_overdue: bool) -> None:
        super().__init__(data, initial={"visto": seen})
        if is_overdue:
            self.fields["scaduto"] = forms.BooleanField(
                label=_("La scadenza è già passata: voglio inviarlo lo stesso"),
                error_messages={
                    "required": _("Conferma di volerlo inviare con una scadenza già passata, o correggi la data.")
                },
            )
