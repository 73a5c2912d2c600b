"""Who gets in: a live consumer key, in any of three headers; everybody else gets one and the same 401."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from unittest import mock

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.models import Consumer, ConsumerKey, Scope, User
from registry.querysets import ConsumerKeyQuerySet
from tests.api.integrator import HEADER, Integrator, problem, program_of, valid_body

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def ask(api: Integrator, headers: dict[str, str]) -> Any:
    return api.client.get("/api/v1/messages", headers=headers)


class TestLetsIn:
    def test_with_the_key_in_the_header_of_govio(self, api: Integrator) -> None:
        assert ask(api, {HEADER: str(api.key)}).status_code == 200
        assert ask(api, {HEADER.lower(): str(api.key)}).status_code == 200

    def test_with_the_key_as_bearer(self, api: Integrator) -> None:
        assert ask(api, {"Authorization": f"Bearer {api.key}"}).status_code == 200
        assert ask(api, {"Authorization": f"bearer {api.key}"}).status_code == 200

    def test_with_the_key_as_password_of_basic_whatever_the_name(self, api: Integrator) -> None:
        assert ask(api, basic("anybody", str(api.key))).status_code == 200
        assert ask(api, basic("", str(api.key))).status_code == 200

    def test_with_the_same_key_in_two_headers(self, api: Integrator) -> None:
        assert ask(api, {HEADER: str(api.key), "Authorization": f"Bearer {api.key}"}).status_code == 200

    def test_with_one_statement_before_the_answer_is_made(self, api: Integrator) -> None:
        ask(api, {HEADER: str(api.key)})  # the first use of the minute also notes it
        with CaptureQueriesContext(connection) as counted:
            api.client.options("/api/v1/messages", headers={HEADER: str(api.key)})
        assert len(counted) == 1


class TestKeepsOut:
    def test_without_any_key(self, api: Integrator) -> None:
        response = ask(api, {})
        problem(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"].startswith("Bearer ")
        assert "Basic " in response["WWW-Authenticate"]

    @pytest.mark.parametrize(
        "key",
        ["x", "giop_", "é", "a, b", "x" * 5000, "' OR 1=1 --"],
        ids=["short", "prefix", "accent", "two", "long", "sql"],
    )
    def test_with_a_key_that_was_never_issued(self, api: Integrator, key: str) -> None:
        problem(ask(api, {HEADER: key}), 401, "key_not_valid")

    def test_with_the_digest_instead_of_the_key(self, api: Integrator) -> None:
        problem(ask(api, {HEADER: ConsumerKey.objects.get().digest}), 401, "key_not_valid")

    def test_at_the_instant_it_expires(self, api: Integrator) -> None:
        with time_machine.travel(NOON, tick=False):
            ConsumerKey.objects.update(expires_at=NOON + timedelta(microseconds=1))
            assert ask(api, {HEADER: str(api.key)}).status_code == 200
            ConsumerKey.objects.update(expires_at=NOON)
            problem(ask(api, {HEADER: str(api.key)}), 401, "key_not_valid")

    def test_once_revoked(self, api: Integrator) -> None:
        ConsumerKey.objects.update(revoked_at=NOON - timedelta(seconds=1))
        with time_machine.travel(NOON, tick=False):
            problem(ask(api, {HEADER: str(api.key)}), 401, "key_not_valid")

    def test_when_the_consumer_is_disabled(self, api: Integrator) -> None:
        Consumer.objects.update(is_active=False)
        problem(ask(api, {HEADER: str(api.key)}), 401, "key_not_valid")

    def test_when_the_person_is_disabled(self, api: Integrator, sender: User) -> None:
        sender.is_active = False
        sender.save(update_fields=["is_active"])
        problem(ask(api, {HEADER: str(api.key)}), 401, "key_not_valid")

    def test_telling_a_stranger_the_same_thing_whatever_the_reason(self, api: Integrator) -> None:
        unknown = ask(api, {HEADER: "giop_never-issued"}).content
        Consumer.objects.update(is_active=False)
        assert ask(api, {HEADER: str(api.key)}).content == unknown
        Consumer.objects.update(is_active=True)
        ConsumerKey.objects.update(revoked_at=NOON - timedelta(days=9999))
        assert ask(api, {HEADER: str(api.key)}).content == unknown

    @pytest.mark.parametrize(
        ("header", "code"),
        [
            ("Digest username=x", "scheme_not_supported"),
            ("giop_without_scheme", "scheme_not_supported"),
            ("Basic not-base64!", "basic_not_readable"),
            ("Basic " + base64.b64encode(b"no colon").decode(), "basic_not_readable"),
            ("Basic " + base64.b64encode(b"name:").decode(), "basic_not_readable"),
            ("Basic " + base64.b64encode(b"\xff:\xff").decode(), "basic_not_readable"),
            ("Bearer", "not_authenticated"),
            ("Basic", "basic_not_readable"),
        ],
    )
    def test_with_an_authorization_that_cannot_be_read(self, api: Integrator, header: str, code: str) -> None:
        problem(ask(api, {"Authorization": header}), 401, code)

    def test_with_two_different_keys(self, api: Integrator) -> None:
        response = ask(api, {HEADER: str(api.key), "Authorization": "Bearer other"})
        problem(response, 401, "two_different_keys")

    def test_with_the_name_of_a_person_in_clear(self, api: Integrator, sender: User) -> None:
        problem(ask(api, {HEADER: sender.principal}), 401, "key_not_valid")

    def test_with_the_password_of_a_person(self, api: Integrator, sender: User) -> None:
        problem(ask(api, basic(sender.principal, "una-parola-di-prova")), 401, "key_not_valid")

    def test_before_looking_at_the_request(self, api: Integrator) -> None:
        api.key = None
        problem(api.post("{not json", query=""), 401, "not_authenticated")

    def test_without_ever_showing_the_key(self, api: Integrator, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("DEBUG"):
            response = ask(api, {HEADER: "giop_a-secret-mistyped"})
        assert b"secret" not in response.content
        assert "secret" not in caplog.text


@pytest.mark.django_db(transaction=True)
class TestRevocation:
    """What was taken away is away from the next request on, on a connection that stays open."""

    @pytest.fixture
    def ask_again(self, live_server: Any, api: Integrator) -> Iterator[Callable[[], int]]:
        host, _colon, port = live_server.url.removeprefix("http://").partition(":")
        connection = HTTPConnection(host, int(port), timeout=10)
        connection.connect()
        socket = connection.sock

        def ask() -> int:
            connection.request("GET", "/api/v1/messages", headers=api.headers())
            answer = connection.getresponse()
            answer.read()
            assert connection.sock is socket, "the server closed the connection, so this test shows nothing"
            return answer.status

        yield ask
        connection.close()

    @pytest.mark.parametrize(
        "take_away",
        [
            lambda: ConsumerKey.objects.update(revoked_at=timezone.now()),
            lambda: ConsumerKey.objects.update(expires_at=timezone.now()),
            lambda: ConsumerKey.objects.all().delete(),
            lambda: Consumer.objects.update(is_active=False),
            lambda: User.objects.update(is_active=False),
        ],
        ids=["revoked", "expired", "deleted", "consumer disabled", "person disabled"],
    )
    def test_is_immediate(self, ask_again: Callable[[], int], take_away: Callable[[], object]) -> None:
        assert [ask_again(), ask_again()] == [200, 200]
        take_away()
        assert ask_again() == 401

    def test_of_a_scope_is_immediate_too(self, ask_again: Callable[[], int]) -> None:
        assert ask_again() == 200
        ConsumerKey.objects.update(scopes=[Scope.CONFIG_READ])
        assert ask_again() == 403


class TestScopes:
    def test_reading_needs_messages_read(self, sender: User, api: Integrator) -> None:
        sender_only = program_of(sender, api.instance, scopes=[Scope.MESSAGES_SEND])
        body = problem(sender_only.get("messages"), 403, "scope_missing")
        assert "messages:read" in body["detail"]
        problem(sender_only.get("messages/1"), 403, "scope_missing")
        assert sender_only.post(valid_body()).status_code == 201

    def test_sending_needs_messages_send(self, sender: User, api: Integrator) -> None:
        reader_only = program_of(sender, api.instance, scopes=[Scope.MESSAGES_READ])
        body = problem(reader_only.post("{not json"), 403, "scope_missing")
        assert "messages:send" in body["detail"]
        assert reader_only.get("messages").status_code == 200

    def test_a_method_that_does_not_exist_needs_none(self, api: Integrator) -> None:
        problem(api.client.delete("/api/v1/messages", headers=api.headers()), 405)


class TestLastUsed:
    def used(self) -> datetime | None:
        return ConsumerKey.objects.get().last_used_at

    def test_is_written_at_most_once_a_minute(self, api: Integrator) -> None:
        with time_machine.travel(NOON, tick=False) as clock:
            api.get("messages")
            assert self.used() == NOON
            clock.shift(timedelta(seconds=59))
            api.get("messages")
            assert self.used() == NOON
            clock.shift(timedelta(seconds=1))
            api.get("messages")
            assert self.used() == NOON + timedelta(minutes=1)

    def test_is_not_written_for_a_key_that_is_refused(self, api: Integrator) -> None:
        Consumer.objects.update(is_active=False)
        api.get("messages")
        assert self.used() is None

    def test_that_cannot_be_written_stops_nobody(self, api: Integrator) -> None:
        with mock.patch.object(ConsumerKeyQuerySet, "update", side_effect=OperationalError("locked")):
            assert api.get("messages").status_code == 200
        assert self.used() is None

    def test_is_written_whatever_becomes_of_the_request(self, api: Integrator) -> None:
        problem(api.post("{not json"), 400)
        assert self.used() is not None
