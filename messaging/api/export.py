"""All messages that one may see, in the order in which they were stored: for a copy that is kept up to date."""

import base64
import binascii
import re
from typing import Any, ClassVar, Final

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from messaging import exporting
from messaging.api import representations
from messaging.api.filters import InstanceFilterSet, MessageFilterSet
from messaging.api.recipients import check_search, revealed_to
from messaging.api.schema import MessageSerializer
from messaging.api.views import FILTERS
from messaging.models import Message, ServiceInstance
from registry.api.callers import Caller
from registry.api.permissions import HasScope, Scopes
from registry.models import Scope
from registry.permissions import Action
from rest.filters import MAX_ID
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import LinkSerializer, answers, problems
from rest.views import Resource

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# Opaque to clients, not secret: it gives no right, and stays good whatever the filters.
_CURSOR: Final = re.compile(r"after:(0|[1-9][0-9]{0,18})", re.ASCII)


class ExportLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    next = LinkSerializer(required=False)


_FIELDS: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "items": MessageSerializer(many=True),
    "next_cursor": serializers.CharField(help_text="Where to go on: now if `has_more`, else whenever you like."),
    "has_more": serializers.BooleanField(help_text="Whether others can be read at once."),
    "_links": ExportLinksSerializer(label="_links"),
}
ExportSerializer = type(inline_serializer("MessageExport", _FIELDS))


class Export(Resource):
    """Messages by the thousand, the oldest first."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": (Scope.MESSAGES_READ,)}

    @extend_schema(
        operation_id="exportMessages",
        tags=["messages"],
        summary="Export messages",
        description=(
            "The messages that you may see, in the order in which they were stored, each as it is now and once. Go on "
            "with `next_cursor` while `has_more`; the last one stays good, and later gives what was stored since. "
            "What is being stored at this moment may be held back for a minute, so that nothing is ever missed."
        ),
        parameters=[
            OpenApiParameter("cursor", str, description="Opaque; only as found in `next_cursor`."),
            OpenApiParameter(
                "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
            ),
            *FILTERS,
        ],
        responses={**answers(ExportSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        caller = Caller.of(request)
        reader = QueryReader(request.query_params)
        limit = reader.integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
        after = _after(reader)
        visible = ServiceInstance.objects.open_to(caller.user, Action.SEE_MESSAGES)
        instances = InstanceFilterSet(request.query_params, queryset=visible)
        messages = MessageFilterSet(request.query_params, queryset=Message.objects.select_related("content"))
        for filterset in (instances, messages):
            filterset.check(reader)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        check_search(request.query_params, instances=instances.qs, caller=caller)
        batch = exporting.read_on(messages.qs, instances=instances.qs, after=after, limit=limit)
        cursor = _cursor(batch.rows[-1].pk if batch.rows else after)
        links, revealed = Links.of(request), revealed_to(caller, batch.rows)
        return Response(
            {
                "items": [
                    representations.message(
                        message,
                        links=links,
                        amount_unit=caller.amount_unit,
                        reveals=message.service_instance_id in revealed,
                        embed=(),
                    )
                    for message in batch.rows
                ],
                "next_cursor": cursor,
                "has_more": batch.has_more,
                "_links": _links(request, links=links, following=cursor if batch.has_more else None),
            }
        )


def _links(request: Request, *, links: Links, following: str | None) -> dict[str, dict[str, str]]:
    found = {"self": links.to_page(request.path, request.query_params)}
    if following is not None:
        query = request.query_params.copy()
        query["cursor"] = following
        found["next"] = links.to_page(request.path, query)
    return found


def _cursor(after: int) -> str:
    return base64.urlsafe_b64encode(f"after:{after}".encode()).decode().rstrip("=")


def _after(reader: QueryReader) -> int:
    """The id to go on after; 0 from the beginning, or where the cursor is not one (which the reader then knows)."""
    text = reader.text("cursor")
    if text is None:
        return 0
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        found = _CURSOR.fullmatch(base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii"))
    except (ValueError, binascii.Error):
        found = None
    if found is None or int(found[1]) > MAX_ID:
        detail = _("Il cursore vale solo così come si trova in next_cursor.")
        reader.refuse("cursor", code="invalid_cursor", detail=detail)
        return 0
    return int(found[1])
