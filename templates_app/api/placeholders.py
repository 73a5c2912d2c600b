"""Placeholders over REST: declare, list, read, change."""

from typing import Any, ClassVar, Final

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.callers import Caller
from registry.api.permissions import READS_CONFIGURATION, HasScope, Scopes
from registry.models import Scope, User
from rest.hal import Links
from rest.patching import PATCH_REQUEST, Patchable, patched
from rest.schema import answers, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read
from templates_app import writing
from templates_app.api import listing, refusing, representations
from templates_app.api.owning import owner_of_new, require_still_owner, require_still_writable, require_writable
from templates_app.api.schema import NewPlaceholderSerializer, PlaceholderListSerializer, PlaceholderSerializer
from templates_app.findings import Severity
from templates_app.linting import check_declaration
from templates_app.models import Placeholder
from templates_app.turns import turn

ID: Final = path_id()
_MEMBERS: Final = ("name", "description", "example", "type", "pattern", "choices", "is_markdown")
_REQUIRED: Final = ("name", "example", "type")


class Placeholders(Resource):
    """The collection."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_CONFIGURATION, "POST": (Scope.CONFIG_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="listPlaceholders",
        tags=["templates"],
        summary="List placeholders",
        description="Those of the organizations where the caller has any role, and the shared ones; by name.",
        parameters=listing.PARAMETERS,
        responses={**answers(PlaceholderListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        visible = Placeholder.objects.visible_to(Caller.of(request).user)
        return Response(
            listing.listed(request, visible, show=lambda row, links: representations.placeholder(row, links=links))
        )

    @extend_schema(
        operation_id="createPlaceholder",
        tags=["templates"],
        summary="Declare a placeholder",
        request={"application/json": NewPlaceholderSerializer},
        responses={
            **answers(PlaceholderSerializer, 201),
            **problems(400, 401, 403, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "A year",
                request_only=True,
                value={"name": "anno", "description": "Anno della tassa", "type": "integer", "example": "2026"},
            ),
            OpenApiExample(
                "A code of a given form",
                request_only=True,
                value={
                    "name": "numero_pratica",
                    "type": "string",
                    "pattern": "[A-Z]{2}-[0-9]{4}",
                    "example": "AB-1234",
                },
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        caller, at = Caller.of(request), timezone.now()
        faults = Faults()
        asked = read(NewPlaceholderSerializer, body_of(request), faults=faults)
        placeholder = Placeholder()
        _set(placeholder, asked, faults=faults)
        if not faults.malformed:
            placeholder.organization_id = owner_of_new(
                asked.get("organization_id"), user=caller.user, at=at, faults=faults
            )
        faults.check()
        with turn():
            require_still_owner(placeholder.organization_id, user=caller.user)
            writing.create_placeholder(placeholder, by=caller.user)
        shown = representations.placeholder(placeholder, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class PlaceholderDetail(Patchable):
    """One placeholder."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_CONFIGURATION, "PATCH": (Scope.CONFIG_WRITE,)}
    has_etag = True

    @extend_schema(
        operation_id="readPlaceholder",
        tags=["templates"],
        summary="Read a placeholder",
        parameters=[ID],
        responses={**answers(PlaceholderSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        placeholder = visible(pk, user=Caller.of(request).user)
        return Response(representations.placeholder(placeholder, links=Links.of(request)))

    @extend_schema(
        operation_id="updatePlaceholder",
        tags=["templates"],
        summary="Change a placeholder",
        description=(
            "JSON Patch. Every template that uses it gets a new version; if one of them would not be valid any more, "
            "nothing changes and the answer names it. `organization_id` cannot change."
        ),
        parameters=[ID],
        request=PATCH_REQUEST,
        responses={
            **answers(PlaceholderSerializer, 200),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Another description",
                request_only=True,
                value=[{"op": "add", "path": "/description", "value": "Numero della carta d'identità elettronica."}],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        require_writable(visible(pk, user=caller.user), user=caller.user, at=at)
        operations = body_of(request)
        with turn():
            placeholder = visible(pk, user=caller.user)
            require_still_writable(placeholder, user=caller.user)
            faults = Faults()
            asked = read(
                NewPlaceholderSerializer,
                patched(_document(placeholder), operations),
                faults=faults,
                unchangeable={"organization_id": placeholder.organization_id},
            )
            _set(placeholder, asked, faults=faults)
            faults.check()
            writing.change_placeholder(placeholder, by=caller.user, at=at)
        return Response(representations.placeholder(placeholder, links=Links.of(request)))


def visible(pk: int, *, user: User) -> Placeholder:
    """Raises NotFound."""
    placeholder = Placeholder.objects.visible_to(user).filter(pk=pk).first()
    if placeholder is None:
        raise NotFound
    return placeholder


def _document(placeholder: Placeholder) -> dict[str, Any]:
    """What a patch is applied to: the members of a new placeholder."""
    return {
        "id": placeholder.pk,
        **{name: getattr(placeholder, name) for name in _MEMBERS},
        "organization_id": placeholder.organization_id,
    }


def _set(placeholder: Placeholder, asked: dict[str, Any], *, faults: Faults) -> None:
    """The members asked for, and what is wrong with them together; nothing while a required one is missing."""
    placeholder.name = asked.get("name", "")
    placeholder.example = asked.get("example", "")
    placeholder.type = asked.get("type", "")
    placeholder.description = asked.get("description") or ""
    placeholder.pattern = asked.get("pattern") or ""
    placeholder.choices = asked.get("choices") or []
    placeholder.is_markdown = asked.get("is_markdown", False)
    if all(asked.get(name) for name in _REQUIRED):
        findings = check_declaration(placeholder.as_declaration(mandatory=True))
        errors = [finding for finding in findings if finding.severity is not Severity.WARNING]
        faults.impossible.extend(refusing.in_declaration(errors))
