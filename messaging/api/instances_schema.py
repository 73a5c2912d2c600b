"""How the OpenAPI document describes service instances, and what their bodies may hold: one and the same serializers."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from messaging.api.schema import (
    EmbeddedServiceInstanceSerializer,
    Fields,
    ServiceInstanceLinksSerializer,
)
from messaging.rekeying import LONGEST_KEY, is_well_formed
from registry.api.schema import OrganizationSerializer, ServiceSerializer
from rest.fields import IdentifierField, TextField, YesNoField
from rest.schema import list_of
from templates_app.api.schema import TemplateSerializer

KEY_INVALID = _("Una chiave è fatta di lettere, cifre e segni senza spazi, al più %(number)s.") % {
    "number": LONGEST_KEY
}


@extend_schema_field(
    {
        "type": "string",
        "pattern": f"^[!-~]{{1,{LONGEST_KEY}}}$",
        "writeOnly": True,
        "description": "A key of the service at IO. Sealed on arrival; no answer ever shows it.",
    }
)
class KeyField(TextField):
    """A key at IO. What is refused is never repeated in the refusal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"write_only": True, **options})

    def to_internal_value(self, data: Any) -> str:
        key = super().to_internal_value(data)
        if not is_well_formed(key):
            raise serializers.ValidationError(KEY_INVALID, code="api_key_invalid")
        return key


class IOServiceIdField(TextField):
    """The id of a service at IO."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 255, **options})


class NewServiceInstanceSerializer(serializers.Serializer[Any]):
    """The body of POST."""

    organization_id = IdentifierField()
    service_id = IdentifierField()
    template_id = IdentifierField(help_text="A template of the organization, or a shared one.")
    enabled = YesNoField(default=True)
    io_service_id = IOServiceIdField(help_text="The id that IO gave to the service.")
    apiKey = KeyField()  # noqa: N815  (GovIO's spelling)


class ChangedServiceInstanceSerializer(serializers.Serializer[Any]):
    """What a PATCH must come to. Of what cannot change, the values are compared by whoever reads it."""

    organization_id = IdentifierField()
    service_id = IdentifierField()
    template_id = IdentifierField()
    enabled = YesNoField()
    io_service_id = IOServiceIdField()
    apiKey = KeyField(required=False)  # noqa: N815  (likewise)


class ServiceInstancePermissionsSerializer(serializers.Serializer[Any]):
    send = serializers.BooleanField(help_text="The caller may send through it.")
    configure = serializers.BooleanField(help_text="The caller may change it.")


class ServiceInstanceMaybeEmbeddedSerializer(serializers.Serializer[Any]):
    service = ServiceSerializer(required=False)
    organization = OrganizationSerializer(required=False)
    template = TemplateSerializer(required=False)


class ServiceInstanceSerializer(EmbeddedServiceInstanceSerializer):
    permissions = ServiceInstancePermissionsSerializer(help_text="By the caller's grants; its key's scopes count too.")

    def get_fields(self) -> Fields:
        underscored = {
            "_links": ServiceInstanceLinksSerializer(label="_links"),
            "_embedded": ServiceInstanceMaybeEmbeddedSerializer(label="_embedded", required=False),
        }
        return {**super().get_fields(), **underscored}


ServiceInstanceListSerializer = list_of(ServiceInstanceSerializer, name="ServiceInstanceList")
