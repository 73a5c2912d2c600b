"""The addresses of IO services."""

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api import io_services
from messaging.api.instances_views import ID
from messaging.api.io_services_schema import (
    ActiveKeySerializer,
    IOServiceListSerializer,
    IOServiceSerializer,
    NewKeySerializer,
)
from messaging.models import ActiveKey, IOService
from registry.api.callers import Caller
from registry.api.permissions import HasScope, Scopes
from registry.models import Scope
from rest import paging
from rest.hal import Links
from rest.patching import PATCH_REQUEST, Patchable
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, paging_parameters, problems, query_id
from rest.strict_json import body_of
from rest.views import Resource

SORTS = {"id": "id"}
READING = (Scope.CONFIG_READ, Scope.CONFIG_WRITE)
WRITING = (Scope.CONFIG_WRITE,)


class IOServices(Resource):
    """The collection. New ones are made by connecting service instances to them."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READING}

    @extend_schema(
        operation_id="listIOServices",
        tags=["service-instances"],
        summary="List IO services",
        description="Those of which the caller configures some use. Keys are never shown.",
        parameters=[
            query_id("organization_id"),
            OpenApiParameter("io_service_id", {"type": "string", "maxLength": 255}, description="Whole."),
            OpenApiParameter("suspended", bool),
            *paging_parameters(SORTS),
        ],
        responses={**answers(IOServiceListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=IOService, sorts=SORTS)
        filterset = io_services.IOServiceFilterSet(
            request.query_params, queryset=io_services.visible_to(Caller.of(request))
        )
        filterset.check(reader)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page: paging.Page[IOService] = paging.fetch(filterset.qs, asked=asked)
        links = Links.of(request)
        items = [io_services.shown(io_service, links=links) for io_service in page.rows]
        return Response(paging.envelope(page, items, request=request))


def _answer(request: Request, pk: int) -> Response:
    """As it is now."""
    io_service = io_services.one(pk, caller=Caller.of(request))
    return Response(io_services.shown(io_service, links=Links.of(request)))


class IOServiceDetail(Patchable):
    """One IO service."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READING, "PATCH": WRITING}

    @extend_schema(
        operation_id="readIOService",
        tags=["service-instances"],
        summary="Read an IO service",
        parameters=[ID],
        responses={**answers(IOServiceSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return _answer(request, pk)

    @extend_schema(
        operation_id="updateIOService",
        tags=["service-instances"],
        summary="Change the settings of an IO service",
        description="`payment_cap_cents`, `require_secure_channels` and `test_taxcode` may change.",
        parameters=[ID],
        request=PATCH_REQUEST,
        responses={
            **answers(IOServiceSerializer, 200),
            **problems(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "At most 500 euro",
                request_only=True,
                value=[{"op": "replace", "path": "/payment_cap_cents", "value": 50000}],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller = Caller.of(request)
        io_services.check_changeable(pk, caller=caller)
        io_services.patch(pk, body_of(request), caller=caller, links=Links.of(request))
        return _answer(request, pk)


class IOServiceKey(Resource):
    """One of the two places for a key: it takes one, and has nothing to show."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"PUT": WRITING}

    @extend_schema(
        operation_id="storeIOServiceKey",
        tags=["service-instances"],
        summary="Store a key",
        description=(
            "In place of the one that was there. To change keys without a stop, store the one not in use, then "
            "`POST …/active-key`."
        ),
        parameters=[
            ID,
            OpenApiParameter("slot", str, enum=ActiveKey.values, location=OpenApiParameter.PATH),
        ],
        request={"application/json": NewKeySerializer},
        responses={204: None, **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)},
        examples=[OpenApiExample("A new key", request_only=True, value={"key": "0123456789abcdef0123456789abcdef"})],
    )
    def put(self, request: Request, pk: int, slot: str) -> Response:
        caller = Caller.of(request)
        io_services.check_changeable(pk, caller=caller)
        if slot not in ActiveKey.values:
            raise NotFound
        io_services.put_key(pk, ActiveKey(slot), body_of(request), caller=caller)
        return Response(status=204)


class IOServiceActiveKey(Resource):
    """Which of the two keys is in use."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"POST": WRITING}

    @extend_schema(
        operation_id="switchIOServiceKey",
        tags=["service-instances"],
        summary="Pass to the other key",
        description="It counts from the next message on. Asking for the one in use already changes nothing.",
        parameters=[ID],
        request={"application/json": ActiveKeySerializer},
        responses={
            **answers(IOServiceSerializer, 200),
            **problems(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
        },
        examples=[OpenApiExample("The primary one", request_only=True, value={"active_key": "primary"})],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller = Caller.of(request)
        io_services.check_changeable(pk, caller=caller)
        io_services.switch(pk, body_of(request), caller=caller)
        return _answer(request, pk)


class IOServiceResume(Resource):
    """Sending again after a suspension."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"POST": WRITING}

    @extend_schema(
        operation_id="resumeIOService",
        tags=["service-instances"],
        summary="Resume sending",
        description="After mending what suspended it. One message at a time leaves until IO takes one, then all of them.",
        parameters=[ID],
        request=None,
        responses={**answers(IOServiceSerializer, 200), **problems(401, 403, 404, 409, 429, 500, 503)},
    )
    def post(self, request: Request, pk: int) -> Response:
        io_services.resume(pk, caller=Caller.of(request), at=timezone.now())
        return _answer(request, pk)
