"""Whether the portal answers to this caller: GovIO's way of asking it with a key. Probes ask `/livez` and `/readyz`."""

import json
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from registry.api.permissions import HasScope
from rest.problems import MEDIA_TYPE
from rest.schema import problems
from rest.views import Resource

_TYPE = "https://www.rfc-editor.org/rfc/rfc9110.html#name-200-ok"


class StatusSerializer(serializers.Serializer[Any]):
    """A problem that is none, as GovIO's contract has it."""

    type = serializers.URLField()
    title = serializers.CharField()
    status = serializers.ChoiceField([200])
    detail = serializers.CharField()


class Status(Resource):
    permission_classes = (HasScope,)
    # Any key will do.
    scopes: dict[str, Any] = {}

    @extend_schema(
        operation_id="status",
        tags=["system"],
        summary="Whether the portal answers",
        description="200 where the key was looked up and found; 503 where the database is away.",
        responses={
            (200, MEDIA_TYPE): OpenApiResponse(StatusSerializer, description="It does."),
            **problems(401, 403, 429, 500, 503),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        # The database has just told who asks: were it away, the answer would be a 503 already.
        body = {"type": _TYPE, "title": "OK", "status": 200, "detail": str(_("Il portale risponde."))}
        return HttpResponse(json.dumps(body, ensure_ascii=False), content_type=MEDIA_TYPE)
