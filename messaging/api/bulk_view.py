"""Many messages in one request."""

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api import bulk
from messaging.api.bulk_schema import BulkSerializer, NewBulkSerializer
from registry.api.callers import Caller
from registry.api.permissions import HasScope, Scopes
from registry.models import Scope
from rest.hal import Links
from rest.query import QueryReader
from rest.schema import answers, problems
from rest.strict_json import body_of
from rest.views import Resource


class MessagesInBulk(Resource):
    """Up to a thousand messages through one service instance."""

    permission_classes = (HasScope,)
    parser_classes = (bulk.BulkJSONParser,)
    scopes: ClassVar[Scopes] = {"POST": (Scope.MESSAGES_SEND,)}

    @extend_schema(
        operation_id="sendMessages",
        tags=["messages"],
        summary="Send many messages",
        description=(
            "Up to 1,000 messages, each as for `sendMessage` with its idempotency key inside. Each stands alone: the "
            "answer tells in order what became of it. Repeating the request makes nothing twice. Messages sent in bulk "
            "leave after those sent one by one."
        ),
        parameters=[
            OpenApiParameter("service_instance", {"type": "integer", "minimum": 0, "examples": [1]}, required=True)
        ],
        request={"application/json": NewBulkSerializer},
        responses={
            **answers(BulkSerializer, 200, description="What became of each item, in their order."),
            **problems(400, 401, 403, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Two payments in euro",
                request_only=True,
                value={
                    "items": [
                        {
                            "idempotency_key": "9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
                            "taxcode": "RSSMRA80A01H501U",
                            "payment": {"amount": 62.12, "notice_number": "300012548634478225"},
                            "due_date": "2027-07-07T10:00:00+02:00",
                            "placeholders": [{"name": "cie", "value": "CA000000AA"}],
                        },
                        {
                            "idempotency_key": "5d1f8c62-6a0e-4a37-8f6b-2f4e5a1f7c02",
                            "taxcode": "VRDLGU75B02F205A",
                            "payment": {"amount": 62.12, "notice_number": "300012548634478326"},
                            "due_date": "2027-07-07T10:00:00+02:00",
                            "placeholders": [{"name": "cie", "value": "CA000001AA"}],
                        },
                    ]
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        items = bulk.post(
            lambda: body_of(request),
            reader=QueryReader(request.query_params),
            caller=Caller.of(request),
            links=Links.of(request),
            at=timezone.now(),
        )
        return Response({"items": items}, headers={"Cache-Control": "no-store"})
