"""Last step: the page that was seen, and the ticks that a due date already past, or past too soon, asks for."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from portal.rendering import ItaliaForm


class ConfirmForm(ItaliaForm):
    # The fingerprint of what the page showed: what is confirmed is what was read.
    visto = forms.CharField(max_length=64, widget=forms.HiddenInput())

    def __init__(self, data: Any = None, *, seen: str, is_overdue: bool, ends_while_closed: bool = False) -> None:
        super().__init__(data, initial={"visto": seen})
        if is_overdue:
            self.fields["scaduto"] = forms.BooleanField(
                label=_("La scadenza è già passata: voglio inviarlo lo stesso"),
                error_messages={
                    "required": _("Conferma di volerlo inviare con una scadenza già passata, o correggi la data.")
                },
            )
        if ends_while_closed:
            self.fields["chiuso"] = forms.BooleanField(
                label=_("La scadenza passa prima che l’ente riapra l’invio: voglio confermarlo lo stesso"),
                help_text=_("Se l’orario di invio non cambia, scadrà senza partire."),
                error_messages={
                    "required": _(
                        "Conferma di sapere che scadrà prima di partire, o cambia la scadenza o la spedizione."
                    )
                },
            )
