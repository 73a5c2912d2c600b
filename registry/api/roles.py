"""The roles that there are, in a list like any other."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api import people_representations as representations
from registry.api.people_access import READS_PEOPLE
from registry.api.people_schema import RoleListSerializer
from registry.api.permissions import HasScope, Scopes
from registry.roles import ROLES
from rest import paging
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, problems
from rest.views import Resource

# By id, the only order there is.
_SORT = paging.Sort("id", descending=False)


class Roles(Resource):
    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE}

    @extend_schema(
        operation_id="listRoles",
        tags=["people"],
        summary="List roles",
        parameters=[
            OpenApiParameter(
                "limit", {"type": "integer", "minimum": 1, "maximum": paging.MAX_LIMIT, "default": paging.DEFAULT_LIMIT}
            ),
            OpenApiParameter("offset", {"type": "integer", "minimum": 0, "maximum": paging.MAX_OFFSET, "default": 0}),
        ],
        responses={**answers(RoleListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        reader = QueryReader(request.query_params)
        limit = reader.integer("limit", minimum=1, maximum=paging.MAX_LIMIT) or paging.DEFAULT_LIMIT
        offset = reader.integer("offset", minimum=0, maximum=paging.MAX_OFFSET) or 0
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        asked = paging.PageRequest(limit, offset - offset % limit, _SORT)
        rows = ROLES[asked.offset : asked.offset + limit]
        page: paging.Page[Any] = paging.Page(asked, rows, asked.offset + limit < len(ROLES), len(ROLES), len(ROLES))
        items = [representations.role(known) for known in rows]
        return Response(paging.envelope(page, items, request=request))
