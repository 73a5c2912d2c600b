"""Lists: GovIO's envelope, bounded counts, and a cursor beyond the offsets."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request

from registry.models import Service
from rest import paging
from rest.query import QueryReader

SORTS = {"id": "id", "service_name": "service_name"}


def ask(query: str = "") -> tuple[paging.PageRequest, QueryReader]:
    reader = QueryReader(QueryDict(query))
    return paging.read(reader, model=Service, sorts=SORTS), reader


def show(query: str = "") -> dict[str, Any]:
    asked, reader = ask(query)
    assert not reader.errors
    page = paging.fetch(Service.objects.all(), asked=asked)
    request = Request(RequestFactory().get(f"/api/v1/services?{query}"))
    return paging.envelope(page, [row.pk for row in page.rows], request=request)


def query_of(shown: dict[str, Any], link: str) -> str:
    href: str = shown["_links"][link]["href"]
    return urlsplit(href).query


@pytest.fixture
def services(db: None) -> list[int]:
    Service.objects.bulk_create(Service(service_name=f"Servizio {number:03}") for number in range(60))
    return list(Service.objects.order_by("-id").values_list("pk", flat=True))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds made small, so that sixty rows are many."""
    monkeypatch.setattr(paging, "EXACT_TOTAL", 40)
    monkeypatch.setattr(paging, "MAX_OFFSET", 20)


class TestRead:
    def test_defaults_to_25_newest_first(self) -> None:
        asked, _reader = ask()
        assert (asked.limit, asked.offset, asked.sort) == (25, 0, paging.Sort("id", descending=True))

    def test_rounds_the_offset_down_to_a_multiple_of_the_limit(self) -> None:
        assert ask("limit=10&offset=29")[0].offset == 20
        assert ask("offset=1")[0].offset == 0

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=10001", "sort=taxcode", "sort_direction=up"]
    )
    def test_refuses_what_is_out_of_range(self, query: str) -> None:
        _asked, reader = ask(query)
        assert [error.pointer for error in reader.errors] == ["/" + query.partition("=")[0]]

    def test_ignores_a_sort_where_there_is_one_order(self) -> None:
        """GovIO's contract has no such parameter there, and its web application sends one all the same."""
        reader = QueryReader(QueryDict("sort=name&sort_direction=asc"))
        asked = paging.read(reader, model=Service, sorts={"service_name": "service_name"})
        assert (asked.sort, reader.errors) == (paging.Sort("service_name", descending=False), [])

    @pytest.mark.parametrize(
        "cursor", ["x", "%00", "é", "W10", "bnVsbA", "WzEsMiwzLDQsNV0", "W1tbW1tbW1tb", "A" * 5000, "====", "W10==="]
    )
    def test_refuses_a_cursor_that_is_not_ours(self, cursor: str) -> None:
        _asked, reader = ask(f"cursor={cursor}")
        assert [error.code for error in reader.errors] == ["invalid_cursor"]

    @pytest.mark.parametrize("value", ["\0", "Anagrafe\0", "\ud800", "\udfff Anagrafe"])
    def test_refuses_a_cursor_with_what_the_database_does_not_take(self, value: str) -> None:
        content = json.dumps(["service_name", True, value, 1, 1])
        cursor = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
        _asked, reader = ask(f"cursor={cursor}&sort=service_name")
        assert [error.code for error in reader.errors] == ["invalid_cursor"]


class TestEnvelope:
    def test_of_the_first_page(self, services: list[int]) -> None:
        shown = show()
        assert shown["page"] == {"offset": 0, "limit": 25, "total": 60}
        assert shown["items"] == services[:25]
        assert set(shown["_links"]) == {"self", "next", "last"}
        assert shown["_links"]["next"] == {"href": "http://testserver/api/v1/services?offset=25"}
        assert query_of(shown, "last") == "offset=50"

    def test_of_a_middle_page_keeps_the_other_parameters(self, services: list[int]) -> None:
        shown = show("limit=20&offset=20&q=a+b")
        assert shown["items"] == services[20:40]
        assert {name: query_of(shown, name) for name in ("first", "prev", "next", "last")} == {
            "first": "limit=20&q=a+b",
            "prev": "limit=20&q=a+b",
            "next": "limit=20&q=a+b&offset=40",
            "last": "limit=20&q=a+b&offset=40",
        }

    def test_of_the_last_page(self, services: list[int]) -> None:
        shown = show("offset=50")
        assert shown["page"]["total"] == 60
        assert len(shown["items"]) == 10
        assert set(shown["_links"]) == {"self", "first", "prev"}

    def test_of_nothing(self, db: None) -> None:
        shown = show()
        assert (shown["page"], shown["items"]) == ({"offset": 0, "limit": 25, "total": 0}, [])
        assert set(shown["_links"]) == {"self"}

    def test_beyond_the_end(self, services: list[int]) -> None:
        shown = show("offset=1000")
        assert (shown["page"]["total"], shown["items"]) == (60, [])

    def test_costs_two_statements_at_most(self, services: list[int]) -> None:
        with CaptureQueriesContext(connection) as counted:
            show()
        assert len(counted) == 2


class TestOrder:
    def test_breaks_ties_by_id(self) -> None:
        assert paging.Sort("service_name", descending=True).order_by() == ("-service_name", "-id")
        assert paging.Sort("service_name", descending=False).order_by() == ("service_name", "id")

    def test_follows_the_direction_asked(self, services: list[int]) -> None:
        assert show("sort=service_name&sort_direction=asc")["items"] == sorted(services)[:25]


@pytest.mark.usefixtures("narrow")
class TestBeyondTheBounds:
    def test_total_is_left_out_beside_a_minimum(self, services: list[int]) -> None:
        assert show()["page"] == {"offset": 0, "limit": 25, "total_at_least": 40}
        assert "last" not in show()["_links"]

    def test_total_is_exact_up_to_the_bound(self, services: list[int]) -> None:
        Service.objects.filter(pk__in=services[:20]).delete()
        assert show()["page"]["total"] == 40

    @pytest.mark.parametrize("sort", ["sort=id", "sort=service_name", "sort=service_name&sort_direction=asc"])
    def test_next_links_walk_through_every_row_once(self, services: list[int], sort: str) -> None:
        seen: list[int] = []
        query, pages = f"limit=7&{sort}", 0
        while query:
            shown = show(query)
            assert shown["page"]["offset"] == len(seen)
            seen += shown["items"]
            pages += 1
            query = query_of(shown, "next") if "next" in shown["_links"] else ""
        assert pages == 9
        assert sorted(seen, reverse=True) == services
        assert "cursor" not in parse_qs(query_of(show(f"limit=7&{sort}"), "next"))

    def test_cursor_is_not_moved_by_new_rows(self, services: list[int]) -> None:
        onward = query_of(show("limit=20&offset=20"), "next")
        assert "cursor=" in onward
        Service.objects.create(service_name="Nuovo")
        assert show(onward)["items"] == services[40:]

    def test_cursor_holds_only_with_its_own_order_and_no_offset(self, services: list[int]) -> None:
        cursor = parse_qs(query_of(show("limit=20&offset=20"), "next"))["cursor"][0]
        for query in (
            f"cursor={cursor}&sort=service_name",
            f"cursor={cursor}&sort_direction=asc",
            f"cursor={cursor}&offset=5",
        ):
            _asked, reader = ask(query)
            assert [error.code for error in reader.errors] == ["invalid_cursor"], query
