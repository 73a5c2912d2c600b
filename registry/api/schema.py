"""How the OpenAPI document describes what `registry.api.representations` makes."""

from typing import Any

from rest_framework import serializers

from rest.schema import LinkSerializer


class SelfLinkSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()


class WithSelfLink(serializers.Serializer[Any]):
    """The base of a resource with an id and a `self` link."""

    id = serializers.IntegerField(min_value=1)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "_links": SelfLinkSerializer(label="_links")}


class LogoLinksSerializer(SelfLinkSerializer):
    """Of what may have a logo; the miniature under both of GovIO's names."""

    logo = LinkSerializer(required=False)
    logo_miniature = LinkSerializer(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "logo-miniature": LinkSerializer(required=False)}


class WithLogoLinks(WithSelfLink):
    """The base of a resource with an id, a `self` link and maybe a logo."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "_links": LogoLinksSerializer(label="_links")}


class UserSerializer(WithSelfLink):
    principal = serializers.CharField(max_length=255)
    full_name = serializers.CharField(max_length=255)
    email = serializers.EmailField(allow_null=True)
    enabled = serializers.BooleanField()


class OrganizationSerializer(WithLogoLinks):
    tax_code = serializers.RegexField(r"^[0-9]{11}$")
    legal_name = serializers.CharField(max_length=80)
    office_at = serializers.CharField(allow_null=True)
    office_address = serializers.CharField(allow_null=True)
    office_address_details = serializers.CharField(allow_null=True)
    office_zip = serializers.CharField(allow_null=True)
    office_municipality = serializers.CharField(allow_null=True)
    office_municipality_details = serializers.CharField(allow_null=True)
    office_province = serializers.CharField(allow_null=True)
    office_foreign_state = serializers.CharField(allow_null=True)
    office_phone_number = serializers.CharField(allow_null=True)
    office_email_address = serializers.EmailField(allow_null=True)
    office_pec_address = serializers.EmailField(allow_null=True)


class ServiceSerializer(WithLogoLinks):
    service_name = serializers.CharField(max_length=256)
    description = serializers.CharField(max_length=4096, allow_null=True)
