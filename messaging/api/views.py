"""Messages over REST: send one, list, read."""

from datetime import datetime
from typing import ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from messaging import listing
from messaging.api import posting, representations
from messaging.api.filters import InstanceFilterSet, MessageFilterSet
from messaging.api.recipients import check_search, revealed_to
from messaging.api.representations import EMBEDDABLE, SERVICE_INSTANCE
from messaging.api.schema import MessageListSerializer, MessageSerializer, NewMessageSerializer
from messaging.models import Message, ServiceInstance
from messaging.prepared import Prepared
from messaging.querysets import MessageQuerySet
from messaging.states import STATES_FOR_API_STATUS
from registry.api.callers import Caller
from registry.api.permissions import HasScope, Scopes
from registry.models import Scope, User
from registry.permissions import Action
from rest import filters, paging
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, paging_parameters, path_id, problems, query_id
from rest.strict_json import body_of
from rest.views import Resource

# The first is the default. `unsorted` promises no order to GovIO's clients; ours is stable all the same.
SORTS = {"id": "id", "scheduled_expedition_date": "scheduled_at", "unsorted": "id"}


def _date(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.DATETIME, description=description)


# What narrows a list of messages, and the export of them.
FILTERS = [
    _date("scheduled_expedition_date_from", "Inclusive, with an offset."),
    _date("scheduled_expedition_date_to", "Inclusive, with an offset."),
    _date("expedition_date_from", "Inclusive, with an offset."),
    _date("expedition_date_to", "Inclusive, with an offset."),
    OpenApiParameter(
        "tax_code",
        {"type": "string", "pattern": "^[A-Za-z0-9]{1,16}$"},
        description="Whole; or its first characters, for who may reveal the recipients of all that is listed (else 403).",
    ),
    query_id("service_id"),
    query_id("organization_id"),
    OpenApiParameter("service_q", str, description="Part of the service's name."),
    OpenApiParameter("organization_q", str, description="Part of the organization's name or fiscal code."),
    OpenApiParameter(
        "status",
        str,
        enum=sorted(STATES_FOR_API_STATUS),
        description="Any case. GovIO's names and the exact states; `denied` never matches.",
    ),
]


class Messages(Resource):
    """The collection."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": (Scope.MESSAGES_READ,), "POST": (Scope.MESSAGES_SEND,)}

    @extend_schema(
        operation_id="sendMessage",
        tags=["messages"],
        summary="Send a message",
        description=(
            "Renders the template of the service instance with the values given, stores the message and sends it at its "
            "date. Repeating the same request with the same key answers 200 with the message made the first time."
        ),
        parameters=[
            OpenApiParameter("service_instance", {"type": "integer", "minimum": 0, "examples": [1]}, required=True),
            OpenApiParameter(
                "idempotency_key", OpenApiTypes.UUID, required=True, description="A fresh UUID for each message."
            ),
        ],
        request={"application/json": NewMessageSerializer},
        responses={
            **answers(MessageSerializer, 201, description="Accepted. `warnings` lists what is odd about it."),
            **answers(MessageSerializer, 200, description="The same request was accepted before: its message."),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "A payment in euro",
                request_only=True,
                value={
                    "taxcode": "RSSMRA80A01H501U",
                    "payment": {"amount": 62.12, "notice_number": "300012548634478225", "payee_taxcode": "10000000001"},
                    "due_date": "2027-07-07T10:00:00+02:00",
                    "placeholders": [{"name": "cie", "value": "CA000000AA"}],
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        caller = Caller.of(request)
        reader = QueryReader(request.query_params)
        composed = posting.post(lambda: body_of(request), reader=reader, caller=caller, at=timezone.now())
        links = Links.of(request)
        shown = representations.message(
            composed.message,
            links=links,
            amount_unit=caller.amount_unit,
            # Whoever may send may also reveal; what was made before is told to whom may do neither any more.
            reveals=composed.is_new or bool(revealed_to(caller, [composed.message])),
        )
        return Response(
            shown,
            status=201 if composed.is_new else 200,
            headers={"Location": shown["_links"]["self"]["href"], "Cache-Control": "no-store"},
        )

    @extend_schema(
        operation_id="listMessages",
        tags=["messages"],
        summary="List messages",
        parameters=[
            *FILTERS,
            *paging_parameters(SORTS),
            OpenApiParameter(
                "embed", {"type": "array", "items": {"type": "string", "enum": list(EMBEDDABLE)}}, explode=False
            ),
        ],
        responses={**answers(MessageListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        caller = Caller.of(request)
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=Message, sorts=SORTS)
        embed = filters.words(reader, "embed", known=EMBEDDABLE)
        visible = ServiceInstance.objects.open_to(caller.user, Action.SEE_MESSAGES)
        instances = InstanceFilterSet(request.query_params, queryset=visible)
        messages = MessageFilterSet(request.query_params, queryset=_shown(Message.objects.all(), embed=embed))
        for filterset in (instances, messages):
            filterset.check(reader)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        check_search(request.query_params, instances=instances.qs, caller=caller)
        page = listing.page(
            messages.qs, instances=instances.qs, narrowing=messages.narrowing, asked=asked, at=timezone.now()
        )
        links, revealed = Links.of(request), revealed_to(caller, page.rows)
        items = [
            representations.message(
                message,
                links=links,
                amount_unit=caller.amount_unit,
                reveals=message.service_instance_id in revealed,
                embed=embed,
            )
            for message in page.rows
        ]
        return Response(paging.envelope(page, items, request=request), headers={"Cache-Control": "no-store"})


def _shown(messages: MessageQuerySet, *, embed: frozenset[str]) -> MessageQuerySet:
    """What the answer shows, in one statement whatever is embedded."""
    if SERVICE_INSTANCE in embed:
        return messages.with_everything()
    return messages.select_related("content", *embed)


def _message(*, pk: int, user: int, at: datetime) -> MessageQuerySet:
    return Message.objects.visible_to(User(pk=user), at=at).with_everything().filter(pk=pk)


_MESSAGE = Prepared(_message)


class MessageDetail(Resource):
    """One message."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": (Scope.MESSAGES_READ,)}

    @extend_schema(
        operation_id="readMessage",
        tags=["messages"],
        summary="Read a message",
        parameters=[path_id()],
        responses={**answers(MessageSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        caller = Caller.of(request)
        message = _MESSAGE.first(pk=pk, user=caller.user.pk, at=timezone.now()) if pk <= filters.MAX_ID else None
        if message is None:
            raise NotFound
        shown = representations.message(
            message,
            links=Links.of(request),
            amount_unit=caller.amount_unit,
            reveals=bool(revealed_to(caller, [message])),
        )
        return Response(shown, headers={"Cache-Control": "no-store"})
