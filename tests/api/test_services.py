"""Services: found by whoever has a role on them, entered and changed by platform staff alone, since enti share them."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import ServiceInstance
from registry.models import Role, Scope, Service, User
from rest import schema
from tests import factories
from tests.api.configuring import Program, replacing
from tests.api.integrator import Integrator, pointers, problem, program_of
from tests.api.registrar import send
from tests.api.test_configuring_at_once import while_uncommitted
from tests.api.test_schema import check

NEW = {"service_name": "Mensa scolastica", "description": "Iscrizioni e menù.\nAnche i pagamenti."}


@pytest.fixture
def staff(instance: ServiceInstance) -> Integrator:
    return program_of(factories.user(is_staff=True), instance)


def found(api: Integrator, **query: Any) -> list[int]:
    response = api.get("services", query)
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


def patch(api: Integrator, service: Service, *operations: dict[str, Any], **options: Any) -> Any:
    return send(api, "PATCH", f"services/{service.pk}", list(operations), **options)


class TestOne:
    def test_has_the_members_of_govio(self, api: Integrator, instance: ServiceInstance) -> None:
        service = instance.service
        body = api.get(f"services/{service.pk}").json()
        check(schema.document(), "Service", body)
        assert body == {
            "id": service.pk,
            "service_name": service.service_name,
            "description": None,
            "_links": {"self": {"href": f"http://testserver/api/v1/services/{service.pk}"}},
        }

    @pytest.mark.parametrize("role", [role.value for role in Role])
    def test_is_read_by_every_role(self, cast: factories.Cast, instance: ServiceInstance, role: str) -> None:
        program = program_of(getattr(cast, role), instance)
        assert program.get(f"services/{instance.service_id}").status_code == 200

    def test_of_others_is_404_as_if_unknown(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        stranger = program_of(cast.stranger, instance)
        unknown = problem(stranger.get("services/987654321"), 404)
        assert problem(stranger.get(f"services/{instance.service_id}"), 404) == unknown

    def test_costs_no_bytes_when_nothing_changed(self, api: Integrator, instance: ServiceInstance) -> None:
        address = f"services/{instance.service_id}"
        etag = api.get(address)["ETag"]
        assert api.get(address, headers={"If-None-Match": etag}).status_code == 304


class TestScopes:
    @pytest.mark.parametrize("scope", list(Scope))
    def test_any_scope_reads(self, sender: User, instance: ServiceInstance, scope: Scope) -> None:
        program = program_of(sender, instance, scopes=[scope])
        assert found(program) == [instance.service_id]

    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN_WRITE])
    def test_only_admin_write_writes(self, instance: ServiceInstance, scope: Scope) -> None:
        program = program_of(factories.user(is_staff=True), instance, scopes=[scope])
        problem(send(program, "POST", "services", NEW), 403, "scope_missing")
        problem(patch(program, instance.service), 403, "scope_missing")


class TestList:
    def test_shows_only_services_named_by_a_live_grant(
        self, api: Integrator, staff: Integrator, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        assert found(api) == [instance.service_id]
        assert set(found(staff)) == {instance.service_id, elsewhere.service_id}

    def test_conforms_to_the_document(self, staff: Integrator) -> None:
        check(schema.document(), "ServiceList", staff.get("services").json())

    def test_finds_q_in_name_or_description_in_any_case(self, staff: Integrator) -> None:
        mensa = factories.service(service_name="Mensa", description="Scuole comunali").pk
        assert found(staff, q="MENS") == [mensa]
        assert found(staff, q="scuole") == [mensa]
        assert pointers(problem(staff.get("services", {"q": "x" * 256}), 400)) == ["/q"]

    def test_sorts_by_id_or_name(self, staff: Integrator, instance: ServiceInstance) -> None:
        Service.objects.update(service_name="M")
        last, first = factories.service(service_name="Z").pk, factories.service(service_name="A").pk
        middle = instance.service_id
        assert found(staff) == [first, last, middle]
        assert found(staff, sort="service_name", sort_direction="asc") == [first, middle, last]
        assert found(staff, sort="service_name") == [last, middle, first]
        assert pointers(problem(staff.get("services", {"sort": "legal_name"}), 400)) == ["/sort"]

    def test_with_roles_narrows_to_where_they_are_held(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        factories.grant(person, Role.VIEWER, organizations=(instance.organization,), services=(instance.service,))
        factories.grant(person, Role.SENDER, organizations=(elsewhere.organization,), services=(elsewhere.service,))
        program = program_of(person, instance)
        assert found(program, with_roles="GovIO_Sender") == [elsewhere.service_id]
        assert set(found(program, with_roles=["govio_sender", "govio_viewer"])) == set(found(program))
        assert found(program, with_roles="govio_sysadmin") == []

    def test_costs_the_same_however_many_rows(self, staff: Integrator) -> None:
        staff.get("services")
        for _ in range(10):
            factories.service()
        with CaptureQueriesContext(connection) as counted:
            staff.get("services")
        assert len(counted) == 2


class TestEntering:
    def test_answers_201_with_its_address_and_what_was_stored(self, staff: Integrator) -> None:
        response = send(staff, "POST", "services", NEW)
        assert response.status_code == 201, response.content
        body = response.json()
        check(schema.document(), "Service", body)
        assert {name: body[name] for name in NEW} == NEW
        assert staff.get(urlsplit(response["Location"]).path.removeprefix("/api/v1/")).json() == body
        assert LogEntry.objects.get(content_type__model="service").is_addition()

    @pytest.mark.parametrize("role", ["administrator", "configurator"])
    def test_is_for_platform_staff_alone(self, cast: factories.Cast, instance: ServiceInstance, role: str) -> None:
        problem(send(program_of(getattr(cast, role), instance), "POST", "services", NEW), 403, "permission_denied")

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({}, "/service_name", "required"),
            ({"service_name": ""}, "/service_name", "blank"),
            ({"service_name": "x" * 257}, "/service_name", "max_length"),
            ({"service_name": "due\nrighe"}, "/service_name", "control_character"),
            ({"service_name": "x", "description": "x" * 4097}, "/description", "max_length"),
            ({"service_name": "x", "description": 5}, "/description", "invalid"),
            ({"service_name": "x", "logo": "y"}, "/logo", "unknown_member"),
        ],
        ids=str,
    )
    def test_refuses_what_the_contract_does_not_allow(
        self, staff: Integrator, body: dict[str, Any], pointer: str, code: str
    ) -> None:
        assert pointers(problem(send(staff, "POST", "services", body), 400, code)) == [pointer]

    def test_with_a_name_that_is_taken_is_409(self, staff: Integrator, instance: ServiceInstance) -> None:
        body = problem(
            send(staff, "POST", "services", {"service_name": instance.service.service_name}), 409, "service_name_taken"
        )
        assert pointers(body) == ["/service_name"]


class TestChanging:
    def test_by_staff_changes_name_and_description(self, staff: Integrator, instance: ServiceInstance) -> None:
        response = patch(
            staff,
            instance.service,
            {"op": "replace", "path": "/service_name", "value": "Nuovo"},
            {"op": "add", "path": "/description", "value": "Detto meglio"},
        )
        assert response.status_code == 200, response.content
        instance.service.refresh_from_db()
        assert (instance.service.service_name, instance.service.description) == ("Nuovo", "Detto meglio")
        check(schema.document(), "Service", response.json())

    def test_removing_the_description_empties_it(self, staff: Integrator, instance: ServiceInstance) -> None:
        Service.objects.update(description="x")
        assert patch(staff, instance.service, {"op": "remove", "path": "/description"}).json()["description"] is None

    @pytest.mark.parametrize("role", ["administrator", "configurator", "viewer"])
    def test_is_for_platform_staff_alone(self, cast: factories.Cast, instance: ServiceInstance, role: str) -> None:
        answer = patch(
            program_of(getattr(cast, role), instance),
            instance.service,
            {"op": "replace", "path": "/description", "value": "x"},
        )
        problem(answer, 403, "permission_denied")

    def test_of_an_invisible_one_is_404(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        problem(patch(program_of(cast.stranger, instance), instance.service), 404, "not_found")

    def test_to_the_name_of_another_is_409(
        self, staff: Integrator, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        taken = {"op": "replace", "path": "/service_name", "value": elsewhere.service.service_name}
        problem(patch(staff, instance.service, taken), 409, "service_name_taken")

    def test_refuses_another_content_type(self, staff: Integrator, instance: ServiceInstance) -> None:
        problem(patch(staff, instance.service, content_type="application/json"), 415, "unsupported_media_type")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_is_staff_no_more_when_their_turn_comes_changes_nothing(cast: factories.Cast) -> None:
    person, service = factories.user(is_staff=True), cast.instance.service

    def withdraw() -> None:
        Service.objects.select_for_update().get(pk=service.pk)
        User.objects.filter(pk=person.pk).update(is_staff=False)

    asked = [replacing("description", "Altro")]
    answer = while_uncommitted(withdraw, Program.of(person), ("PATCH", f"services/{service.pk}", asked))
    problem(answer, 404, "not_found")
    service.refresh_from_db()
    assert service.description == ""
