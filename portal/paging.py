"""Keyset paging: a page is found by the id it starts after, so that the ten-thousandth costs what the first does."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import models

PAGE_SIZE = 50
# Counts stop here: "oltre 10.000".
COUNTED = 10_000

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows from the newest down. `newer` and `older` are ids for the neighbouring pages, None where there is none."""

    rows: tuple[Row, ...]
    newer: int | None
    older: int | None


def page_of(queryset: models.QuerySet[Row], *, before: int | None = None, after: int | None = None) -> Page[Row]:
    """The page just older than `before`, or just newer than `after`, or the first; one query."""
    if after is not None:
        ahead = list(queryset.filter(pk__gt=after).order_by("pk")[: PAGE_SIZE + 1])
        rows = tuple(reversed(ahead[:PAGE_SIZE]))
        newer = rows[0].pk if len(ahead) > PAGE_SIZE else None
        older = rows[-1].pk if rows else after + 1
        return Page(rows, newer, older)
    behind = queryset if before is None else queryset.filter(pk__lt=before)
    found = list(behind.order_by("-pk")[: PAGE_SIZE + 1])
    rows = tuple(found[:PAGE_SIZE])
    newer = None if before is None else (rows[0].pk if rows else before - 1)
    older = rows[-1].pk if len(found) > PAGE_SIZE else None
    return Page(rows, newer, older)


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows, exact up to the bound."""

    number: int
    is_at_least: bool


def total_of(queryset: models.QuerySet[Any]) -> Total:
    found = queryset.order_by()[: COUNTED + 1].count()
    return Total(min(found, COUNTED), found > COUNTED)
