"""Logos in the back office: a picture to store and a tick to remove it, beside the other fields of their owner."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from registry import images, logos
from registry.models import LogoKind, User
from registry.models.logo import MAX_BYTES

if TYPE_CHECKING:
    _Form = forms.ModelForm[Any]
    _Admin = admin.ModelAdmin[Any]
else:
    _Form = forms.ModelForm
    _Admin = admin.ModelAdmin

_ACCEPTED = forms.FileInput(attrs={"accept": ",".join(images.MEDIA_TYPES)})


class LogosForm(_Form):
    """Once clean, `new_<kind>` is an `images.Picture`, or None."""

    new_logo = forms.FileField(label=_("Nuovo logo"), required=False, widget=_ACCEPTED)
    remove_logo = forms.BooleanField(label=_("Togli il logo"), required=False)
    new_logo_miniature = forms.FileField(label=_("Nuova miniatura del logo"), required=False, widget=_ACCEPTED)
    remove_logo_miniature = forms.BooleanField(label=_("Togli la miniatura del logo"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind in LogoKind:
            stored = _("C'è già: lascia vuoto per non cambiarlo.") if getattr(self.instance, f"{kind.value}_id") else ""
            self.fields[f"new_{kind.value}"].help_text = (
                _("PNG o JPEG, al massimo %(limit)s byte.") % {"limit": MAX_BYTES[kind]} + f" {stored}"
            )

    def clean_new_logo(self) -> images.Picture | None:
        return self._examined(LogoKind.FULL)

    def clean_new_logo_miniature(self) -> images.Picture | None:
        return self._examined(LogoKind.MINIATURE)

    def _examined(self, kind: LogoKind) -> images.Picture | None:
        file = self.cleaned_data[f"new_{kind.value}"]
        if not file:
            return None
        try:
            return logos.examine(file.read(MAX_BYTES[kind] + 1), kind)
        except (images.NotAPicture, images.BrokenPicture):
            raise forms.ValidationError(_("Non è un'immagine PNG o JPEG intera: salvala di nuovo.")) from None
        except (logos.TooManyBytes, logos.TooManyPixels):
            raise forms.ValidationError(
                _("L'immagine è troppo grande: al massimo %(limit)s byte e %(side)s pixel di lato."),
                params={"limit": MAX_BYTES[kind], "side": images.MAX_SIDE},
            ) from None


class LogosAdmin(_Admin):
    """Of an owner whose form is a `LogosForm`."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001  (Django's signature)
        """The owner has been saved a moment ago, in the same transaction."""
        super().save_related(request, form, formsets, change)
        assert isinstance(request.user, User)  # whoever enters the back office is signed in
        for kind in LogoKind:
            if picture := form.cleaned_data[f"new_{kind.value}"]:
                logos.put(form.instance, kind, picture, by=request.user)
            elif form.cleaned_data[f"remove_{kind.value}"]:
                logos.remove(form.instance, kind, by=request.user)
