"""The placeholders of a template over REST: list, assign, replace all, take away. Every change is a new version of the text."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final

from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.callers import Caller
from registry.api.permissions import READS_CONFIGURATION, HasScope, Scopes
from registry.models import Scope, User
from rest import filters
from rest.errors import ErrorItem, Location, Text, pointer
from rest.filters import MAX_ID
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read
from templates_app import writing
from templates_app.api import representations
from templates_app.api.owning import require_still_writable, require_writable
from templates_app.api.representations import EMBEDDABLE
from templates_app.api.schema import (
    MAX_USES,
    NewTemplatePlaceholderSerializer,
    NewTemplatePlaceholdersSerializer,
    TemplatePlaceholderSerializer,
    TemplatePlaceholdersSerializer,
)
from templates_app.api.templates import ID, visible
from templates_app.models import Placeholder, Template, TemplatePlaceholder
from templates_app.publishing import TemplateRefused, Use, uses_of
from templates_app.turns import turn

_UNKNOWN: Final = _("Il segnaposto non esiste, o non è visibile a chi lo chiede.")
_ASSIGNED: Final = _("Il modello ha già questo segnaposto.")
_OCCUPIED: Final = _("La posizione è di un altro segnaposto del modello.")

# Use -> pointer and location of what names it in the request.
Culprit = Mapping[Use, tuple[str, Location]]


class TemplatePlaceholders(Resource):
    """All those of one template."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {
        "GET": READS_CONFIGURATION,
        "POST": (Scope.CONFIG_WRITE,),
        "PUT": (Scope.CONFIG_WRITE,),
    }
    has_etag = True

    @extend_schema(
        operation_id="listTemplatePlaceholders",
        tags=["templates"],
        summary="List the placeholders of a template",
        description="By position. Of the newest text, published or not.",
        parameters=[
            ID,
            OpenApiParameter(
                "embed", {"type": "array", "items": {"type": "string", "enum": list(EMBEDDABLE)}}, explode=False
            ),
        ],
        responses={**answers(TemplatePlaceholdersSerializer, 200), **problems(400, 401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        reader = QueryReader(request.query_params)
        embed = filters.words(reader, "embed", known=EMBEDDABLE)
        template = visible(pk, user=Caller.of(request).user)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        return Response(_all_of(template, request, embed=embed))

    @extend_schema(
        operation_id="assignPlaceholder",
        tags=["templates"],
        summary="Assign a placeholder to a template",
        description="The text is published as soon as it has all the placeholders that it names.",
        parameters=[
            ID,
            OpenApiParameter(
                "placeholder_id",
                {"type": "integer", "minimum": 1},
                required=True,
                description="One of the template's organization, or a shared one.",
                examples=[OpenApiExample("The second", value=2)],
            ),
        ],
        request={"application/json": NewTemplatePlaceholderSerializer},
        responses={
            **answers(TemplatePlaceholderSerializer, 201),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[OpenApiExample("An optional one", request_only=True, value={"mandatory": False, "position": 2})],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        require_writable(visible(pk, user=caller.user), user=caller.user, at=at)
        reader = QueryReader(request.query_params)
        placeholder_id = reader.integer("placeholder_id", minimum=1, maximum=MAX_ID, required=True)
        faults = Faults()
        asked = read(NewTemplatePlaceholderSerializer, body_of(request), faults=faults)
        faults.malformed.extend(reader.errors)
        placeholder = None
        if placeholder_id is not None:
            placeholder = _visible_among([placeholder_id], user=caller.user).get(placeholder_id)
            if placeholder is None:
                faults.impossible.append(_on_query("placeholder_unknown", _UNKNOWN))
        faults.check()
        assert placeholder is not None
        new = Use(placeholder, mandatory=asked["mandatory"], position=asked["position"])
        with turn():
            template = _with_text(pk, user=caller.user)
            require_still_writable(template, user=caller.user)
            uses = uses_of(template.newest_version)
            _check_free(uses, new)
            _set(template, [*uses, new], by=caller.user, at=at, culprit={new: ("/placeholder_id", "query")})
        links = Links.of(request)
        made = next(use for use in _uses(template) if use.placeholder_id == placeholder.pk)
        return Response(
            representations.use(made, of=template, links=links),
            status=201,
            headers={"Location": links.to("templates", pk, "placeholders")["href"]},
        )

    @extend_schema(
        operation_id="updateTemplatePlaceholders",
        tags=["templates"],
        summary="Replace the placeholders of a template",
        description=(
            "All of them at once. Without one that the text names, the text becomes a draft, and messages go on with the "
            "version published before."
        ),
        parameters=[ID],
        request={"application/json": NewTemplatePlaceholdersSerializer},
        responses={
            **answers(TemplatePlaceholdersSerializer, 200),
            **problems(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Two, the second optional",
                request_only=True,
                value={
                    "items": [
                        {"placeholder_id": 1, "mandatory": True, "position": 1},
                        {"placeholder_id": 2, "mandatory": False, "position": 2},
                    ]
                },
            )
        ],
    )
    def put(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        require_writable(visible(pk, user=caller.user), user=caller.user, at=at)
        faults = Faults()
        asked = read(NewTemplatePlaceholdersSerializer, body_of(request), faults=faults)
        items = asked.get("items") or []
        uses = _uses_asked(items, user=caller.user, faults=faults)
        faults.check()
        with turn():
            template = _with_text(pk, user=caller.user)
            require_still_writable(template, user=caller.user)
            culprit: Culprit = {
                use: (pointer("items", index, "placeholder_id"), "body") for index, use in enumerate(uses)
            }
            _set(template, uses, by=caller.user, at=at, culprit=culprit)
        return Response(_all_of(template, request))


class TemplatePlaceholderDetail(Resource):
    """One of them."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"DELETE": (Scope.CONFIG_WRITE,)}

    @extend_schema(
        operation_id="removeTemplatePlaceholder",
        tags=["templates"],
        summary="Take a placeholder away from a template",
        description=(
            "Later positions move up by one. If the text names the placeholder, it becomes a draft, and messages go on "
            "with the version published before."
        ),
        parameters=[
            path_id("template_id"),
            path_id("placeholder_id"),
        ],
        responses={
            200: OpenApiResponse(description="Taken away; no body, as in GovIO."),
            **problems(401, 403, 404, 422, 429, 500, 503),
        },
    )
    def delete(self, request: Request, template_id: int, placeholder_id: int) -> HttpResponse:
        caller, at = Caller.of(request), timezone.now()
        require_writable(visible(template_id, user=caller.user), user=caller.user, at=at)
        with turn():
            template = visible(template_id, user=caller.user)
            require_still_writable(template, user=caller.user)
            uses = uses_of(template.newest_version)
            gone = next((use for use in uses if use.placeholder.pk == placeholder_id), None)
            if gone is None:
                raise NotFound
            _set(template, _without(uses, gone), by=caller.user, at=at, culprit={})
        answer = HttpResponse(status=200)
        # There is nothing for it to be the type of.
        del answer["Content-Type"]
        return answer


def _set(template: Template, uses: Sequence[Use], *, by: User, at: datetime, culprit: Culprit) -> None:
    """Raises Problem 422 with what would be wrong with the text, at the use that is to blame where the request names it."""
    try:
        writing.set_uses(template, uses, by=by, at=at)
    except TemplateRefused as refused:
        ordered = sorted(uses, key=lambda use: use.place)
        errors = []
        for finding in refused.findings:
            index = re.match(r"/declarations/([0-9]+)/", finding.pointer)
            place = culprit.get(ordered[int(index[1])]) if index else None
            at_pointer, location = place or ("", None)
            errors.append(ErrorItem(finding.code, at_pointer, finding.detail, location))
        raise Problem(422, code="impossible", errors=errors) from None


def _with_text(pk: int, *, user: User) -> Template:
    template = visible(pk, user=user)
    if template.newest_version is None:
        raise Problem(422, code="template_without_text", detail=_("Il modello non ha ancora un testo: scrivilo prima."))
    return template


def _check_free(uses: Sequence[Use], new: Use) -> None:
    """Raises Problem: 409 for a placeholder or a position already there."""
    errors = []
    if any(use.placeholder.pk == new.placeholder.pk for use in uses):
        errors.append(_on_query("placeholder_assigned", _ASSIGNED))
    if any(use.position == new.position for use in uses):
        errors.append(ErrorItem("position_occupied", "/position", _OCCUPIED))
    if errors:
        raise Problem(409, code="conflict", errors=errors)
    if len(uses) >= MAX_USES:
        detail = _("Al massimo {max_length} segnaposto.")
        raise Problem(422, code="too_many", detail=str(detail).format(max_length=MAX_USES))


def _uses_asked(items: Sequence[Mapping[str, Any]], *, user: User, faults: Faults) -> list[Use]:
    known = _visible_among([item["placeholder_id"] for item in items], user=user)
    ids = Counter(item["placeholder_id"] for item in items)
    positions = Counter(item["position"] for item in items)
    uses = []
    for index, item in enumerate(items):
        placeholder = known.get(item["placeholder_id"])
        if placeholder is None:
            faults.impossible_at("placeholder_unknown", _UNKNOWN, "items", index, "placeholder_id")
        elif ids[placeholder.pk] > 1:
            faults.impossible_at("placeholder_assigned", _ASSIGNED, "items", index, "placeholder_id")
        if positions[item["position"]] > 1:
            faults.impossible_at("position_occupied", _OCCUPIED, "items", index, "position")
        if placeholder is not None:
            uses.append(Use(placeholder, mandatory=item["mandatory"], position=item["position"]))
    return uses


def _visible_among(ids: Iterable[int], *, user: User) -> dict[int, Placeholder]:
    return Placeholder.objects.visible_to(user).in_bulk(list(ids))


def _without(uses: Sequence[Use], gone: Use) -> list[Use]:
    """As in GovIO, later positions move up by one."""
    return [replace(use, position=use.place - (use.place > gone.place)) for use in uses if use is not gone]


def _uses(template: Template) -> Iterable[TemplatePlaceholder]:
    newest = template.newest_version
    return () if newest is None else newest.placeholders.all()


def _all_of(template: Template, request: Request, *, embed: Collection[str] = ()) -> dict[str, Any]:
    links = Links.of(request)
    return {"items": [representations.use(use, of=template, links=links, embed=embed) for use in _uses(template)]}


def _on_query(code: str, detail: Text) -> ErrorItem:
    return ErrorItem(code, "/placeholder_id", detail, "query")
