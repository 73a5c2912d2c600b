"""The history of a message, for programs: what happened, when, by whom; sentences are for people, and are the portal's."""

from typing import Any, ClassVar, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api.actions import PK
from messaging.copying import RESEND_OF, RESENT_AS
from messaging.models import EventKind, Message, MessageEvent
from messaging.settling import REQUESTED_AT
from messaging.states import Delivery
from registry.api.callers import Caller
from registry.api.permissions import HasScope, Scopes
from registry.models import Scope
from rest import paging
from rest.hal import utc_milliseconds
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, list_of, paging_parameters, problems
from rest.views import Resource

SORTS = {"id": "id"}
# Facts that events keep, and that go out: named one by one, so that none goes out because somebody began to keep it.
TOLD: Final = (
    "reason",
    "status",
    "title",
    "detail",
    "io_status",
    "attempt",
    "answer",
    "io_id",
    "known_io_id",
    REQUESTED_AT,
    RESEND_OF,
    RESENT_AS,
)


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1, help_text="Rises over the events of all messages.")
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(EventKind.values)
    delivery_state = serializers.ChoiceField(
        Delivery.values, allow_null=True, help_text="Right after; null where the event moved it nowhere."
    )
    actor_id = serializers.IntegerField(min_value=1, allow_null=True, help_text="The person; null where none decided.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `data` means something else on a serializer, so it cannot be declared like the others.
        facts = serializers.DictField(help_text=f"Some of: {', '.join(TOLD)}. Members may be added.")
        return {**super().get_fields(), "data": facts}


EventListSerializer = list_of(EventSerializer, name="EventList")


class Events(Resource):
    """The history of one message."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": (Scope.MESSAGES_READ,)}

    @extend_schema(
        operation_id="listEvents",
        tags=["messages"],
        summary="Read the history of a message",
        description="What happened to it, the oldest first. Nothing is ever changed or taken out.",
        parameters=[PK, *paging_parameters(SORTS, direction="asc")],
        responses={**answers(EventListSerializer, 200), **problems(400, 401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        if not Message.objects.visible_to(Caller.of(request).user).filter(pk=pk).exists():
            raise NotFound
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=MessageEvent, sorts=SORTS, descending=False)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page = paging.fetch(MessageEvent.objects.filter(message=pk), asked=asked)
        return Response(paging.envelope(page, [_event(event) for event in page.rows], request=request))


def _event(event: MessageEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "at": utc_milliseconds(event.at),
        "kind": event.kind,
        "delivery_state": event.state or None,
        "actor_id": event.actor_id,
        "data": {name: event.data[name] for name in TOLD if event.data.get(name) not in (None, "")},
    }
