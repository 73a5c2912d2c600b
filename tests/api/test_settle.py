"""Settling a doubt over the API: it arrived, or send it again, with a reason, by whoever may decide that."""

from typing import Any

import pytest

from messaging.models import EventKind, Message, ServiceInstance
from messaging.states import Delivery
from registry.models import Scope, User
from tests import factories
from tests.api.decisions import ROLES, act, program_without
from tests.api.integrator import Integrator, pointers, problem, program_of

REASON = "Il cittadino lo mostra sul telefono"
ARRIVED = {"outcome": "arrived", "reason": REASON}
RESEND = {"outcome": "resend", "reason": REASON}


@pytest.fixture
def doubt(instance: ServiceInstance) -> Message:
    return factories.message_in(Delivery.UNCERTAIN, instance=instance)


def fresh(message: Message) -> Message:
    return Message.objects.get(pk=message.pk)


class TestOutcome:
    def test_arrived_is_sent_and_not_followed(self, api: Integrator, doubt: Message) -> None:
        response = act(api, doubt, "settle", ARRIVED)
        assert response.status_code == 200, response.content
        body = response.json()
        assert (body["id"], body["status"], body["appio_message_id"]) == (doubt.pk, "sent", None)
        assert body["expedition_date"] is not None
        assert (fresh(doubt).is_taken_as_arrived, fresh(doubt).next_poll_at) == (True, None)
        event = doubt.events.get()
        assert (event.kind, event.data["reason"]) == (EventKind.SETTLED_ARRIVED, REASON)
        assert event.actor is not None

    def test_resend_waits_again_at_once(self, api: Integrator, doubt: Message) -> None:
        body = act(api, doubt, "settle", RESEND).json()
        assert (body["id"], body["status"]) == (doubt.pk, "scheduled")
        assert fresh(doubt).attempt_id is None
        assert doubt.events.get().kind == EventKind.SETTLED_RESEND

    @pytest.mark.parametrize("word", ["ARRIVED", "Arrived"])
    def test_is_a_word_in_any_case(self, api: Integrator, doubt: Message, word: str) -> None:
        assert act(api, doubt, "settle", {**ARRIVED, "outcome": word}).status_code == 200

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            ({}, [("required", "/outcome"), ("required", "/reason")]),
            ({"outcome": "lost", "reason": REASON}, [("invalid_choice", "/outcome")]),
            ({"outcome": True, "reason": REASON}, [("invalid_choice", "/outcome")]),
            ({"outcome": "arrived"}, [("required", "/reason")]),
            ({"outcome": "arrived", "reason": "  "}, [("blank", "/reason")]),
            ({"outcome": "arrived", "reason": None}, [("null", "/reason")]),
            ({"outcome": "arrived", "reason": "x" * 256}, [("max_length", "/reason")]),
            ({"outcome": "arrived", "reason": "RSSMRA80A01H501U lo ha"}, [("fiscal_code", "/reason")]),
            ({**ARRIVED, "note": "x"}, [("unknown_member", "/note")]),
        ],
        ids=str,
    )
    def test_that_cannot_be_understood_is_refused_with_every_fault(
        self, api: Integrator, doubt: Message, body: Any, found: list[tuple[str, str]]
    ) -> None:
        refused = problem(act(api, doubt, "settle", body), 400)
        assert sorted((error["code"], error["pointer"]) for error in refused["errors"]) == found
        assert fresh(doubt).delivery_state == Delivery.UNCERTAIN
        assert not doubt.events.exists()

    def test_needs_a_body(self, api: Integrator, doubt: Message) -> None:
        assert pointers(problem(act(api, doubt, "settle"), 400, "body_missing")) == [""]


class TestOtherStates:
    @pytest.mark.parametrize("body", [ARRIVED, RESEND], ids=["arrived", "resend"])
    @pytest.mark.parametrize("state", [state for state in Delivery if state is not Delivery.UNCERTAIN])
    def test_are_not_settled(
        self, api: Integrator, instance: ServiceInstance, state: Delivery, body: dict[str, str]
    ) -> None:
        message = factories.message_in(state, instance=instance)
        refused = problem(act(api, message, "settle", body), 409, "not_uncertain")
        assert f"«{state.value}»" in refused["detail"]
        assert fresh(message).delivery_state == state
        assert not message.events.exists()

    def test_settled_once_is_settled_for_good(self, api: Integrator, doubt: Message) -> None:
        assert act(api, doubt, "settle", ARRIVED).status_code == 200
        problem(act(api, doubt, "settle", RESEND), 409, "not_uncertain")
        assert fresh(doubt).is_taken_as_arrived


class TestRights:
    @pytest.mark.parametrize("role", ROLES)
    def test_are_of_whoever_may_send(
        self, cast: factories.Cast, instance: ServiceInstance, doubt: Message, role: str
    ) -> None:
        response = act(program_of(getattr(cast, role), instance), doubt, "settle", ARRIVED)
        assert response.status_code == {"sender": 200, "configurator": 404}.get(role, 403), response.content
        assert (fresh(doubt).delivery_state == Delivery.SENT) == (role == "sender")

    def test_of_somebody_else_is_404_as_if_unknown(
        self, cast: factories.Cast, instance: ServiceInstance, doubt: Message
    ) -> None:
        stranger = program_of(cast.stranger, instance)
        unknown = problem(act(stranger, 987654321, "settle", ARRIVED), 404)
        assert problem(act(stranger, doubt, "settle", ARRIVED), 404) == unknown

    def test_the_key_needs_the_scope(self, sender: User, instance: ServiceInstance, doubt: Message) -> None:
        api = program_without(Scope.MESSAGES_SEND, sender, instance)
        problem(act(api, doubt, "settle", ARRIVED), 403, "scope_missing")

    def test_nobody_without_a_key(self, instance: ServiceInstance, doubt: Message) -> None:
        problem(act(Integrator(None, instance), doubt, "settle", ARRIVED), 401)
