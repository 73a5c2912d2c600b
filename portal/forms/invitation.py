from typing import TYPE_CHECKING, Any

from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.password_validation import password_validators_help_texts
from django.utils.translation import gettext_lazy as _

from portal.rendering import ItaliaForm
from registry.models import User

if TYPE_CHECKING:
    _SetPasswordForm = SetPasswordForm[User]
else:
    _SetPasswordForm = SetPasswordForm


class ChoosePasswordForm(ItaliaForm, _SetPasswordForm):
    """The password, twice. Saving it is the link's business (`registry.inviting`), not this form's."""

    error_messages = {"password_mismatch": _("Le due password sono diverse: riscrivile.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        first, second = self.fields["new_password1"], self.fields["new_password2"]
        first.label, second.label = _("Password"), _("Ripeti la password")
        # As text: Django's own help is a list in HTML, which has no place inside a field's note.
        first.help_text, second.help_text = " ".join(password_validators_help_texts()), ""
        first.error_messages["required"] = _("Scegli una password.")
        second.error_messages["required"] = _("Ripeti la password.")
        first.widget.attrs.pop("autofocus", None)
