"""What the lists of templates and of placeholders share: both are searched and ordered by name."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import django_filters  # type: ignore[import-untyped]
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from rest import paging
from rest.filters import FilterSet
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import paging_parameters
from templates_app.models import Placeholder, Template

_Row = TypeVar("_Row", Template, Placeholder)

# What GovIO's contract allows.
_MAX_Q: Final = 255
_SORTS: Final = {"name": "name"}

PARAMETERS: Final = [
    OpenApiParameter(
        "q", {"type": "string", "maxLength": _MAX_Q}, description="Part of the name or of the description, in any case."
    ),
    *paging_parameters(_SORTS),
]


class NamedFilterSet(FilterSet):
    q = django_filters.CharFilter(method="by_q", max_length=_MAX_Q)

    def by_q(self, rows: QuerySet[_Row], name: str, value: str) -> QuerySet[_Row]:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))


def listed(request: Request, rows: QuerySet[_Row], *, show: Callable[[_Row, Links], dict[str, Any]]) -> dict[str, Any]:
    """The page of these rows that the request asks for, in GovIO's envelope. Raises Problem 400."""
    reader = QueryReader(request.query_params)
    asked = paging.read(reader, model=rows.model, sorts=_SORTS)
    filtered = NamedFilterSet(request.query_params, queryset=rows)
    filtered.check(reader)
    if reader.errors:
        raise Problem(400, code="invalid", errors=reader.errors)
    page = paging.fetch(filtered.qs, asked=asked)
    links = Links.of(request)
    return paging.envelope(page, [show(row, links) for row in page.rows], request=request)
