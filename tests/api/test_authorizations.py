"""Giving and taking rights over the API (the rule itself is proved in tests/registry/test_granting.py)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from messaging.models import ServiceInstance
from messaging.states import Delivery
from registry.models import Grant, Role, Scope, User
from registry.roles import BY_ROLE
from rest import schema
from rest.hal import utc_milliseconds
from tests import factories
from tests.api.configuring import Program
from tests.api.integrator import pointers, problem, program_of, valid_body
from tests.api.rights import give
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db

LATER = "2090-12-31T23:59:59+01:00"


@pytest.fixture
def administrator(cast: factories.Cast) -> Program:
    return Program.of(cast.administrator)


@pytest.fixture
def staff(db: None) -> Program:
    return Program.of(factories.user(is_staff=True))


@pytest.fixture
def person(cast: factories.Cast) -> User:
    """Made by the administrator, and without rights."""
    return factories.user(created_by=cast.administrator)


@pytest.fixture
def asked(instance: ServiceInstance) -> dict[str, Any]:
    return on(instance)


def on(place: ServiceInstance, **changes: Any) -> dict[str, Any]:
    body = {
        "role": "govio_sender",
        "organizations": [place.organization_id],
        "services": [place.service_id],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def of(person: User, grant: Grant | None = None) -> str:
    return f"users/{person.pk}/authorizations" + (f"/{grant.pk}" if grant else "")


class TestGiving:
    def test_gives_the_right_from_the_next_request_on(
        self, administrator: Program, person: User, instance: ServiceInstance, asked: dict[str, Any]
    ) -> None:
        integrator = program_of(person, instance)
        assert integrator.post(valid_body()).status_code == 422
        answer = administrator.post(of(person), asked)
        assert answer.status_code == 201, answer.content.decode()
        assert integrator.post(valid_body()).status_code == 201
        made = person.grants.get()
        assert answer["Location"] == f"http://testserver/api/v1/{of(person, made)}"
        assert administrator.get(of(person, made)).json() == answer.json()
        check(schema.document(), "Authorization", answer.json())

    @pytest.mark.parametrize("role", Role)
    @pytest.mark.parametrize("spelling", ["id", "object", "name", "capitals"])
    def test_takes_the_role_in_any_spelling(
        self, administrator: Program, person: User, asked: dict[str, Any], role: Role, spelling: str
    ) -> None:
        known = BY_ROLE[role]
        named = {
            "id": known.id,
            "object": {"id": known.id, "role_name": known.name, "application": "govio"},
            "name": known.name,
            "capitals": known.name.upper(),
        }
        assert administrator.post(of(person), {**asked, "role": named[spelling]}).status_code == 201
        assert person.grants.get().role == role

    @pytest.mark.parametrize("role", [7, 0, "govio_sysadmin", "sender", ""])
    def test_a_role_that_cannot_be_given_is_impossible(
        self, administrator: Program, person: User, asked: dict[str, Any], role: Any
    ) -> None:
        refused = problem(administrator.post(of(person), {**asked, "role": role}), 422, "role_unknown")
        assert pointers(refused) == ["/role"]

    @pytest.mark.parametrize("role", [True, 1.5, [], {}, {"id": "1x", "x": 1}, None])
    def test_something_that_is_no_role_is_malformed(
        self, administrator: Program, person: User, asked: dict[str, Any], role: Any
    ) -> None:
        answer = administrator.post(of(person), {**asked, "role": role})
        assert pointers(problem(answer, 422 if role == {"id": "1x", "x": 1} else 400)) == ["/role"]

    @pytest.mark.parametrize("member", ["organizations", "services"])
    @pytest.mark.parametrize("value", [[], None])
    def test_an_empty_set_is_refused_with_the_cure(
        self, administrator: Program, person: User, asked: dict[str, Any], member: str, value: Any
    ) -> None:
        refused = problem(administrator.post(of(person), {**asked, member: value}), 422, "empty_set")
        assert pointers(refused) == [f"/{member}"]
        assert f"all_{member}" in refused["detail"]

    @pytest.mark.parametrize("member", ["organizations", "services"])
    def test_left_out_is_refused_likewise(
        self, staff: Program, person: User, instance: ServiceInstance, member: str
    ) -> None:
        problem(staff.post(of(person), on(instance, **{member: None})), 422, "empty_set")

    @pytest.mark.parametrize("member", ["organizations", "services"])
    def test_all_is_said_and_is_for_staff(
        self, administrator: Program, staff: Program, person: User, asked: dict[str, Any], member: str
    ) -> None:
        body = {**asked, member: [], f"all_{member}": True}
        problem(administrator.post(of(person), body), 403, "permission_denied")
        shown = staff.post(of(person), body).json()
        assert (shown[member], shown[f"all_{member}"]) == ([], True)

    def test_all_and_some_contradict(self, staff: Program, person: User, asked: dict[str, Any]) -> None:
        refused = problem(staff.post(of(person), {**asked, "all_services": True}), 422, "all_and_some")
        assert pointers(refused) == ["/services"]

    def test_names_each_ente_and_service_that_is_not_there_or_not_seen(
        self, administrator: Program, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        body = on(instance, organizations=[instance.organization_id, elsewhere.organization_id], services=[10**12])
        refused = problem(administrator.post(of(person), body), 422, "unknown_id", "unknown_id")
        assert pointers(refused) == ["/organizations/1", "/services/0"]

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"organizations": 1}, "/organizations"),
            ({"organizations": ["1"]}, "/organizations/0"),
            ({"services": [0]}, "/services/0"),
            ({"services": [{"id": True}]}, "/services/0"),
            ({"services": list(range(1, 1002))}, "/services"),
            ({"all_services": 1}, "/all_services"),
            ({"expiration_date": "2090-01-01"}, "/expiration_date"),
            ({"expires_at": LATER}, "/expires_at"),
        ],
    )
    def test_refuses_what_is_malformed(
        self, administrator: Program, person: User, asked: dict[str, Any], change: dict[str, Any], pointer: str
    ) -> None:
        assert pointers(problem(administrator.post(of(person), {**asked, **change}), 400)) == [pointer]
        assert not person.grants.exists()

    def test_keeps_the_date_and_refuses_one_that_is_past(
        self, administrator: Program, person: User, asked: dict[str, Any]
    ) -> None:
        shown = administrator.post(of(person), {**asked, "expiration_date": LATER}).json()
        assert shown["expiration_date"] == "2090-12-31T22:59:59.000Z"
        past = {**asked, "expiration_date": "2020-01-01T00:00:00Z"}
        problem(administrator.post(of(person), past), 422, "expiration_date_past")

    def test_the_same_id_twice_is_once(self, administrator: Program, person: User, instance: ServiceInstance) -> None:
        pk = instance.organization_id
        shown = administrator.post(of(person), on(instance, organizations=[pk, {"id": pk}])).json()
        assert len(shown["organizations"]) == 1


class TestNobodyGivesMoreThanTheyHold:
    def test_names_the_pair_that_is_missing(
        self, cast: factories.Cast, instance: ServiceInstance, elsewhere: ServiceInstance, person: User
    ) -> None:
        """One grant on A with 1, another on B with 2: A with 2 is in neither."""
        factories.grant(
            cast.administrator,
            Role.ADMINISTRATOR,
            organizations=(elsewhere.organization,),
            services=(elsewhere.service,),
        )
        body = on(instance, organizations=[elsewhere.organization_id])
        refused = problem(Program.of(cast.administrator).post(of(person), body), 403, "permission_denied")
        assert pointers(refused) == ["/organizations/0"]
        assert str(elsewhere.organization_id) in refused["detail"]
        assert str(instance.service_id) in refused["detail"]
        assert not person.grants.exists()

    def test_seeing_a_place_is_not_administering_it(
        self, cast: factories.Cast, elsewhere: ServiceInstance, person: User, administrator: Program
    ) -> None:
        for role in Role:
            if role is not Role.ADMINISTRATOR:
                give(cast.administrator, role, on=elsewhere)
        problem(administrator.post(of(person), on(elsewhere)), 403, "permission_denied")

    @pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ADMINISTRATOR])
    def test_nobody_else_gives_not_even_to_themselves(
        self, cast: factories.Cast, asked: dict[str, Any], role: str
    ) -> None:
        person = getattr(cast, role)
        answer = Program.of(person).post(of(person), {**asked, "role": "govio_administrator"})
        refused = problem(answer, 403)
        assert {error["code"] for error in refused["errors"]} == {"permission_denied"}
        assert person.grants.count() == 1

    def test_nothing_that_lasts_longer_than_they_do(
        self, cast: factories.Cast, administrator: Program, person: User, asked: dict[str, Any]
    ) -> None:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        cast.administrator.grants.update(expires_at=until)
        problem(administrator.post(of(person), asked), 403, "permission_denied")
        longer = utc_milliseconds(until + timedelta(seconds=1))
        problem(administrator.post(of(person), {**asked, "expiration_date": longer}), 403, "permission_denied")
        same = {**asked, "expiration_date": utc_milliseconds(until)}
        assert administrator.post(of(person), same).status_code == 201

    def test_nothing_to_staff(self, administrator: Program, instance: ServiceInstance, asked: dict[str, Any]) -> None:
        colleague = factories.user(is_staff=True)
        held = give(colleague, Role.VIEWER, on=instance)
        problem(administrator.post(of(colleague), asked), 403, "permission_denied")
        problem(administrator.ask("DELETE", of(colleague, held)), 403, "permission_denied")

    def test_nothing_to_whom_they_do_not_see(
        self, administrator: Program, cast: factories.Cast, asked: dict[str, Any]
    ) -> None:
        problem(administrator.post(of(cast.stranger), asked), 404, "not_found")

    def test_nothing_that_programs_of_others_would_get(
        self, administrator: Program, cast: factories.Cast, elsewhere: ServiceInstance, asked: dict[str, Any]
    ) -> None:
        give(cast.viewer, Role.VIEWER, on=elsewhere)
        there = factories.user()
        give(there, Role.ADMINISTRATOR, on=elsewhere)
        factories.consumer_key(factories.consumer(user=cast.viewer), by=there)
        problem(administrator.post(of(cast.viewer), asked), 409, "user_has_consumers")
        assert cast.viewer.grants.count() == 2

    def test_nothing_that_a_key_of_somebody_weaker_would_open(self, instance: ServiceInstance) -> None:
        """The whole way: the key shows the messages of another service neither before nor after."""
        weaker, stronger = factories.user(), factories.user()
        first = factories.service_instance(organization=instance.organization)
        give(weaker, Role.ADMINISTRATOR, on=first)
        for place in (first, instance):
            give(stronger, Role.ADMINISTRATOR, on=place)
        factories.message_in(Delivery.SCHEDULED, instance=instance, sender=stronger)
        one, other = Program.of(weaker), Program.of(stronger)
        person = one.post("users", {"principal": "lucia.verdi", "full_name": "Lucia Verdi"}).json()["id"]
        path = f"users/{person}/authorizations"
        assert one.post(path, on(first, role="govio_viewer")).status_code == 201
        made = one.post("consumers", {"name": "Anagrafe", "user_id": person, "amount_unit": "euro"}).json()["id"]
        key = one.post(f"consumers/{made}/keys", {"scopes": ["messages:read"]}).json()
        problem(other.post(path, on(instance, role="govio_viewer")), 409, "user_has_consumers")
        assert Program(key["key"]).get("messages").json()["items"] == []
        # The cure that the answer tells: who administers the person ends the key, and issues one of their own.
        assert other.ask("DELETE", f"consumers/{made}/keys/{key['id']}").status_code == 204
        own = other.post(f"consumers/{made}/keys", {"scopes": ["messages:read"]}).json()["key"]
        assert other.post(path, on(instance, role="govio_viewer")).status_code == 201
        assert len(Program(own).get("messages").json()["items"]) == 1

    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN_WRITE])
    def test_nothing_without_the_scope(
        self, cast: factories.Cast, person: User, asked: dict[str, Any], scope: Scope
    ) -> None:
        program = Program.of(cast.administrator, scopes=(scope,))
        held = cast.viewer.grants.get()
        problem(program.post(of(person), asked), 403, "scope_missing")
        problem(program.ask("PUT", of(cast.viewer, held), asked), 403, "scope_missing")
        problem(program.ask("DELETE", of(cast.viewer, held)), 403, "scope_missing")


class TestReplacing:
    def test_what_was_read_can_be_given_back(
        self, administrator: Program, cast: factories.Cast, instance: ServiceInstance
    ) -> None:
        held = cast.viewer.grants.get()
        path = of(cast.viewer, held)
        before = administrator.get(path).json()
        answer = administrator.ask("PUT", path, before)
        assert answer.status_code == 200, answer.content.decode()
        assert answer.json() == before

    def test_changes_everything_but_whose_it_is(
        self, administrator: Program, cast: factories.Cast, asked: dict[str, Any]
    ) -> None:
        held = cast.viewer.grants.get()
        answer = administrator.ask("PUT", of(cast.viewer, held), {**asked, "expiration_date": LATER})
        check(schema.document(), "Authorization", answer.json())
        held.refresh_from_db()
        assert (held.user, held.role) == (cast.viewer, Role.SENDER)
        assert held.expires_at == datetime(2090, 12, 31, 22, 59, 59, tzinfo=UTC)

    def test_a_grant_of_somebody_else_is_not_under_this_person(
        self, administrator: Program, cast: factories.Cast, asked: dict[str, Any]
    ) -> None:
        held = cast.viewer.grants.get()
        for method in ("GET", "PUT", "DELETE"):
            answer = administrator.ask(method, of(cast.sender, held), asked if method == "PUT" else None)
            problem(answer, 404, "not_found")
        assert Grant.objects.filter(pk=held.pk).exists()

    def test_a_shared_grant_is_not_one_administrators_alone(
        self,
        administrator: Program,
        cast: factories.Cast,
        instance: ServiceInstance,
        elsewhere: ServiceInstance,
        asked: dict[str, Any],
    ) -> None:
        shared = factories.grant(
            cast.viewer,
            Role.VIEWER,
            organizations=(instance.organization, elsewhere.organization),
            services=(instance.service,),
        )
        problem(administrator.ask("PUT", of(cast.viewer, shared), asked), 403, "permission_denied")
        problem(administrator.ask("DELETE", of(cast.viewer, shared)), 403, "permission_denied")
        assert shared.organizations.count() == 2


class TestTaking:
    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_names_nothing_that_is_not_shown(
        self,
        administrator: Program,
        cast: factories.Cast,
        instance: ServiceInstance,
        elsewhere: ServiceInstance,
        asked: dict[str, Any],
        method: str,
    ) -> None:
        """What reading leaves out a refusal does not tell either."""
        # Ids that are found nowhere else in the answer.
        hidden = factories.organization(pk=987_654_321), factories.service(pk=987_654_322)
        held = factories.grant(
            cast.viewer,
            Role.VIEWER,
            organizations=(instance.organization, hidden[0]),
            services=(instance.service, hidden[1]),
        )
        answer = administrator.ask(method, of(cast.viewer, held), asked if method == "PUT" else None)
        refused = problem(answer, 403, "permission_denied")
        assert pointers(refused) in ([], [""], [None])
        assert "98765432" not in answer.content.decode()
        assert "Amministrazione" in refused["detail"]

    def test_names_the_pair_of_which_both_are_shown(
        self, administrator: Program, cast: factories.Cast, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        give(cast.administrator, Role.VIEWER, on=elsewhere)
        held = factories.grant(
            cast.viewer,
            Role.VIEWER,
            organizations=(instance.organization, factories.organization(pk=987_654_321)),
            services=(instance.service, elsewhere.service),
        )
        answer = administrator.ask("DELETE", of(cast.viewer, held))
        refused = problem(answer, 403, "permission_denied")
        assert f"{elsewhere.service_id} insieme" in refused["errors"][0]["detail"]
        assert "987654321" not in answer.content.decode()

    def test_ends_the_right_at_once(
        self, administrator: Program, cast: factories.Cast, instance: ServiceInstance
    ) -> None:
        integrator = program_of(cast.sender, instance)
        assert integrator.post(valid_body()).status_code == 201
        answer = administrator.ask("DELETE", of(cast.sender, cast.sender.grants.get()))
        assert (answer.status_code, answer.content) == (204, b"")
        assert integrator.post(valid_body()).status_code == 422
        assert LogEntry.objects.get().user == cast.administrator

    def test_twice_finds_nothing(self, administrator: Program, cast: factories.Cast) -> None:
        path = of(cast.sender, cast.sender.grants.get())
        administrator.ask("DELETE", path)
        problem(administrator.ask("DELETE", path), 404, "not_found")


class TestSeeing:
    def test_of_somebody_else_shows_what_names_ones_enti(
        self, administrator: Program, cast: factories.Cast, elsewhere: ServiceInstance
    ) -> None:
        other = give(cast.viewer, Role.SENDER, on=elsewhere)
        whole = factories.grant(cast.viewer, Role.VIEWER, all_organizations=True, all_services=True)
        shown = administrator.get(of(cast.viewer)).json()
        check(schema.document(), "AuthorizationList", shown)
        assert len(shown["items"]) == 1
        assert shown["page"]["total"] == 1
        for held in (other, whole):
            problem(administrator.get(of(cast.viewer, held)), 404, "not_found")
        assert len(Program.of(cast.viewer).get(of(cast.viewer)).json()["items"]) == 3

    def test_leaves_out_the_enti_and_services_of_others_and_says_so(
        self,
        administrator: Program,
        staff: Program,
        cast: factories.Cast,
        instance: ServiceInstance,
        elsewhere: ServiceInstance,
    ) -> None:
        shared = factories.grant(
            cast.viewer,
            Role.VIEWER,
            organizations=(instance.organization, elsewhere.organization),
            services=(instance.service, elsewhere.service),
        )
        path = of(cast.viewer, shared)
        for shown in (
            administrator.get(path).json(),
            next(one for one in administrator.get(of(cast.viewer)).json()["items"] if one["id"] == shared.pk),
        ):
            assert [one["id"] for one in shown["organizations"]] == [instance.organization_id]
            assert [one["id"] for one in shown["services"]] == [instance.service_id]
            assert shown["complete"] is False
        for reader in (staff, Program.of(cast.viewer)):
            assert reader.get(path).json()["complete"] is True
            assert len(reader.get(path).json()["organizations"]) == 2

    def test_expired_ones_too(self, administrator: Program, cast: factories.Cast) -> None:
        cast.viewer.grants.update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
        (shown,) = administrator.get(of(cast.viewer)).json()["items"]
        assert shown["expiration_date"] == "2020-01-01T00:00:00.000Z"

    def test_are_paged_and_sorted(self, staff: Program, person: User) -> None:
        for role in (Role.VIEWER, Role.APPROVER, Role.SENDER):
            factories.grant(person, role, all_organizations=True, all_services=True)
        shown = staff.get(of(person), {"sort": "role_name", "sort_direction": "asc", "limit": 2}).json()
        assert [one["role"]["role_name"] for one in shown["items"]] == ["govio_approver", "govio_sender"]
        assert shown["page"] == {"offset": 0, "limit": 2, "total": 3}

    def test_cost_the_same_however_many_they_are(
        self,
        administrator: Program,
        cast: factories.Cast,
        instance: ServiceInstance,
        django_assert_num_queries: Any,
    ) -> None:
        administrator.get(of(cast.viewer))
        for _number in range(5):
            factories.grant(
                cast.viewer, Role.VIEWER, organizations=(instance.organization,), services=(factories.service(),)
            )
        with django_assert_num_queries(7):
            assert len(administrator.get(of(cast.viewer)).json()["items"]) == 6
