"""Keys of programs over the API: shown once, never for more than the key that asks, two at a time, gone at once."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from messaging.models import ServiceInstance
from registry.models import Consumer, ConsumerKey, Role, Scope
from registry.models.consumer import digest_of
from rest import schema
from rest.hal import utc_milliseconds
from tests import factories
from tests.api.configuring import Program
from tests.api.integrator import HEADER, Integrator, pointers, problem
from tests.api.rights import give
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db

READS = {"scopes": ["messages:read"]}


@pytest.fixture
def administrator(cast: factories.Cast) -> Program:
    return Program.of(cast.administrator)


@pytest.fixture
def program(cast: factories.Cast) -> Consumer:
    return factories.consumer(user=cast.sender)


@pytest.fixture
def keys(program: Consumer) -> str:
    """Where the program's keys are."""
    return f"consumers/{program.pk}/keys"


class TestIssuing:
    def test_shows_the_key_once(
        self, administrator: Program, program: Consumer, keys: str, instance: ServiceInstance
    ) -> None:
        answer = administrator.post(keys, READS)
        assert answer.status_code == 201, answer.content.decode()
        assert answer["Cache-Control"] == "no-store"
        shown = answer.json()
        check(schema.document(), "IssuedConsumerKey", shown)
        assert Integrator(shown["key"], instance).get("messages").status_code == 200
        row = program.keys.get()
        assert answer["Location"] == f"http://testserver/api/v1/{keys}/{row.pk}"
        assert row.digest == digest_of(shown["key"])
        for again in (administrator.get(keys), administrator.get(f"{keys}/{row.pk}")):
            assert shown["key"] not in again.content.decode()

    def test_leaves_neither_log_nor_history_of_the_key(
        self, administrator: Program, keys: str, caplog: pytest.LogCaptureFixture, cast: factories.Cast
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            key = administrator.post(keys, READS).json()["key"]
        line = LogEntry.objects.get()
        assert line.user == cast.administrator
        assert key[:12] in line.change_message
        told = caplog.text + line.change_message + line.object_repr
        assert key[12:] not in told

    def test_opens_what_its_scopes_say_and_nothing_else(
        self, administrator: Program, keys: str, instance: ServiceInstance
    ) -> None:
        key = administrator.post(keys, READS).json()["key"]
        problem(Integrator(key, instance).post({}), 403, "scope_missing")

    def test_ends_at_its_date(self, administrator: Program, keys: str, program: Consumer) -> None:
        shown = administrator.post(keys, {**READS, "expires_at": "2090-12-31T23:59:59+01:00"}).json()
        assert shown["expires_at"] == "2090-12-31T22:59:59.000Z"
        refused = administrator.post(keys, {**READS, "expires_at": "2020-01-01T00:00:00Z"})
        problem(refused, 422, "expires_at_past")
        program.keys.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        problem(Program(shown["key"]).get("profile"), 401, "key_not_valid")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/scopes"),
            ({"scopes": []}, "/scopes"),
            ({"scopes": "messages:read"}, "/scopes"),
            ({"scopes": ["messages:read", "everything"]}, "/scopes/1"),
            ({"scopes": [["messages:read"]]}, "/scopes/0"),
            ({**READS, "expires_at": "domani"}, "/expires_at"),
            ({**READS, "key": "giop_mine"}, "/key"),
            ({**READS, "digest": "0" * 64}, "/digest"),
        ],
    )
    def test_refuses_what_is_malformed(
        self, administrator: Program, keys: str, body: dict[str, Any], pointer: str
    ) -> None:
        assert pointers(problem(administrator.post(keys, body), 400)) == [pointer]
        assert len(administrator.get(keys).json()["items"]) == 0

    def test_takes_scopes_in_any_case_and_once_each(self, administrator: Program, keys: str) -> None:
        shown = administrator.post(keys, {"scopes": ["Messages:READ", "messages:send", "messages:read"]}).json()
        assert shown["scopes"] == ["messages:send", "messages:read"]


class TestNobodyGetsMoreThanTheyShowed:
    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN_WRITE])
    def test_a_scope_that_the_asking_key_lacks_is_not_given(
        self, cast: factories.Cast, keys: str, program: Consumer, scope: Scope
    ) -> None:
        asking = Program.of(cast.administrator, scopes=(Scope.ADMIN_WRITE,))
        refused = problem(asking.post(keys, {"scopes": ["admin:write", scope.value]}), 403, "scope_not_held")
        assert scope in refused["detail"]
        assert not program.keys.exists()
        assert asking.post(keys, {"scopes": ["admin:write"]}).status_code == 201

    @pytest.mark.parametrize("longer", [None, timedelta(hours=1)])
    def test_nor_a_life_longer_than_its_own(
        self, cast: factories.Cast, keys: str, program: Consumer, longer: timedelta | None
    ) -> None:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
        own = factories.consumer(user=cast.administrator)
        asking = Program(factories.consumer_key(own, expires_at=until))
        body = {**READS, "expires_at": None if longer is None else utc_milliseconds(until + longer)}
        for where in (keys, f"consumers/{own.pk}/keys"):
            refused = problem(asking.post(where, body), 403, "expiry_not_held")
            assert pointers(refused) == ["/expires_at"]
            assert utc_milliseconds(until) in refused["detail"]
        assert not program.keys.exists()
        assert asking.post(keys, {**READS, "expires_at": utc_milliseconds(until)}).status_code == 201

    def test_who_issued_a_key_is_written_down(self, administrator: Program, keys: str, cast: factories.Cast) -> None:
        pk = administrator.post(keys, READS).json()["id"]
        assert ConsumerKey.objects.get(pk=pk).issued_by == cast.administrator

    def test_nor_is_it_by_two_steps(self, cast: factories.Cast, keys: str) -> None:
        narrow = Program.of(cast.administrator, scopes=(Scope.ADMIN_WRITE, Scope.ADMIN_READ))
        own = f"consumers/{cast.administrator.consumers.get().pk}/keys"
        second = Program(narrow.post(own, {"scopes": ["admin:write", "admin:read"]}).json()["key"])
        problem(second.post(keys, {"scopes": ["messages:send"]}), 403, "scope_not_held")

    def test_a_key_never_widens_what_its_person_may(
        self, administrator: Program, cast: factories.Cast, instance: ServiceInstance
    ) -> None:
        viewers = factories.consumer(user=cast.viewer)
        body = {"scopes": [scope.value for scope in Scope]}
        key = administrator.post(f"consumers/{viewers.pk}/keys", body).json()["key"]
        problem(Integrator(key, instance).post({"taxcode": "RSSMRA80A01H501U"}), 403, "permission_denied")
        problem(Program(key).post("users", {"principal": "x", "full_name": "X"}), 403, "permission_denied")


class TestTwoAtATime:
    def test_the_third_live_key_is_refused(self, administrator: Program, keys: str, program: Consumer) -> None:
        first = administrator.post(keys, READS).json()
        assert administrator.post(keys, READS).status_code == 201
        problem(administrator.post(keys, READS), 409, "too_many_live_keys")
        assert program.keys.count() == 2
        administrator.ask("DELETE", f"{keys}/{first['id']}")
        assert administrator.post(keys, READS).status_code == 201

    def test_ended_ones_do_not_count(self, administrator: Program, keys: str, program: Consumer) -> None:
        for _time in range(2):
            administrator.post(keys, READS)
        program.keys.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        assert administrator.post(keys, READS).status_code == 201

    def test_those_of_a_program_switched_off_do(self, administrator: Program, keys: str, program: Consumer) -> None:
        for _time in range(2):
            administrator.post(keys, READS)
        Consumer.objects.filter(pk=program.pk).update(is_active=False)
        problem(administrator.post(keys, READS), 409, "too_many_live_keys")

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_also_when_asked_for_at_the_same_moment(self, administrator: Program, keys: str, program: Consumer) -> None:
        administrator.get("profile")
        together = threading.Barrier(5)
        answers: list[int] = []

        def ask() -> None:
            try:
                together.wait(5)
                answers.append(Program(administrator.key).post(keys, READS).status_code)
            finally:
                connection.close()

        threads = [threading.Thread(target=ask) for _number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        assert sorted(answers) == [201, 201, 409, 409, 409]
        assert program.keys.count() == 2


class TestRevoking:
    def test_closes_the_door_for_the_next_request_of_the_same_connection(
        self, administrator: Program, keys: str, instance: ServiceInstance
    ) -> None:
        shown = administrator.post(keys, READS).json()
        integrator = Integrator(shown["key"], instance)
        assert integrator.get("messages").status_code == 200
        answer = administrator.ask("DELETE", f"{keys}/{shown['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        problem(integrator.get("messages"), 401, "key_not_valid")

    def test_twice_is_once(self, administrator: Program, keys: str, cast: factories.Cast) -> None:
        pk = administrator.post(keys, READS).json()["id"]
        assert administrator.ask("DELETE", f"{keys}/{pk}").status_code == 204
        revoked_at = ConsumerKey.objects.get(pk=pk).revoked_at
        assert administrator.ask("DELETE", f"{keys}/{pk}").status_code == 204
        assert ConsumerKey.objects.get(pk=pk).revoked_at == revoked_at
        # Issued, and revoked once.
        assert LogEntry.objects.count() == 2

    def test_stays_in_the_list(self, administrator: Program, keys: str) -> None:
        pk = administrator.post(keys, READS).json()["id"]
        administrator.ask("DELETE", f"{keys}/{pk}")
        administrator.post(keys, READS)
        shown = administrator.get(keys).json()
        check(schema.document(), "ConsumerKeyList", shown)
        assert [key["live"] for key in shown["items"]] == [True, False]
        assert shown["items"][1]["revoked_at"] is not None

    def test_of_another_program_is_not_under_this_one(
        self, administrator: Program, keys: str, cast: factories.Cast
    ) -> None:
        other = factories.consumer(user=cast.viewer)
        factories.consumer_key(other)
        key = other.keys.get()
        problem(administrator.ask("DELETE", f"{keys}/{key.pk}"), 404, "not_found")
        problem(administrator.get(f"{keys}/{key.pk}"), 404, "not_found")
        key.refresh_from_db()
        assert key.revoked_at is None

    def test_a_program_may_end_its_own_key(self, administrator: Program, cast: factories.Cast) -> None:
        own = ConsumerKey.objects.get(digest=digest_of(administrator.key))
        path = f"consumers/{own.consumer_id}/keys/{own.pk}"
        assert administrator.ask("DELETE", path).status_code == 204
        problem(administrator.get("profile"), 401, "key_not_valid")

    def test_needs_the_scope_to_write(self, cast: factories.Cast, keys: str, program: Consumer) -> None:
        factories.consumer_key(program)
        reading = Program.of(cast.administrator, scopes=(Scope.ADMIN_READ,))
        problem(reading.post(keys, READS), 403, "scope_missing")
        problem(reading.ask("DELETE", f"{keys}/{program.keys.get().pk}"), 403, "scope_missing")


class TestRotation:
    def test_a_program_moves_to_a_new_key_without_a_gap(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        """The way an administrator's own program does it."""
        give(cast.administrator, Role.SENDER, on=instance)
        old = Program.of(cast.administrator)
        row = ConsumerKey.objects.get(digest=digest_of(old.key))
        keys = f"consumers/{row.consumer_id}/keys"
        new = Program(old.post(keys, {"scopes": row.scopes}).json()["key"])
        for program in (old, new):
            assert program.get("profile").status_code == 200
        assert new.ask("DELETE", f"{keys}/{row.pk}").status_code == 204
        problem(old.get("profile"), 401, "key_not_valid")
        assert new.get("profile").status_code == 200


def test_the_key_is_asked_for_at_every_door(cast: factories.Cast, client: Any, keys: str) -> None:
    for path in ("users", "roles", "consumers", keys):
        problem(client.get(f"/api/v1/{path}"), 401, "not_authenticated")
        problem(client.get(f"/api/v1/{path}", headers={HEADER: "giop_guess"}), 401, "key_not_valid")
