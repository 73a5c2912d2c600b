"""Enti over REST: list, read, enter in the register, change."""

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
from registry.api.organizations_filters import WITH_ROLES, OrganizationFilterSet, listed, q_parameter
from registry.api.organizations_rights import deny, editor_of, locked, require_editor, require_staff
from registry.api.organizations_schema import NewOrganizationSerializer, OrganizationListSerializer
from registry.api.permissions import READS_REGISTRY, HasScope, Scopes
from registry.api.representations import OFFICE
from registry.api.schema import OrganizationSerializer
from registry.models import Organization, Scope
from registry.permissions import Action, can
from registry.registering import change, register
from rest.hal import Links
from rest.patching import MEDIA_TYPE, PATCH_REQUEST, Patchable, patched
from rest.schema import answers, paging_parameters, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

SORTS = {"id": "id", "legal_name": "legal_name", "unsorted": "id"}
# Whose they are is public; changing them makes the ente another one.
_IDENTITY = ("tax_code", "legal_name")

ID = path_id()


class Organizations(Resource):
    """The register."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_REGISTRY, "POST": (Scope.ADMIN_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="listOrganizations",
        tags=["organizations"],
        summary="List organizations",
        description="Those named by any live authorization of the caller; all of them to platform staff.",
        parameters=[
            q_parameter("Part of the fiscal code or of the name, in any case."),
            WITH_ROLES,
            *paging_parameters(SORTS),
        ],
        responses={**answers(OrganizationListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        page = listed(
            request,
            Organization,
            filters=OrganizationFilterSet,
            sorts=SORTS,
            show=lambda ente, links: representations.organization(ente, links=links),
        )
        return Response(page)

    @extend_schema(
        operation_id="createOrganization",
        tags=["organizations"],
        summary="Enter an organization in the register",
        description="Platform staff only.",
        request={"application/json": NewOrganizationSerializer},
        responses={**answers(OrganizationSerializer, 201), **problems(400, 401, 403, 409, 413, 415, 429, 500, 503)},
        examples=[
            OpenApiExample(
                "A municipality",
                request_only=True,
                value={
                    "tax_code": "01234567899",
                    "legal_name": "Comune di Montechiaro",
                    "office_address": "Piazza Grande 1",
                    "office_zip": "00000",
                    "office_municipality": "Montechiaro",
                    "office_province": "MC",
                    "office_phone_number": "0124 581247",
                    "office_email_address": "protocollo@comune.montechiaro.example.it",
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        caller = Caller.of(request)
        require_staff(caller.user, _("Gli enti li aggiunge solo il personale della piattaforma."))
        faults = Faults()
        members = read(NewOrganizationSerializer, body_of(request), faults=faults)
        faults.check()
        ente = Organization(**_values(members))
        register(ente, by=caller.user)
        shown = representations.organization(ente, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class OrganizationDetail(Patchable):
    """One ente."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_REGISTRY, "PATCH": (Scope.ADMIN_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="readOrganization",
        tags=["organizations"],
        summary="Read an organization",
        parameters=[ID],
        responses={**answers(OrganizationSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        ente = Organization.objects.readable_by(Caller.of(request).user, at=timezone.now()).filter(pk=pk).first()
        if ente is None:
            raise NotFound
        return Response(representations.organization(ente, links=Links.of(request)))

    @extend_schema(
        operation_id="updateOrganization",
        tags=["organizations"],
        summary="Change an organization",
        description=(
            "JSON Patch. Platform staff change everything; whoever configures or administers every service of the "
            "organization changes its office members."
        ),
        parameters=[ID],
        request=PATCH_REQUEST,
        responses={
            **answers(OrganizationSerializer, 200),
            **problems(400, 401, 403, 404, 409, 413, 415, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Another telephone number, no second line of the address",
                request_only=True,
                media_type=MEDIA_TYPE,
                value=[
                    {"op": "replace", "path": "/office_phone_number", "value": "+39 0124 581248"},
                    {"op": "remove", "path": "/office_address_details"},
                ],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        ente = Organization.objects.readable_by(caller.user, at=at).filter(pk=pk).first()
        if ente is None:
            raise NotFound
        require_editor(caller.user, ente, at=at)
        operations = body_of(request)
        with transaction.atomic():
            # As it is now: what somebody else changed a moment ago stays, and a right taken away meanwhile is not used.
            ente = locked(ente)
            editor = editor_of(ente, caller.user)
            before = _document(ente)
            after = patched(before, operations)
            if not can(editor, Action.RUN_PLATFORM):
                _check_identity(before, after)
            faults = Faults()
            members = read(NewOrganizationSerializer, after, faults=faults)
            faults.check()
            change(ente, _values(members), by=editor)
        return Response(representations.organization(ente, links=Links.of(request)))


def _document(ente: Organization) -> dict[str, Any]:
    """What a patch is applied to: the members of a new ente."""
    return {name: getattr(ente, name) or None for name in (*_IDENTITY, *OFFICE)}


def _values(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value or "" for name, value in members.items()}


def _check_identity(before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = [name for name in _IDENTITY if before[name] != after.get(name)]
    if changed:
        deny(_("Codice fiscale e denominazione li cambia solo il personale della piattaforma."), *changed)
