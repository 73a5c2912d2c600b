"""How the OpenAPI document describes sending in bulk."""

from typing import Any

from rest_framework import serializers

from messaging.api.bulk import MAX_ITEMS
from messaging.api.schema import Fields, NewMessageSerializer
from messaging.bulk import Result
from messaging.states import API_STATUS
from registry.api.schema import SelfLinkSerializer
from rest.fields import ManyField
from rest.schema import ErrorItemSerializer


class NewBulkItemSerializer(NewMessageSerializer):
    idempotency_key = serializers.UUIDField(help_text="A fresh UUID for each message.")


class NewBulkSerializer(serializers.Serializer[Any]):
    items = ManyField(child=NewBulkItemSerializer(), min_length=1, max_length=MAX_ITEMS)


class BulkItemSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(min_value=0, max_value=MAX_ITEMS - 1, help_text="Its place in the request.")
    result = serializers.ChoiceField([result.value for result in Result])
    id = serializers.IntegerField(min_value=1, allow_null=True, help_text="Null where nothing was stored.")
    status = serializers.ChoiceField(
        sorted(set(API_STATUS.values())), allow_null=True, help_text="Null where nothing was stored."
    )

    def get_fields(self) -> Fields:
        # Names that a class of serializers cannot have of its own.
        others: Fields = {
            "_links": SelfLinkSerializer(label="_links", allow_null=True),
            "errors": ErrorItemSerializer(many=True, help_text="Pointers begin with `/items/<index>`."),
        }
        return {**super().get_fields(), **others}


class BulkSerializer(serializers.Serializer[Any]):
    items = BulkItemSerializer(many=True)
