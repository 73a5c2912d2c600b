"""Cancelling over the API: what has not left is stopped, by whoever may send it; too late says so and changes nothing."""

from typing import Any

import pytest

from messaging.models import EventKind, Message, ServiceInstance
from messaging.states import CANCELLABLE, Delivery
from registry.models import Role, Scope, User
from tests import factories
from tests.api.decisions import ROLES, act, program_without
from tests.api.integrator import Integrator, pointers, problem, program_of

CONFIRMED = sorted(CANCELLABLE - {Delivery.DRAFT})


def state_of(message: Message) -> str:
    return Message.objects.get(pk=message.pk).delivery_state


class TestInEveryState:
    @pytest.mark.parametrize("state", sorted(CANCELLABLE))
    def test_what_has_not_left_is_stopped(self, api: Integrator, instance: ServiceInstance, state: Delivery) -> None:
        message = factories.message_in(state, instance=instance)
        response = act(api, message, "cancel", {"reason": "Importo sbagliato"})
        assert response.status_code == 200, response.content
        body = response.json()
        assert (body["id"], body["status"], body["delivery_state"]) == (message.pk, "discarded", "cancelled")
        assert body["warnings"] == []
        assert set(body["_embedded"]) == {"service-instance", "sender"}
        event = message.events.get()
        assert (event.kind, event.actor_id) == (EventKind.CANCELLED, api_user(api))
        assert event.data == {"reason": "Importo sbagliato"}

    @pytest.mark.parametrize("state", [state for state in Delivery if state not in {*CANCELLABLE, Delivery.CANCELLED}])
    def test_what_has_left_or_ended_is_too_late(
        self, api: Integrator, instance: ServiceInstance, state: Delivery
    ) -> None:
        message = factories.message_in(state, instance=instance)
        body = problem(act(api, message, "cancel"), 409, "too_late")
        assert f"«{state.value}»" in body["detail"]
        assert state_of(message) == state
        assert not message.events.exists()

    def test_cancelled_twice_says_that_it_was(self, api: Integrator, instance: ServiceInstance) -> None:
        message = factories.message_in(Delivery.SCHEDULED, instance=instance)
        assert act(api, message, "cancel").status_code == 200
        problem(act(api, message, "cancel"), 409, "already_cancelled")
        assert message.events.count() == 1

    def test_what_was_confirmed_meanwhile_is_not_thrown_away_as_a_draft(
        self, api: Integrator, instance: ServiceInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from messaging import deciding

        message = factories.message_in(Delivery.DRAFT, instance=instance)
        cancel = deciding.cancel

        def confirmed_first(row: Message, **options: Any) -> None:
            Message.objects.update(delivery_state=Delivery.SCHEDULED)
            cancel(row, **options)

        monkeypatch.setattr(deciding, "cancel", confirmed_first)
        problem(act(api, message, "cancel"), 409, "state_conflict")
        assert state_of(message) == Delivery.SCHEDULED

    def test_what_may_have_arrived_once_is_stopped_with_a_warning(
        self, api: Integrator, instance: ServiceInstance
    ) -> None:
        message = factories.message_in(Delivery.UNCERTAIN, instance=instance)
        assert act(api, message, "settle", {"outcome": "resend", "reason": "Non lo vede"}).status_code == 200
        body = act(api, message, "cancel").json()
        assert body["delivery_state"] == "cancelled"
        assert [warning["code"] for warning in body["warnings"]] == ["may_have_arrived"]


def api_user(api: Integrator) -> int:
    from registry.models import ConsumerKey

    return ConsumerKey.objects.get().consumer.user_id


class TestReason:
    @pytest.mark.parametrize("body", [None, {}, {"reason": None}, {"reason": ""}, {"reason": "  "}], ids=str)
    def test_is_not_needed(self, api: Integrator, instance: ServiceInstance, body: Any) -> None:
        message = factories.message(instance=instance)
        assert act(api, message, "cancel", body).status_code == 200
        assert message.events.get().data == {}

    @pytest.mark.parametrize(
        ("body", "code", "pointer"),
        [
            ({"reason": 1}, "invalid", "/reason"),
            ({"reason": "x" * 256}, "max_length", "/reason"),
            ({"reason": "Per RSSMRA80A01H501U"}, "fiscal_code", "/reason"),
            ({"reason": "per rss mra 80a01 h501u"}, "fiscal_code", "/reason"),
            ({"motivo": "x"}, "unknown_member", "/motivo"),
            ([], "type", ""),
            ("{", "invalid_json", ""),
        ],
        ids=str,
    )
    def test_that_cannot_be_kept_is_refused(
        self, api: Integrator, instance: ServiceInstance, body: Any, code: str, pointer: str
    ) -> None:
        message = factories.message(instance=instance)
        found = problem(act(api, message, "cancel", body), 400, code)
        assert pointers(found) == [pointer]
        assert "RSSMRA" not in found["detail"]
        assert state_of(message) == Delivery.SCHEDULED

    def test_comes_as_json(self, api: Integrator, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        problem(act(api, message, "cancel", "reason=x", content_type="text/plain"), 415)


class TestRights:
    @pytest.mark.parametrize("state", CONFIRMED)
    @pytest.mark.parametrize("role", ROLES)
    def test_of_what_was_confirmed_is_of_whoever_may_send(
        self, cast: factories.Cast, instance: ServiceInstance, role: str, state: Delivery
    ) -> None:
        message = factories.message_in(state, instance=instance)
        response = act(program_of(getattr(cast, role), instance), message, "cancel")
        expected = {"sender": 200, "configurator": 404}.get(role, 403)
        assert response.status_code == expected, response.content
        assert state_of(message) == (Delivery.CANCELLED if expected == 200 else state)
        if expected == 403:
            assert "Invio" in problem(response, 403, "permission_denied")["detail"]

    @pytest.mark.parametrize("role", ROLES)
    def test_of_a_draft_is_of_whoever_may_write_it(
        self, cast: factories.Cast, instance: ServiceInstance, role: str
    ) -> None:
        message = factories.message_in(Delivery.DRAFT, instance=instance)
        response = act(program_of(getattr(cast, role), instance), message, "cancel")
        assert response.status_code == {"sender": 200, "editor": 200, "configurator": 404}.get(role, 403)

    def test_of_somebody_else_is_404_as_if_unknown(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        stranger = program_of(cast.stranger, instance)
        assert problem(act(stranger, message, "cancel"), 404) == problem(act(stranger, 987654321, "cancel"), 404)
        assert state_of(message) == Delivery.SCHEDULED

    def test_are_asked_before_the_body_is_looked_at(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        problem(act(program_of(cast.viewer, instance), message, "cancel", "{"), 403, "permission_denied")

    def test_a_grant_split_over_two_enti_gives_none(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        crossed = factories.service_instance(organization=instance.organization, service=elsewhere.service)
        person = factories.user()
        for one in (instance, elsewhere):
            factories.grant(person, Role.SENDER, organizations=(one.organization,), services=(one.service,))
        message = factories.message(instance=crossed)
        problem(act(program_of(person, instance), message, "cancel"), 404)

    def test_the_key_needs_the_scope(self, sender: User, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        api = program_without(Scope.MESSAGES_SEND, sender, instance)
        problem(act(api, message, "cancel"), 403, "scope_missing")

    def test_nobody_without_a_key(self, instance: ServiceInstance) -> None:
        message = factories.message(instance=instance)
        problem(act(Integrator(None, instance), message, "cancel"), 401)


def test_no_other_method_is_there(api: Integrator, instance: ServiceInstance) -> None:
    message = factories.message(instance=instance)
    response = api.get(f"messages/{message.pk}/cancel")
    problem(response, 405)
    assert response["Allow"] == "POST"
