"""The members of a service that a request may set, as the OpenAPI document tells them and as they are checked."""

from typing import Any

from rest_framework import serializers

from registry.api.one_line import one_line
from registry.api.schema import ServiceSerializer
from rest.fields import TextField
from rest.schema import list_of

_ONE_LINE = one_line("control_character")


class NewServiceSerializer(serializers.Serializer[Any]):
    service_name = TextField(max_length=256, validators=[_ONE_LINE], help_text="Of no other service.")
    description = TextField(required=False, allow_null=True, allow_blank=True, max_length=4096, default=None)


ServiceListSerializer = list_of(ServiceSerializer, name="ServiceList")
