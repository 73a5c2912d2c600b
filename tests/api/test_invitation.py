"""The link with which a person chooses a password: who makes it, who may use it, and when it ends."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from pytest_django import Settings

from govio_portal.redaction import redact
from messaging.models import ServiceInstance
from registry import inviting
from registry.models import Role, User
from rest import schema
from tests import factories
from tests.api.configuring import Program
from tests.api.integrator import problem
from tests.api.rights import give
from tests.api.test_schema import check
from tests.factories.cast import PASSWORD
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db

CHOSEN = "cavallo-batteria-graffetta"
BOTH = {"new_password1": CHOSEN, "new_password2": CHOSEN}


@pytest.fixture
def administrator(cast: factories.Cast) -> Program:
    return Program.of(cast.administrator)


@pytest.fixture
def staff(db: None) -> Program:
    return Program.of(factories.user(is_staff=True))


@pytest.fixture
def person(cast: factories.Cast) -> User:
    """Just made by the administrator."""
    made = factories.user(created_by=cast.administrator)
    made.set_unusable_password()
    made.save()
    return made


def link(program: Program, to: User) -> str:
    """The path of a new invitation."""
    answer = program.post(f"users/{to.pk}/invitation")
    assert answer.status_code == 201, answer.content.decode()
    return urlsplit(answer.json()["url"]).path


def arrive(path: str, visitor: Visitor | None = None) -> Visitor:
    """At the page where the password is chosen."""
    visitor = visitor or Visitor()
    answer = visitor.client.get(path)
    assert answer.status_code == 302, answer.status_code
    visitor.open(answer["Location"])
    return visitor


def choose(path: str, data: dict[str, str] | None = None, *, expect: int = 302, visitor: Visitor | None = None) -> Any:
    visitor = arrive(path, visitor)
    people = path.strip("/").split("/")[1]
    return visitor.post("invitation", people, "scelta-password", data=data or BOTH, expect=expect)


def works(path: str) -> bool:
    return Client().get(path).status_code == 302


class TestMaking:
    def test_answers_with_a_link_and_its_end(self, administrator: Program, person: User) -> None:
        answer = administrator.post(f"users/{person.pk}/invitation")
        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        shown = answer.json()
        check(schema.document(), "Invitation", shown)
        assert shown["url"].startswith("http://testserver/invito/")
        left = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < left <= timedelta(days=3)

    def test_leaves_neither_log_nor_history_of_the_link(
        self, administrator: Program, person: User, cast: factories.Cast, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            token = link(administrator, person).strip("/").rpartition("/")[2]
            choose(link(administrator, person))
        lines = LogEntry.objects.filter(object_id=str(person.pk)).order_by("pk")
        assert [line.user for line in lines] == [cast.administrator, cast.administrator, person]
        assert token not in caplog.text
        assert not any(token in line.change_message + line.object_repr for line in lines)
        assert CHOSEN not in caplog.text

    def test_a_page_that_breaks_does_not_log_it_either(self, administrator: Program, person: User) -> None:
        path = link(administrator, person)
        token = path.strip("/").rpartition("/")[2]
        told = redact(f"Internal Server Error: {path} GET http://testserver{path}")
        assert token not in told
        assert told.count("/invito/") == 2

    def test_is_for_who_administers_all_that_the_person_holds(
        self, administrator: Program, cast: factories.Cast, elsewhere: ServiceInstance
    ) -> None:
        assert administrator.post(f"users/{cast.viewer.pk}/invitation").status_code == 201
        give(cast.viewer, Role.VIEWER, on=elsewhere)
        problem(administrator.post(f"users/{cast.viewer.pk}/invitation"), 403, "permission_denied")
        problem(administrator.post(f"users/{cast.stranger.pk}/invitation"), 404, "not_found")

    @pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ADMINISTRATOR])
    def test_is_for_nobody_else_not_even_for_oneself(self, cast: factories.Cast, role: str) -> None:
        own = getattr(cast, role)
        problem(Program.of(own).post(f"users/{own.pk}/invitation"), 403, "permission_denied")

    def test_for_who_has_signed_in_already_is_staffs(
        self, administrator: Program, staff: Program, cast: factories.Cast
    ) -> None:
        Visitor(cast.viewer)
        problem(administrator.post(f"users/{cast.viewer.pk}/invitation"), 403, "signed_in_already")
        assert staff.post(f"users/{cast.viewer.pk}/invitation").status_code == 201

    def test_for_a_superuser_is_a_superusers(self, staff: Program) -> None:
        root = factories.user(is_staff=True, is_superuser=True)
        problem(staff.post(f"users/{root.pk}/invitation"), 403, "permission_denied")
        other = factories.user(is_staff=True, is_superuser=True)
        assert Program.of(other).post(f"users/{root.pk}/invitation").status_code == 201

    def test_for_who_is_disabled_is_of_no_use(self, administrator: Program, person: User) -> None:
        User.objects.filter(pk=person.pk).update(is_active=False)
        problem(administrator.post(f"users/{person.pk}/invitation"), 409, "user_disabled")


class TestUsing:
    def test_sets_the_password_and_lets_in(
        self, administrator: Program, person: User, instance: ServiceInstance
    ) -> None:
        give(person, Role.SENDER, on=instance)
        visitor = Visitor()
        answer = choose(link(administrator, person), visitor=visitor)
        assert answer["Location"] == address("home")
        visitor.get("messages")
        assert "Password scelta" in visitor.page.text
        person.refresh_from_db()
        assert person.check_password(CHOSEN)
        assert person.last_login is not None

    def test_the_token_leaves_the_address_before_any_page_is_shown(self, administrator: Program, person: User) -> None:
        path = link(administrator, person)
        token = path.strip("/").rpartition("/")[2]
        answer = Client().get(path)
        assert token not in answer["Location"]
        assert "no-store" in answer["Cache-Control"]
        visitor = arrive(path)
        assert token not in visitor.client.get(answer["Location"]).content.decode()
        assert person.principal in visitor.main.text

    def test_opening_it_uses_nothing_up(self, administrator: Program, person: User) -> None:
        """Programs that look at links before people do."""
        path = link(administrator, person)
        for _time in range(3):
            arrive(path)
        assert works(path)

    def test_is_good_once(self, administrator: Program, person: User) -> None:
        path = link(administrator, person)
        late = arrive(path)
        choose(path)
        assert not works(path)
        people = path.strip("/").split("/")[1]
        other = {"new_password1": "un-altra-parola-lunga", "new_password2": "un-altra-parola-lunga"}
        late.post("invitation", people, "scelta-password", data=other, expect=404)
        person.refresh_from_db()
        assert person.check_password(CHOSEN)

    def test_takes_the_place_of_who_was_signed_in_at_this_browser(
        self, administrator: Program, person: User, cast: factories.Cast
    ) -> None:
        visitor = Visitor(cast.sender)
        choose(link(administrator, person), visitor=visitor)
        assert int(visitor.client.session["_auth_user_id"]) == person.pk

    def test_the_page_without_the_link_is_over(self, administrator: Program, person: User) -> None:
        people = link(administrator, person).strip("/").split("/")[1]
        visitor = Visitor()
        visitor.get("invitation", people, "scelta-password", expect=404)
        visitor.post("invitation", people, "scelta-password", data=BOTH, expect=404)
        assert "non vale più" in visitor.main.text

    def test_a_link_for_one_person_is_none_for_another(
        self, administrator: Program, person: User, cast: factories.Cast
    ) -> None:
        people, token = link(administrator, person).strip("/").split("/")[1:]
        theirs = link(administrator, cast.viewer).strip("/").split("/")[1]
        Visitor().get("invitation", theirs, token, expect=404)
        visitor = arrive(f"/invito/{people}/{token}/")
        visitor.get("invitation", theirs, "scelta-password", expect=404)
        visitor.post("invitation", theirs, "scelta-password", data=BOTH, expect=404)

    def test_a_link_of_one_maker_is_none_of_another(self, administrator: Program, person: User, staff: Program) -> None:
        people, token = link(administrator, person).strip("/").split("/")[1:]
        by_staff = link(staff, person).strip("/").split("/")[1]
        assert by_staff != people
        Visitor().get("invitation", by_staff, token, expect=404)

    @pytest.mark.parametrize(
        "path", ["1-1/abc", "-/x", "1/x", "zzzzzzzzzzzzz-1/x", "é-1/x", "1-99999999999999/x-y", "1-1/a-b-c", "0-0/1-1"]
    )
    def test_nonsense_is_over_and_no_error(self, path: str) -> None:
        assert Client().get(f"/invito/{path}/").status_code == 404

    def test_says_what_is_wrong_with_the_password(self, administrator: Program, person: User) -> None:
        path = link(administrator, person)
        for data, word in (
            ({}, "Scegli una password"),
            ({"new_password1": CHOSEN, "new_password2": "altra"}, "diverse"),
            ({"new_password1": "corta", "new_password2": "corta"}, "12"),
            ({"new_password1": "qwertyqwerty", "new_password2": "qwertyqwerty"}, "comune"),
        ):
            visitor = Visitor()
            choose(path, data or {"new_password1": ""}, expect=422, visitor=visitor)
            assert any(word in error for error in visitor.errors), visitor.errors
            assert visitor.title.startswith("Errore:")
        assert works(path)
        person.refresh_from_db()
        assert not person.has_usable_password()

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_the_same_moment_one_chooses(self, administrator: Program, person: User) -> None:
        people, token = link(administrator, person).strip("/").split("/")[1:]
        together = threading.Barrier(2)
        done: list[User | None] = []

        def take(password: str) -> None:
            try:
                together.wait(5)
                done.append(inviting.accept(people, token, password=password, at=datetime.now(UTC)))
            finally:
                connection.close()

        threads = [threading.Thread(target=take, args=(word,)) for word in ("prima-parola", "seconda-parola")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(one is None for one in done) == [False, True]


class TestItEnds:
    def test_with_time(self, administrator: Program, person: User, settings: Settings) -> None:
        path = link(administrator, person)
        # As if all of it had passed, and a second more.
        settings.PASSWORD_RESET_TIMEOUT = -1
        assert not works(path)

    def test_with_the_persons_first_sign_in(self, administrator: Program, cast: factories.Cast) -> None:
        path = link(administrator, cast.viewer)
        Visitor().post("login", data={"username": cast.viewer.principal, "password": PASSWORD}, expect=302)
        assert not works(path)

    def test_with_the_makers_right(self, administrator: Program, person: User, cast: factories.Cast) -> None:
        path = link(administrator, person)
        cast.administrator.grants.all().delete()
        assert not works(path)

    def test_with_the_maker(self, administrator: Program, person: User, cast: factories.Cast) -> None:
        path = link(administrator, person)
        User.objects.filter(pk=cast.administrator.pk).update(is_active=False)
        assert not works(path)

    def test_once_the_person_is_stronger_than_the_maker(
        self, administrator: Program, staff: Program, person: User, elsewhere: ServiceInstance
    ) -> None:
        """Kept in a drawer until somebody else gives the person more, it would open all of that to who made it."""
        path = link(administrator, person)
        waiting = arrive(path)
        body = {
            "role": "govio_sender",
            "organizations": [elsewhere.organization_id],
            "services": [elsewhere.service_id],
        }
        assert staff.post(f"users/{person.pk}/authorizations", body).status_code == 201
        assert not works(path)
        people = path.strip("/").split("/")[1]
        waiting.post("invitation", people, "scelta-password", data=BOTH, expect=404)
        person.refresh_from_db()
        assert not person.has_usable_password()

    def test_but_not_when_the_maker_gives_what_they_may(
        self, administrator: Program, person: User, instance: ServiceInstance
    ) -> None:
        path = link(administrator, person)
        body = {"role": "govio_sender", "organizations": [instance.organization_id], "services": [instance.service_id]}
        assert administrator.post(f"users/{person.pk}/authorizations", body).status_code == 201
        assert works(path)

    def test_with_another_address_of_the_person(self, administrator: Program, person: User) -> None:
        """Whoever was invited at a mistaken address loses the link with it."""
        path = link(administrator, person)
        administrator.replace(f"users/{person.pk}", email="giusto@example.it")
        assert not works(path)

    def test_with_the_person_disabled(self, administrator: Program, person: User) -> None:
        path = link(administrator, person)
        administrator.replace(f"users/{person.pk}", enabled=False)
        assert not works(path)
