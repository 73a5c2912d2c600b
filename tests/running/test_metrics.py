"""`/metrics`: who may read it, what it tells, and what it never tells."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from messaging import operating, tallies
from messaging.models import CallTally, IOService, SuspensionReason
from messaging.states import Delivery, Priority, WaitingReason
from registry.models import Lane
from tests import factories
from tests.messaging.lifecycle import the_databases_present

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-the-tests"


@pytest.fixture(autouse=True)
def _token(settings: Any) -> Iterator[None]:
    settings.METRICS_TOKEN = TOKEN
    tallies._forget()
    yield
    tallies._forget()


def scrape(client: Client) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names...) -> value"""
    operating.forget()
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    samples = [
        sample for family in text_string_to_metric_families(answer.content.decode()) for sample in family.samples
    ]
    return {
        (
            sample.name,
            *(f"{name}={sample.labels[name]}" for name in sorted(sample.labels) if name != "name"),
        ): sample.value
        for sample in samples
    }


class TestAccess:
    def test_there_is_no_such_page_without_a_token(self, client: Client, settings: Any) -> None:
        settings.METRICS_TOKEN = ""
        assert client.get("/metrics").status_code == 404
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404

    @pytest.mark.parametrize(
        "shown", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer é", f"Bearer {TOKEN}x"]
    )
    def test_refuses_whoever_does_not_show_it(self, client: Client, shown: str) -> None:
        answer = client.get("/metrics", headers={"Authorization": shown} if shown else {})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
        assert b"govio_" not in answer.content

    def test_a_session_is_no_token(self, client: Client) -> None:
        client.force_login(factories.user(is_staff=True))
        assert client.get("/metrics").status_code == 401

    def test_answers_whoever_shows_it(self, client: Client) -> None:
        answer = client.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"})
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain; version=0.0.4")

    def test_says_when_the_database_is_away(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def away() -> None:
            raise OperationalError

        monkeypatch.setattr(operating, "measured", away)
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 503


class TestContent:
    def test_tells_what_waits_by_priority(self, client: Client) -> None:
        instance = factories.service_instance()
        now = the_databases_present()
        for minutes in (5, 2):
            factories.message(instance=instance, priority=Priority.BULK, not_before=now - timedelta(minutes=minutes))
        factories.message(instance=instance, priority=Priority.BULK, not_before=now + timedelta(days=1))
        factories.message(instance=instance, priority=Priority.INTERACTIVE, waiting_reason=WaitingReason.SET_ASIDE)
        told = scrape(client)
        account = f"io_account={instance.io_service.io_account_id}"
        assert told["govio_queue_messages", account, "priority=bulk", "state=due"] == 2
        assert told["govio_queue_messages", account, "priority=bulk", "state=planned"] == 1
        assert told["govio_queue_messages", account, "priority=interactive", "state=due"] == 0
        assert 300 <= told["govio_queue_oldest_due_seconds", account, "priority=bulk"] < 310
        assert told["govio_queue_oldest_due_seconds", account, "priority=scheduled"] == 0
        assert told["govio_stuck_messages", account, "kind=set_aside"] == 1

    @pytest.mark.parametrize("way", ["disabled", "suspended"])
    def test_tells_apart_what_the_pace_does_not_keep(self, client: Client, way: str) -> None:
        row = factories.message()
        account = f"io_account={row.io_account_id}"
        if way == "disabled":
            row.service_instance.enabled = False
            row.service_instance.save()
        else:
            IOService.objects.update(suspended_at=row.created_at, suspended_reason=SuspensionReason.KEY_REFUSED)
        told = scrape(client)
        assert told["govio_queue_messages", account, "priority=scheduled", "state=held"] == 1
        assert told["govio_queue_messages", account, "priority=scheduled", "state=due"] == 0
        assert told["govio_queue_oldest_due_seconds", account, "priority=scheduled"] == 0
        assert told["govio_suspended_services", account] == (way == "suspended")

    def test_tells_the_pace_of_an_account(self, client: Client) -> None:
        account = factories.io_account(calls_per_second=40)
        now = the_databases_present()
        label = f"io_account={account.pk}"
        told = scrape(client)
        assert (told["govio_rate_granted", label], told["govio_rate_effective", label]) == (40, 40)
        assert told["govio_pause_seconds", label] == 0
        assert told["govio_breaker", label, "position=closed"] == 1
        Lane.objects.update(
            rate_factor=0.5,
            slowed_until=now + timedelta(minutes=5),
            paused_until=now + timedelta(seconds=30),
            opened_at=now,
        )
        told = scrape(client)
        assert told["govio_rate_effective", label] == 20
        assert 20 < told["govio_pause_seconds", label] <= 30
        assert told["govio_breaker", label, "position=open"] == 1
        assert told["govio_breaker", label, "position=closed"] == 0

    def test_tells_doubts_stuck_messages_and_late_news(self, client: Client) -> None:
        instance = factories.service_instance()
        now = the_databases_present()
        factories.message_in(Delivery.UNCERTAIN, instance=instance)
        factories.message_in(Delivery.SENDING, instance=instance, lease_until=now - timedelta(minutes=9))
        factories.message_in(Delivery.SENT, instance=instance)
        factories.message_in(Delivery.ACCEPTED, instance=instance, next_poll_at=now - timedelta(minutes=4))
        told = scrape(client)
        account = f"io_account={instance.io_service.io_account_id}"
        assert told["govio_uncertain_messages", account] == 1
        assert told["govio_stuck_messages", account, "kind=lost"] == 1
        assert told["govio_stuck_messages", account, "kind=silent"] == 1
        assert 240 <= told["govio_poll_lag_seconds", account] < 250

    def test_counts_calls_and_tokens(self, client: Client) -> None:
        account = factories.io_account().pk
        for word in ("accepted", "accepted", "unknown"):
            tallies.count_call(account, "send", word)
        tallies.count_tokens(account, 7)
        tallies.flush()
        told = scrape(client)
        label = f"io_account={account}"
        assert told["govio_io_calls_total", "call=send", label, "outcome=accepted"] == 2
        assert told["govio_io_calls_total", "call=send", label, "outcome=unknown"] == 1
        assert told["govio_tokens_used_total", label] == 7

    def test_tells_the_age_of_the_last_ticks(self, client: Client) -> None:
        factories.io_account()
        assert ("govio_tick_age_seconds", "tick=dispatch") not in scrape(client)
        tallies.note_tick("dispatch")
        assert 0 <= scrape(client)["govio_tick_age_seconds", "tick=dispatch"] < 10


class TestCost:
    def test_asks_as_much_for_many_as_for_one(self, client: Client) -> None:
        factories.message()
        with CaptureQueriesContext(connection) as for_one:
            scrape(client)
        for _ in range(4):
            factories.message()
            factories.message_in(Delivery.UNCERTAIN)
            CallTally.objects.create(io_account=factories.io_account(), call="send", outcome="accepted", count=1)
        with CaptureQueriesContext(connection) as for_many:
            scrape(client)
        assert len(for_many) == len(for_one) == 12

    def test_what_was_measured_is_kept_for_a_while(self, client: Client) -> None:
        client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        with CaptureQueriesContext(connection) as again:
            client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert len(again) == 3

    def test_a_slow_look_is_kept_for_longer(self) -> None:
        looks, now = [], [0.0]

        def slow() -> Any:
            looks.append(now[0])
            now[0] += 4.0
            return operating.Measured(the_databases_present(), (), (), ())

        kept = operating._Kept(slow, clock=lambda: now[0])
        for wait in (0, 150, 60):
            now[0] += wait
            kept.get()
        assert looks == [0, 214]

    def test_series_grow_with_the_accounts_alone(self, client: Client) -> None:
        instance = factories.service_instance()
        factories.message(instance=instance)
        few = len(scrape(client))
        for number in range(30):
            other = factories.service_instance(
                io_service=factories.io_service(io_account=instance.io_service.io_account, of=instance.organization),
                organization=instance.organization,
            )
            factories.message(instance=other, taxcode=f"RSSMRA80A01H{number:03d}U")
        assert len(scrape(client)) == few


def test_nothing_of_a_citizen_a_message_or_a_key_is_told(client: Client) -> None:
    instance = factories.service_instance()
    for state in Delivery:
        factories.message_in(state, instance=instance)
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    for secret in (*factories.messages.CODES, factories.messages.SUBJECT, "key-of-the-tests", "CA000000AA"):
        assert secret not in answer
    labels = {
        name for family in text_string_to_metric_families(answer) for sample in family.samples for name in sample.labels
    }
    assert labels <= {"io_account", "name", "priority", "state", "position", "kind", "call", "outcome", "tick"}
