"""Whoever shows wrong keys from one address is stopped for the rest of the minute; neighbours with good keys are not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.api import authentication
from registry.models import Consumer, ConsumerKey
from rest import counts
from rest.models import RequestCount
from tests.api.integrator import HEADER, Integrator, problem

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIMIT = 3
HERE, THERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def _guarded(settings: Any) -> Iterator[None]:
    settings.GUESS_LIMIT = LIMIT
    authentication.door.forget()
    yield
    authentication.door.forget()


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.redis)], autouse=True)
def _kept(request: pytest.FixtureRequest, settings: Any) -> None:
    if request.param == "database":
        settings.REDIS_URL = ""


def show(api: Integrator, key: str | None, *, peer: str = HERE, forwarded: str | None = None) -> Any:
    headers = {HEADER: key} if key else {}
    extra: dict[str, Any] = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return api.client.get("/api/v1/messages", headers=headers, REMOTE_ADDR=peer, **extra)


def guess(api: Integrator, times: int = LIMIT, **where: Any) -> None:
    for number in range(times):
        problem(show(api, f"giop_guess-{number}", **where), 401, "key_not_valid")


class TestStops:
    def test_after_so_many_failures_in_a_minute(self, api: Integrator) -> None:
        guess(api)
        response = show(api, "giop_one-more")
        problem(response, 429, "too_many_failures")
        assert response.headers["Retry-After"] == "60"

    def test_a_program_that_repeats_one_old_key(self, api: Integrator) -> None:
        for _ in range(LIMIT):
            problem(show(api, "giop_old"), 401)
        problem(show(api, "giop_old"), 429)

    def test_before_anything_is_looked_up(self, api: Integrator) -> None:
        guess(api)
        show(api, "giop_one-more")
        with CaptureQueriesContext(connection) as counted:
            problem(show(api, "giop_and-another"), 429)
        assert len(counted) == 0

    def test_even_the_right_guess(self, api: Integrator) -> None:
        guess(api)
        problem(show(api, api.key), 429, "too_many_failures")

    def test_in_every_header(self, api: Integrator) -> None:
        guess(api)
        for header in ("Bearer giop_x", "Basic eDpnaW9wX3g="):
            response = api.client.get("/api/v1/messages", headers={"Authorization": header}, REMOTE_ADDR=HERE)
            problem(response, 429, "too_many_failures")

    def test_in_every_process(self, api: Integrator) -> None:
        guess(api)
        authentication.door.forget()
        problem(show(api, "giop_one-more"), 429)

    def test_a_whole_ipv6_network(self, api: Integrator) -> None:
        guess(api, peer="2001:db8::1")
        problem(show(api, "giop_one-more", peer="2001:db8::ffff:2"), 429)
        problem(show(api, "giop_one-more", peer="2001:db8:0:1::1"), 401)

    def test_until_the_minute_ends(self, api: Integrator, clock: Any) -> None:
        guess(api)
        clock.shift(timedelta(seconds=59))
        response = show(api, api.key)
        problem(response, 429)
        assert response.headers["Retry-After"] == "1"
        clock.shift(timedelta(seconds=1))
        assert show(api, api.key).status_code == 200


class TestDoesNotStop:
    def test_another_address(self, api: Integrator) -> None:
        guess(api)
        assert show(api, api.key, peer=THERE).status_code == 200
        problem(show(api, "giop_x", peer=THERE), 401)

    def test_a_key_that_worked_from_there_before(self, api: Integrator) -> None:
        assert show(api, api.key).status_code == 200
        guess(api)
        problem(show(api, "giop_one-more"), 429)
        assert show(api, api.key).status_code == 200

    def test_a_request_without_a_key(self, api: Integrator) -> None:
        guess(api)
        for _ in range(LIMIT + 1):
            problem(show(api, None), 401, "not_authenticated")

    def test_whoever_sends_what_cannot_be_read(self, api: Integrator) -> None:
        for _ in range(LIMIT + 1):
            response = api.client.get("/api/v1/messages", headers={"Authorization": "Digest x"}, REMOTE_ADDR=HERE)
            problem(response, 401, "scheme_not_supported")

    def test_anybody_where_there_is_no_bound(self, api: Integrator, settings: Any) -> None:
        settings.GUESS_LIMIT = 0
        guess(api, LIMIT * 3)
        assert show(api, api.key).status_code == 200


class TestAKeyThatWorkedBefore:
    def test_is_refused_all_the_same_once_it_is_revoked(self, api: Integrator) -> None:
        assert show(api, api.key).status_code == 200
        ConsumerKey.objects.update(revoked_at=NOON)
        guess(api)
        problem(show(api, api.key), 401, "key_not_valid")
        # From now on it is a wrong key like any other.
        problem(show(api, api.key), 429, "too_many_failures")

    def test_works_again_when_its_consumer_is_enabled_again(self, api: Integrator) -> None:
        Consumer.objects.update(is_active=False)
        problem(show(api, api.key), 401)
        Consumer.objects.update(is_active=True)
        assert show(api, api.key).status_code == 200

    def test_costs_one_statement(self, api: Integrator) -> None:
        show(api, api.key)
        with CaptureQueriesContext(connection) as counted:
            api.client.options("/api/v1/messages", headers={HEADER: str(api.key)}, REMOTE_ADDR=HERE)
        assert len(counted) == 1


class TestTheAddress:
    def test_cannot_be_chosen_by_the_client(self, api: Integrator) -> None:
        for number in range(LIMIT):
            problem(show(api, f"giop_{number}", forwarded=f"10.9.9.{number}"), 401)
        problem(show(api, "giop_x", forwarded="10.9.9.99"), 429)

    def test_cannot_be_chosen_behind_a_proxy_either(self, api: Integrator, settings: Any) -> None:
        settings.TRUST_PROXY = True
        for number in range(LIMIT):
            problem(show(api, f"giop_{number}", peer="10.0.0.1", forwarded=f"10.9.9.{number}, {HERE}"), 401)
        problem(show(api, "giop_x", peer="10.0.0.1", forwarded=f"10.9.9.99, {HERE}"), 429)

    def test_is_the_clients_behind_a_proxy(self, api: Integrator, settings: Any) -> None:
        settings.TRUST_PROXY = True
        guess(api, peer="10.0.0.1", forwarded=HERE)
        problem(show(api, "giop_x", peer="10.0.0.1", forwarded=HERE), 429)
        assert show(api, api.key, peer="10.0.0.1", forwarded=THERE).status_code == 200

    def test_is_stored_nowhere(self, api: Integrator, settings: Any) -> None:
        settings.REDIS_URL = ""
        guess(api)
        assert RequestCount.objects.get().count == LIMIT
        assert HERE not in RequestCount.objects.get().name


def test_a_counter_that_is_away_stops_nobody(api: Integrator, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    counts._redis_counts.cache_clear()
    guess(api, LIMIT * 2)
    assert show(api, api.key).status_code == 200
