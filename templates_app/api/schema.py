"""How the OpenAPI document describes what `templates_app.api.representations` makes."""

from typing import Any

from rest_framework import serializers

from rest.schema import LinkSerializer


class TemplateLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    placeholders = LinkSerializer()


class TemplateSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1)
    name = serializers.CharField(max_length=255)
    description = serializers.CharField(allow_null=True)
    subject = serializers.CharField(max_length=255, allow_null=True)
    message_body = serializers.CharField(allow_null=True)
    has_payment = serializers.BooleanField(allow_null=True)
    has_due_date = serializers.BooleanField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "_links": TemplateLinksSerializer(label="_links")}
