"""How the OpenAPI document describes what is decided about one message, and how such a body is read."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from messaging.reasons import names_a_citizen
from rest.fields import TextField, WordField, YesNoField
from templates_app.rome_time import UnreadableTime, read_instant

MAX_REASON = 255
ARRIVED, RESEND = "arrived", "resend"


class ReasonField(TextField):
    """Why somebody decides so: it stays in the history, and names no citizen by their code."""

    default_error_messages = {
        "fiscal_code": _("Il motivo contiene un codice fiscale, e resta nella storia: toglilo."),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": MAX_REASON, "help_text": "Kept in the history: no personal data.", **options})

    def to_internal_value(self, data: Any) -> str:
        reason = super().to_internal_value(data)
        if names_a_citizen(reason):
            self.fail("fiscal_code")
        return reason


@extend_schema_field(OpenApiTypes.DATETIME)
class ExpeditionField(serializers.Field[datetime, Any, str, Any]):
    """A date as the POST of a message takes it, refused with the same codes."""

    default_error_messages = {
        "type": _('La data è una stringa ISO 8601, come "2026-12-31T23:59:00+01:00".'),
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str):
            self.fail("type")
        try:
            return read_instant(data)
        except UnreadableTime as unreadable:
            raise serializers.ValidationError(unreadable.fault.cure, code=unreadable.fault.value) from None

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class CancelSerializer(serializers.Serializer[Any]):
    reason = ReasonField(required=False, allow_null=True, allow_blank=True)


class SettleSerializer(serializers.Serializer[Any]):
    outcome = WordField((ARRIVED, RESEND), help_text="The citizen has it, or it is sent again.")
    reason = ReasonField()


class ResendSerializer(serializers.Serializer[Any]):
    scheduled_expedition_date = ExpeditionField(
        required=False, allow_null=True, help_text="With an offset. Missing or past: now."
    )
    even_if_arrived = YesNoField(
        required=False, help_text="Send it although an earlier sending may have arrived, and the citizen get it twice."
    )
