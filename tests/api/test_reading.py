"""Reading messages: one, or a list that is filtered, sorted, paged, and only of what the reader may see."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import Message, ServiceInstance
from messaging.states import API_STATUS, Delivery
from registry.models import Role, User
from tests import factories
from tests.api.integrator import Integrator, pointers, problem, program_of

DAY = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
GOVIO_NAMES = {
    "scheduled",
    "recipient_allowed",
    "sent",
    "accepted",
    "throttled",
    "processed",
    "rejected",
    "profile_not_exists",
    "sender_not_allowed",
    "bad_request",
    "forbidden",
    "created",
    "discarded",
}
OUR_ADDITIONS = {"uncertain", "failed"}


@pytest.fixture
def viewer(instance: ServiceInstance) -> User:
    person = factories.user()
    factories.grant(person, Role.VIEWER, organizations=(instance.organization,), services=(instance.service,))
    return person


@pytest.fixture
def reader(viewer: User, instance: ServiceInstance) -> Integrator:
    return program_of(viewer, instance)


@pytest.fixture
def revealing(instance: ServiceInstance) -> Integrator:
    """The program of somebody who may reveal recipients."""
    person = factories.user()
    factories.grant(person, Role.APPROVER, organizations=(instance.organization,), services=(instance.service,))
    return program_of(person, instance)


def found(api: Integrator, **query: Any) -> list[int]:
    response = api.get("messages", query)
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


class TestOne:
    def test_is_read_by_every_role_that_sees_messages(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        for role in ("viewer", "editor", "sender", "approver", "administrator"):
            response = program_of(getattr(cast, role), instance).get(f"messages/{message.pk}")
            assert response.status_code == 200, role
            assert response.json()["id"] == message.pk

    def test_of_somebody_else_is_404_as_if_unknown(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        stranger = program_of(cast.stranger, instance)
        unknown = problem(stranger.get("messages/987654321"), 404)
        assert problem(stranger.get(f"messages/{message.pk}"), 404) == unknown

    @pytest.mark.parametrize("address", ["0", "-1", "x", "1.0", "9" * 19, "9" * 40, "1/", "%00", "١"])
    def test_that_cannot_exist_is_404(self, reader: Integrator, address: str) -> None:
        problem(reader.get(f"messages/{address}"), 404)

    @pytest.mark.parametrize("state", list(Delivery))
    def test_tells_its_state_in_the_words_of_govio_and_exactly(
        self, reader: Integrator, instance: ServiceInstance, state: Delivery
    ) -> None:
        message = factories.message_in(state, instance=instance)
        body = reader.get(f"messages/{message.pk}").json()
        assert body["delivery_state"] == state.value
        assert body["status"] == API_STATUS[state]
        assert body["status"] in GOVIO_NAMES | OUR_ADDITIONS

    def test_sent_has_the_date_and_the_id_of_io(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message_in(Delivery.SENT, instance=instance, expedition_date=DAY, appio_message_id="01ID")
        body = reader.get(f"messages/{message.pk}").json()
        assert (body["expedition_date"], body["appio_message_id"]) == ("2026-06-01T12:00:00.000Z", "01ID")

    def test_refused_tells_why(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message_in(Delivery.BAD_REQUEST, instance=instance, status_detail="IO: titolo troppo corto")
        assert reader.get(f"messages/{message.pk}").json()["status_detail"] == "IO: titolo troppo corto"

    def test_is_shown_in_the_unit_of_its_reader(
        self, viewer: User, reader: Integrator, instance: ServiceInstance
    ) -> None:
        message = factories.message(
            instance=instance, content={"amount_cents": 6212, "notice_number": "300012548634478225"}
        )
        in_cents = program_of(viewer, instance, unit="cents")
        assert reader.get(f"messages/{message.pk}").json()["payment"]["amount"] == 62.12
        assert in_cents.get(f"messages/{message.pk}").json()["payment"]["amount"] == 6212

    def test_costs_three_statements(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        reader.get(f"messages/{message.pk}")
        with CaptureQueriesContext(connection) as counted:
            reader.get(f"messages/{message.pk}")
        # Key; message; whether its recipient may be revealed.
        assert len(counted) == 3

    def test_head_has_no_body(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        response = reader.client.head(f"/api/v1/messages/{message.pk}", headers=reader.headers())
        assert (response.status_code, response.content) == (200, b"")


class TestVisibility:
    def test_only_what_a_single_grant_covers(self, instance: ServiceInstance, elsewhere: ServiceInstance) -> None:
        # The cross of the two: an ente of one grant, a service of the other.
        crossed = factories.service_instance(organization=instance.organization, service=elsewhere.service)
        person = factories.user()
        for one in (instance, elsewhere):
            factories.grant(person, Role.VIEWER, organizations=(one.organization,), services=(one.service,))
        mine = [factories.message(instance=one).pk for one in (instance, elsewhere)]
        factories.message(instance=crossed)
        assert found(program_of(person, instance)) == sorted(mine, reverse=True)

    def test_nothing_for_whoever_has_no_grant(self, instance: ServiceInstance) -> None:
        factories.message(instance=instance)
        nobody = program_of(factories.user(is_staff=True, is_superuser=True), instance)
        response = nobody.get("messages").json()
        assert (response["items"], response["page"]["total"]) == ([], 0)


class TestRecipients:
    """As in the portal: who may not reveal a recipient reads a masked code, by whatever route."""

    @pytest.mark.parametrize(
        ("role", "shown"),
        [
            ("viewer", "RSSMRA••••••501U"),
            ("editor", "RSSMRA••••••501U"),
            ("administrator", "RSSMRA••••••501U"),
            ("sender", "RSSMRA80A01H501U"),
            ("approver", "RSSMRA80A01H501U"),
        ],
    )
    def test_are_shown_whole_to_who_may_reveal_them(
        self, cast: factories.Cast, instance: ServiceInstance, role: str, shown: str
    ) -> None:
        message = factories.message(instance=instance, taxcode="RSSMRA80A01H501U")
        api = program_of(getattr(cast, role), instance)
        assert api.get(f"messages/{message.pk}").json()["taxcode"] == shown
        assert [item["taxcode"] for item in api.get("messages").json()["items"]] == [shown]
        assert [item["taxcode"] for item in api.get("messages/export").json()["items"]] == [shown]

    def test_are_shown_by_the_service_instance_of_each_message(
        self, viewer: User, reader: Integrator, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        factories.grant(viewer, Role.SENDER, organizations=(elsewhere.organization,), services=(elsewhere.service,))
        for place in (instance, elsewhere):
            factories.message(instance=place, taxcode="RSSMRA80A01H501U")
        shown = {item["service_instance_id"]: item["taxcode"] for item in reader.get("messages").json()["items"]}
        assert shown == {instance.pk: "RSSMRA••••••501U", elsewhere.pk: "RSSMRA80A01H501U"}

    @pytest.mark.parametrize("path", ["messages", "messages/export"])
    def test_masked_are_not_found_out_letter_by_letter(
        self, reader: Integrator, instance: ServiceInstance, path: str
    ) -> None:
        factories.message(instance=instance, taxcode="RSSMRA80A01H501U")
        problem(reader.get(path, {"tax_code": "RSSMRA8"}), 403, "recipient_masked")
        assert len(reader.get(path, {"tax_code": "RSSMRA80A01H501U"}).json()["items"]) == 1

    def test_part_of_a_code_is_looked_for_where_the_list_is_narrowed_to_what_may_be_revealed(
        self, viewer: User, reader: Integrator, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        factories.grant(viewer, Role.SENDER, organizations=(elsewhere.organization,), services=(elsewhere.service,))
        row = factories.message(instance=elsewhere, taxcode="RSSMRA80A01H501U")
        problem(reader.get("messages", {"tax_code": "RSS"}), 403, "recipient_masked")
        assert found(reader, tax_code="RSS", organization_id=elsewhere.organization_id) == [row.pk]


class TestFilters:
    def test_by_tax_code_whole_or_its_beginning_in_any_case(
        self, revealing: Integrator, instance: ServiceInstance
    ) -> None:
        rossi = factories.message(instance=instance, taxcode="RSSMRA80A01H501U").pk
        other = factories.message(instance=instance, taxcode="RSSMRA80A01H501Z").pk
        factories.message(instance=instance, taxcode="VRDLGU75B02F205Z")
        assert found(revealing, tax_code="rssmra80a01h501u") == [rossi]
        assert found(revealing, tax_code="RSSM") == [other, rossi]
        assert found(revealing, tax_code="SSM") == []

    def test_by_dates_both_ends_included(self, reader: Integrator, instance: ServiceInstance) -> None:
        days = [DAY + timedelta(days=number) for number in range(3)]
        first, second, third = (
            factories.message(instance=instance, scheduled_at=day, expedition_date=day).pk for day in days
        )
        day = "2026-06-02T12:00:00Z"
        for name in ("scheduled_expedition_date", "expedition_date"):
            assert found(reader, **{f"{name}_from": day}) == [third, second]
            assert found(reader, **{f"{name}_to": day}) == [second, first]
            assert found(reader, **{f"{name}_from": day, f"{name}_to": "2026-06-02T14:00:00.000+02:00"}) == [second]

    def test_by_a_date_whose_plus_was_not_encoded(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance, scheduled_at=DAY).pk
        address = "/api/v1/messages?scheduled_expedition_date_from=2026-06-01T14:00:00+02:00"
        response = reader.client.get(address, headers=reader.headers())
        assert [item["id"] for item in response.json()["items"]] == [message]

    def test_by_ente_and_service(self, instance: ServiceInstance, elsewhere: ServiceInstance) -> None:
        person = factories.user()
        factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        program = program_of(person, instance)
        here, there = factories.message(instance=instance).pk, factories.message(instance=elsewhere).pk
        assert found(program, service_id=instance.service.pk) == [here]
        assert found(program, organization_id=elsewhere.organization.pk) == [there]
        assert found(program, service_q=instance.service.service_name.upper()) == [here]
        assert found(program, organization_q=elsewhere.organization.legal_name[:8].lower()) == [there, here]
        assert found(program, organization_q=instance.organization.tax_code) == [here]
        assert found(program, organization_q="%") == []

    @pytest.mark.parametrize(
        ("asked", "states"),
        [
            ("scheduled", {Delivery.SCHEDULED}),
            ("SCHEDULED", {Delivery.SCHEDULED}),
            ("Profile-Not-Exists", {Delivery.PROFILE_NOT_EXISTS}),
            ("created", {Delivery.DRAFT, Delivery.PENDING_APPROVAL}),
            ("discarded", {Delivery.CANCELLED, Delivery.EXPIRED}),
            ("recipient_allowed", {Delivery.RECIPIENT_ALLOWED, Delivery.SENDING}),
            ("sending", {Delivery.SENDING}),
            ("pending_approval", {Delivery.PENDING_APPROVAL}),
            ("uncertain", {Delivery.UNCERTAIN}),
            ("failed", {Delivery.FAILED}),
            ("denied", set()),
        ],
    )
    def test_by_status_of_govio_or_exact(
        self, reader: Integrator, instance: ServiceInstance, asked: str, states: set[Delivery]
    ) -> None:
        all_of_them = {state: factories.message_in(state, instance=instance).pk for state in Delivery}
        assert set(found(reader, status=asked)) == {all_of_them[state] for state in states}

    def test_every_answered_status_can_be_asked_for(self, reader: Integrator, instance: ServiceInstance) -> None:
        for state in Delivery:
            message = factories.message_in(state, instance=instance)
            assert message.pk in found(reader, status=API_STATUS[state])
            assert message.pk in found(reader, status=state.value)

    def test_by_an_id_that_nothing_has(self, reader: Integrator, instance: ServiceInstance) -> None:
        factories.message(instance=instance)
        assert found(reader, service_id=0) == found(reader, organization_id=0) == []

    def test_together(self, revealing: Integrator, instance: ServiceInstance) -> None:
        wanted = factories.message_in(Delivery.PROCESSED, instance=instance, taxcode="RSSMRA80A01H501U")
        factories.message_in(Delivery.PROCESSED, instance=instance, taxcode="VRDLGU75B02F205Z")
        factories.message_in(Delivery.SENT, instance=instance, taxcode="RSSMRA80A01H501U")
        assert found(revealing, status="processed", tax_code="RSS") == [wanted.pk]

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("status=nonsense", "/status"),
            ("service_id=x", "/service_id"),
            ("service_id=-1", "/service_id"),
            ("organization_id=99999999999999999999", "/organization_id"),
            ("tax_code=RSSMRA80A01H501UX", "/tax_code"),
            ("tax_code=%25", "/tax_code"),
            ("scheduled_expedition_date_from=yesterday", "/scheduled_expedition_date_from"),
            ("expedition_date_to=2026-06-01T12:00:00", "/expedition_date_to"),
            ("expedition_date_to=2026-02-30T12:00:00Z", "/expedition_date_to"),
            ("expedition_date_to=0000-01-01T00:00:00Z", "/expedition_date_to"),
            ("expedition_date_to=0001-01-01T00:00:00%2B14:00", "/expedition_date_to"),
            ("expedition_date_to=9999-12-31T23:59:59-14:00", "/expedition_date_to"),
            ("service_q=a%00b", "/service_q"),
            ("organization_q=" + "x" * 257, "/organization_q"),
            ("embed=everything", "/embed"),
            ("limit=0", "/limit"),
            ("limit=101", "/limit"),
            ("offset=-1", "/offset"),
            ("sort=taxcode", "/sort"),
            ("sort_direction=sideways", "/sort_direction"),
            ("status=sent&status=processed", "/status"),
        ],
    )
    def test_that_are_malformed_are_400(self, reader: Integrator, query: str, pointer: str) -> None:
        response = reader.client.get(f"/api/v1/messages?{query}", headers=reader.headers())
        assert pointers(problem(response, 400)) == [pointer]

    def test_that_are_malformed_are_all_named(self, reader: Integrator) -> None:
        response = reader.get("messages", {"limit": "x", "status": "x", "embed": "x", "tax_code": "?"})
        assert sorted(pointers(problem(response, 400))) == ["/embed", "/limit", "/status", "/tax_code"]

    def test_at_the_ends_of_time_do_no_harm(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance).pk
        assert found(reader, scheduled_expedition_date_from="0001-01-01T00:00:00Z") == [message]
        assert found(reader, scheduled_expedition_date_to="9999-12-31T23:59:59.999999Z") == [message]

    def test_that_are_empty_or_unknown_are_ignored(self, reader: Integrator, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance).pk
        assert found(reader, tax_code="", status="", service_id="", q="anything") == [message]


class TestOrderAndPages:
    def test_newest_first_unless_told_otherwise(self, reader: Integrator, instance: ServiceInstance) -> None:
        ids = [factories.message(instance=instance).pk for _ in range(3)]
        assert found(reader) == found(reader, sort="unsorted") == ids[::-1]
        assert found(reader, sort_direction="asc") == ids
        assert found(reader, sort="ID", sort_direction="ASC") == ids

    def test_by_date_with_ties_by_id(self, reader: Integrator, instance: ServiceInstance) -> None:
        late = factories.message(instance=instance, scheduled_at=DAY + timedelta(days=1)).pk
        tied = [factories.message(instance=instance, scheduled_at=DAY).pk for _ in range(4)]
        assert found(reader, sort="scheduled_expedition_date", sort_direction="asc") == [*tied, late]
        assert found(reader, sort="scheduled_expedition_date") == [late, *tied[::-1]]

    def test_pages_link_to_one_another_and_keep_the_filters(
        self, reader: Integrator, instance: ServiceInstance
    ) -> None:
        ids = [factories.message(instance=instance).pk for _ in range(5)]
        factories.message_in(Delivery.SENT, instance=instance)
        body = reader.get("messages", {"status": "scheduled", "limit": 2}).json()
        assert body["page"] == {"offset": 0, "limit": 2, "total": 5}
        seen = [item["id"] for item in body["items"]]
        while "next" in body["_links"]:
            parts = urlsplit(body["_links"]["next"]["href"])
            body = reader.client.get(f"{parts.path}?{parts.query}", headers=reader.headers()).json()
            seen += [item["id"] for item in body["items"]]
        assert seen == ids[::-1]


class TestEmbedding:
    @pytest.mark.parametrize(
        ("embed", "expected"),
        [
            ("", set()),
            ("embed=sender", {"sender"}),
            ("embed=service-instance", {"service-instance"}),
            ("embed=sender,service-instance", {"sender", "service-instance"}),
            ("embed=sender&embed=service-instance", {"sender", "service-instance"}),
        ],
    )
    def test_is_none_unless_asked_for(
        self, reader: Integrator, instance: ServiceInstance, embed: str, expected: set[str]
    ) -> None:
        factories.message(instance=instance)
        body = reader.client.get(f"/api/v1/messages?{embed}", headers=reader.headers()).json()
        assert set(body["items"][0].get("_embedded", {})) == expected

    @pytest.mark.parametrize("embed", ["sender,service_instance", "SENDER,Service-Instance", "serviceInstance,sender"])
    def test_is_understood_however_it_is_spelled(
        self, reader: Integrator, instance: ServiceInstance, embed: str
    ) -> None:
        """The first is what GovIO's web application asks for."""
        factories.message(instance=instance)
        body = reader.get("messages", {"embed": embed, "sort": "id", "sort_direction": "desc"}).json()
        assert set(body["items"][0]["_embedded"]) == {"sender", "service-instance"}

    @pytest.mark.parametrize("embed", ["", "sender", "service-instance", "sender,service-instance"])
    def test_costs_five_statements_however_many_messages(
        self, reader: Integrator, instance: ServiceInstance, embed: str
    ) -> None:
        for _ in range(6):
            factories.message(instance=instance)
        reader.get("messages")
        with CaptureQueriesContext(connection) as counted:
            assert len(found(reader, embed=embed, limit=5)) == 5
        # Key; service instances that may be seen; bounded count; rows; those whose recipients may be revealed.
        assert len(counted) == 5

    def test_shows_no_key_of_io(self, reader: Integrator, instance: ServiceInstance) -> None:
        factories.message(instance=instance)
        response = reader.get("messages", {"embed": "sender,service-instance"})
        assert b"key-of-the-tests" not in response.content
        assert b"apiKey" not in response.content


class TestRetention:
    def test_a_message_without_content_is_listed_with_nulls(
        self, reader: Integrator, instance: ServiceInstance
    ) -> None:
        factories.message(instance=instance).content.delete()
        item = reader.get("messages").json()["items"][0]
        assert (item["subject"], item["markdown"], item["payment"], item["warnings"]) == (None, None, None, [])
        assert Message.objects.count() == 1
