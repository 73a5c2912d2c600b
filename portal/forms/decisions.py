"""A person's decisions on one message: a reason, where the history should tell why."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from messaging.reasons import names_a_citizen
from portal.rendering import ItaliaForm

REASON_LENGTH = 500


class ReasonField(forms.CharField):
    """A person's words, which the history keeps and shows: no citizen is named there by their code."""

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        if names_a_citizen(text):
            raise ValidationError(
                _("Il motivo contiene un codice fiscale, e resta nella storia: toglilo."), code="fiscal_code"
            )
        return text


def reason_field(*, required: bool, label: Any, help_text: Any = "") -> forms.CharField:
    return ReasonField(
        label=label,
        required=required,
        max_length=REASON_LENGTH,
        help_text=help_text,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Scrivi il motivo: resta nella storia del messaggio.")},
    )


_NO_PERSONAL_DATA = _("Resta nella storia del messaggio. Non scrivere dati personali.")


class CancelForm(ItaliaForm):
    motivo = reason_field(required=False, label=_("Motivo"), help_text=_NO_PERSONAL_DATA)


class ArrivedForm(ItaliaForm):
    motivo = reason_field(required=True, label=_("Come lo sai?"), help_text=_NO_PERSONAL_DATA)


class ResendForm(ItaliaForm):
    motivo = reason_field(required=True, label=_("Perché lo invii di nuovo?"), help_text=_NO_PERSONAL_DATA)
    consapevole = forms.BooleanField(
        label=_("So che il cittadino potrebbe riceverlo due volte"),
        error_messages={"required": _("Conferma di sapere che il cittadino potrebbe riceverlo due volte.")},
    )


class ProvedResendForm(ItaliaForm):
    """For what certainly did not arrive: nothing can come twice."""

    motivo = reason_field(required=True, label=_("Perché lo invii di nuovo?"), help_text=_NO_PERSONAL_DATA)


class RefuseForm(ItaliaForm):
    motivo = reason_field(
        required=True,
        label=_("Perché non va bene?"),
        help_text=_("Lo legge chi lo ha preparato, e resta nella storia. Non scrivere dati personali."),
    )
