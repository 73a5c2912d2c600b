"""How the OpenAPI document describes IO services, and what their bodies may hold: one and the same serializers."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from io_client.payloads import AMOUNT, FISCAL_CODE
from messaging.api.instances_schema import KeyField
from messaging.api.schema import Fields
from messaging.models import ActiveKey, SuspensionReason
from rest.fields import TextField, WholeNumberField, WordField, YesNoField
from rest.schema import LinkSerializer, list_of


@extend_schema_field(
    {
        "type": ["string", "null"],
        "pattern": f"^({FISCAL_CODE.pattern})?$",
        "description": "The citizen about whom IO is asked when a key is tried; IO's own fictitious one where left out.",
    }
)
class CitizenOfTrialField(TextField):
    """A person's fiscal code in any case, or nothing. What is refused is not repeated in the refusal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_null": True, "allow_blank": True, **options})

    def to_internal_value(self, data: Any) -> str:
        taxcode = super().to_internal_value(data).upper()
        if taxcode and not FISCAL_CODE.fullmatch(taxcode):
            raise serializers.ValidationError(
                _("Un codice fiscale ha 16 caratteri, come RSSMRA80A01H501U: controlla di averlo scritto per intero."),
                code="taxcode_invalid",
            )
        return taxcode


class IOServiceSettingsSerializer(serializers.Serializer[Any]):
    """What a PATCH must come to."""

    payment_cap_cents = WholeNumberField(min_value=0, max_value=AMOUNT[1], allow_null=True)
    require_secure_channels = YesNoField()
    test_taxcode = CitizenOfTrialField(required=False, default="")


class NewKeySerializer(serializers.Serializer[Any]):
    key = KeyField()
    active_key = WordField(
        ActiveKey.values,
        required=False,
        help_text="The one believed to be in use. Where another is by now, nothing is stored (409).",
    )


class ActiveKeySerializer(serializers.Serializer[Any]):
    active_key = WordField(ActiveKey.values)


class IOServicePermissionsSerializer(serializers.Serializer[Any]):
    configure = serializers.BooleanField(help_text="The caller configures every use of it, so may change it.")


class IOServiceLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    organization = LinkSerializer()


class IOServiceSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1)
    organization_id = serializers.IntegerField(min_value=1)
    io_service_id = serializers.CharField(max_length=255)
    active_key = serializers.ChoiceField(ActiveKey.values, help_text="The key that calls are made with.")
    has_primary_key = serializers.BooleanField()
    has_secondary_key = serializers.BooleanField()
    payment_cap_cents = serializers.IntegerField(
        min_value=0, max_value=AMOUNT[1], allow_null=True, help_text="Null: IO decides."
    )
    require_secure_channels = serializers.BooleanField(help_text="False: the service's own setting on IO counts.")
    test_taxcode = serializers.CharField(
        allow_null=True, help_text="The citizen about whom IO is asked when a key is tried. Null: IO's fictitious one."
    )
    suspended_at = serializers.DateTimeField(allow_null=True, help_text="Since when messages wait; null: they leave.")
    suspended_reason = serializers.ChoiceField(SuspensionReason.values, allow_null=True)
    suspended_detail = serializers.CharField(allow_null=True, help_text="What IO said.")
    is_probing = serializers.BooleanField(
        help_text="Resumed a moment ago: one message at a time leaves until IO takes one."
    )
    permissions = IOServicePermissionsSerializer()

    def get_fields(self) -> Fields:
        return {**super().get_fields(), "_links": IOServiceLinksSerializer(label="_links")}


IOServiceListSerializer = list_of(IOServiceSerializer, name="IOServiceList")
