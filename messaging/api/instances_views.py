"""The addresses of service instances."""

from typing import ClassVar, cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.api import instances
from messaging.api.instances_schema import (
    NewServiceInstanceSerializer,
    ServiceInstanceListSerializer,
    ServiceInstanceSerializer,
)
from messaging.api.representations import INSTANCE_EMBEDDABLE
from messaging.models import ServiceInstance
from messaging.models.service_instance import ServiceInstanceQuerySet
from registry.api.callers import Caller
from registry.api.permissions import READS_CONFIGURATION, HasScope, Scopes
from registry.models import Scope
from rest import filters, paging
from rest.hal import Links
from rest.patching import PATCH_REQUEST, Patchable
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, paging_parameters, path_id, problems, query_id
from rest.strict_json import body_of
from rest.views import Resource

# GovIO's one order.
SORTS = {"template_name": "template__name"}
ID = path_id()


class ServiceInstances(Resource):
    """The collection."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_CONFIGURATION, "POST": (Scope.CONFIG_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="listServiceInstances",
        tags=["service-instances"],
        summary="List service instances",
        description="Those whose organization and service one grant of the caller covers. Keys at IO are never shown.",
        parameters=[
            query_id("service_id"),
            query_id("organization_id"),
            OpenApiParameter("io_service_id", {"type": "string", "maxLength": 255}, description="Whole."),
            OpenApiParameter("enabled", bool),
            OpenApiParameter(
                "q",
                {"type": "string", "maxLength": 255},
                description="Part of the name of service, template or organization, or of the latter's fiscal code.",
            ),
            *paging_parameters(SORTS),
            OpenApiParameter(
                "embed",
                {"type": "array", "items": {"type": "string", "enum": list(INSTANCE_EMBEDDABLE)}},
                explode=False,
            ),
        ],
        responses={**answers(ServiceInstanceListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=ServiceInstance, sorts=SORTS)
        embed = filters.words(reader, "embed", known=INSTANCE_EMBEDDABLE)
        visible = instances.visible_to(Caller.of(request), at=timezone.now(), embed=embed)
        filterset = instances.ServiceInstanceFilterSet(request.query_params, queryset=visible)
        filterset.check(reader)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page = paging.fetch(cast("ServiceInstanceQuerySet", filterset.qs), asked=asked)
        links = Links.of(request)
        items = [instances.shown(instance, links=links, embed=embed) for instance in page.rows]
        return Response(paging.envelope(page, items, request=request))

    @extend_schema(
        operation_id="createServiceInstance",
        tags=["service-instances"],
        summary="Connect a service to IO",
        description=(
            "Finds or makes the IO service of this id in the organization's IO account. Of one that exists, `apiKey` must "
            "be one of its keys."
        ),
        request={"application/json": NewServiceInstanceSerializer},
        responses={
            **answers(ServiceInstanceSerializer, 201),
            **problems(400, 401, 403, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "A service and one of its keys",
                request_only=True,
                value={
                    "organization_id": 1,
                    "service_id": 1,
                    "template_id": 2,
                    "enabled": True,
                    "io_service_id": "01EXAMPLESERVICE0000000002",
                    "apiKey": "0123456789abcdef0123456789abcdef",
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        instance = instances.make(body_of(request), caller=Caller.of(request), at=timezone.now())
        shown = instances.shown(instance, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class ServiceInstanceDetail(Patchable):
    """One service instance."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_CONFIGURATION, "PATCH": (Scope.CONFIG_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="readServiceInstance",
        tags=["service-instances"],
        summary="Read a service instance",
        parameters=[ID],
        responses={**answers(ServiceInstanceSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        instance = instances.one(pk, caller=Caller.of(request), at=timezone.now())
        return Response(instances.shown(instance, links=Links.of(request)))

    @extend_schema(
        operation_id="updateServiceInstance",
        tags=["service-instances"],
        summary="Change a service instance",
        description=(
            "`enabled`, `io_service_id` and `apiKey` may change. A key that is not stored yet takes the place of the one "
            "not in use, and is the one in use from then on; whoever gives one configures every use of the IO service."
        ),
        parameters=[ID],
        request=PATCH_REQUEST,
        responses={
            **answers(ServiceInstanceSerializer, 200),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Switch off, with a new key",
                request_only=True,
                value=[
                    {"op": "replace", "path": "/enabled", "value": False},
                    {"op": "replace", "path": "/apiKey", "value": "fedcba9876543210fedcba9876543210"},
                ],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        instances.check_changeable(pk, caller=caller, at=at)
        instance = instances.patch(pk, body_of(request), caller=caller, at=at)
        return Response(instances.shown(instance, links=Links.of(request)))
