"""IO services over REST: their settings, their keys (which only go in), starting them again."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from messaging import auditing
from messaging.models import IOService, ServiceInstance, SuspensionReason
from messaging.states import Delivery, WaitingReason
from messaging.suspending import NO_KEY, suspend
from registry.models import Role, Scope
from rest import schema
from sealed.boxes import Sealed
from tests import factories
from tests.api.configuring import NEW, PRIMARY, SECONDARY, Program, keys_of, replacing
from tests.api.integrator import pointers, problem
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance() -> ServiceInstance:
    ente = factories.organization()
    io_service = factories.io_service(of=ente, key=PRIMARY, secondary_key=Sealed.close(SECONDARY))
    return factories.service_instance(organization=ente, io_service=io_service)


@pytest.fixture
def service(instance: ServiceInstance) -> IOService:
    """Both slots filled, the primary in use; one use."""
    return instance.io_service


@pytest.fixture
def program(cast: factories.Cast) -> Program:
    return Program.of(cast.configurator)


@pytest.fixture
def of_another(service: IOService) -> ServiceInstance:
    """A second use of it, by a service that the configurator does not configure."""
    return factories.service_instance(organization=service.organization, io_service=service)


def fresh(service: IOService) -> IOService:
    return IOService.objects.get(pk=service.pk)


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content.decode()
    return [item["id"] for item in response.json()["items"]]


def deeds(service: IOService) -> list[str]:
    lines = auditing.history_of(service, limit=20)
    return [deed for line in reversed(lines) for deed in auditing.deeds_of(line)]


# What changes one: method, rest of the path, body.
CHANGING: list[tuple[str, str, Any]] = [
    ("PATCH", "", [replacing("payment_cap_cents", 5)]),
    ("PUT", "/keys/primary", {"key": NEW}),
    ("PUT", "/keys/secondary", {"key": NEW}),
    ("POST", "/active-key", {"active_key": "secondary"}),
    ("POST", "/resume", None),
]


class TestRights:
    def test_whoever_configures_a_use_finds_it_and_nobody_else(
        self, service: IOService, of_another: ServiceInstance, cast: factories.Cast
    ) -> None:
        for role in Role:
            program = Program.of(getattr(cast, role.value))
            is_shown = role is Role.CONFIGURATOR
            assert ids(program.get("io-services")) == ([service.pk] if is_shown else [])
            assert program.get(f"io-services/{service.pk}").status_code == (200 if is_shown else 404)
        problem(Program.of(cast.stranger).get(f"io-services/{service.pk}"), 404, "not_found")

    def test_says_whether_every_use_is_the_caller_s(self, service: IOService, program: Program) -> None:
        assert program.get(f"io-services/{service.pk}").json()["permissions"] == {"configure": True}
        factories.service_instance(organization=service.organization, io_service=service)
        assert program.get(f"io-services/{service.pk}").json()["permissions"] == {"configure": False}

    @pytest.mark.parametrize(("method", "rest", "body"), CHANGING)
    def test_changing_needs_the_right_on_every_use(
        self,
        service: IOService,
        of_another: ServiceInstance,
        program: Program,
        cast: factories.Cast,
        method: str,
        rest: str,
        body: Any,
    ) -> None:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=factories.NOW)
        before = IOService.objects.filter(pk=service.pk).values().get()
        path = f"io-services/{service.pk}{rest}"
        for data in (body, b"{not json"):
            problem(program.ask(method, path, data), 403, "permission_denied")
        for person in (cast.stranger, cast.sender, cast.administrator):
            problem(Program.of(person).ask(method, path, b"{not json"), 404, "not_found")
        for scope in set(Scope) - {Scope.CONFIG_WRITE}:
            problem(Program.of(cast.configurator, scopes=(scope,)).ask(method, path, body), 403, "scope_missing")
        assert IOService.objects.filter(pk=service.pk).values().get() == before
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize(("method", "rest", "body"), CHANGING)
    def test_and_then_it_is_done(
        self,
        service: IOService,
        of_another: ServiceInstance,
        cast: factories.Cast,
        method: str,
        rest: str,
        body: Any,
    ) -> None:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=factories.NOW)
        factories.grant(
            cast.configurator,
            Role.CONFIGURATOR,
            organizations=(of_another.organization,),
            services=(of_another.service,),
        )
        program = Program.of(cast.configurator, scopes=(Scope.CONFIG_WRITE,))
        assert program.ask(method, f"io-services/{service.pk}{rest}", body).status_code in (200, 204)
        assert LogEntry.objects.filter(user=cast.configurator, object_id=str(service.pk)).exists()

    def test_one_that_nobody_uses_is_nobody_s(self, service: IOService, program: Program) -> None:
        unused = factories.io_service(of=service.organization)
        problem(program.get(f"io-services/{unused.pk}"), 404, "not_found")
        problem(program.ask("PUT", f"io-services/{unused.pk}/keys/primary", {"key": NEW}), 404, "not_found")


class TestRead:
    def test_tells_which_keys_there_are_and_never_a_key(self, service: IOService, program: Program) -> None:
        assert program.get(f"io-services/{service.pk}").json() == {
            "id": service.pk,
            "organization_id": service.organization_id,
            "io_service_id": service.io_service_id,
            "active_key": "primary",
            "has_primary_key": True,
            "has_secondary_key": True,
            "payment_cap_cents": 1_000_000,
            "require_secure_channels": False,
            "test_taxcode": "AAAAAA00A00A000A",
            "suspended_at": None,
            "suspended_reason": None,
            "suspended_detail": None,
            "is_probing": False,
            "permissions": {"configure": True},
            "_links": {
                "self": {"href": f"http://testserver/api/v1/io-services/{service.pk}"},
                "organization": {"href": f"http://testserver/api/v1/organizations/{service.organization_id}"},
            },
        }

    def test_tells_since_when_and_why_it_is_suspended(self, service: IOService, program: Program) -> None:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="Access denied", at=factories.NOW)
        shown = program.get(f"io-services/{service.pk}").json()
        assert shown["suspended_at"] == "2026-11-21T09:00:00.000Z"
        assert (shown["suspended_reason"], shown["suspended_detail"]) == ("key_refused", "Access denied")
        check(schema.document(), "IOService", shown)

    def test_tells_our_own_reasons_in_the_reader_s_language(self, service: IOService, program: Program) -> None:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail=NO_KEY, at=factories.NOW)
        path = f"io-services/{service.pk}"
        assert program.get(path).json()["suspended_detail"] == NO_KEY
        assert program.get(path, headers={"Accept-Language": "en"}).json()["suspended_detail"] != NO_KEY

    def test_is_never_kept_by_a_cache(self, service: IOService, program: Program) -> None:
        answer = program.get(f"io-services/{service.pk}")
        assert answer["Cache-Control"] == "no-store"
        assert "ETag" not in answer

    def test_lists_are_filtered_and_ordered(
        self, service: IOService, program: Program, cast: factories.Cast, elsewhere: ServiceInstance
    ) -> None:
        factories.grant(cast.configurator, Role.CONFIGURATOR, all_organizations=True, all_services=True)
        theirs = elsewhere.io_service
        suspend(theirs.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=factories.NOW)
        both = sorted([service.pk, theirs.pk])
        assert ids(program.get("io-services")) == both[::-1]
        assert ids(program.get("io-services", {"sort_direction": "asc"})) == both
        assert ids(program.get("io-services", {"suspended": "true"})) == [theirs.pk]
        assert ids(program.get("io-services", {"suspended": "False"})) == [service.pk]
        assert ids(program.get("io-services", {"organization_id": service.organization_id})) == [service.pk]
        assert ids(program.get("io-services", {"io_service_id": service.io_service_id})) == [service.pk]
        query = {"suspended": "x", "organization_id": "x"}
        assert sorted(pointers(problem(program.get("io-services", query), 400))) == ["/organization_id", "/suspended"]
        check(schema.document(), "IOServiceList", program.get("io-services").json())

    def test_lists_cost_the_same_however_many_there_are(
        self, service: IOService, program: Program, cast: factories.Cast, django_assert_num_queries: Any
    ) -> None:
        factories.grant(cast.configurator, Role.CONFIGURATOR, organizations=(service.organization,), all_services=True)
        program.get("io-services")  # the first use of the minute also notes it
        with django_assert_num_queries(2):
            assert len(ids(program.get("io-services"))) == 1
        for _number in range(5):
            factories.service_instance(organization=service.organization)
        with django_assert_num_queries(2):
            assert len(ids(program.get("io-services"))) == 6


class TestSettings:
    def test_are_changed_one_or_all(self, service: IOService, program: Program) -> None:
        path = f"io-services/{service.pk}"
        answer = program.replace(
            path, payment_cap_cents=50_000, require_secure_channels=True, test_taxcode="rssmra80a01h501u"
        )
        assert answer.status_code == 200
        shown = answer.json()
        assert (shown["payment_cap_cents"], shown["require_secure_channels"], shown["test_taxcode"]) == (
            50_000,
            True,
            "RSSMRA80A01H501U",
        )
        answer = program.patch(path, replacing("payment_cap_cents", None), {"op": "remove", "path": "/test_taxcode"})
        found = fresh(service)
        assert (found.payment_cap_cents, found.require_secure_channels, found.test_taxcode) == (None, True, "")
        assert answer.json()["test_taxcode"] is None
        check(schema.document(), "IOService", answer.json())

    def test_are_written_down_without_anybody_s_code(self, service: IOService, program: Program) -> None:
        program.replace(f"io-services/{service.pk}", test_taxcode="RSSMRA80A01H501U", require_secure_channels=True)
        assert deeds(service) == [auditing.SECURE_CHANNELS[True], auditing.CITIZEN_OF_TRIAL_SET]
        assert "RSSMRA" not in LogEntry.objects.get().change_message

    def test_left_as_they_are_leave_no_line(self, service: IOService, program: Program) -> None:
        assert program.replace(f"io-services/{service.pk}", payment_cap_cents=1_000_000).status_code == 200
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize(
        ("member", "value", "code"),
        [
            ("payment_cap_cents", -1, "min_value"),
            ("payment_cap_cents", 10_000_000_000, "max_value"),
            ("payment_cap_cents", 1.5, "invalid"),
            ("payment_cap_cents", True, "invalid"),
            ("require_secure_channels", None, "null"),
            ("require_secure_channels", "true", "invalid"),
            ("test_taxcode", "RSSMRA80A01", "taxcode_invalid"),
            ("test_taxcode", 7, "invalid"),
            ("nome", 1, "unknown_member"),
        ],
    )
    def test_refuse_what_cannot_be(
        self, service: IOService, program: Program, member: str, value: Any, code: str
    ) -> None:
        answer = problem(program.replace(f"io-services/{service.pk}", **{member: value}), 400, code)
        assert pointers(answer) == [f"/{member}"]
        assert "RSSMRA80A01" not in str(answer).replace("RSSMRA80A01H501U", "")

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("io_service_id", "01OTHER"),
            ("organization_id", 2**40),
            ("active_key", "secondary"),
            ("has_primary_key", False),
            ("suspended_at", "2026-01-01T00:00:00Z"),
            ("permissions", {}),
        ],
    )
    def test_nothing_else_changes_here(self, service: IOService, program: Program, member: str, value: Any) -> None:
        answer = problem(program.replace(f"io-services/{service.pk}", **{member: value}), 422, "not_changeable")
        assert pointers(answer) == [f"/{member}"]

    def test_take_json_patch_and_nothing_else(self, service: IOService, program: Program) -> None:
        answer = program.ask("PATCH", f"io-services/{service.pk}", {}, content_type="application/json")
        problem(answer, 415, "unsupported_media_type")


class TestKeys:
    @pytest.mark.parametrize(
        ("slot", "after"), [("primary", ("primary", NEW, SECONDARY)), ("secondary", ("primary", PRIMARY, NEW))]
    )
    def test_go_in_and_are_not_answered(
        self, service: IOService, program: Program, slot: str, after: tuple[str, str, str]
    ) -> None:
        answer = program.ask("PUT", f"io-services/{service.pk}/keys/{slot}", {"key": f" {NEW}\n"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert keys_of(service) == after
        assert deeds(service) == [auditing.ENTERED[slot]]  # type: ignore[index]  # equal to the member of the enum

    def test_may_be_said_twice(self, service: IOService, program: Program) -> None:
        for _time in range(2):
            assert program.ask("PUT", f"io-services/{service.pk}/keys/primary", {"key": NEW}).status_code == 204
        assert keys_of(service) == ("primary", NEW, SECONDARY)

    def test_are_two_different_ones(self, service: IOService, program: Program) -> None:
        answer = program.ask("PUT", f"io-services/{service.pk}/keys/secondary", {"key": PRIMARY})
        assert pointers(problem(answer, 422, "keys_equal")) == ["/key"]
        assert keys_of(service) == ("primary", PRIMARY, SECONDARY)

    def test_are_not_stored_where_another_is_in_use_than_believed(self, service: IOService, program: Program) -> None:
        path, body = f"io-services/{service.pk}/keys/secondary", {"key": NEW, "active_key": "secondary"}
        problem(program.ask("PUT", path, body), 409, "state_conflict")
        assert keys_of(service) == ("primary", PRIMARY, SECONDARY)
        assert program.ask("PUT", path, {**body, "active_key": "Primary"}).status_code == 204

    @pytest.mark.parametrize(
        ("body", "code", "pointer"),
        [
            ({}, "required", "/key"),
            ({"key": ""}, "blank", "/key"),
            ({"key": None}, "null", "/key"),
            ({"key": ["x"]}, "invalid", "/key"),
            ({"key": "two words"}, "api_key_invalid", "/key"),
            ({"key": NEW, "active_key": "third"}, "invalid_choice", "/active_key"),
            ({"key": NEW, "chiave": 1}, "unknown_member", "/chiave"),
            ([], "type", ""),
        ],
    )
    def test_that_cannot_be_are_refused(
        self, service: IOService, program: Program, body: Any, code: str, pointer: str
    ) -> None:
        answer = problem(program.ask("PUT", f"io-services/{service.pk}/keys/primary", body), 400, code)
        assert pointers(answer) == [pointer]

    @pytest.mark.parametrize("slot", ["third", "PRIMARY", "primary/"])
    def test_have_two_places(self, service: IOService, program: Program, slot: str) -> None:
        problem(program.ask("PUT", f"io-services/{service.pk}/keys/{slot}", {"key": NEW}), 404, "not_found")

    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
    def test_have_no_other_method(self, service: IOService, program: Program, method: str) -> None:
        problem(program.ask(method, f"io-services/{service.pk}/keys/primary", {}), 405, "method_not_allowed")


class TestActiveKey:
    def test_passes_to_the_other_and_back(self, service: IOService, program: Program) -> None:
        path = f"io-services/{service.pk}/active-key"
        for which in ("secondary", "primary"):
            answer = program.post(path, {"active_key": which})
            assert (answer.status_code, answer.json()["active_key"]) == (200, which)
            assert keys_of(service) == (which, PRIMARY, SECONDARY)
        assert deeds(service) == [auditing.SWITCHED["secondary"], auditing.SWITCHED["primary"]]  # type: ignore[index]

    def test_asking_for_the_one_in_use_changes_nothing(self, service: IOService, program: Program) -> None:
        answer = program.post(f"io-services/{service.pk}/active-key", {"active_key": "primary"})
        assert (answer.status_code, answer.json()["active_key"]) == (200, "primary")
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize("stored", [Sealed(), Sealed("deadbeef:not-a-token")], ids=["none", "broken"])
    def test_never_passes_to_a_key_that_is_not_there(
        self, service: IOService, program: Program, stored: Sealed
    ) -> None:
        IOService.objects.update(secondary_key=stored)
        answer = program.post(f"io-services/{service.pk}/active-key", {"active_key": "secondary"})
        assert pointers(problem(answer, 422, "key_missing")) == ["/active_key"]
        assert fresh(service).active_key == "primary"

    @pytest.mark.parametrize("body", [{}, {"active_key": "both"}, {"active_key": None}, {"active_key": 1}])
    def test_names_one_of_two(self, service: IOService, program: Program, body: Any) -> None:
        answer = problem(program.post(f"io-services/{service.pk}/active-key", body), 400)
        assert pointers(answer) == ["/active_key"]


class TestResume:
    def test_sends_again_what_waited(self, service: IOService, program: Program, instance: ServiceInstance) -> None:
        suspend(service.pk, reason=SuspensionReason.KEY_REFUSED, detail="Access denied", at=factories.NOW)
        held = factories.message_in(Delivery.SCHEDULED, instance=instance, waiting_reason=WaitingReason.SUSPENDED)
        answer = program.post(f"io-services/{service.pk}/resume")
        shown = answer.json()
        assert answer.status_code == 200
        assert (shown["suspended_at"], shown["suspended_reason"], shown["is_probing"]) == (None, None, True)
        held.refresh_from_db()
        assert held.waiting_reason == ""
        assert deeds(service) == [auditing.RESUMED]

    def test_what_is_not_suspended_is_a_conflict(self, service: IOService, program: Program) -> None:
        problem(program.post(f"io-services/{service.pk}/resume"), 409, "not_suspended")
        assert not fresh(service).is_probing
