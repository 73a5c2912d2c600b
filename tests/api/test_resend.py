"""Sending again over the API: a new message with its own key, composed anew from what was stored."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from messaging.models import EventKind, IdempotencyKey, Message, MessageContent, ServiceInstance
from messaging.models.service_instance import InstanceApproval
from messaging.states import FINAL, Delivery
from registry.models import Role, Scope, User
from templates_app.models import Template
from templates_app.publishing import Use
from tests import factories
from tests.api.decisions import FINAL_BUT_PROCESSED, ROLES, act, program_without
from tests.api.integrator import Integrator, pointers, problem, program_of, valid_body

KEY = "9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11"


def ended(api: Integrator, state: Delivery = Delivery.REJECTED, **changes: Any) -> Message:
    """A message that was sent through the API, and ended so."""
    response = api.post(valid_body(**changes))
    assert response.status_code == 201, response.content
    Message.objects.filter(pk=response.json()["id"]).update(delivery_state=state)
    return Message.objects.select_related("content").get(pk=response.json()["id"])


def made_by(response: Any, status: int = 201) -> Message:
    assert response.status_code == status, response.content
    return Message.objects.select_related("content").get(pk=response.json()["id"])


class TestInEveryState:
    def test_the_final_ones_are_those_that_are_tried(self) -> None:
        assert set(FINAL_BUT_PROCESSED) == FINAL - {Delivery.PROCESSED}

    @pytest.mark.parametrize("state", FINAL_BUT_PROCESSED)
    def test_what_ended_without_arriving_makes_a_new_message(self, api: Integrator, state: Delivery) -> None:
        original = ended(api, state)
        response = act(api, original, "resend")
        made = made_by(response)
        assert made.pk != original.pk
        assert made.delivery_state == Delivery.SCHEDULED
        assert response["Location"] == f"http://testserver/api/v1/messages/{made.pk}"
        assert Message.objects.get(pk=original.pk).delivery_state == state

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            (Delivery.UNCERTAIN, "uncertain"),
            (Delivery.PROCESSED, "already_delivered"),
            *[(state, "not_final") for state in Delivery if state not in FINAL and state is not Delivery.UNCERTAIN],
        ],
    )
    def test_what_may_have_arrived_or_is_on_its_way_is_not(
        self, api: Integrator, instance: ServiceInstance, state: Delivery, code: str
    ) -> None:
        message = factories.message_in(state, instance=instance)
        refused = problem(act(api, message, "resend"), 409, code)
        assert f"«{state.value}»" in refused["detail"]
        assert Message.objects.count() == 1
        assert not IdempotencyKey.objects.exists()

    def test_a_doubt_is_sent_to_where_it_is_settled(self, api: Integrator, instance: ServiceInstance) -> None:
        message = factories.message_in(Delivery.UNCERTAIN, instance=instance)
        assert "/settle" in problem(act(api, message, "resend"), 409, "uncertain")["detail"]

    def test_what_a_person_took_as_arrived_is_not(self, api: Integrator, instance: ServiceInstance) -> None:
        message = factories.message_in(Delivery.UNCERTAIN, instance=instance)
        act(api, message, "settle", {"outcome": "arrived", "reason": "Lo ha"})
        problem(act(api, message, "resend"), 409, "taken_as_arrived")

    def test_a_draft_thrown_away_was_never_a_message(self, api: Integrator, instance: ServiceInstance) -> None:
        draft = factories.message_in(
            Delivery.CANCELLED, instance=instance, taxcode="RSSMRA80A01H501U", content={"subject": "", "draft_form": {}}
        )
        problem(act(api, draft, "resend"), 409, "never_composed")

    def test_what_retention_deleted_cannot_be_said_again(self, api: Integrator) -> None:
        original = ended(api)
        original.content.delete()
        problem(act(api, original, "resend"), 409, "content_deleted")

    def test_what_was_left_in_doubt_before_it_ended_needs_somebodys_word(
        self, api: Integrator, instance: ServiceInstance
    ) -> None:
        """Sent, never answered, sent again by a person, then stopped: the first request may have arrived."""
        message = factories.message_in(Delivery.UNCERTAIN, instance=instance, due_date=datetime(2090, 1, 1, tzinfo=UTC))
        give_a_payment(message)
        act(api, message, "settle", {"outcome": "resend", "reason": "Non lo vede"})
        act(api, message, "cancel")
        problem(act(api, message, "resend"), 409, "may_have_arrived")
        assert act(api, message, "resend", {"even_if_arrived": False}).status_code == 409
        assert act(api, message, "resend", {"even_if_arrived": True}).status_code == 201


def give_a_payment(message: Message) -> None:
    MessageContent.objects.filter(message=message).update(amount_cents=6212, notice_number="300012548634478225")


class TestTheNewMessage:
    def test_says_what_the_first_one_said(self, api: Integrator) -> None:
        original = ended(api)
        made = made_by(act(api, original, "resend"))
        for name in ("taxcode", "due_date", "service_instance_id", "expires_at"):
            assert getattr(made, name) == getattr(original, name), name
        for name in (
            "subject",
            "markdown",
            "values",
            "amount_cents",
            "notice_number",
            "invalid_after_due_date",
            "payee_taxcode",
            "email",
        ):
            assert getattr(made.content, name) == getattr(original.content, name), name

    @pytest.mark.parametrize("unit", ["euro", "cents"])
    def test_costs_the_same_whatever_the_unit_of_who_asks(
        self, api: Integrator, sender: User, instance: ServiceInstance, unit: str
    ) -> None:
        original = ended(api)
        body = act(program_of(sender, instance, unit=unit), original, "resend").json()
        assert (body["payment"]["amount_cents"], body["payment"]["amount_unit"]) == (6212, unit)

    def test_leaves_at_once(self, api: Integrator) -> None:
        made = made_by(act(api, ended(api), "resend"))
        assert abs(made.scheduled_at - timezone.now()) < timedelta(minutes=1)
        assert made.not_before == made.scheduled_at

    def test_leaves_at_the_date_that_is_asked(self, api: Integrator) -> None:
        body = {"scheduled_expedition_date": "2090-06-30T10:00:00+02:00"}
        made = made_by(act(api, ended(api), "resend", body))
        assert made.scheduled_at == datetime(2090, 6, 30, 8, tzinfo=UTC)

    def test_has_the_text_that_the_template_has_now(self, api: Integrator) -> None:
        original = ended(api)
        newer = factories.template(subject="Promemoria CIE n. ${cie.uppercase}")
        Template.objects.filter(pk=api.instance.template.pk).update(current_version=newer.current_version)
        made = made_by(act(api, original, "resend"))
        assert (original.content.subject[:8], made.content.subject[:10]) == ("Scadenza", "Promemoria")
        assert made.content.version == newer.current_version

    def test_is_of_who_asks_and_of_their_program(self, cast: factories.Cast, api: Integrator) -> None:
        original = ended(api)
        other = program_of(cast.sender, api.instance)
        made = made_by(act(other, original, "resend"))
        assert made.sender == cast.sender
        assert made.consumer is not None
        assert made.consumer != original.consumer

    def test_waits_for_approval_where_a_rule_asks_for_it(self, api: Integrator) -> None:
        original = ended(api)
        ServiceInstance.objects.update(approval=InstanceApproval.ALWAYS)
        assert made_by(act(api, original, "resend")).delivery_state == Delivery.PENDING_APPROVAL

    def test_past_its_due_date_warns_like_any_other(self, api: Integrator) -> None:
        original = ended(api, Delivery.EXPIRED)
        Message.objects.filter(pk=original.pk).update(due_date=datetime(2026, 1, 1, tzinfo=UTC))
        body = act(api, original, "resend").json()
        assert [warning["code"] for warning in body["warnings"]] == ["due_date_past"]

    def test_is_answered_whole(self, api: Integrator) -> None:
        response = act(api, ended(api), "resend")
        assert set(response.json()["_embedded"]) == {"service-instance", "sender"}
        assert response["Cache-Control"] == "no-store"
        assert response.json() == api.get(f"messages/{response.json()['id']}").json()


class TestHistories:
    def test_tell_of_each_other(self, api: Integrator, sender: User) -> None:
        original = ended(api)
        made = made_by(act(api, original, "resend"))
        first = made.events.get()
        assert (first.kind, first.data, first.actor) == (EventKind.COMPOSED, {"resend_of": original.pk}, sender)
        last = original.events.last()
        assert last is not None
        assert (last.kind, last.data, last.actor) == (EventKind.RESENT_AS, {"resent_as": made.pk}, sender)
        assert last.state == ""

    def test_tell_it_once_however_often_it_is_asked(self, api: Integrator) -> None:
        original = ended(api)
        for _ in range(3):
            act(api, original, "resend", idempotency_key=KEY)
        assert original.events.filter(kind=EventKind.RESENT_AS).count() == 1


class TestIdempotency:
    def test_the_same_request_is_the_same_message(self, api: Integrator) -> None:
        original = ended(api)
        first, second = (act(api, original, "resend", idempotency_key=KEY) for _ in range(2))
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.content == second.content
        assert first["Location"] == second["Location"]
        assert Message.objects.count() == 2

    def test_no_body_and_an_empty_one_are_the_same(self, api: Integrator) -> None:
        original = ended(api)
        assert act(api, original, "resend", idempotency_key=KEY).status_code == 201
        assert act(api, original, "resend", {}, idempotency_key=KEY).status_code == 200

    def test_another_message_is_another_request(self, api: Integrator) -> None:
        assert act(api, ended(api), "resend", idempotency_key=KEY).status_code == 201
        refused = problem(act(api, ended(api), "resend", idempotency_key=KEY), 409, "idempotency_key_reused")
        assert pointers(refused) == ["/idempotency_key"]
        assert Message.objects.count() == 3

    def test_another_date_is_another_request(self, api: Integrator) -> None:
        original = ended(api)
        assert act(api, original, "resend", idempotency_key=KEY).status_code == 201
        later = {"scheduled_expedition_date": "2090-06-30T10:00:00+02:00"}
        problem(act(api, original, "resend", later, idempotency_key=KEY), 409, "idempotency_key_reused")

    def test_a_key_of_a_post_is_taken(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        problem(act(api, ended(api), "resend", idempotency_key=KEY), 409, "idempotency_key_reused")

    def test_a_key_of_a_resend_is_taken_for_a_post(self, api: Integrator) -> None:
        act(api, ended(api), "resend", idempotency_key=KEY)
        problem(api.post(valid_body(), idempotency_key=KEY), 409, "idempotency_key_reused")

    def test_keys_are_of_each_consumer(self, cast: factories.Cast, api: Integrator) -> None:
        original = ended(api)
        assert act(api, original, "resend", idempotency_key=KEY).status_code == 201
        other = program_of(cast.sender, api.instance)
        asked = {"even_if_arrived": True}
        assert act(other, original, "resend", asked, idempotency_key=KEY).status_code == 201

    def test_is_answered_whatever_happened_since(self, api: Integrator) -> None:
        original = ended(api)
        made = act(api, original, "resend", idempotency_key=KEY).json()["id"]
        original.content.delete()
        ServiceInstance.objects.update(enabled=False)
        again = act(api, original, "resend", idempotency_key=KEY)
        assert (again.status_code, again.json()["id"]) == (200, made)

    def test_a_refused_request_uses_up_no_key(self, api: Integrator) -> None:
        original = ended(api)
        ServiceInstance.objects.update(enabled=False)
        problem(act(api, original, "resend", idempotency_key=KEY), 422, "service_instance_disabled")
        ServiceInstance.objects.update(enabled=True)
        assert act(api, original, "resend", idempotency_key=KEY).status_code == 201

    @pytest.mark.django_db(transaction=True)
    def test_simultaneous_requests_make_one_message(self, api: Integrator) -> None:
        original = ended(api)
        answers: list[tuple[int, int]] = []
        together = threading.Barrier(4)

        def ask() -> None:
            mine = Integrator(api.key, api.instance)
            together.wait()
            response = act(mine, original, "resend", idempotency_key=KEY)
            answers.append((response.status_code, response.json()["id"]))
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _made in answers) == [200, 200, 200, 201]
        assert len({made for _status, made in answers}) == 1
        assert Message.objects.count() == 2
        assert original.events.filter(kind=EventKind.RESENT_AS).count() == 1


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        ("body", "code", "pointer"),
        [
            ({"scheduled_expedition_date": "domani"}, "datetime_invalid", "/scheduled_expedition_date"),
            (
                {"scheduled_expedition_date": "2090-06-30T10:00"},
                "datetime_without_offset",
                "/scheduled_expedition_date",
            ),
            ({"scheduled_expedition_date": 1}, "type", "/scheduled_expedition_date"),
            ({"even_if_arrived": "true"}, "invalid", "/even_if_arrived"),
            ({"taxcode": "RSSMRA80A01H501U"}, "unknown_member", "/taxcode"),
            ([], "type", ""),
            ("{", "invalid_json", ""),
        ],
        ids=str,
    )
    def test_is_refused_where_it_cannot_be_understood(
        self, api: Integrator, body: Any, code: str, pointer: str
    ) -> None:
        original = ended(api)
        assert pointers(problem(act(api, original, "resend", body), 400, code)) == [pointer]
        assert Message.objects.count() == 1

    def test_needs_a_key(self, api: Integrator) -> None:
        response = api.client.generic("POST", f"/api/v1/messages/{ended(api).pk}/resend", headers=api.headers())
        assert pointers(problem(response, 400, "required")) == ["/idempotency_key"]

    def test_is_refused_with_all_its_faults_at_once(self, api: Integrator) -> None:
        response = act(api, ended(api), "resend", {"a": 1, "even_if_arrived": 1}, idempotency_key="x")
        codes = ["not_a_uuid", "unknown_member", "invalid"]
        assert [error["in"] for error in problem(response, 400, *codes)["errors"]] == ["query", "body", "body"]

    def test_a_date_that_is_past_means_now(self, api: Integrator) -> None:
        made = made_by(act(api, ended(api), "resend", {"scheduled_expedition_date": "2020-01-01T00:00:00Z"}))
        assert abs(made.scheduled_at - timezone.now()) < timedelta(minutes=1)


class TestWhatTheValidatorSays:
    def test_of_stored_values_is_impossible_and_points_into_the_message(self, api: Integrator) -> None:
        original = ended(api)
        newer = factories.template(
            subject="Scadenza CIE n. ${numero}",
            body="Salve, la Carta di Identità elettronica numero ${numero} scade il ${due_date}: rinnovala in tempo.",
            uses=[Use(factories.placeholder("numero"))],
        )
        Template.objects.filter(pk=api.instance.template.pk).update(current_version=newer.current_version)
        refused = problem(act(api, original, "resend"), 422)
        assert "placeholder_missing" in {error["code"] for error in refused["errors"]}
        assert all("in" not in error for error in refused["errors"])
        assert Message.objects.count() == 1

    def test_a_cap_that_was_lowered_counts(self, api: Integrator) -> None:
        original = ended(api)
        io_service = api.instance.io_service
        io_service.payment_cap_cents = 100
        io_service.save()
        assert pointers(problem(act(api, original, "resend"), 422, "amount_above_cap")) == ["/payment/amount"]

    def test_a_template_without_a_text_makes_none(self, api: Integrator) -> None:
        original = ended(api)
        Template.objects.filter(pk=api.instance.template.pk).update(current_version=None)
        problem(act(api, original, "resend"), 422, "template_not_published")


class TestRights:
    @pytest.mark.parametrize("role", ROLES)
    def test_are_of_whoever_may_send(self, cast: factories.Cast, api: Integrator, role: str) -> None:
        original = ended(api)
        response = act(program_of(getattr(cast, role), api.instance), original, "resend")
        assert response.status_code == {"sender": 201, "configurator": 404}.get(role, 403), response.content
        assert Message.objects.count() == (2 if role == "sender" else 1)

    def test_of_somebody_else_is_404_as_if_unknown(self, cast: factories.Cast, api: Integrator) -> None:
        stranger = program_of(cast.stranger, api.instance)
        unknown = problem(act(stranger, 987654321, "resend"), 404)
        assert problem(act(stranger, ended(api), "resend"), 404) == unknown

    def test_whoever_may_not_send_any_more_is_told_what_was_accepted_and_makes_nothing(
        self, api: Integrator, sender: User
    ) -> None:
        original = ended(api)
        made = act(api, original, "resend", idempotency_key=KEY).json()["id"]
        sender.grants.update(role=Role.VIEWER)
        again = act(api, original, "resend", idempotency_key=KEY)
        assert (again.status_code, again.json()["id"]) == (200, made)
        problem(act(api, original, "resend"), 403, "permission_denied")
        other = {"even_if_arrived": True}
        problem(act(api, original, "resend", other, idempotency_key=KEY), 403, "permission_denied")
        assert Message.objects.count() == 2

    def test_a_right_withdrawn_since_hides_the_old_answer(self, api: Integrator, sender: User) -> None:
        original = ended(api)
        act(api, original, "resend", idempotency_key=KEY)
        sender.grants.all().delete()
        problem(act(api, original, "resend", idempotency_key=KEY), 404)

    def test_a_grant_that_expired_gives_none(self, api: Integrator, instance: ServiceInstance) -> None:
        original = ended(api)
        person = factories.user()
        factories.grant(
            person,
            Role.SENDER,
            organizations=(instance.organization,),
            services=(instance.service,),
            expires_at=timezone.now() - timedelta(seconds=1),
        )
        problem(act(program_of(person, instance), original, "resend"), 404)

    def test_the_key_needs_the_scope(self, api: Integrator, sender: User) -> None:
        original = ended(api)
        without = program_without(Scope.MESSAGES_SEND, sender, api.instance)
        problem(act(without, original, "resend"), 403, "scope_missing")

    def test_nobody_without_a_key(self, api: Integrator) -> None:
        problem(act(Integrator(None, api.instance), ended(api), "resend"), 401)


class TestAFreshKey:
    def test_makes_another_message_only_on_somebodys_word(self, api: Integrator) -> None:
        original = ended(api)
        made_by(act(api, original, "resend"))
        refused = problem(act(api, original, "resend"), 409, "already_resent")
        assert "even_if_arrived" in refused["detail"]
        assert Message.objects.count() == 2
        made_by(act(api, original, "resend", {"even_if_arrived": True}))
        assert Message.objects.count() == 3

    def test_makes_another_message_once_the_first_ended_without_arriving(self, api: Integrator) -> None:
        original = ended(api)
        first = made_by(act(api, original, "resend"))
        act(api, first, "cancel")
        assert made_by(act(api, original, "resend")).pk != first.pk
