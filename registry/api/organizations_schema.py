"""The members of an ente that a request may set, as the OpenAPI document tells them and as they are checked."""

from typing import Any

from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from registry.api.one_line import one_line
from registry.api.schema import OrganizationSerializer
from registry.models.organization import OFFICE_TEXT_LENGTH, PHONE_NUMBER, TAX_CODE
from rest.fields import TextField
from rest.schema import list_of

_ONE_LINE = one_line("control_character")
_EMAIL = EmailValidator(
    _("L'indirizzo e-mail non è valido: controlla che sia scritto per intero."), code="email_invalid"
)


def _optional(*, max_length: int, validator: Any) -> TextField:
    return TextField(
        required=False, allow_null=True, allow_blank=True, max_length=max_length, validators=[validator], default=None
    )


def _text() -> TextField:
    return _optional(max_length=OFFICE_TEXT_LENGTH, validator=_ONE_LINE)


class NewOrganizationSerializer(serializers.Serializer[Any]):
    tax_code = TextField(validators=[TAX_CODE], help_text="11 digits; of no other organization.")
    legal_name = TextField(max_length=80, validators=[_ONE_LINE], help_text="Of no other organization.")
    office_at = _text()
    office_address = _text()
    office_address_details = _text()
    office_zip = _text()
    office_municipality = _text()
    office_municipality_details = _text()
    office_province = _text()
    office_foreign_state = _text()
    office_phone_number = _optional(max_length=255, validator=PHONE_NUMBER)
    office_email_address = _optional(max_length=255, validator=_EMAIL)
    office_pec_address = _optional(max_length=255, validator=_EMAIL)


OrganizationListSerializer = list_of(OrganizationSerializer, name="OrganizationList")
