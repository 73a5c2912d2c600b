"""Lists: limit and offset as GovIO has them, and a cursor where offsets would get slow.

The order always ends with the id, so that no row is shown twice or skipped because of a tie.
"""

import base64
import binascii
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from rest.hal import Links
from rest.query import QueryReader

DEFAULT_LIMIT = 25
MAX_LIMIT = 100
# Beyond these the database would count or skip rows for the pleasure of a number nobody reads.
EXACT_TOTAL = 10_000
MAX_OFFSET = 10_000

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Sort:
    """`field` of the model, or of a row it points at (the id breaks ties), and its direction."""

    field: str
    descending: bool

    def order_by(self) -> tuple[str, ...]:
        sign = "-" if self.descending else ""
        return (f"{sign}{self.field}",) if self.field == "id" else (f"{sign}{self.field}", f"{sign}id")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the previous page ended: its last row's sort value (as the field writes it) and id, and its position."""

    value: Any
    row_id: int
    position: int


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int
    offset: int
    sort: Sort
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row]):
    """`total` is None where it was not counted to the end; then at least `total_at_least` rows exist."""

    asked: PageRequest
    rows: Sequence[_Row]
    has_next: bool
    total: int | None
    total_at_least: int


def read(reader: QueryReader, *, model: type[Model], sorts: Mapping[str, str], descending: bool = True) -> PageRequest:
    """What the request asks for; faults go to `reader.errors`. `sorts` maps the API's names to fields, the first is the default.

    `descending` is the direction where none is asked for. As in GovIO, an offset is rounded down to a multiple of the limit.
    """
    limit = reader.integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
    offset = reader.integer("offset", minimum=0, maximum=MAX_OFFSET) or 0
    first = next(iter(sorts.values()))
    # Where there is one order, GovIO's contract knows no such parameter, and its web application sends one all the same.
    field = reader.choice("sort", choices=sorts, default=first) if len(sorts) > 1 else first
    descending = reader.choice("sort_direction", choices={"desc": True, "asc": False}, default=descending)
    sort = Sort(field, descending=descending)
    text = reader.text("cursor")
    cursor = None
    if text is not None:
        cursor = _decode(text, model=model, sort=sort)
        if cursor is None or offset:
            detail = _(
                "Il cursore vale solo così come si trova nel link «next», con lo stesso ordinamento e senza offset."
            )
            reader.refuse("cursor", code="invalid_cursor", detail=detail)
    return PageRequest(limit, offset - offset % limit, sort, cursor)


class Way(Protocol[_Row]):
    """A quicker way to the same page than the queryset's own, for tables that grow without end."""

    def count(self, queryset: QuerySet[_Row], *, limit: int) -> int:
        """How many rows there are, counted up to the limit."""
        ...

    def rows(self, ordered: QuerySet[_Row], *, asked: PageRequest, total: int | None) -> QuerySet[_Row]:
        """From the offset on, one row more than the limit. `total`, counted to `EXACT_TOTAL` + 1, is None after a cursor."""
        ...


def fetch(queryset: QuerySet[_Row], *, asked: PageRequest, way: Way[_Row] | None = None) -> Page[_Row]:
    """Two statements: the rows (one more than shown, to know whether others follow) and the bounded count."""
    ordered = queryset.order_by(*asked.sort.order_by())
    first, last = asked.offset, asked.offset + asked.limit + 1
    if asked.cursor is not None:
        ordered = ordered.filter(_after(asked.sort, asked.cursor))
        rows = list(way.rows(ordered, asked=asked, total=None) if way else ordered[first:last])
        known = asked.cursor.position + len(rows)
        return Page(asked, rows[: asked.limit], len(rows) > asked.limit, None, known)
    if way is not None:
        total = way.count(queryset, limit=EXACT_TOTAL + 1)
        rows = list(way.rows(ordered, asked=asked, total=total))
    else:
        rows = list(ordered[first:last])
        if 0 < len(rows) <= asked.limit and first + len(rows) <= EXACT_TOTAL:
            # The last page: the count is already known.
            total = first + len(rows)
        else:
            total = queryset.order_by().values("pk")[: EXACT_TOTAL + 1].count()
    shown, has_next = rows[: asked.limit], len(rows) > asked.limit
    return Page(asked, shown, has_next, total if total <= EXACT_TOTAL else None, min(total, EXACT_TOTAL))


def envelope(page: Page[Any], items: Sequence[Any], *, request: Request) -> dict[str, Any]:
    """GovIO's list: `page`, `items`, `_links`."""
    asked = page.asked
    shown: dict[str, int] = {
        "offset": asked.cursor.position if asked.cursor else asked.offset,
        "limit": asked.limit,
    }
    if page.total is not None:
        shown["total"] = page.total
    else:
        shown["total_at_least"] = page.total_at_least
    return {"page": shown, "items": list(items), "_links": _links(page, request)}


def _links(page: Page[Any], request: Request) -> dict[str, dict[str, str]]:
    asked = page.asked
    links = Links.of(request)

    def at(offset: int | None = None, cursor: str | None = None) -> dict[str, str]:
        query = request.query_params.copy()
        query.pop("cursor", None)
        query.pop("offset", None)
        if offset:
            query["offset"] = str(offset)
        if cursor:
            query["cursor"] = cursor
        return links.to_page(request.path, query)

    found = {"self": links.to_page(request.path, request.query_params)}
    if asked.offset or asked.cursor:
        found["first"] = at()
    if asked.offset:
        found["prev"] = at(max(asked.offset - asked.limit, 0))
    if page.has_next:
        following = asked.offset + asked.limit
        by_offset = asked.cursor is None and following <= MAX_OFFSET
        found["next"] = at(following) if by_offset else at(cursor=_encode(page))
        if page.total is not None:
            found["last"] = at((page.total - 1) // asked.limit * asked.limit)
    return found


def _after(sort: Sort, cursor: Cursor) -> Q:
    beyond = "lt" if sort.descending else "gt"
    by_id = Q(**{f"id__{beyond}": cursor.row_id})
    if sort.field == "id":
        return by_id
    # The first condition lets the index on the field start at the right place; the second one settles ties.
    return Q(**{f"{sort.field}__{beyond}e": cursor.value}) & (Q(**{f"{sort.field}__{beyond}": cursor.value}) | by_id)


def _encode(page: Page[Any]) -> str:
    """Opaque to clients, not secret: it gives no right, since every page is filtered by what its reader may see."""
    last, asked = page.rows[-1], page.asked
    position = (asked.cursor.position if asked.cursor else asked.offset) + len(page.rows)
    *steps, name = asked.sort.field.split("__")
    owner = functools.reduce(getattr, steps, last)
    value = owner._meta.get_field(name).value_to_string(owner)
    text = json.dumps([asked.sort.field, asked.sort.descending, str(value), last.pk, position])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _field(model: type[Model], path: str) -> Any:
    """The field at the end of a path through relations, as `template__name`."""
    *steps, name = path.split("__")
    for step in steps:
        model = cast("type[Model]", model._meta.get_field(step).related_model)
    return model._meta.get_field(name)


def _decode(text: str, *, model: type[Model], sort: Sort) -> Cursor | None:
    try:
        padded = text + "=" * (-len(text) % 4)
        content = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
        field, descending, value, row_id, position = content
        if [field, descending] != [sort.field, sort.descending] or not isinstance(value, str):
            return None
        if not all(type(number) is int and 0 <= number < 2**63 for number in (row_id, position)):
            return None
        # Neither can be in a row, and the database takes neither in a question.
        if "\0" in value or value.encode("utf-8", "replace").decode() != value:
            return None
        last = _field(model, field).to_python(value)
        if isinstance(last, datetime):
            if last.tzinfo is None:
                return None
            last = last.astimezone(UTC)
        return Cursor(last, row_id, position)
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError, ValidationError):
        return None
