from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from portal.rendering import ItaliaForm


class SignInForm(ItaliaForm, AuthenticationForm):
    """Name and password; the answer to a mistake never says which of the two was wrong."""

    error_messages = {
        "invalid_login": _("Nome utente o password non corretti. Controlla maiuscole e minuscole e riprova."),
        "inactive": _("Questo utente è disabilitato: chiedi a chi amministra il portale."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Nome utente")
        self.fields["username"].error_messages["required"] = _("Scrivi il nome utente.")
        self.fields["username"].widget.attrs.pop("autofocus", None)
        self.fields["password"].label = _("Password")
        self.fields["password"].error_messages["required"] = _("Scrivi la password.")
        self.fields["password"].widget = forms.PasswordInput(attrs={"autocomplete": "current-password"})
