"""Enti: found by whoever has a role there, entered and renamed by platform staff, their contacts kept by their own people."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from messaging.models import ServiceInstance
from registry.models import Organization, Role, Scope, User
from rest import schema
from tests import factories
from tests.api.configuring import Program
from tests.api.integrator import Integrator, pointers, problem, program_of
from tests.api.registrar import send
from tests.api.test_configuring_at_once import while_uncommitted
from tests.api.test_schema import check

NEW = {
    "tax_code": "00000000019",
    "legal_name": "Občina Devin-Nabrežina",
    "office_at": "Palazzo comunale",
    "office_address": "Aurisina Cave 25",
    "office_address_details": "Piano primo",
    "office_zip": "34011",
    "office_municipality": "Duino Aurisina",
    "office_municipality_details": "Aurisina",
    "office_province": "TS",
    "office_foreign_state": None,
    "office_phone_number": "+39 (040) 20.17-111",
    "office_email_address": "protocollo@example.it",
    "office_pec_address": "pec@pec.example.it",
}


@pytest.fixture
def staff(instance: ServiceInstance) -> Integrator:
    return program_of(factories.user(is_staff=True), instance)


@pytest.fixture
def program(cast: factories.Cast, instance: ServiceInstance) -> Callable[[str], Integrator]:
    """Of one of the cast."""
    return lambda role: program_of(getattr(cast, role), instance)


def found(api: Integrator, **query: Any) -> list[int]:
    response = api.get("organizations", query)
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


def patch(api: Integrator, ente: Organization, *operations: dict[str, Any], **options: Any) -> Any:
    return send(api, "PATCH", f"organizations/{ente.pk}", list(operations), **options)


def replace(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}


class TestOne:
    def test_has_the_members_of_govio_and_null_for_what_is_not_said(self, api: Integrator, instance: Any) -> None:
        ente = instance.organization
        body = api.get(f"organizations/{ente.pk}").json()
        check(schema.document(), "Organization", body)
        assert body == {
            "id": ente.pk,
            "tax_code": ente.tax_code,
            "legal_name": ente.legal_name,
            **{name: None for name in NEW if name.startswith("office_")},
            "_links": {"self": {"href": f"http://testserver/api/v1/organizations/{ente.pk}"}},
        }

    @pytest.mark.parametrize("role", [role.value for role in Role])
    def test_is_read_by_every_role(self, program: Any, instance: ServiceInstance, role: str) -> None:
        assert program(role).get(f"organizations/{instance.organization_id}").status_code == 200

    def test_of_others_is_404_as_if_unknown(self, program: Any, instance: ServiceInstance) -> None:
        stranger = program("stranger")
        unknown = problem(stranger.get("organizations/987654321"), 404)
        assert problem(stranger.get(f"organizations/{instance.organization_id}"), 404) == unknown

    def test_is_read_by_platform_staff_without_a_grant(self, staff: Integrator, elsewhere: ServiceInstance) -> None:
        assert staff.get(f"organizations/{elsewhere.organization_id}").status_code == 200

    def test_costs_two_statements(self, api: Integrator, instance: ServiceInstance) -> None:
        api.get(f"organizations/{instance.organization_id}")
        with CaptureQueriesContext(connection) as counted:
            api.get(f"organizations/{instance.organization_id}")
        assert len(counted) == 2

    def test_costs_no_bytes_when_nothing_changed(self, api: Integrator, instance: ServiceInstance) -> None:
        address = f"organizations/{instance.organization_id}"
        etag = api.get(address)["ETag"]
        again = api.get(address, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        Organization.objects.update(office_at="Altrove")
        assert api.get(address, headers={"If-None-Match": etag}).status_code == 200


class TestScopes:
    @pytest.mark.parametrize("scope", list(Scope))
    def test_any_scope_reads(self, sender: User, instance: ServiceInstance, scope: Scope) -> None:
        program = program_of(sender, instance, scopes=[scope])
        assert found(program) == [instance.organization_id]
        assert program.get(f"organizations/{instance.organization_id}").status_code == 200

    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN_WRITE])
    def test_only_admin_write_writes(self, instance: ServiceInstance, scope: Scope) -> None:
        program = program_of(factories.user(is_staff=True), instance, scopes=[scope])
        problem(send(program, "POST", "organizations", NEW), 403, "scope_missing")
        problem(patch(program, instance.organization, replace("office_at", "x")), 403, "scope_missing")


class TestList:
    def test_shows_only_enti_named_by_a_live_grant(self, instance: ServiceInstance, elsewhere: ServiceInstance) -> None:
        person = factories.user()
        factories.grant(person, Role.VIEWER, organizations=(instance.organization,), services=(instance.service,))
        factories.grant(
            person,
            Role.SENDER,
            organizations=(elsewhere.organization,),
            all_services=True,
            expires_at=factories.NOW.replace(year=2020),
        )
        assert found(program_of(person, instance)) == [instance.organization_id]

    def test_shows_all_to_platform_staff(
        self, staff: Integrator, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        assert set(found(staff)) == {instance.organization_id, elsewhere.organization_id}

    def test_conforms_to_the_document_and_has_govios_envelope(self, staff: Integrator) -> None:
        body = staff.get("organizations").json()
        check(schema.document(), "OrganizationList", body)
        assert set(body) == {"page", "items", "_links"}

    def test_finds_q_in_tax_code_or_name_in_any_case(self, staff: Integrator) -> None:
        rovigo = factories.organization(tax_code="00192837465", legal_name="Comune di Rovigo").pk
        assert found(staff, q="DI ROVI") == [rovigo]
        assert found(staff, q="92837") == [rovigo]
        assert found(staff, q="nessuno") == []

    @pytest.mark.parametrize("q", ["x" * 256, "a\x00b"], ids=["long", "nul"])
    def test_refuses_a_q_that_the_contract_does_not_allow(self, staff: Integrator, q: str) -> None:
        assert pointers(problem(staff.get("organizations", {"q": q}), 400)) == ["/q"]

    def test_takes_a_q_of_255_characters(self, staff: Integrator) -> None:
        assert found(staff, q="x" * 255) == []

    def test_sorts_by_id_or_name_in_both_directions(self, staff: Integrator) -> None:
        Organization.objects.update(legal_name="M")
        last = factories.organization(legal_name="Z").pk
        first = factories.organization(legal_name="A").pk
        middle = Organization.objects.get(legal_name="M").pk
        assert found(staff) == [first, last, middle]
        assert found(staff, sort="id", sort_direction="asc") == [middle, last, first]
        assert found(staff, sort="legal_name", sort_direction="ASC") == [first, middle, last]
        assert found(staff, sort="LEGAL_NAME") == [last, middle, first]
        assert set(found(staff, sort="unsorted")) == {first, middle, last}

    def test_pages_without_losing_or_repeating(self, staff: Integrator) -> None:
        for _ in range(6):
            factories.organization()
        seen, query = [], {"limit": 3, "sort": "legal_name"}
        response = staff.get("organizations", query).json()
        seen += [item["id"] for item in response["items"]]
        while "next" in response["_links"]:
            link = urlsplit(response["_links"]["next"]["href"])
            response = staff.client.get(f"{link.path}?{link.query}", headers=staff.headers()).json()
            seen += [item["id"] for item in response["items"]]
        assert sorted(seen) == sorted(Organization.objects.values_list("pk", flat=True))

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [({"limit": 0}, "/limit"), ({"limit": 101}, "/limit"), ({"offset": -1}, "/offset"), ({"sort": "x"}, "/sort")],
    )
    def test_refuses_what_cannot_be_paged(self, staff: Integrator, query: dict[str, Any], pointer: str) -> None:
        assert pointers(problem(staff.get("organizations", query), 400)) == [pointer]

    def test_costs_the_same_however_many_rows(self, staff: Integrator) -> None:
        staff.get("organizations")
        with CaptureQueriesContext(connection) as few:
            staff.get("organizations")
        for _ in range(10):
            factories.organization()
        with CaptureQueriesContext(connection) as many:
            staff.get("organizations", {"q": "esempio", "sort": "legal_name", "with_roles": "govio_viewer"})
        assert len(many) <= len(few) + 1
        assert len(few) == 2

    def test_costs_no_bytes_when_nothing_changed(self, api: Integrator) -> None:
        first = api.get("organizations")
        assert first["Cache-Control"] == "private, no-cache"
        assert api.get("organizations", headers={"If-None-Match": first["ETag"]}).status_code == 304


class TestWithRoles:
    @pytest.fixture
    def three(self, instance: ServiceInstance, elsewhere: ServiceInstance) -> tuple[Integrator, int, int]:
        """Somebody who consults in one ente and sends in the other."""
        person = factories.user()
        factories.grant(person, Role.VIEWER, organizations=(instance.organization,), services=(instance.service,))
        factories.grant(person, Role.SENDER, organizations=(elsewhere.organization,), services=(elsewhere.service,))
        return program_of(person, instance), instance.organization_id, elsewhere.organization_id

    def test_narrows_to_the_enti_of_one_of_these_roles(self, three: tuple[Integrator, int, int]) -> None:
        api, viewed, sent = three
        assert found(api, with_roles="govio_sender") == [sent]
        assert found(api, with_roles="GOVIO_VIEWER") == [viewed]
        assert set(found(api, with_roles="govio_sender,govio_viewer")) == {viewed, sent}
        assert set(found(api, with_roles=["govio_sender", "govio_viewer"])) == {viewed, sent}

    def test_that_nobody_has_finds_nothing(self, three: tuple[Integrator, int, int]) -> None:
        api, viewed, _sent = three
        assert found(api, with_roles="govhub_sysadmin") == []
        assert found(api, with_roles="govhub_sysadmin,govio_viewer") == [viewed]

    def test_left_empty_narrows_nothing(self, three: tuple[Integrator, int, int]) -> None:
        assert len(found(three[0], with_roles="")) == 2

    def test_sysadmin_is_whoever_has_every_role_there(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        for role in Role:
            factories.grant(person, role, organizations=(instance.organization,), services=(instance.service,))
        factories.grant(person, Role.VIEWER, organizations=(elsewhere.organization,), services=(elsewhere.service,))
        assert found(program_of(person, instance), with_roles="govio_sysadmin") == [instance.organization_id]

    def test_counts_only_what_staff_were_granted(self, staff: Integrator) -> None:
        assert found(staff, with_roles="govio_viewer") == []

    def test_counts_no_expired_grant(self, instance: ServiceInstance) -> None:
        person = factories.user()
        factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        factories.grant(
            person,
            Role.SENDER,
            all_organizations=True,
            all_services=True,
            expires_at=factories.NOW.replace(year=2020),
        )
        program = program_of(person, instance)
        assert found(program, with_roles="govio_sender") == []
        assert found(program, with_roles="govio_viewer") == [instance.organization_id]


class TestEntering:
    def test_answers_201_with_its_address_and_what_was_stored(self, staff: Integrator) -> None:
        response = send(staff, "POST", "organizations", NEW)
        assert response.status_code == 201, response.content
        body = response.json()
        check(schema.document(), "Organization", body)
        assert {name: body[name] for name in NEW} == NEW
        assert response["Location"] == body["_links"]["self"]["href"]
        assert staff.get(urlsplit(response["Location"]).path.removeprefix("/api/v1/")).json() == body

    def test_needs_only_the_fiscal_code_and_the_name(self, staff: Integrator) -> None:
        response = send(staff, "POST", "organizations", {"tax_code": "00000000019", "legal_name": " Ente nuovo "})
        assert response.status_code == 201
        made = Organization.objects.get(tax_code="00000000019")
        assert (made.legal_name, made.office_at, made.io_account) == ("Ente nuovo", "", None)

    def test_leaves_a_line_that_says_who(self, staff: Integrator) -> None:
        made = send(staff, "POST", "organizations", NEW).json()["id"]
        line = LogEntry.objects.get(content_type__model="organization", object_id=str(made))
        assert (line.is_addition(), line.user.is_staff) == (True, True)

    @pytest.mark.parametrize("role", ["administrator", "configurator", "viewer"])
    def test_is_for_platform_staff_alone(self, program: Any, role: str) -> None:
        problem(send(program(role), "POST", "organizations", NEW), 403, "permission_denied")
        assert not Organization.objects.filter(tax_code=NEW["tax_code"]).exists()

    @pytest.mark.parametrize(
        ("changes", "codes"),
        [
            ({"tax_code": "123"}, {"/tax_code": "tax_code_invalid"}),
            ({"tax_code": 12345678901}, {"/tax_code": "invalid"}),
            ({"tax_code": "١٢٣٤٥٦٧٨٩٠١"}, {"/tax_code": "tax_code_invalid"}),
            ({"tax_code": None, "legal_name": ""}, {"/tax_code": "null", "/legal_name": "blank"}),
            ({"legal_name": "x" * 81}, {"/legal_name": "max_length"}),
            ({"legal_name": "due\nrighe"}, {"/legal_name": "control_character"}),
            ({"legal_name": "A\u202eB"}, {"/legal_name": "control_character"}),
            ({"office_at": "x" * 121}, {"/office_at": "max_length"}),
            ({"office_zip": 34011}, {"/office_zip": "invalid"}),
            ({"office_phone_number": "centralino"}, {"/office_phone_number": "phone_number_invalid"}),
            ({"office_phone_number": "123456"}, {"/office_phone_number": "phone_number_invalid"}),
            ({"office_email_address": "nessuno"}, {"/office_email_address": "email_invalid"}),
            ({"office_pec_address": f"{'x' * 250}@example.it"}, {"/office_pec_address": "max_length"}),
            ({"logo": "x"}, {"/logo": "unknown_member"}),
        ],
        ids=str,
    )
    def test_refuses_what_the_contract_does_not_allow(
        self, staff: Integrator, changes: dict[str, Any], codes: dict[str, str]
    ) -> None:
        body = problem(send(staff, "POST", "organizations", {**NEW, **changes}), 400)
        assert {error["pointer"]: error["code"] for error in body["errors"]}.items() >= codes.items()
        assert set(pointers(body)) == set(codes)

    def test_names_everything_that_is_missing_at_once(self, staff: Integrator) -> None:
        body = problem(send(staff, "POST", "organizations", {"office_at": 5}), 400)
        assert set(pointers(body)) == {"/tax_code", "/legal_name", "/office_at"}

    @pytest.mark.parametrize("body", ["[]", '"x"', "", "{"])
    def test_refuses_a_body_that_is_no_object(self, staff: Integrator, body: str) -> None:
        problem(send(staff, "POST", "organizations", body), 400)

    def test_takes_back_a_document_as_it_was_answered(self, staff: Integrator) -> None:
        made = send(staff, "POST", "organizations", NEW).json()
        again = {**made, "tax_code": "00000000027", "legal_name": "Un altro"}
        assert send(staff, "POST", "organizations", again).status_code == 201

    def test_of_what_is_there_already_is_409_naming_all_that_is_taken(self, staff: Integrator) -> None:
        send(staff, "POST", "organizations", NEW)
        body = problem(send(staff, "POST", "organizations", NEW), 409, "tax_code_taken", "legal_name_taken")
        assert pointers(body) == ["/tax_code", "/legal_name"]


class TestChanging:
    def test_by_staff_changes_any_member(self, staff: Integrator, instance: ServiceInstance) -> None:
        ente = instance.organization
        response = patch(
            staff,
            ente,
            replace("legal_name", "Un nome nuovo"),
            {"op": "ADD", "path": "/office_at", "value": "Palazzo"},
            replace("tax_code", "00000000019"),
        )
        assert response.status_code == 200, response.content
        check(schema.document(), "Organization", response.json())
        ente.refresh_from_db()
        assert (ente.legal_name, ente.office_at, ente.tax_code) == ("Un nome nuovo", "Palazzo", "00000000019")
        assert response.json()["legal_name"] == "Un nome nuovo"

    def test_removing_or_nulling_a_member_empties_it(self, staff: Integrator, instance: ServiceInstance) -> None:
        Organization.objects.update(office_at="Palazzo", office_zip="00000")
        response = patch(
            staff, instance.organization, {"op": "remove", "path": "/office_at"}, replace("office_zip", None)
        )
        assert (response.json()["office_at"], response.json()["office_zip"]) == (None, None)

    def test_leaves_alone_what_it_does_not_name(self, staff: Integrator, instance: ServiceInstance) -> None:
        ente = instance.organization
        Organization.objects.filter(pk=ente.pk).update(approval="always", sends_from="08:00", sends_until="20:00")
        patch(staff, ente, replace("office_at", "Palazzo"))
        ente.refresh_from_db()
        assert (ente.approval, str(ente.sends_from)) == ("always", "08:00:00")

    def test_leaves_a_line_that_names_the_members_and_not_the_values(
        self, staff: Integrator, instance: ServiceInstance
    ) -> None:
        patch(staff, instance.organization, replace("office_email_address", "a@example.it"), replace("office_at", "x"))
        line = LogEntry.objects.get(content_type__model="organization")
        assert line.is_change()
        assert "indirizzo e-mail" in json.loads(line.change_message)[0]["changed"]["fields"]
        assert "a@example.it" not in line.change_message

    def test_to_what_it_already_says_leaves_no_line(self, staff: Integrator, instance: ServiceInstance) -> None:
        response = patch(staff, instance.organization, replace("legal_name", instance.organization.legal_name))
        assert response.status_code == 200
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize("role", ["administrator", "configurator"])
    def test_of_its_contacts_is_for_whoever_runs_all_its_services(
        self, program: Any, instance: ServiceInstance, role: str
    ) -> None:
        response = patch(program(role), instance.organization, replace("office_phone_number", "040 2017111"))
        assert response.status_code == 200, response.content
        assert Organization.objects.get(pk=instance.organization_id).office_phone_number == "040 2017111"

    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver"])
    def test_is_not_for_the_other_roles(self, program: Any, instance: ServiceInstance, role: str) -> None:
        problem(patch(program(role), instance.organization, replace("office_at", "x")), 403, "permission_denied")

    def test_is_not_for_whoever_runs_only_some_of_its_services(self, program: Any, instance: ServiceInstance) -> None:
        factories.service_instance(organization=instance.organization)
        problem(
            patch(program("administrator"), instance.organization, replace("office_at", "x")), 403, "permission_denied"
        )

    def test_is_not_for_whoever_runs_that_service_elsewhere(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        # The ente from one grant, the service from another: no single one covers both.
        person = factories.user()
        factories.grant(
            person, Role.ADMINISTRATOR, organizations=(instance.organization,), services=(elsewhere.service,)
        )
        factories.grant(
            person, Role.ADMINISTRATOR, organizations=(elsewhere.organization,), services=(instance.service,)
        )
        problem(
            patch(program_of(person, instance), instance.organization, replace("office_at", "x")),
            403,
            "permission_denied",
        )

    def test_of_its_identity_is_for_staff_alone(self, program: Any, instance: ServiceInstance) -> None:
        body = problem(
            patch(program("administrator"), instance.organization, replace("legal_name", "Mio")),
            403,
            "permission_denied",
        )
        assert pointers(body) == ["/legal_name"]

    def test_of_an_invisible_one_is_404(self, program: Any, instance: ServiceInstance) -> None:
        problem(patch(program("stranger"), instance.organization, replace("office_at", "x")), 404, "not_found")

    @pytest.mark.parametrize(
        ("operations", "pointer"),
        [
            ([{"op": "remove", "path": "/legal_name"}], "/legal_name"),
            ([{"op": "replace", "path": "/office_phone_number", "value": "boh"}], "/office_phone_number"),
            ([{"op": "add", "path": "/logo_id", "value": 5}], "/logo_id"),
            ([{"op": "add", "path": "/approval", "value": "never"}], "/approval"),
        ],
    )
    def test_refuses_a_result_that_could_not_be_entered(
        self, staff: Integrator, instance: ServiceInstance, operations: list[dict[str, Any]], pointer: str
    ) -> None:
        assert pointers(problem(patch(staff, instance.organization, *operations), 400)) == [pointer]

    def test_ignores_changes_of_the_id(self, staff: Integrator, instance: ServiceInstance) -> None:
        response = patch(staff, instance.organization, {"op": "add", "path": "/id", "value": 5})
        assert response.json()["id"] == instance.organization_id

    @pytest.mark.parametrize(
        "operations", [[], [{"op": "move", "path": "/legal_name", "from": "/tax_code"}], [{}] * 21]
    )
    def test_refuses_what_is_no_patch(self, staff: Integrator, instance: ServiceInstance, operations: Any) -> None:
        problem(patch(staff, instance.organization, *operations), 400)

    def test_refuses_another_content_type(self, staff: Integrator, instance: ServiceInstance) -> None:
        problem(patch(staff, instance.organization, replace("office_at", "x"), content_type="application/json"), 415)

    def test_to_a_name_of_another_is_409(
        self, staff: Integrator, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        body = problem(
            patch(staff, instance.organization, replace("legal_name", elsewhere.organization.legal_name)),
            409,
            "legal_name_taken",
        )
        assert pointers(body) == ["/legal_name"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_changes_at_the_same_moment_both_stay() -> None:
    instance = factories.service_instance()
    keys = [program_of(factories.user(is_staff=True), instance).key for _ in range(2)]
    names = ("office_at", "office_address")

    def change(number: int) -> int:
        try:
            api = Integrator(keys[number], instance, client=Client())
            return int(patch(api, instance.organization, replace(names[number], "nuovo")).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(change, range(2))) == [200, 200]
    instance.organization.refresh_from_db()
    assert [getattr(instance.organization, name) for name in names] == ["nuovo", "nuovo"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_slower_of_two_that_enter_the_same_ente_is_told_409() -> None:
    instance = factories.service_instance()
    key = program_of(factories.user(is_staff=True), instance).key

    def enter() -> Any:
        try:
            return send(Integrator(key, instance, client=Client()), "POST", "organizations", NEW)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            # Nobody sees it yet, so the other one finds nothing, and waits at the constraint.
            factories.organization(tax_code=NEW["tax_code"])
            answer = pool.submit(enter)
            until_it_waits_for_a_row(answer)
        problem(answer.result(), 409, "tax_code_taken")
    assert Organization.objects.filter(tax_code=NEW["tax_code"]).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("who", "becomes", "status"),
    [
        ("administrator", lambda person: person.grants.update(role=Role.VIEWER), 403),
        ("administrator", lambda person: person.grants.update(expires_at=timezone.now()), 404),
        ("administrator", lambda person: person.grants.all().delete(), 404),
        ("administrator", lambda person: User.objects.filter(pk=person.pk).update(is_active=False), 404),
        ("staff", lambda person: User.objects.filter(pk=person.pk).update(is_staff=False), 404),
    ],
    ids=["demoted", "expired", "taken away", "disabled", "staff no more"],
)
def test_a_right_withdrawn_while_a_change_waits_is_not_used(
    cast: factories.Cast, who: str, becomes: Callable[[User], object], status: int
) -> None:
    person = cast.administrator if who == "administrator" else factories.user(is_staff=True)
    ente = cast.instance.organization

    def withdraw() -> None:
        Organization.objects.select_for_update().get(pk=ente.pk)
        becomes(person)

    asked = [replace("office_zip", "00100")]
    answer = while_uncommitted(withdraw, Program.of(person), ("PATCH", f"organizations/{ente.pk}", asked))
    problem(answer, status)
    ente.refresh_from_db()
    assert ente.office_zip == ""


def until_it_waits_for_a_row(answer: Future[Any]) -> None:
    """Or until it answers without waiting, which is for the test to judge."""
    with connection.cursor() as cursor:
        while not answer.done():
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() != (0,):
                return
            time.sleep(0.05)
