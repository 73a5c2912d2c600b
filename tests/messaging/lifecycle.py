"""What the tests of the lifecycle look at, and how they do two things at once."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from io_client.client import IOClient
from messaging import engine
from messaging.models import IOService, Message
from messaging.pacing import pacer
from registry.models import Lane

AGO = timedelta(minutes=1)


def fresh(row: Message) -> Message:
    """The message as it is now, with its IO service and its service instance."""
    return Message.objects.select_related("service_instance__io_service", "content").get(pk=row.pk)


def events(row: Message) -> list[str]:
    return list(row.events.values_list("kind", flat=True))


def facts(row: Message) -> dict[str, Any]:
    """What its last event tells."""
    last = row.events.last()
    assert last is not None
    return last.data


def service_of(row: Message) -> IOService:
    return IOService.objects.get(service_instances=row.service_instance_id)


def lane_of(row: Message) -> Lane:
    return Lane.objects.get(pk=row.io_account_id)


def seconds_from_now(moment: datetime | None) -> float:
    """By the database's clock, which decides pauses, leases and polls."""
    assert moment is not None
    return (moment - the_databases_present()).total_seconds()


def the_databases_present() -> datetime:
    account = Lane.objects.annotate(now=Now()).values_list("now", flat=True).first()
    return account if account is not None else datetime.now(UTC)


def make_due(*rows: Message) -> None:
    """Their wait is over: the row changes, not the clock."""
    Message.objects.filter(pk__in=[row.pk for row in rows]).update(not_before=datetime.now(UTC) - AGO)


def with_a_token_in_hand(row: Message) -> None:
    """A new bucket is empty; this waits for the moment until its account may make calls."""
    rate = float(row.io_account.calls_per_second)
    for _ in range(500):
        if pacer().take(row.io_account_id, want=1, rate=rate):
            pacer().give_back(row.io_account_id, count=1)
            return
        time.sleep(0.01)
    raise AssertionError("the account was given no token in five seconds")


def one_call_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with a single connection: of a group that was marked together, all but one wait for their turn."""

    def with_one_connection(base_url: str, **options: Any) -> IOClient:
        return IOClient(base_url, **{**options, "connections": 1})

    monkeypatch.setattr(engine, "IOClient", with_one_connection)


def let_calls_end() -> None:
    """Wait for calls that nobody waits for any more, so that they do not outlive the test."""
    motor = engine.engine()
    for _ in range(500):
        if motor.free() == engine.CONNECTIONS:
            return
        time.sleep(0.01)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run these at the same time, each on a thread and a connection of its own; what each gave, or raised."""
    together = threading.Barrier(len(calls))
    outcomes: list[Any] = [None] * len(calls)

    def run(index: int, call: Callable[[], Any]) -> None:
        try:
            together.wait(10)
            outcomes[index] = call()
        except Exception as error:  # noqa: BLE001  (handed to the test, which says what it expects)
            outcomes[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes
