"""So many requests a second for each consumer, told in the headers of every answer; beyond them 429, and nothing happens."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import time_machine
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.models import Message
from registry.api.permissions import ANY_SCOPE, Scopes
from registry.models import ConsumerKey, User
from rest import counts, rate_limit
from rest.views import Resource
from tests import factories
from tests.api.integrator import HEADER, Integrator, problem, program_of, valid_body

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIMIT = 3


@pytest.fixture(autouse=True)
def _limited(settings: Any) -> Iterator[None]:
    settings.API_RATE_LIMIT = LIMIT
    rate_limit.forget()
    yield
    rate_limit.forget()


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """Stands still, so that a slow machine changes no second."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


class Cached(Resource):
    """A read worth caching."""

    has_etag = True
    scopes: ClassVar[Scopes] = {"GET": ANY_SCOPE}

    def get(self, request: Request) -> Response:
        return Response({"name": "value"})


def ask_cached(headers: dict[str, str]) -> Any:
    return Cached.as_view()(RequestFactory().get("/", headers=headers)).render()


def told(response: Any) -> tuple[str | None, ...]:
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    return tuple(response.headers.get(name) for name in names)


class TestWithin:
    def test_every_answer_tells_where_the_caller_stands(self, api: Integrator) -> None:
        assert told(api.get("messages")) == ("3", "2", "1")
        assert told(api.post(valid_body())) == ("3", "1", "1")
        assert told(api.get("messages")) == ("3", "0", "1")

    def test_refusals_tell_it_too(self, api: Integrator) -> None:
        for response, status in (
            (api.post("{not json"), 400),
            (api.get("messages/999999"), 404),
            (api.client.delete("/api/v1/messages", headers=api.headers()), 405),
        ):
            assert response.status_code == status
            assert told(response)[0] == "3"

    def test_and_the_answer_that_nothing_changed(self, api: Integrator) -> None:
        headers = {**api.headers(), "If-None-Match": ask_cached(api.headers()).headers["ETag"]}
        again = ask_cached(headers)
        assert again.status_code == 304
        assert told(again) == ("3", "1", "1")

    def test_who_is_unknown_is_told_nothing(self, api: Integrator) -> None:
        api.key = "giop_never-issued"
        assert told(api.get("messages")) == (None, None, None)
        api.key = None
        assert told(api.get("messages")) == (None, None, None)

    def test_the_document_is_nobodys(self, api: Integrator) -> None:
        assert told(api.get("schema")) == (None, None, None)

    def test_both_keys_of_a_consumer_count_as_one(self, api: Integrator) -> None:
        consumer = ConsumerKey.objects.get().consumer
        second = Integrator(factories.consumer_key(consumer), api.instance)
        assert [told(program.get("messages"))[1] for program in (api, second, api)] == ["2", "1", "0"]
        problem(second.get("messages"), 429, "throttled")

    def test_consumers_of_the_same_person_count_apart(self, api: Integrator, sender: User) -> None:
        other = program_of(sender, api.instance)
        assert [told(program.get("messages"))[1] for program in (api, other)] == ["2", "2"]

    def test_in_bulk_a_request_is_one(self, api: Integrator) -> None:
        body = {"items": [{"idempotency_key": f"00000000-0000-4000-8000-00000000000{n}", **valid_body()} for n in "12"]}
        answer = api.client.post(
            f"/api/v1/messages/bulk?service_instance={api.instance.pk}",
            body,
            content_type="application/json",
            headers=api.headers(),
        )
        assert told(answer)[1] == "2"

    def test_without_a_limit_nothing_is_told(self, api: Integrator, settings: Any) -> None:
        settings.API_RATE_LIMIT = 0
        for _ in range(LIMIT + 1):
            response = api.get("messages")
            assert response.status_code == 200
        assert told(response) == (None, None, None)


class TestBeyond:
    def exhaust(self, api: Integrator) -> None:
        for _ in range(LIMIT):
            assert api.get("messages").status_code == 200

    def test_the_answer_says_how_long_to_wait(self, api: Integrator) -> None:
        self.exhaust(api)
        response = api.get("messages")
        body = problem(response, 429, "throttled")
        assert "3 richieste" in body["detail"]
        assert response.headers["Retry-After"] == "1"
        assert told(response) == ("3", "0", "1")

    def test_nothing_is_done_and_the_same_request_is_accepted_later(self, api: Integrator, clock: Any) -> None:
        self.exhaust(api)
        key = "11111111-1111-4111-8111-111111111111"
        problem(api.post(valid_body(), idempotency_key=key), 429, "throttled")
        assert not Message.objects.exists()
        clock.shift(timedelta(seconds=1))
        assert api.post(valid_body(), idempotency_key=key).status_code == 201

    def test_it_comes_before_whatever_is_wrong_with_the_request(self, api: Integrator) -> None:
        self.exhaust(api)
        problem(api.post("{not json"), 429, "throttled")
        problem(api.get("messages", {"limit": "x"}), 429, "throttled")

    def test_a_key_that_is_not_valid_stays_not_valid(self, api: Integrator) -> None:
        self.exhaust(api)
        ConsumerKey.objects.update(revoked_at=NOON)
        problem(api.get("messages"), 401, "key_not_valid")

    def test_the_next_second_begins_anew(self, api: Integrator, clock: Any) -> None:
        self.exhaust(api)
        problem(api.get("messages"), 429)
        clock.shift(timedelta(seconds=1))
        self.exhaust(api)
        problem(api.get("messages"), 429)

    def test_another_consumer_is_served(self, api: Integrator, sender: User) -> None:
        self.exhaust(api)
        assert program_of(sender, api.instance).get("messages").status_code == 200


class TestCosts:
    def statements(self, api: Integrator) -> int:
        with CaptureQueriesContext(connection) as counted:
            api.client.options("/api/v1/messages", headers={HEADER: str(api.key)})
        return len(counted)

    @pytest.mark.redis
    def test_no_statement_where_redis_counts(self, api: Integrator) -> None:
        api.get("messages")
        assert self.statements(api) == 1

    def test_one_statement_in_a_few_where_the_database_counts(self, api: Integrator, settings: Any) -> None:
        settings.REDIS_URL, settings.API_RATE_LIMIT = "", 50
        api.get("messages")
        spent = [self.statements(api) - 1 for _ in range(49)]
        writes = [cost for cost in spent if cost]
        assert len(writes) == 9
        # On SQLite the statement comes with a transaction.
        assert set(writes) <= ({1} if connection.vendor == "postgresql" else {2, 4})
        problem(api.get("messages"), 429, "throttled")


@pytest.mark.redis
class TestWhereRedisCounts:
    def test_another_process_counts_too(self, api: Integrator) -> None:
        for _ in range(LIMIT):
            assert api.get("messages").status_code == 200
            rate_limit.forget()
        problem(api.get("messages"), 429, "throttled")

    def test_while_redis_is_away_each_process_counts_alone(
        self, api: Integrator, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        counts._redis_counts.cache_clear()
        assert [told(api.get("messages"))[1] for _ in range(LIMIT)] == ["2", "1", "0"]
        problem(api.get("messages"), 429, "throttled")
        assert [record.levelname for record in caplog.records if record.name == "rest.counts"] == ["WARNING"]


def test_where_the_database_counts_another_process_counts_too(api: Integrator, settings: Any) -> None:
    settings.REDIS_URL = ""
    for _ in range(LIMIT):
        assert api.get("messages").status_code == 200
        rate_limit.forget()
    problem(api.get("messages"), 429, "throttled")
