"""Who the caller is, what their key is good for, and which roles there are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.models import ServiceInstance
from registry.models import AmountUnit, Role, Scope, User
from registry.roles import BY_ROLE, FILTER_NAMES, ROLES, roles_named
from rest import schema
from tests import factories
from tests.api.configuring import Program
from tests.api.integrator import problem, program_of
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db


class TestProfile:
    @pytest.mark.parametrize("scope", Scope)
    def test_is_told_to_any_key(self, sender: User, scope: Scope) -> None:
        shown = Program.of(sender, scopes=(scope,)).get("profile")
        assert shown.status_code == 200
        assert shown["Cache-Control"] == "no-store"
        check(schema.document(), "Profile", shown.json())
        assert shown.json()["scopes"] == [scope]

    def test_is_told_to_nobody_without_a_key(self, client: Any) -> None:
        problem(client.get("/api/v1/profile"), 401, "not_authenticated")

    def test_says_who_and_what_as_govio_does(self, sender: User, instance: ServiceInstance) -> None:
        shown = program_of(sender, instance, unit=AmountUnit.CENTS).get("profile").json()
        granted = sender.grants.get()
        ente, service = instance.organization, instance.service
        root = "http://testserver/api/v1"
        assert shown == {
            "id": sender.pk,
            "principal": sender.principal,
            "full_name": sender.full_name,
            "email": sender.email,
            "enabled": True,
            "platform": False,
            "scopes": sorted(Scope),
            "amount_unit": "cents",
            "authorizations": [
                {
                    "id": granted.pk,
                    "role": {"id": 2, "role_name": "govio_sender", "application": "govio", "assignable_roles": []},
                    "organizations": [
                        {
                            "id": ente.pk,
                            "tax_code": ente.tax_code,
                            "legal_name": ente.legal_name,
                            "_links": {"self": {"href": f"{root}/organizations/{ente.pk}"}},
                        }
                    ],
                    "services": [
                        {
                            "id": service.pk,
                            "service_name": service.service_name,
                            "description": None,
                            "_links": {"self": {"href": f"{root}/services/{service.pk}"}},
                        }
                    ],
                    "all_organizations": False,
                    "all_services": False,
                    "expiration_date": None,
                    "complete": True,
                    "_links": {"self": {"href": f"{root}/users/{sender.pk}/authorizations/{granted.pk}"}},
                }
            ],
            "_links": {"self": {"href": f"{root}/profile"}},
        }

    def test_shows_all_as_an_empty_array_beside_its_boolean(self) -> None:
        person = factories.user()
        factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        emptied = factories.grant(person, Role.VIEWER)
        first, second = Program.of(person).get("profile").json()["authorizations"]
        assert (first["organizations"], first["services"]) == ([], [])
        assert first["all_organizations"]
        assert first["all_services"]
        # The same arrays, and no right at all.
        assert (second["id"], second["organizations"], second["services"]) == (emptied.pk, [], [])
        assert not second["all_organizations"]
        assert not second["all_services"]

    def test_leaves_expired_authorizations_out(self, sender: User, instance: ServiceInstance) -> None:
        sender.grants.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert Program.of(sender).get("profile").json()["authorizations"] == []

    def test_of_staff_says_so(self) -> None:
        assert Program.of(factories.user(is_staff=True)).get("profile").json()["platform"] is True

    def test_costs_the_same_however_much_one_holds(
        self, sender: User, django_assert_num_queries: Any, instance: ServiceInstance
    ) -> None:
        program = Program.of(sender)
        program.get("profile")
        for role in Role:
            factories.grant(sender, role, organizations=(instance.organization,), services=(factories.service(),))
        with django_assert_num_queries(4):
            assert len(program.get("profile").json()["authorizations"]) == 1 + len(Role)


class TestRoles:
    @pytest.fixture
    def program(self, sender: User) -> Program:
        return Program.of(sender, scopes=(Scope.ADMIN_READ,))

    def test_have_fixed_ids_and_the_names_that_govios_clients_know(self, program: Program) -> None:
        shown = program.get("roles").json()
        check(schema.document(), "RoleList", shown)
        assert [(role["id"], role["role_name"]) for role in shown["items"]] == [
            (1, "govio_viewer"),
            (2, "govio_sender"),
            (3, "govio_service_instance_editor"),
            (4, "govio_editor"),
            (5, "govio_approver"),
            (6, "govio_administrator"),
        ]
        assert shown["page"] == {"offset": 0, "limit": 25, "total": 6}

    def test_only_the_administrator_gives_roles(self, program: Program) -> None:
        given = {role["role_name"]: role["assignable_roles"] for role in program.get("roles").json()["items"]}
        assert len(given.pop("govio_administrator")) == 6
        assert not any(given.values())

    def test_are_a_list_like_any_other(self, program: Program) -> None:
        shown = program.get("roles", {"limit": 2, "offset": 3}).json()
        assert shown["page"] == {"offset": 2, "limit": 2, "total": 6}
        assert [role["id"] for role in shown["items"]] == [3, 4]
        assert set(shown["_links"]) == {"self", "first", "prev", "next", "last"}
        assert program.get("roles", {"offset": 50}).json()["items"] == []
        problem(program.get("roles", {"limit": 0, "offset": "x"}), 400, "out_of_range", "out_of_range")

    def test_need_an_administrative_scope(self, sender: User) -> None:
        problem(Program.of(sender, scopes=(Scope.CONFIG_WRITE,)).get("roles"), 403, "scope_missing")

    def test_every_role_of_ours_has_one_place_on_the_wire(self) -> None:
        assert {known.role for known in ROLES} == set(Role) == set(BY_ROLE)
        assert len({known.id for known in ROLES}) == len({known.name for known in ROLES}) == len(Role)

    def test_in_filters_govios_sums_and_halves_are_understood_in_any_case(self) -> None:
        assert roles_named(["GovIO_Sender"]) == {Role.SENDER}
        assert roles_named(["govio_sysadmin"]) == set(Role)
        assert roles_named(["govio_service_instance_viewer", "GOVIO_APPROVER"]) == {Role.VIEWER, Role.APPROVER}
        assert set(FILTER_NAMES) >= {known.name for known in ROLES}
        with pytest.raises(KeyError, match="govhub_sysadmin"):
            roles_named(["govio_viewer", "govhub_sysadmin"])
