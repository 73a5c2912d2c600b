"""Whether the process lives, whether it can serve, and whether anybody sends."""

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django.test import Client

from govio_portal import health
from messaging.models import Heartbeat
from messaging.operating import TICKS
from tests import factories
from tests.messaging.lifecycle import the_databases_present

pytestmark = pytest.mark.django_db


def ticked(seconds_ago: float, *names: str) -> None:
    factories.io_account()
    for name in names or TICKS:
        Heartbeat.objects.update_or_create(
            name=name, defaults={"at": the_databases_present() - timedelta(seconds=seconds_ago)}
        )


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any) -> Any:
        raise OperationalError("no route to the server at 10.0.0.1")

    monkeypatch.setattr(health, "connection", type("Away", (), {"cursor": away})())


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    def away(*args: Any) -> Any:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(redis.Redis, "ping", away)


class TestLivez:
    def test_asks_nobody(self, client: Client, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert client.get("/livez").json() == {"status": "ok"}


class TestReadyz:
    def test_tells_how_old_the_ticks_are(self, client: Client) -> None:
        ticked(3)
        answer = client.get("/readyz")
        assert answer.status_code == 200
        body = answer.json()
        assert (body["status"], body["failing"], body["degraded"]) == ("ok", [], [])
        assert set(body["ticks"]) == {"dispatch", "poll", "sweep"}
        assert all(3 <= age < 10 for age in body["ticks"].values())

    def test_stays_ready_when_only_the_workers_are_dead(self, client: Client) -> None:
        ticked(3)
        ticked(300, "dispatch")
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["degraded"]) == ("degraded", ["dispatch"])

    def test_says_so_where_no_worker_ever_ran(self, client: Client) -> None:
        body = client.get("/readyz").json()
        assert body["ticks"] == {"dispatch": None, "poll": None, "sweep": None}
        assert body["degraded"] == ["dispatch", "poll", "sweep"]

    @pytest.mark.usefixtures("no_database")
    def test_fails_naming_the_database(self, client: Client) -> None:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["database"]
        assert b"10.0.0.1" not in answer.content

    @pytest.mark.usefixtures("no_redis")
    def test_fails_naming_redis(self, client: Client) -> None:
        ticked(3)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["failing"]) == (503, ["redis"])

    def test_is_kept_by_no_cache(self, client: Client) -> None:
        assert "no-store" in client.get("/readyz")["Cache-Control"]


class TestWorkers:
    def test_are_fine_while_they_tick(self, client: Client) -> None:
        ticked(3)
        assert client.get("/readyz/workers").status_code == 200

    @pytest.mark.parametrize("name", TICKS)
    def test_fail_when_one_tick_is_older_than_a_minute(self, client: Client, name: str) -> None:
        ticked(3)
        ticked(61, name)
        answer = client.get("/readyz/workers")
        assert (answer.status_code, answer.json()["status"]) == (503, "failing")
        assert answer.json()["degraded"] == [name]

    def test_fail_when_none_ever_ran(self, client: Client) -> None:
        assert client.get("/readyz/workers").status_code == 503

    @pytest.mark.usefixtures("no_database")
    def test_are_not_blamed_for_the_database(self, client: Client) -> None:
        body = client.get("/readyz/workers").json()
        assert (body["failing"], body["degraded"]) == (["database"], [])
