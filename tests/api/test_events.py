"""The history of a message over the API: whole, the oldest first, and without personal data."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import EventKind, Message, MessageEvent, ServiceInstance
from messaging.moving import record
from messaging.states import Delivery
from registry.models import Role, Scope, User
from rest import schema
from tests import factories
from tests.api.decisions import ROLES, act, program_without
from tests.api.integrator import Integrator, problem, program_of, valid_body
from tests.api.test_schema import check

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@pytest.fixture
def message(instance: ServiceInstance) -> Message:
    return factories.message(instance=instance)


def items(api: Integrator, message: Message, **query: Any) -> list[dict[str, Any]]:
    response = api.get(f"messages/{message.pk}/events", query)
    assert response.status_code == 200, response.content
    return response.json()["items"]


class TestHistory:
    def test_tells_what_happened_in_order(self, api: Integrator, sender: User) -> None:
        made = api.post(valid_body()).json()["id"]
        act(api, made, "cancel", {"reason": "Importo sbagliato"})
        first, second = items(api, Message.objects.get(pk=made))
        assert first["id"] < second["id"]
        assert (first["kind"], first["delivery_state"], first["actor_id"]) == ("composed", "scheduled", sender.pk)
        assert (second["kind"], second["delivery_state"], second["actor_id"]) == ("cancelled", "cancelled", sender.pk)
        assert (first["data"], second["data"]) == ({}, {"reason": "Importo sbagliato"})
        assert second["at"].endswith("Z")

    def test_what_moved_it_nowhere_and_was_nobodys_is_null(self, api: Integrator, message: Message) -> None:
        record([message.pk], kind=EventKind.SUSPENDED, at=AT)
        assert items(api, message) == [
            {
                "id": MessageEvent.objects.get().pk,
                "at": "2026-11-21T09:00:00.000Z",
                "kind": "suspended",
                "delivery_state": None,
                "actor_id": None,
                "data": {},
            }
        ]

    def test_of_another_message_is_not_in_it(self, api: Integrator, message: Message) -> None:
        record([factories.message(instance=api.instance).pk], kind=EventKind.MARKED, at=AT)
        assert items(api, message) == []

    def test_holds_only_facts_that_are_named(self, api: Integrator, message: Message) -> None:
        """A fact that somebody begins to keep does not go out until somebody decides so."""
        data = {"status": 400, "title": "Bad", "io_service": 7, "taxcode": "RSSMRA80A01H501U", "detail": ""}
        record([message.pk], kind=EventKind.REFUSED, at=AT, data=data)
        assert items(api, message)[0]["data"] == {"status": 400, "title": "Bad"}

    def test_is_described_whatever_the_kind(self, api: Integrator, message: Message) -> None:
        for kind in EventKind:
            record([message.pk], kind=kind, at=AT, state=Delivery.SENT, data={"io_id": "01X"})
        document = schema.document()
        answer = api.get(f"messages/{message.pk}/events", {"limit": 100}).json()
        assert len(answer["items"]) == len(EventKind)
        check(document, "EventList", answer)


class TestPages:
    def test_lead_from_one_to_the_next(self, api: Integrator, message: Message) -> None:
        for minute in range(5):
            record([message.pk], kind=EventKind.STATUS, at=AT + timedelta(minutes=minute))
        everything = [event["id"] for event in items(api, message)]
        assert everything == sorted(everything)
        path, found = f"messages/{message.pk}/events?limit=2", []
        while path:
            answer = api.client.get(f"/api/v1/{path}", headers=api.headers()).json()
            found += [event["id"] for event in answer["items"]]
            following = urlsplit(answer["_links"].get("next", {}).get("href", ""))
            path = f"{following.path}?{following.query}".removeprefix("/api/v1/") if following.path else ""
        assert found == everything
        assert answer["page"]["total"] == 5

    def test_may_begin_with_the_latest(self, api: Integrator, message: Message) -> None:
        for kind in (EventKind.MARKED, EventKind.SENT):
            record([message.pk], kind=kind, at=AT)
        assert [event["kind"] for event in items(api, message, sort_direction="desc")] == ["sent", "marked"]

    @pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"cursor": "x"}], ids=str)
    def test_that_cannot_be_are_refused(self, api: Integrator, message: Message, query: dict[str, Any]) -> None:
        problem(api.get(f"messages/{message.pk}/events", query), 400)

    def test_cost_the_same_whatever_there_is(self, api: Integrator, message: Message) -> None:
        api.get(f"messages/{message.pk}/events")
        counts = set()
        for number in (1, 30):
            record([message.pk] * number, kind=EventKind.STATUS, at=AT)
            with CaptureQueriesContext(connection) as counted:
                api.get(f"messages/{message.pk}/events", {"limit": 1})
            counts.add(len(counted))
        assert len(counts) <= 2
        assert max(counts) <= 4


class TestRights:
    @pytest.mark.parametrize("role", ROLES)
    def test_are_of_whoever_sees_the_message(
        self, cast: factories.Cast, instance: ServiceInstance, message: Message, role: str
    ) -> None:
        response = program_of(getattr(cast, role), instance).get(f"messages/{message.pk}/events")
        assert response.status_code == (404 if role == "configurator" else 200)

    def test_of_somebody_else_is_404_as_if_unknown(
        self, cast: factories.Cast, instance: ServiceInstance, message: Message
    ) -> None:
        stranger = program_of(cast.stranger, instance)
        unknown = problem(stranger.get("messages/987654321/events"), 404)
        assert problem(stranger.get(f"messages/{message.pk}/events"), 404) == unknown

    def test_a_grant_split_over_two_enti_gives_none(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        crossed = factories.service_instance(organization=instance.organization, service=elsewhere.service)
        person = factories.user()
        for one in (instance, elsewhere):
            factories.grant(person, Role.VIEWER, organizations=(one.organization,), services=(one.service,))
        hidden = factories.message(instance=crossed)
        problem(program_of(person, instance).get(f"messages/{hidden.pk}/events"), 404)

    def test_the_key_needs_the_scope(self, sender: User, instance: ServiceInstance, message: Message) -> None:
        api = program_without(Scope.MESSAGES_READ, sender, instance)
        problem(api.get(f"messages/{message.pk}/events"), 403, "scope_missing")

    def test_nobody_without_a_key(self, instance: ServiceInstance, message: Message) -> None:
        problem(Integrator(None, instance).get(f"messages/{message.pk}/events"), 401)

    def test_never_stored_by_anybody_on_the_way(self, api: Integrator, message: Message) -> None:
        assert api.get(f"messages/{message.pk}/events")["Cache-Control"] == "no-store"
