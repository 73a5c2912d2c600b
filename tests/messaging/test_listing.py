"""Pages of messages: whatever the way, the same rows as the plain question has, in the same order."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging import listing
from messaging.listing import Narrowing
from messaging.models import Message, ServiceInstance
from messaging.states import LISTED_BY_STATE, Delivery
from rest import paging
from rest.paging import Cursor, Page, PageRequest, Sort
from tests import factories

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
STATES = [Delivery.SCHEDULED, Delivery.PROCESSED, Delivery.BAD_REQUEST, Delivery.UNCERTAIN]


@pytest.fixture
def instances() -> list[ServiceInstance]:
    """Three of ours and one of somebody else, with messages of several states, dates and people in turn."""
    ways = [factories.service_instance() for _ in range(4)]
    for number in range(48):
        factories.message_in(
            STATES[number // 4 % len(STATES)],
            instance=ways[number % 4],
            scheduled_at=NOW - timedelta(days=number * 7 % 20),
            expedition_date=NOW - timedelta(days=number * 5 % 20),
            taxcode=factories.messages.CODES[number % 3],
        )
    return ways


def page(
    ways: list[ServiceInstance],
    messages: Any = None,
    *,
    sort: str = "id",
    descending: bool = True,
    limit: int = 5,
    offset: int = 0,
    cursor: Cursor | None = None,
    **narrowing: Any,
) -> Page[Message]:
    return listing.page(
        Message.objects.all() if messages is None else messages,
        instances=ServiceInstance.objects.filter(pk__in=[way.pk for way in ways[:3]]),
        narrowing=Narrowing(**narrowing),
        asked=PageRequest(limit, offset, Sort(sort, descending=descending), cursor),
        at=NOW,
    )


def plain(
    ways: list[ServiceInstance],
    messages: Any = None,
    *,
    sort: str = "id",
    descending: bool = True,
    limit: int = 5,
    offset: int = 0,
    cursor: Cursor | None = None,
    **narrowing: Any,
) -> Page[Message]:
    messages = Message.objects.all() if messages is None else messages
    mine = messages.filter(service_instance__in=ways[:3])
    return paging.fetch(mine, asked=PageRequest(limit, offset, Sort(sort, descending=descending), cursor))


@pytest.fixture(params=["few", "many", "many, without streams"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What counts as many is a matter of thousands; here of three."""
    if request.param != "few":
        monkeypatch.setattr(listing, "EXACT_TOTAL", 3)
    if request.param == "many, without streams":
        monkeypatch.setattr(listing, "_MOST_READ", 0)
        monkeypatch.setattr(listing, "_MOST_LOOKED_AT", 0)
    return str(request.param)


ORDERS: list[dict[str, Any]] = [
    {"sort": sort, "descending": descending} for sort in ("id", "scheduled_at") for descending in (True, False)
]
NARROWED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"delivery_state__in": [Delivery.BAD_REQUEST]}, {"states": (Delivery.BAD_REQUEST,)}),
    (
        {"delivery_state__in": [Delivery.BAD_REQUEST, Delivery.UNCERTAIN]},
        {
            "states": (
                Delivery.BAD_REQUEST,
                Delivery.UNCERTAIN,
            )
        },
    ),
    ({"delivery_state__in": [Delivery.PROCESSED]}, {"states": (Delivery.PROCESSED,)}),
    ({"delivery_state__in": []}, {"states": ()}),
    ({"taxcode": factories.messages.CODES[0]}, {"by_recipient": True}),
    ({"taxcode__startswith": "VRD"}, {"by_recipient": True}),
    ({"scheduled_at__gte": NOW - timedelta(days=9)}, {"by_date": True}),
    (
        {"scheduled_at__lte": NOW - timedelta(days=3)},
        {"by_date": True, "until": NOW - timedelta(days=3)},
    ),
    (
        {"delivery_state__in": [Delivery.SCHEDULED], "expedition_date__lte": NOW + timedelta(days=1)},
        {"states": (Delivery.SCHEDULED,), "by_date": True, "until": NOW + timedelta(days=1)},
    ),
]


class TestPage:
    @pytest.mark.parametrize(("filters", "narrowing"), NARROWED, ids=str)
    def test_is_that_of_the_plain_question(
        self, instances: list[ServiceInstance], size: str, filters: dict[str, Any], narrowing: dict[str, Any]
    ) -> None:
        rows = Message.objects.filter(**filters)
        for order, offset in itertools.product(ORDERS, (0, 5, 10, 30, 50)):
            got = page(instances, rows, offset=offset, **order, **narrowing)
            expected = plain(instances, rows, offset=offset, **order)
            assert [row.pk for row in got.rows] == [row.pk for row in expected.rows], (order, offset)
            assert (got.has_next, got.total) == (expected.has_next, expected.total)

    @pytest.mark.parametrize("order", ORDERS, ids=str)
    def test_goes_on_after_a_cursor(self, instances: list[ServiceInstance], size: str, order: dict[str, Any]) -> None:
        seen: list[int] = []
        cursor = None
        while True:
            got = page(instances, cursor=cursor, limit=7, **order)
            seen += [row.pk for row in got.rows]
            if not got.has_next:
                break
            last = got.rows[-1]
            cursor = Cursor(getattr(last, order["sort"]), last.pk, len(seen))
        assert seen == [row.pk for row in plain(instances, limit=100, **order).rows]
        assert len(seen) == 36

    def test_loads_what_is_shown_at_once(self, instances: list[ServiceInstance], size: str) -> None:
        with CaptureQueriesContext(connection) as counted:
            got = page(instances, Message.objects.with_everything())
            assert all(row.content.subject and row.service_instance.organization.legal_name for row in got.rows)
        assert len(counted) == 3

    def test_of_nobody_is_empty(self, instances: list[ServiceInstance], size: str) -> None:
        got = page([])
        assert (list(got.rows), got.total, got.has_next) == ([], 0, False)


def test_states_that_a_message_passes_through_have_no_index_to_pay() -> None:
    assert {Delivery.RECIPIENT_ALLOWED, Delivery.SENDING} & LISTED_BY_STATE == set()
