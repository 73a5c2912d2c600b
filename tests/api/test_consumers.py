"""Programs of integrators over the API: each acts for a person, and belongs to who administers all that this person holds."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from messaging.models import ServiceInstance
from registry.models import AmountUnit, Consumer, Role, Scope, User
from rest import schema
from tests import factories
from tests.api.configuring import Program, replacing
from tests.api.integrator import Integrator, pointers, problem, valid_body
from tests.api.rights import give
from tests.api.test_configuring_at_once import while_uncommitted
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(cast: factories.Cast) -> Program:
    return Program.of(cast.administrator)


@pytest.fixture
def staff(db: None) -> Program:
    return Program.of(factories.user(is_staff=True))


@pytest.fixture
def program(cast: factories.Cast) -> Consumer:
    """Acts for somebody whom the administrator administers."""
    return factories.consumer(user=cast.sender, name="Anagrafe")


def body(person: User, **changes: Any) -> dict[str, Any]:
    return {"name": "Tributi", "user_id": person.pk, "amount_unit": "euro", "enabled": True, **changes}


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content.decode()
    return [item["name"] for item in answer.json()["items"]]


class TestMaking:
    def test_registers_a_program_that_has_no_key_yet(self, cast: factories.Cast, administrator: Program) -> None:
        answer = administrator.post("consumers", body(cast.sender, amount_unit="CENTS"))
        assert answer.status_code == 201, answer.content.decode()
        made = Consumer.objects.get(name="Tributi")
        assert (made.user, made.amount_unit, made.keys.count()) == (cast.sender, AmountUnit.CENTS, 0)
        assert answer["Location"] == f"http://testserver/api/v1/consumers/{made.pk}"
        assert administrator.get(f"consumers/{made.pk}").json() == answer.json()
        check(schema.document(), "Consumer", answer.json())
        line = LogEntry.objects.get()
        assert (line.user, line.is_addition(), line.object_id) == (cast.administrator, True, str(made.pk))

    def test_the_unit_of_amounts_has_no_default(self, cast: factories.Cast, administrator: Program) -> None:
        incomplete = body(cast.sender)
        del incomplete["amount_unit"]
        assert pointers(problem(administrator.post("consumers", incomplete), 400, "required")) == ["/amount_unit"]

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"name": ""}, "/name"),
            ({"name": "x" * 121}, "/name"),
            ({"name": "a\tb"}, "/name"),
            ({"name": "a\u202eb"}, "/name"),
            ({"user_id": "1"}, "/user_id"),
            ({"user_id": True}, "/user_id"),
            ({"amount_unit": "dollari"}, "/amount_unit"),
            ({"enabled": None}, "/enabled"),
            ({"keys": []}, "/keys"),
        ],
    )
    def test_refuses_what_is_malformed(
        self, cast: factories.Cast, administrator: Program, change: dict[str, Any], pointer: str
    ) -> None:
        answer = administrator.post("consumers", body(cast.sender, **change))
        assert pointers(problem(answer, 400)) == [pointer]

    def test_a_name_is_taken_once(self, cast: factories.Cast, administrator: Program, program: Consumer) -> None:
        refused = problem(administrator.post("consumers", body(cast.sender, name="Anagrafe")), 409, "name_taken")
        assert pointers(refused) == ["/name"]

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_the_same_moment_one_is_told_that_the_name_is_taken(self, cast: factories.Cast) -> None:
        # Of different people, who do not wait for each other's rows.
        makers = [(Program.of(one), one) for one in (cast.administrator, cast.stranger)]
        together = threading.Barrier(2)
        answers: list[int] = []

        def make(program: Program, person: User, name: str) -> None:
            try:
                together.wait(5)
                answers.append(program.post("consumers", body(person, name=name)).status_code)
            finally:
                connection.close()

        for attempt in range(5):
            answers.clear()
            threads = [threading.Thread(target=make, args=(*maker, f"Tributi {attempt}")) for maker in makers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert sorted(answers) == [201, 409]

    def test_for_somebody_not_seen_is_impossible(self, cast: factories.Cast, administrator: Program) -> None:
        for pk in (cast.stranger.pk, 10**12):
            answer = administrator.post("consumers", body(cast.sender, user_id=pk))
            assert pointers(problem(answer, 422, "unknown_id")) == ["/user_id"]


class TestNobodyActsThroughSomebodyStronger:
    """A program of somebody who holds more than its maker administers would hand that over to its maker."""

    @pytest.fixture
    def stronger(self, cast: factories.Cast, elsewhere: ServiceInstance) -> User:
        """Of this ente, and of another."""
        give(cast.sender, Role.SENDER, on=elsewhere)
        return cast.sender

    def test_by_making_one(self, administrator: Program, stronger: User) -> None:
        problem(administrator.post("consumers", body(stronger)), 403, "permission_denied")
        assert not stronger.consumers.exists()

    def test_by_finding_one(self, administrator: Program, stronger: User) -> None:
        theirs = factories.consumer(user=stronger)
        key = theirs.keys.create(prefix="giop_x", digest="0" * 64, scopes=["messages:read"])
        assert theirs.name not in names(administrator.get("consumers"))
        for method, path in (
            ("GET", ""),
            ("PATCH", ""),
            ("GET", "/keys"),
            ("POST", "/keys"),
            ("GET", f"/keys/{key.pk}"),
            ("DELETE", f"/keys/{key.pk}"),
        ):
            sent: Any = [] if method == "PATCH" else {"scopes": ["messages:read"]} if method == "POST" else None
            answer = administrator.ask(method, f"consumers/{theirs.pk}{path}", sent)
            problem(answer, 404, "not_found")
        key.refresh_from_db()
        assert (theirs.keys.count(), key.revoked_at) == (1, None)

    def test_by_giving_their_own_another_person(
        self, administrator: Program, cast: factories.Cast, elsewhere: ServiceInstance
    ) -> None:
        own = factories.consumer(user=cast.viewer)
        give(cast.approver, Role.SENDER, on=elsewhere)
        answer = administrator.replace(f"consumers/{own.pk}", user_id=cast.approver.pk)
        problem(answer, 403, "permission_denied")
        problem(administrator.replace(f"consumers/{own.pk}", user_id=cast.stranger.pk), 422, "unknown_id")
        own.refresh_from_db()
        assert own.user == cast.viewer

    def test_by_being_somebody_who_was_given_more_by_others(
        self, administrator: Program, cast: factories.Cast, elsewhere: ServiceInstance
    ) -> None:
        assert administrator.post("consumers", body(cast.administrator, name="Mia")).status_code == 201
        give(cast.administrator, Role.SENDER, on=elsewhere)
        answer = administrator.post("consumers", body(cast.administrator, name="Anche mia"))
        problem(answer, 403, "permission_denied")
        assert names(administrator.get("consumers")) == []

    @pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ADMINISTRATOR])
    def test_by_being_oneself(self, cast: factories.Cast, role: str) -> None:
        """What one may do at a desk is not for oneself to hand to a program."""
        person = getattr(cast, role)
        own = Program.of(person)
        problem(own.post("consumers", body(person)), 403, "permission_denied")
        assert names(own.get("consumers")) == []

    def test_through_staff_or_a_superuser(self, administrator: Program, staff: Program) -> None:
        colleague = User.objects.get(is_staff=True)
        problem(administrator.post("consumers", body(colleague)), 422, "unknown_id")
        root = factories.user(is_staff=True, is_superuser=True)
        problem(staff.post("consumers", body(root)), 403, "permission_denied")
        assert staff.post("consumers", body(colleague)).status_code == 201


class TestChanging:
    def test_writes_what_the_patch_makes(self, cast: factories.Cast, administrator: Program, program: Consumer) -> None:
        answer = administrator.replace(
            f"consumers/{program.pk}", name="Demografici", user_id=cast.viewer.pk, amount_unit="cents", enabled=False
        )
        assert answer.status_code == 200, answer.content.decode()
        check(schema.document(), "Consumer", answer.json())
        program.refresh_from_db()
        assert (program.name, program.user, program.amount_unit, program.is_active) == (
            "Demografici",
            cast.viewer,
            "cents",
            False,
        )
        told = LogEntry.objects.get().get_change_message()
        assert "Nome cambiato" in told
        assert "Integrazione disabilitata" in told

    def test_disabling_closes_it_at_once(
        self, administrator: Program, program: Consumer, instance: ServiceInstance
    ) -> None:
        integrator = Integrator(factories.consumer_key(program), instance)
        assert integrator.get("messages").status_code == 200
        administrator.replace(f"consumers/{program.pk}", enabled=False)
        problem(integrator.get("messages"), 401, "key_not_valid")
        administrator.replace(f"consumers/{program.pk}", enabled=True)
        assert integrator.get("messages").status_code == 200

    def test_the_unit_stays_once_it_has_sent(
        self, administrator: Program, program: Consumer, instance: ServiceInstance
    ) -> None:
        assert administrator.replace(f"consumers/{program.pk}", amount_unit="cents").status_code == 200
        assert administrator.replace(f"consumers/{program.pk}", amount_unit="euro").status_code == 200
        assert Integrator(factories.consumer_key(program), instance).post(valid_body()).status_code == 201
        refused = administrator.replace(f"consumers/{program.pk}", amount_unit="cents", name="Altro")
        assert pointers(problem(refused, 409, "amount_unit_in_use")) == ["/amount_unit"]
        program.refresh_from_db()
        assert (program.amount_unit, program.name) == ("euro", "Anagrafe")
        assert administrator.replace(f"consumers/{program.pk}", amount_unit="EURO", name="Altro").status_code == 200

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_of_a_name_does_not_undo_what_somebody_stops_at_that_moment(
        self, cast: factories.Cast, administrator: Program, program: Consumer
    ) -> None:
        asked = [replacing("name", "Demografici")]
        answer = while_uncommitted(
            lambda: Consumer.objects.filter(pk=program.pk).update(is_active=False),
            administrator,
            ("PATCH", f"consumers/{program.pk}", asked),
        )
        assert (answer.status_code, answer.json()["enabled"]) == (200, False)
        program.refresh_from_db()
        assert (program.name, program.is_active) == ("Demografici", False)

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_of_a_name_leaves_it_to_the_person_whom_somebody_gives_it_at_that_moment(
        self, cast: factories.Cast, administrator: Program, program: Consumer
    ) -> None:
        asked = [replacing("name", "Demografici")]
        answer = while_uncommitted(
            lambda: Consumer.objects.filter(pk=program.pk).update(user=cast.viewer),
            administrator,
            ("PATCH", f"consumers/{program.pk}", asked),
        )
        assert answer.status_code == 200, answer.content.decode()
        program.refresh_from_db()
        assert (program.name, program.user) == ("Demografici", cast.viewer)

    def test_gives_no_person_to_keys_that_somebody_weaker_issued(
        self, cast: factories.Cast, administrator: Program, program: Consumer
    ) -> None:
        weaker = factories.user()
        factories.consumer_key(program, by=weaker)
        change = {"user_id": cast.viewer.pk}
        problem(administrator.replace(f"consumers/{program.pk}", **change), 409, "consumer_keys_of_others")
        program.refresh_from_db()
        assert program.user == cast.sender
        program.keys.update(revoked_at=datetime.now(UTC))
        assert administrator.replace(f"consumers/{program.pk}", **change).status_code == 200

    def test_switches_off_one_whose_old_name_would_be_refused_today(
        self, administrator: Program, program: Consumer
    ) -> None:
        Consumer.objects.filter(pk=program.pk).update(name="Ana\u200bgrafe")
        assert administrator.replace(f"consumers/{program.pk}", enabled=False).status_code == 200
        program.refresh_from_db()
        assert (program.name, program.is_active) == ("Ana\u200bgrafe", False)

    @pytest.mark.parametrize("member", ["name", "user_id", "amount_unit", "enabled"])
    def test_takes_no_member_out(self, administrator: Program, program: Consumer, member: str) -> None:
        answer = administrator.patch(f"consumers/{program.pk}", {"op": "remove", "path": f"/{member}"})
        assert pointers(problem(answer, 400, "required")) == [f"/{member}"]

    def test_a_name_of_another_is_taken(self, cast: factories.Cast, staff: Program, program: Consumer) -> None:
        other = factories.consumer(user=cast.viewer, name="Tributi")
        problem(staff.replace(f"consumers/{other.pk}", name="Anagrafe"), 409, "name_taken")


class TestSeeing:
    def test_is_for_who_administers_the_person(
        self, cast: factories.Cast, administrator: Program, program: Consumer
    ) -> None:
        assert "Anagrafe" in names(administrator.get("consumers"))
        assert "Anagrafe" not in names(Program.of(cast.stranger).get("consumers"))
        problem(Program.of(cast.sender).get(f"consumers/{program.pk}"), 404, "not_found")

    def test_staff_see_all(self, staff: Program, program: Consumer) -> None:
        assert "Anagrafe" in names(staff.get("consumers"))

    def test_filters_by_name_state_and_person(
        self, cast: factories.Cast, administrator: Program, program: Consumer
    ) -> None:
        factories.consumer(user=cast.viewer, name="Tributi", is_active=False)
        assert names(administrator.get("consumers", {"q": "NAGRAF"})) == ["Anagrafe"]
        assert names(administrator.get("consumers", {"enabled": "false"})) == ["Tributi"]
        assert names(administrator.get("consumers", {"user_id": cast.viewer.pk})) == ["Tributi"]
        by_name = administrator.get("consumers", {"sort": "name", "sort_direction": "asc", "limit": 1})
        assert names(by_name) == ["Anagrafe"]
        check(schema.document(), "ConsumerList", by_name.json())
        problem(administrator.get("consumers", {"user_id": "x", "enabled": "x"}), 400, "invalid", "invalid")

    def test_costs_the_same_however_many_they_are(
        self, cast: factories.Cast, administrator: Program, django_assert_num_queries: Any
    ) -> None:
        administrator.get("consumers")
        for _number in range(5):
            factories.consumer(user=cast.viewer)
        # The key, what its person administers (two), the list.
        with django_assert_num_queries(4):
            assert len(names(administrator.get("consumers"))) == 6

    @pytest.mark.parametrize("scope", [scope for scope in Scope if not scope.startswith("admin")])
    def test_needs_an_administrative_scope(self, cast: factories.Cast, program: Consumer, scope: Scope) -> None:
        narrow = Program.of(cast.administrator, scopes=(scope,))
        for path in ("consumers", f"consumers/{program.pk}", f"consumers/{program.pk}/keys"):
            problem(narrow.get(path), 403, "scope_missing")
