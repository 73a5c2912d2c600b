"""Lists of enti and of services: what both have in common, and the filters of each."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import django_filters  # type: ignore[import-untyped]
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from registry.api.callers import Caller
from registry.models import Organization, Role, Service
from registry.roles import FILTER_NAMES, roles_named
from rest import paging
from rest.filters import FilterSet
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader

_Row = TypeVar("_Row", Organization, Service)

# What GovIO's contract allows.
MAX_Q = 255
# Of GovIO, here held by whoever has every role together.
_EVERY_ROLE = "govio_sysadmin"

WITH_ROLES = OpenApiParameter(
    "with_roles",
    {"type": "array", "items": {"type": "string", "maxLength": 255}},
    explode=True,
    description=(
        "Only those on which the caller holds one of these roles, as GovIO names them, in any case; repeated, or "
        "separated by commas. A role that does not exist is held by nobody."
    ),
)


def q_parameter(description: str) -> OpenApiParameter:
    return OpenApiParameter("q", {"type": "string", "maxLength": MAX_Q}, description=description)


class OrganizationFilterSet(FilterSet):
    q = django_filters.CharFilter(method="by_q", max_length=MAX_Q)

    class Meta:
        model = Organization
        fields: tuple[str, ...] = ()

    def by_q(self, rows: QuerySet[Organization], name: str, value: str) -> QuerySet[Organization]:
        return rows.filter(Q(tax_code__contains=value) | Q(legal_name__icontains=value))


class ServiceFilterSet(FilterSet):
    q = django_filters.CharFilter(method="by_q", max_length=MAX_Q)

    class Meta:
        model = Service
        fields: tuple[str, ...] = ()

    def by_q(self, rows: QuerySet[Service], name: str, value: str) -> QuerySet[Service]:
        return rows.filter(Q(service_name__icontains=value) | Q(description__icontains=value))


def roles_asked(request: Request) -> list[frozenset[Role]] | None:
    """The sets of roles of `with_roles`, all of one of which must be held; None where nothing was asked."""
    values = request.query_params.getlist("with_roles")
    names = [name.strip().lower() for value in values for name in value.split(",") if name.strip()]
    if not names:
        return None
    alternatives: list[frozenset[Role]] = []
    for name in sorted(set(names) & set(FILTER_NAMES)):
        roles = roles_named([name])
        alternatives += [roles] if name == _EVERY_ROLE else [frozenset({role}) for role in roles]
    return alternatives


def listed(
    request: Request,
    model: type[_Row],
    *,
    filters: type[FilterSet],
    sorts: Mapping[str, str],
    show: Callable[[_Row, Links], dict[str, Any]],
) -> dict[str, Any]:
    """The page of readable rows that the request asks for, in GovIO's envelope. Raises Problem 400."""
    user, at = Caller.of(request).user, timezone.now()
    reader = QueryReader(request.query_params)
    asked = paging.read(reader, model=model, sorts=sorts)
    rows = model.objects.readable_by(user, at=at)
    held = roles_asked(request)
    if held is not None:
        rows = rows.where_held(user, held, at=at)
    filtered = filters(request.query_params, queryset=rows)
    filtered.check(reader)
    if reader.errors:
        raise Problem(400, code="invalid", errors=reader.errors)
    page = paging.fetch(filtered.qs, asked=asked)
    links = Links.of(request)
    return paging.envelope(page, [show(row, links) for row in page.rows], request=request)
