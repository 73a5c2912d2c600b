"""Services over REST: list, read, enter in the register, change."""

from typing import Any, ClassVar

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api import representations
from registry.api.callers import Caller
from registry.api.organizations_filters import WITH_ROLES, ServiceFilterSet, listed, q_parameter
from registry.api.organizations_rights import editor_of, locked, require_editor, require_staff
from registry.api.permissions import READS_REGISTRY, HasScope, Scopes
from registry.api.schema import ServiceSerializer
from registry.api.services_schema import NewServiceSerializer, ServiceListSerializer
from registry.models import Scope, Service
from registry.registering import change, register
from rest.hal import Links
from rest.patching import MEDIA_TYPE, PATCH_REQUEST, Patchable, patched
from rest.schema import answers, paging_parameters, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

SORTS = {"id": "id", "service_name": "service_name", "unsorted": "id"}
ID = path_id()


class Services(Resource):
    """The register."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_REGISTRY, "POST": (Scope.ADMIN_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="listServices",
        tags=["services"],
        summary="List services",
        description="Those named by any live authorization of the caller; all of them to platform staff.",
        parameters=[
            q_parameter("Part of the name or of the description, in any case."),
            WITH_ROLES,
            *paging_parameters(SORTS),
        ],
        responses={**answers(ServiceListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        page = listed(
            request,
            Service,
            filters=ServiceFilterSet,
            sorts=SORTS,
            show=lambda service, links: representations.service(service, links=links),
        )
        return Response(page)

    @extend_schema(
        operation_id="createService",
        tags=["services"],
        summary="Enter a service in the register",
        description="Platform staff only.",
        request={"application/json": NewServiceSerializer},
        responses={**answers(ServiceSerializer, 201), **problems(400, 401, 403, 409, 413, 415, 429, 500, 503)},
        examples=[
            OpenApiExample(
                "A service",
                request_only=True,
                value={"service_name": "Mensa scolastica", "description": "Iscrizioni, menù e pagamenti della mensa."},
            )
        ],
    )
    def post(self, request: Request) -> Response:
        caller = Caller.of(request)
        require_staff(caller.user, _("I servizi li aggiunge solo il personale della piattaforma."))
        faults = Faults()
        members = read(NewServiceSerializer, body_of(request), faults=faults)
        faults.check()
        service = Service(**_values(members))
        register(service, by=caller.user)
        shown = representations.service(service, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class ServiceDetail(Patchable):
    """One service."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_REGISTRY, "PATCH": (Scope.ADMIN_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="readService",
        tags=["services"],
        summary="Read a service",
        parameters=[ID],
        responses={**answers(ServiceSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        service = Service.objects.readable_by(Caller.of(request).user, at=timezone.now()).filter(pk=pk).first()
        if service is None:
            raise NotFound
        return Response(representations.service(service, links=Links.of(request)))

    @extend_schema(
        operation_id="updateService",
        tags=["services"],
        summary="Change a service",
        description="JSON Patch. Platform staff only: a service is shared by the organizations that use it.",
        parameters=[ID],
        request=PATCH_REQUEST,
        responses={**answers(ServiceSerializer, 200), **problems(400, 401, 403, 404, 409, 413, 415, 429, 500, 503)},
        examples=[
            OpenApiExample(
                "Another description",
                request_only=True,
                media_type=MEDIA_TYPE,
                value=[{"op": "replace", "path": "/description", "value": "Iscrizioni e pagamenti della mensa."}],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        service = Service.objects.readable_by(caller.user, at=at).filter(pk=pk).first()
        if service is None:
            raise NotFound
        require_editor(caller.user, service, at=at)
        operations = body_of(request)
        with transaction.atomic():
            service = locked(service)
            editor = editor_of(service, caller.user)
            document = {"service_name": service.service_name, "description": service.description or None}
            faults = Faults()
            members = read(NewServiceSerializer, patched(document, operations), faults=faults)
            faults.check()
            change(service, _values(members), by=editor)
        return Response(representations.service(service, links=Links.of(request)))


def _values(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value or "" for name, value in members.items()}
