"""How the OpenAPI document describes messages: what `messaging.validating` takes and `representations` makes."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from io_client.payloads import AMOUNT, FISCAL_CODE, NOTICE_NUMBER, ORGANIZATION_CODE
from messaging.reading_placeholders import MAX_PLACEHOLDERS
from messaging.states import API_STATUS, Delivery
from registry.api.schema import OrganizationSerializer, ServiceSerializer, UserSerializer
from registry.models import AmountUnit
from rest.fields import ManyField
from rest.schema import LinkSerializer, list_of
from templates_app.api.schema import TemplateSerializer

_PERSON = f"^{FISCAL_CODE.pattern}$"
_NOTICE = f"^{NOTICE_NUMBER.pattern}$"
_ORGANIZATION = f"^{ORGANIZATION_CODE.pattern}$"

Fields = dict[str, serializers.Field[Any, Any, Any, Any]]

_AMOUNT = (
    "In the consumer's unit: euro with at most two decimals (62.12), or whole cents (6212). "
    f"Up to {AMOUNT[1]} cents, or the service's own cap."
)


def _number_or_digits(pattern: str, description: str) -> dict[str, Any]:
    return {"type": ["string", "integer"], "pattern": pattern, "description": description}


@extend_schema_field(
    _number_or_digits(_NOTICE, "18 digits. Answered as a string; JavaScript loses digits of numbers this long.")
)
class NoticeNumberField(serializers.Field[Any, Any, Any, Any]):
    """pagoPA's notice number as taken: digits, in a string or as a number."""


@extend_schema_field(_number_or_digits(_ORGANIZATION, "11 digits; the sending organization where left out."))
class PayeeField(serializers.Field[Any, Any, Any, Any]):
    """The creditor's fiscal code as taken: digits, in a string or as a number."""


@extend_schema_field({"type": "number", "exclusiveMinimum": 0, "description": _AMOUNT, "examples": [62.12]})
class AmountField(serializers.Field[Any, Any, Any, Any]):
    """An amount in the consumer's unit."""


class NewPaymentSerializer(serializers.Serializer[Any]):
    amount = AmountField()
    notice_number = NoticeNumberField()
    invalid_after_due_date = serializers.BooleanField(required=False, allow_null=True)
    payee_taxcode = PayeeField(required=False, allow_null=True)


class PlaceholderValueSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    value = serializers.CharField(allow_blank=True)


class NewMessageSerializer(serializers.Serializer[Any]):
    taxcode = serializers.RegexField(
        _PERSON, min_length=16, max_length=16, help_text="A person's fiscal code. A wrong check character only warns."
    )
    payment = NewPaymentSerializer(required=False, allow_null=True)
    email = serializers.EmailField(max_length=255, required=False, allow_null=True)
    scheduled_expedition_date = serializers.DateTimeField(
        required=False, allow_null=True, help_text="With an offset. Missing or past: now."
    )
    due_date = serializers.DateTimeField(
        required=False, allow_null=True, help_text="With an offset. Required where the template has one."
    )
    placeholders = ManyField(
        child=PlaceholderValueSerializer(), required=False, allow_null=True, max_length=MAX_PLACEHOLDERS
    )


class PaymentSerializer(serializers.Serializer[Any]):
    amount = AmountField()
    amount_cents = serializers.IntegerField(min_value=AMOUNT[0], max_value=AMOUNT[1])
    amount_unit = serializers.ChoiceField(AmountUnit.values)
    notice_number = serializers.RegexField(_NOTICE)
    invalid_after_due_date = serializers.BooleanField()
    payee_taxcode = serializers.RegexField(_ORGANIZATION, allow_null=True)


class WarningSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    pointer = serializers.CharField(allow_blank=True)
    detail = serializers.CharField()


class ServiceInstanceLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    service = LinkSerializer()
    organization = LinkSerializer()
    template = LinkSerializer()
    io_service = LinkSerializer()


class ServiceInstanceEmbeddedSerializer(serializers.Serializer[Any]):
    service = ServiceSerializer()
    organization = OrganizationSerializer()
    template = TemplateSerializer()


class EmbeddedServiceInstanceSerializer(serializers.Serializer[Any]):
    """As in a message: whole, but for what the caller may do with it."""

    id = serializers.IntegerField(min_value=1)
    service_id = serializers.IntegerField(min_value=1)
    organization_id = serializers.IntegerField(min_value=1)
    template_id = serializers.IntegerField(min_value=1)
    io_service_id = serializers.CharField(max_length=255)
    enabled = serializers.BooleanField()

    def get_fields(self) -> Fields:
        underscored = {
            "_links": ServiceInstanceLinksSerializer(label="_links"),
            "_embedded": ServiceInstanceEmbeddedSerializer(label="_embedded"),
        }
        return {**super().get_fields(), **underscored}


class MessageLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    service_instance = LinkSerializer()
    sender = LinkSerializer()

    def get_fields(self) -> Fields:
        return {**super().get_fields(), "service-instance": LinkSerializer()}


class MessageEmbeddedSerializer(serializers.Serializer[Any]):
    sender = UserSerializer(required=False)

    def get_fields(self) -> Fields:
        return {**super().get_fields(), "service-instance": EmbeddedServiceInstanceSerializer(required=False)}


class MessageSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1)
    taxcode = serializers.CharField(
        allow_null=True, help_text="Masked (`RSSMRA••••••501U`) for who may not reveal the recipient."
    )
    payment = PaymentSerializer(allow_null=True)
    email = serializers.EmailField(allow_null=True)
    scheduled_expedition_date = serializers.DateTimeField()
    due_date = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField(sorted(set(API_STATUS.values())))
    delivery_state = serializers.ChoiceField(Delivery.values, help_text="The exact state behind `status`.")
    status_detail = serializers.CharField(allow_null=True)
    appio_message_id = serializers.CharField(allow_null=True)
    creation_date = serializers.DateTimeField()
    expedition_date = serializers.DateTimeField(allow_null=True)
    last_update_status = serializers.DateTimeField()
    subject = serializers.CharField(allow_null=True, help_text="As rendered; null once retention deleted it.")
    markdown = serializers.CharField(allow_null=True, help_text="As rendered; null once retention deleted it.")
    sender_id = serializers.IntegerField(min_value=1)
    service_instance_id = serializers.IntegerField(min_value=1)
    warnings = WarningSerializer(many=True)

    def get_fields(self) -> Fields:
        underscored = {
            "_links": MessageLinksSerializer(label="_links"),
            "_embedded": MessageEmbeddedSerializer(label="_embedded", required=False),
        }
        return {**super().get_fields(), **underscored}


MessageListSerializer = list_of(MessageSerializer, name="MessageList")
