"""Exporting messages: all that one may see, each once, in the order in which they were stored, and later the rest."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from messaging.models import Message, ServiceInstance
from messaging.states import Delivery
from registry.models import Role, Scope, User
from rest import schema
from tests import factories
from tests.api.decisions import ROLES, program_without
from tests.api.integrator import Integrator, pointers, problem, program_of, valid_body
from tests.api.test_schema import check


def exported(api: Integrator, **query: Any) -> dict[str, Any]:
    response = api.get("messages/export", query)
    assert response.status_code == 200, response.content
    return response.json()


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["id"] for item in answer["items"]]


def rows(instance: ServiceInstance, count: int, **fields: Any) -> list[int]:
    return [factories.message(instance=instance, **fields).pk for _ in range(count)]


class TestOrder:
    def test_is_the_one_in_which_they_were_stored(self, api: Integrator, instance: ServiceInstance) -> None:
        stored = rows(instance, 3)
        answer = exported(api)
        assert ids(answer) == stored
        assert answer["has_more"] is False
        assert set(answer) == {"items", "next_cursor", "has_more", "_links"}

    def test_goes_on_from_page_to_page_and_meets_each_once(self, api: Integrator, instance: ServiceInstance) -> None:
        stored, found, cursor, more = rows(instance, 7), list[int](), None, True
        while more:
            answer = exported(api, limit=3, **({"cursor": cursor} if cursor else {}))
            found += ids(answer)
            cursor, more = answer["next_cursor"], answer["has_more"]
        assert found == stored

    def test_the_next_link_is_there_as_long_as_there_is_more(self, api: Integrator, instance: ServiceInstance) -> None:
        rows(instance, 3)
        answer = exported(api, limit=2, status="scheduled")
        following = urlsplit(answer["_links"]["next"]["href"])
        assert parse_qs(following.query) == {
            "limit": ["2"],
            "status": ["scheduled"],
            "cursor": [answer["next_cursor"]],
        }
        last = api.client.get(f"{following.path}?{following.query}", headers=api.headers()).json()
        assert set(last["_links"]) == {"self"}

    def test_a_page_that_is_just_full_is_the_last(self, api: Integrator, instance: ServiceInstance) -> None:
        rows(instance, 2)
        assert exported(api, limit=2)["has_more"] is False


class TestLater:
    def test_the_last_cursor_gives_what_was_stored_since(self, api: Integrator, instance: ServiceInstance) -> None:
        rows(instance, 2)
        cursor = exported(api)["next_cursor"]
        assert ids(exported(api, cursor=cursor)) == []
        assert exported(api, cursor=cursor)["next_cursor"] == cursor
        made = api.post(valid_body()).json()["id"]
        assert ids(exported(api, cursor=cursor)) == [made]

    def test_there_is_a_cursor_even_before_the_first_message(self, api: Integrator, instance: ServiceInstance) -> None:
        answer = exported(api)
        assert (answer["items"], answer["has_more"]) == ([], False)
        stored = rows(instance, 1)
        assert ids(exported(api, cursor=answer["next_cursor"])) == stored

    def test_messages_are_as_they_are_now(self, api: Integrator, instance: ServiceInstance) -> None:
        rows(instance, 1)
        Message.objects.update(delivery_state=Delivery.PROCESSED)
        assert exported(api)["items"][0]["status"] == "processed"


class TestItems:
    def test_are_those_of_the_list_with_nothing_embedded(self, api: Integrator, instance: ServiceInstance) -> None:
        rows(instance, 2)
        listed = api.get("messages", {"sort_direction": "asc"}).json()["items"]
        assert exported(api)["items"] == listed
        assert "_embedded" not in listed[0]

    def test_of_what_retention_deleted_have_nulls(self, api: Integrator, instance: ServiceInstance) -> None:
        factories.message(instance=instance).content.delete()
        assert exported(api)["items"][0]["subject"] is None

    def test_are_as_the_document_says(self, api: Integrator, instance: ServiceInstance) -> None:
        for state in Delivery:
            factories.message_in(state, instance=instance)
        document = schema.document()
        check(document, "MessageExport", exported(api, limit=5))
        check(document, "MessageExport", exported(api, limit=1000))


class TestFilters:
    @pytest.mark.parametrize(
        "query",
        [
            {"status": "processed"},
            {"status": "PROCESSED"},
            {"tax_code": "VRDLGU75"},
            {"scheduled_expedition_date_from": "2030-01-01T00:00:00Z"},
        ],
        ids=str,
    )
    def test_are_those_of_the_list(self, api: Integrator, instance: ServiceInstance, query: dict[str, str]) -> None:
        rows(instance, 2)
        wanted = factories.message_in(
            Delivery.PROCESSED,
            instance=instance,
            taxcode="VRDLGU75B02F205A",
            scheduled_at=timezone.now() + timedelta(days=3000),
        )
        assert ids(exported(api, **query)) == [wanted.pk] == ids(api.get("messages", query).json())

    def test_by_ente_and_service(self, api: Integrator, sender: User, instance: ServiceInstance) -> None:
        other = factories.service_instance()
        factories.grant(sender, Role.VIEWER, organizations=(other.organization,), services=(other.service,))
        [mine], [others] = rows(instance, 1), rows(other, 1)
        assert ids(exported(api)) == [mine, others]
        assert ids(exported(api, organization_id=other.organization_id)) == [others]
        assert ids(exported(api, service_id=instance.service_id)) == [mine]
        assert ids(exported(api, organization_q=other.organization.legal_name)) == [others]
        assert ids(exported(api, service_q=other.service.service_name)) == [others]

    def test_are_refused_with_all_their_faults_at_once(self, api: Integrator) -> None:
        response = api.get("messages/export", {"limit": "x", "cursor": "?", "status": "lost"})
        assert pointers(problem(response, 400)) == ["/limit", "/cursor", "/status"]

    @pytest.mark.parametrize("limit", ["0", "-1", "1001", "1.5", "x"])
    def test_a_page_has_from_one_to_a_thousand(self, api: Integrator, limit: str) -> None:
        problem(api.get("messages/export", {"limit": limit}), 400, "out_of_range")

    @pytest.mark.parametrize(
        "cursor",
        # The last: a number that no row can have, the cursor of a list, and what is not in the alphabet.
        [
            "x",
            "YWZ0ZXI6",
            "YWZ0ZXI6LTE",
            "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OQ",
            "WyJpZCIsdHJ1ZSwiMSIsMSwxXQ",
            "é",
            "%00",
        ],
    )
    def test_a_cursor_is_taken_only_as_it_was_given(self, api: Integrator, cursor: str) -> None:
        problem(api.get("messages/export", {"cursor": cursor}), 400, "invalid_cursor")


class TestRights:
    @pytest.mark.parametrize("role", ROLES)
    def test_are_those_of_the_list(self, cast: factories.Cast, instance: ServiceInstance, role: str) -> None:
        stored = rows(instance, 2)
        program = program_of(getattr(cast, role), instance)
        assert ids(exported(program)) == ([] if role == "configurator" else stored)

    def test_nothing_of_somebody_else(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        rows(instance, 2)
        assert exported(program_of(cast.stranger, instance))["items"] == []

    def test_only_what_a_single_grant_covers(self, instance: ServiceInstance, elsewhere: ServiceInstance) -> None:
        crossed = factories.service_instance(organization=instance.organization, service=elsewhere.service)
        person = factories.user()
        for one in (instance, elsewhere):
            factories.grant(person, Role.VIEWER, organizations=(one.organization,), services=(one.service,))
        mine = [factories.message(instance=one).pk for one in (instance, crossed, elsewhere) if one is not crossed]
        factories.message(instance=crossed)
        assert ids(exported(program_of(person, instance))) == mine

    def test_another_persons_cursor_gives_no_right(
        self, api: Integrator, cast: factories.Cast, instance: ServiceInstance
    ) -> None:
        rows(instance, 3)
        cursor = exported(api, limit=1)["next_cursor"]
        assert exported(program_of(cast.stranger, instance), cursor=cursor)["items"] == []

    def test_the_key_needs_the_scope(self, sender: User, instance: ServiceInstance) -> None:
        problem(program_without(Scope.MESSAGES_READ, sender, instance).get("messages/export"), 403, "scope_missing")

    def test_nobody_without_a_key(self, instance: ServiceInstance) -> None:
        problem(Integrator(None, instance).get("messages/export"), 401)

    def test_never_stored_by_anybody_on_the_way(self, api: Integrator) -> None:
        assert api.get("messages/export")["Cache-Control"] == "no-store"


class TestCost:
    def test_is_the_same_whatever_there_is(self, api: Integrator, instance: ServiceInstance) -> None:
        counts = set()
        exported(api)
        for more in (1, 20):
            rows(instance, more)
            with CaptureQueriesContext(connection) as counted:
                exported(api, limit=1000)
            counts.add(len(counted))
        assert len(counts) == 1
        assert counts.pop() <= 5


class TestAddress:
    def test_is_not_taken_for_a_message(self, api: Integrator, instance: ServiceInstance) -> None:
        [stored] = rows(instance, 1)
        assert exported(api)["items"][0]["id"] == api.get(f"messages/{stored}").json()["id"]

    def test_has_nothing_below_it(self, api: Integrator) -> None:
        for path in ("messages/export/", "messages/export/cancel", "messages/exports"):
            problem(api.get(path), 404)
