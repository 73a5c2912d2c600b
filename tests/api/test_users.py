"""People over the API: who sees whom, who makes and changes whom."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from messaging.models import ServiceInstance
from registry.models import Role, Scope, User
from rest import schema
from tests import factories
from tests.api.configuring import Program, replacing
from tests.api.integrator import pointers, problem
from tests.api.rights import give
from tests.api.test_configuring_at_once import while_uncommitted
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db

NEW = {"principal": "lucia.verdi", "full_name": "Lucia Verdi", "email": "lucia@ente.example.it", "enabled": True}


@pytest.fixture
def administrator(cast: factories.Cast) -> Program:
    return Program.of(cast.administrator)


@pytest.fixture
def staff(db: None) -> Program:
    return Program.of(factories.user(is_staff=True))


def principals(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content.decode()
    return [item["principal"] for item in answer.json()["items"]]


def everybody_of(cast: factories.Cast) -> set[str]:
    return {getattr(cast, role.value).principal for role in Role}


class TestSeeing:
    def test_an_administrator_sees_those_of_their_ente(self, cast: factories.Cast, administrator: Program) -> None:
        assert set(principals(administrator.get("users"))) == everybody_of(cast)
        problem(administrator.get(f"users/{cast.stranger.pk}"), 404, "not_found")

    def test_on_another_service_of_it_too(
        self, cast: factories.Cast, instance: ServiceInstance, administrator: Program
    ) -> None:
        colleague = factories.user()
        other = (factories.service(),)
        factories.grant(colleague, Role.VIEWER, organizations=(instance.organization,), services=other)
        assert administrator.get(f"users/{colleague.pk}").json()["principal"] == colleague.principal

    def test_and_those_whose_right_has_expired_to_renew_it(self, cast: factories.Cast, administrator: Program) -> None:
        cast.viewer.grants.update(expires_at=datetime.now(UTC) - timedelta(days=1))
        assert administrator.get(f"users/{cast.viewer.pk}").status_code == 200

    def test_but_not_those_who_hold_all(self, administrator: Program) -> None:
        person = factories.user()
        factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        assert administrator.get(f"users/{person.pk}").status_code == 404

    def test_who_administers_all_enti_sees_them_as_well(self) -> None:
        person, wide = factories.user(), factories.user()
        factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        factories.grant(wide, Role.ADMINISTRATOR, all_organizations=True, all_services=True)
        assert Program.of(wide).get(f"users/{person.pk}").status_code == 200

    @pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ADMINISTRATOR])
    def test_everybody_else_sees_themselves(self, cast: factories.Cast, role: str) -> None:
        person = getattr(cast, role)
        program = Program.of(person)
        assert principals(program.get("users")) == [person.principal]
        assert program.get(f"users/{person.pk}").status_code == 200
        assert program.get(f"users/{cast.administrator.pk}").status_code == 404

    def test_staff_see_everybody(self, cast: factories.Cast, staff: Program) -> None:
        assert set(principals(staff.get("users"))) >= {*everybody_of(cast), cast.stranger.principal}

    def test_the_answer_is_govios_without_the_avatar(self, cast: factories.Cast, administrator: Program) -> None:
        person = factories.user(email="", is_active=False)
        User.objects.filter(pk=person.pk).update(created_by=cast.administrator)
        shown = administrator.get(f"users/{person.pk}")
        assert shown["Cache-Control"] == "no-store"
        assert shown.json() == {
            "id": person.pk,
            "principal": person.principal,
            "full_name": person.full_name,
            "email": None,
            "enabled": False,
            "_links": {"self": {"href": f"http://testserver/api/v1/users/{person.pk}"}},
        }

    @pytest.mark.parametrize("scope", [scope for scope in Scope if not scope.startswith("admin")])
    def test_needs_an_administrative_scope(self, cast: factories.Cast, scope: Scope) -> None:
        program = Program.of(cast.administrator, scopes=(scope,))
        problem(program.get("users"), 403, "scope_missing")
        problem(program.get(f"users/{cast.viewer.pk}"), 403, "scope_missing")

    def test_reading_does_not_let_write(self, cast: factories.Cast) -> None:
        program = Program.of(cast.administrator, scopes=(Scope.ADMIN_READ,))
        assert program.get("users").status_code == 200
        problem(program.post("users", NEW), 403, "scope_missing")
        problem(program.replace(f"users/{cast.viewer.pk}", full_name="X"), 403, "scope_missing")


class TestList:
    @pytest.fixture
    def people(self, staff: Program) -> None:
        User.objects.update(full_name="Zoe")
        for name, principal, enabled in [
            ("Anna Bruni", "abruni", True),
            ("Carlo D'Angelo", "cdangelo", False),
            ("Bruno Alfa", "balfa", True),
        ]:
            factories.user(principal, full_name=name, is_active=enabled)

    def test_is_newest_first_unless_asked(self, people: None, staff: Program) -> None:
        assert principals(staff.get("users"))[:3] == ["balfa", "cdangelo", "abruni"]
        by_name = staff.get("users", {"sort": "full_name", "sort_direction": "asc"})
        assert principals(by_name)[:3] == ["abruni", "balfa", "cdangelo"]
        assert principals(staff.get("users", {"sort": "UNSORTED"}))[0] == "balfa"
        problem(staff.get("users", {"sort": "email"}), 400, "unknown_value")

    @pytest.mark.parametrize(
        ("q", "found"),
        [("BRUN", {"abruni", "balfa"}), ("d'angelo", {"cdangelo"}), ("balf", {"balfa"}), ("%", set()), ("_", set())],
    )
    def test_finds_a_part_of_either_name(self, people: None, staff: Program, q: str, found: set[str]) -> None:
        assert set(principals(staff.get("users", {"q": q}))) == found

    @pytest.mark.parametrize("q", ["x" * 256, "a\x00b"])
    def test_refuses_what_cannot_be_looked_for(self, staff: Program, q: str) -> None:
        assert pointers(problem(staff.get("users", {"q": q}), 400)) == ["/q"]

    def test_keeps_the_enabled_or_the_others(self, people: None, staff: Program) -> None:
        assert principals(staff.get("users", {"enabled": "FALSE"})) == ["cdangelo"]
        assert "cdangelo" not in principals(staff.get("users", {"enabled": "true"}))
        problem(staff.get("users", {"enabled": "maybe"}), 400, "invalid")

    def test_is_paged_and_as_documented(self, people: None, staff: Program) -> None:
        shown = staff.get("users", {"limit": 2, "offset": 2, "q": "a", "enabled": "true"}).json()
        check(schema.document(), "UserList", shown)
        assert shown["page"]["offset"] == 2
        assert "q=a" in shown["_links"]["first"]["href"]

    def test_costs_the_same_however_many_they_are(
        self, cast: factories.Cast, administrator: Program, django_assert_num_queries: Any
    ) -> None:
        administrator.get("users")
        for _person in range(5):
            factories.user(created_by=cast.administrator)
        with django_assert_num_queries(2):
            administrator.get("users")


class TestMaking:
    def test_answers_with_where_they_are(self, cast: factories.Cast, administrator: Program) -> None:
        answer = administrator.post("users", NEW)
        assert answer.status_code == 201, answer.content.decode()
        made = User.objects.get(principal="lucia.verdi")
        assert answer["Location"] == f"http://testserver/api/v1/users/{made.pk}"
        assert answer.json() == administrator.get(f"users/{made.pk}").json()
        check(schema.document(), "User", answer.json())
        assert made.created_by == cast.administrator
        assert not made.has_usable_password()
        assert not made.is_staff
        assert not made.is_superuser
        assert not made.grants.exists()

    def test_leaves_a_line_in_the_history_without_their_data(
        self, cast: factories.Cast, administrator: Program
    ) -> None:
        administrator.post("users", NEW)
        line = LogEntry.objects.get()
        assert (line.user, line.is_addition()) == (cast.administrator, True)
        assert "lucia@" not in line.change_message

    def test_needs_the_two_names_alone(self, administrator: Program) -> None:
        answer = administrator.post("users", {"principal": "solo", "full_name": "Solo"})
        assert answer.status_code == 201
        assert (answer.json()["email"], answer.json()["enabled"]) == (None, True)

    @pytest.mark.parametrize("other", ["lucia.verdi", "Lucia.VERDI", "\uff4cucia.verdi"])
    def test_one_name_for_signing_in_is_one_person(self, administrator: Program, other: str) -> None:
        administrator.post("users", NEW)
        refused = problem(administrator.post("users", {**NEW, "principal": other}), 409, "principal_taken")
        assert pointers(refused) == ["/principal"]
        assert User.objects.filter(principal__iexact="lucia.verdi").count() == 1

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"principal": None}, "/principal", "null"),
            ({"principal": ""}, "/principal", "blank"),
            ({"principal": "con spazio"}, "/principal", "principal_invalid"),
            ({"principal": "a/b"}, "/principal", "principal_invalid"),
            ({"principal": "x" * 256}, "/principal", "max_length"),
            ({"principal": 7}, "/principal", "invalid"),
            ({"full_name": ""}, "/full_name", "blank"),
            # A Cyrillic "a", an accent, two alphabets, and nothing at all.
            ({"principal": "\u0430dmin"}, "/principal", "principal_invalid"),
            ({"principal": "nicolò"}, "/principal", "principal_invalid"),
            ({"principal": "οmar"}, "/principal", "principal_invalid"),
            ({"principal": "ad\u200bmin"}, "/principal", "principal_invalid"),
            ({"full_name": "due\nrighe"}, "/full_name", "one_line"),
            # Written from right to left, of no width, cut in two, an end of line of old machines.
            ({"full_name": "A\u202eB"}, "/full_name", "one_line"),
            ({"full_name": "A\u200bB"}, "/full_name", "one_line"),
            ({"full_name": "A\u00adB"}, "/full_name", "one_line"),
            ({"full_name": "A\u0085B"}, "/full_name", "one_line"),
            ({"full_name": "A\u2029B"}, "/full_name", "one_line"),
            ({"email": "niente"}, "/email", "email_invalid"),
            ({"email": f"{'x' * 251}@e.it"}, "/email", "max_length"),
            ({"enabled": "true"}, "/enabled", "invalid"),
            ({"is_staff": True}, "/is_staff", "unknown_member"),
            ({"is_superuser": True}, "/is_superuser", "unknown_member"),
            ({"password": "una-password"}, "/password", "unknown_member"),
            ({"created_by": 1}, "/created_by", "unknown_member"),
        ],
    )
    def test_refuses_what_is_malformed(
        self, administrator: Program, change: dict[str, Any], pointer: str, code: str
    ) -> None:
        refused = problem(administrator.post("users", {**NEW, **change}), 400)
        assert (pointer, code) in {(error["pointer"], error["code"]) for error in refused["errors"]}
        assert not User.objects.filter(full_name="Lucia Verdi").exists()

    def test_tells_everything_that_is_wrong_at_once(self, administrator: Program) -> None:
        refused = problem(administrator.post("users", {"email": "x", "enabled": 1}), 400)
        assert set(pointers(refused)) == {"/principal", "/full_name", "/email", "/enabled"}

    @pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ADMINISTRATOR])
    def test_is_for_administrators(self, cast: factories.Cast, role: str) -> None:
        refused = problem(Program.of(getattr(cast, role)).post("users", NEW), 403, "permission_denied")
        assert "Amministrazione" in refused["detail"]
        assert not User.objects.filter(principal="lucia.verdi").exists()

    def test_and_for_staff(self, staff: Program) -> None:
        assert staff.post("users", NEW).status_code == 201

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_the_same_moment_one_is_told_that_the_name_is_taken(self, cast: factories.Cast) -> None:
        programs = [Program.of(cast.administrator), Program.of(cast.stranger)]
        answers: list[int] = []
        together = threading.Barrier(2)

        def make(program: Program, principal: str) -> None:
            try:
                together.wait(5)
                answers.append(program.post("users", {**NEW, "principal": principal}).status_code)
            finally:
                connection.close()

        for attempt in range(5):
            answers.clear()
            threads = [
                threading.Thread(target=make, args=(program, f"{name}{attempt}"))
                for program, name in zip(programs, ("mario", "MARIO"), strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert sorted(answers) == [201, 409]


class TestChanging:
    def test_writes_what_the_patch_makes(self, cast: factories.Cast, administrator: Program) -> None:
        person = cast.viewer
        answer = administrator.patch(
            f"users/{person.pk}",
            replacing("full_name", "Nuovo Nome"),
            {"op": "remove", "path": "/email"},
            replacing("enabled", False),
        )
        assert answer.status_code == 200, answer.content.decode()
        person.refresh_from_db()
        assert (person.full_name, person.email, person.is_active) == ("Nuovo Nome", "", False)
        assert answer.json()["email"] is None
        line = LogEntry.objects.get()
        assert line.user == cast.administrator
        told = line.get_change_message()
        assert "Nome e cognome cambiati" in told
        assert "Utente disabilitato" in told
        assert "Nuovo Nome" not in line.change_message

    def test_that_changes_nothing_leaves_no_line(self, cast: factories.Cast, administrator: Program) -> None:
        administrator.replace(f"users/{cast.viewer.pk}", full_name=cast.viewer.full_name)
        assert not LogEntry.objects.exists()

    def test_disabling_closes_their_programs_at_once(self, cast: factories.Cast, administrator: Program) -> None:
        program = Program.of(cast.viewer)
        assert program.get("profile").status_code == 200
        administrator.replace(f"users/{cast.viewer.pk}", enabled=False)
        problem(program.get("profile"), 401, "key_not_valid")

    @pytest.mark.parametrize(
        ("operation", "pointer"),
        [
            ({"op": "remove", "path": "/full_name"}, "/full_name"),
            # Left out, it would mean enabled: a patch says so or does not.
            ({"op": "remove", "path": "/enabled"}, "/enabled"),
            ({"op": "add", "path": "/is_staff", "value": True}, "/is_staff"),
            ({"op": "replace", "path": "/email", "value": "niente"}, "/email"),
            ({"op": "replace", "path": "/enabled", "value": "no"}, "/enabled"),
            ({"op": "copy", "from": "/email", "path": "/full_name"}, "/0/op"),
        ],
    )
    def test_validates_what_the_patch_makes(
        self, cast: factories.Cast, administrator: Program, operation: dict[str, Any], pointer: str
    ) -> None:
        refused = problem(administrator.patch(f"users/{cast.viewer.pk}", operation), 400)
        assert pointers(refused) == [pointer]

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_does_not_undo_what_somebody_disables_at_that_moment(
        self, cast: factories.Cast, administrator: Program
    ) -> None:
        answer = while_uncommitted(
            lambda: User.objects.filter(pk=cast.viewer.pk).update(is_active=False),
            administrator,
            ("PATCH", f"users/{cast.viewer.pk}", [replacing("email", "nuova@ente.example.it")]),
        )
        assert (answer.status_code, answer.json()["enabled"]) == (200, False)
        cast.viewer.refresh_from_db()
        assert (cast.viewer.email, cast.viewer.is_active) == ("nuova@ente.example.it", False)

    @pytest.mark.parametrize("old", [{"principal": "nicolò"}, {"full_name": "A\u202eB"}, {"email": "di una volta"}])
    def test_disables_somebody_whose_old_names_would_be_refused_today(
        self, cast: factories.Cast, administrator: Program, old: dict[str, str]
    ) -> None:
        User.objects.filter(pk=cast.viewer.pk).update(**old)
        path = f"users/{cast.viewer.pk}"
        assert administrator.replace(path, enabled=False).status_code == 200
        cast.viewer.refresh_from_db()
        assert not cast.viewer.is_active
        assert {name: getattr(cast.viewer, name) for name in old} == old
        problem(administrator.replace(path, full_name="A\u200bB"), 400, "one_line")

    def test_ignores_the_id(self, cast: factories.Cast, administrator: Program) -> None:
        answer = administrator.replace(f"users/{cast.viewer.pk}", id=cast.stranger.pk, full_name="Ancora Lui")
        assert answer.json()["id"] == cast.viewer.pk

    def test_takes_json_patch_alone(self, cast: factories.Cast, administrator: Program) -> None:
        answer = administrator.ask(
            "PATCH", f"users/{cast.viewer.pk}", {"enabled": False}, content_type="application/json"
        )
        problem(answer, 415, "unsupported_media_type")

    def test_of_oneself_is_for_name_and_address(self, cast: factories.Cast) -> None:
        program = Program.of(cast.viewer)
        assert program.replace(f"users/{cast.viewer.pk}", full_name="Io", email="io@example.it").status_code == 200
        refused = problem(program.replace(f"users/{cast.viewer.pk}", enabled=False), 403, "permission_denied")
        assert pointers(refused) == ["/enabled"]
        refused = problem(program.replace(f"users/{cast.viewer.pk}", principal="root"), 403, "permission_denied")
        assert pointers(refused) == ["/principal"]
        cast.viewer.refresh_from_db()
        assert (cast.viewer.full_name, cast.viewer.is_active) == ("Io", True)

    def test_nobody_disables_themselves(self, cast: factories.Cast, administrator: Program, staff: Program) -> None:
        for program, person in (
            (administrator, cast.administrator),
            (staff, User.objects.get(is_staff=True)),
        ):
            problem(program.replace(f"users/{person.pk}", enabled=False), 422, "disabling_oneself")
            person.refresh_from_db()
            assert person.is_active

    def test_who_holds_something_elsewhere_is_not_the_administrators_alone(
        self, cast: factories.Cast, elsewhere: ServiceInstance, administrator: Program
    ) -> None:
        give(cast.viewer, Role.VIEWER, on=elsewhere)
        for change in ({"enabled": False}, {"email": "mia@example.it"}):
            refused = problem(administrator.replace(f"users/{cast.viewer.pk}", **change), 403, "permission_denied")
            assert "Amministrazione" in refused["detail"]
        cast.viewer.refresh_from_db()
        assert cast.viewer.is_active

    def test_staff_are_staffs_to_change(
        self, cast: factories.Cast, instance: ServiceInstance, administrator: Program
    ) -> None:
        colleague = factories.user(is_staff=True)
        give(colleague, Role.VIEWER, on=instance)
        problem(administrator.replace(f"users/{colleague.pk}", enabled=False), 403, "permission_denied")

    def test_a_superuser_is_not_to_be_disabled_by_staff(self, staff: Program) -> None:
        root = factories.user(is_staff=True, is_superuser=True)
        problem(staff.replace(f"users/{root.pk}", enabled=False), 403, "permission_denied")
        assert Program.of(root).replace(f"users/{root.pk}", full_name="Radice").status_code == 200

    def test_the_name_for_signing_in_is_staffs_to_change(
        self, cast: factories.Cast, administrator: Program, staff: Program
    ) -> None:
        path = f"users/{cast.viewer.pk}"
        problem(administrator.replace(path, principal="altro"), 403, "permission_denied")
        problem(staff.replace(path, principal=cast.sender.principal.upper()), 409, "principal_taken")
        assert staff.replace(path, principal=cast.viewer.principal.upper()).status_code == 200
        cast.viewer.refresh_from_db()
        assert cast.viewer.principal.isupper()

    def test_a_stranger_finds_nobody(self, cast: factories.Cast) -> None:
        problem(Program.of(cast.stranger).replace(f"users/{cast.viewer.pk}", enabled=False), 404, "not_found")

    def test_an_id_beyond_every_number_is_nobody(self, administrator: Program) -> None:
        problem(administrator.get(f"users/{10**30}"), 404, "not_found")
