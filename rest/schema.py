"""The OpenAPI 3.1 document: how it is made, how it is served, and the parts that every resource shares."""

import functools
import json
from collections.abc import Mapping
from typing import Any, cast

import yaml
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_examples_list
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request

from rest.hal import Links
from rest.paging import MAX_LIMIT, MAX_OFFSET
from rest.problems import MEDIA_TYPE
from rest.views import Resource

HAL = "application/hal+json"
JSON = "application/json"
OPENAPI = "application/vnd.oai.openapi"


class LinkSerializer(serializers.Serializer[Any]):
    href = serializers.URLField()


class PageSerializer(serializers.Serializer[Any]):
    offset = serializers.IntegerField(min_value=0, help_text="Position of the first item, a multiple of the limit.")
    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT)
    total = serializers.IntegerField(min_value=0, required=False, help_text="Exact; left out beyond 10,000.")
    total_at_least = serializers.IntegerField(min_value=0, required=False, help_text="Only where `total` is left out.")


class PageLinksSerializer(serializers.Serializer[Any]):
    self = LinkSerializer()
    first = LinkSerializer(required=False)
    prev = LinkSerializer(required=False)
    next = LinkSerializer(required=False)
    last = LinkSerializer(required=False)


class ErrorItemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable; programs decide by this.")
    pointer = serializers.CharField(allow_blank=True, help_text="JSON Pointer (RFC 6901) to the culprit, or empty.")
    detail = serializers.CharField(help_text="What is wrong and its cure, in the language asked for.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `in` is a word of Python, so it cannot be declared like the others.
        where = serializers.ChoiceField(
            ["body", "query", "path", "header"], required=False, help_text="What it points into."
        )
        return {**super().get_fields(), "in": where}


class ProblemSerializer(serializers.Serializer[Any]):
    type = serializers.URLField(help_text="Where the meaning of the status is defined.")
    title = serializers.CharField()
    status = serializers.IntegerField(min_value=400, max_value=599)
    detail = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `errors` means something else on a serializer, so it cannot be declared like the others.
        return {**super().get_fields(), "errors": ErrorItemSerializer(many=True)}


_PROBLEMS = {
    400: "Malformed: JSON, types, required fields, patterns and bounds; every fault is listed.",
    401: "No valid key.",
    403: "Visible, but the key's scopes or its user's grants do not allow this.",
    404: "Unknown, or not visible to the caller.",
    405: "Method not allowed here.",
    409: "In conflict with what there is: the key was used for another request, a value is taken, the state moved on.",
    413: "Body too large.",
    415: "The body is not `application/json` in UTF-8.",
    422: "Well-formed, but impossible: unknown service instance, missing placeholder, amount above the cap...",
    429: "Too many requests; wait for the seconds in `Retry-After`.",
    500: "Unexpected; `detail` has a code to quote.",
    503: "Temporarily unavailable; repeat the same request after `Retry-After` seconds.",
}


class Operation(AutoSchema):
    """How an operation is told. Examples of requests are shown as they are written, since the tests send them so.

    The library would drop those of a body that is not `application/json`, and put a list around those that are lists.
    """

    def _get_examples(
        self, serializer: Any, direction: str, media_type: str, status_code: str | None = None, extras: Any = None
    ) -> Any:
        if direction != "request":
            return super()._get_examples(serializer, direction, media_type, status_code, extras)  # type: ignore[no-untyped-call]
        is_json = "json" in media_type
        shown = [
            example
            for example in self.get_examples()
            if example.request_only and (example.media_type == media_type or (not example.media_type and is_json))
        ]
        return build_examples_list(shown)

    def _unwrap_list_serializer(self, serializer: Any, direction: Any) -> Any:
        """With the bounds of the list, which the library leaves out."""
        made = super()._unwrap_list_serializer(serializer, direction)
        if not isinstance(serializer, serializers.ListSerializer):
            return made
        # What the types of the library do not know of.
        bounds = {"minItems": vars(serializer)["min_length"], "maxItems": vars(serializer)["max_length"]}
        return made and {**made, **{name: bound for name, bound in bounds.items() if bound is not None}}


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The `responses` entries for these refusals, for `extend_schema`."""
    return {
        (status, MEDIA_TYPE): OpenApiResponse(ProblemSerializer, description=_PROBLEMS[status]) for status in statuses
    }


def answers(serializer: type[serializers.Serializer[Any]], *statuses: int, description: str = "") -> dict[Any, Any]:
    """The `responses` entries for a success, in the two media types we answer with."""
    return {
        (status, media_type): OpenApiResponse(serializer, description=description)
        for status in statuses
        for media_type in (HAL, JSON)
    }


def list_of(item: type[serializers.Serializer[Any]], *, name: str) -> type[serializers.Serializer[Any]]:
    """The envelope of a list of `item`, as a component called `name`."""
    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        "page": PageSerializer(),
        "items": item(many=True),
        "_links": PageLinksSerializer(label="_links"),
    }
    return type(inline_serializer(name, fields))


def path_id(name: str = "id") -> OpenApiParameter:
    """The id of a row in the address."""
    return OpenApiParameter(name, {"type": "integer", "minimum": 1}, location=OpenApiParameter.PATH)


def query_id(name: str) -> OpenApiParameter:
    """The id by which a list is narrowed; nothing has 0, and GovIO's contract lets one ask for it (`rest.filters.IdField`)."""
    return OpenApiParameter(name, {"type": "integer", "minimum": 0})


def paging_parameters(sorts: Mapping[str, str], *, direction: str = "desc") -> list[OpenApiParameter]:
    """What `rest.paging.read` takes; `direction` is the default one."""
    return [
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 25}),
        OpenApiParameter(
            "offset",
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
            description="Rounded down to a multiple of the limit. Beyond the maximum, follow the `next` link.",
        ),
        OpenApiParameter("cursor", str, description="Opaque; only as found in a `next` link."),
        OpenApiParameter("sort", str, enum=list(sorts), default=next(iter(sorts))),
        OpenApiParameter("sort_direction", str, enum=["asc", "desc"], default=direction),
    ]


def without_enum_ids(result: Any, generator: Any, request: Any, public: bool) -> Any:  # noqa: FBT001 (the hook's signature)
    """Takes out the marks that drf-spectacular leaves for a hook of its own, which we do not use."""
    match result:
        case dict():
            return {
                name: without_enum_ids(value, generator, request, public)
                for name, value in result.items()
                if name != "x-spec-enum-id"
            }
        case list():
            return [without_enum_ids(value, generator, request, public) for value in result]
    return result


@functools.cache
def document() -> dict[str, Any]:
    """The document, made once per process: it depends on the code alone."""
    return cast("dict[str, Any]", SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]


@functools.cache
def _yaml() -> str:
    """The document but its servers, which are of the request: writing YAML takes so long that anybody could keep us busy."""
    return as_yaml({name: value for name, value in document().items() if name != "servers"})


class SchemaView(Resource):
    """The document, for anybody: JSON, or YAML with `?format=yaml` or an Accept that names it. Server address as seen by the caller."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        summary="This document",
        tags=["system"],
        operation_id="getSchema",
        auth=[],
        parameters=[OpenApiParameter("format", str, enum=["json", "yaml"], default="json")],
        responses={
            (200, f"{OPENAPI}+json"): OpenApiTypes.OBJECT,
            (200, OPENAPI): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        servers = {"servers": [{"url": Links.of(request).base}]}
        if _wants_yaml(request):
            return HttpResponse(_yaml() + as_yaml(servers), content_type=f"{OPENAPI};version=3.1;charset=utf-8")
        served = json.dumps({**document(), **servers}, ensure_ascii=False)
        return HttpResponse(served, content_type=f"{OPENAPI}+json;version=3.1")


def _wants_yaml(request: Request) -> bool:
    asked = request.query_params.get("format", "")
    accept = request.headers.get("Accept", "").lower()
    return asked == "yaml" or (not asked and "json" not in accept and (OPENAPI in accept or "yaml" in accept))


def as_yaml(content: Mapping[str, Any]) -> str:
    """As committed in docs/openapi.yaml."""
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)
