"""Idempotency: the same request is the same message, for ever and under any pressure."""

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection

from messaging.idempotency import canonical_hash
from messaging.models import IdempotencyKey, Message, ServiceInstance
from registry.models import Consumer, Role, User
from templates_app.models import Template
from tests import factories
from tests.api.integrator import Integrator, fresh_key, problem, program_of, valid_body

KEY = "9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11"


class TestSameRequest:
    def test_is_answered_200_with_the_same_message(self, api: Integrator) -> None:
        first, second = api.post(valid_body(), idempotency_key=KEY), api.post(valid_body(), idempotency_key=KEY)
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.content == second.content
        assert Message.objects.count() == 1

    def test_whatever_the_order_of_names_and_the_spelling_of_numbers(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        shuffled = json.dumps(dict(reversed(valid_body().items()))).replace("62.12", "6.2120e1")
        assert api.post(shuffled, idempotency_key=KEY.upper()).status_code == 200

    def test_without_a_date_is_the_same_tomorrow(self, api: Integrator) -> None:
        with time_machine.travel(datetime(2026, 11, 21, tzinfo=UTC), tick=False):
            first = api.post(valid_body(scheduled_expedition_date=None), idempotency_key=KEY)
        with time_machine.travel(datetime(2026, 11, 22, tzinfo=UTC), tick=False):
            second = api.post(valid_body(scheduled_expedition_date=None), idempotency_key=KEY)
        assert (second.status_code, second.content) == (200, first.content)

    def test_after_the_service_instance_was_disabled(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        ServiceInstance.objects.update(enabled=False)
        assert api.post(valid_body(), idempotency_key=KEY).status_code == 200

    def test_after_the_template_changed(self, api: Integrator) -> None:
        first = api.post(valid_body(), idempotency_key=KEY)
        other = factories.template(uses=[], subject="Un altro titolo", body="Un altro testo. " * 10, has_payment=False)
        Template.objects.filter(pk=api.instance.template.pk).update(current_version=other.current_version)
        second = api.post(valid_body(), idempotency_key=KEY)
        assert second.status_code == 200
        assert second.json()["markdown"] == first.json()["markdown"]

    def test_after_its_content_was_deleted(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        Message.objects.get().content.delete()
        body = api.post(valid_body(), idempotency_key=KEY)
        assert body.status_code == 200
        assert (body.json()["subject"], body.json()["markdown"], body.json()["payment"]) == (None, None, None)

    def test_shows_how_far_the_message_has_come(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        Message.objects.update(delivery_state="processed", appio_message_id="01EXAMPLE")
        body = api.post(valid_body(), idempotency_key=KEY).json()
        assert (body["status"], body["appio_message_id"]) == ("processed", "01EXAMPLE")


class TestAnotherRequest:
    @pytest.mark.parametrize(
        "change",
        [
            {"taxcode": "VRDLGU75B02F205Z"},
            {"email": None},
            {"placeholders": [{"name": "cie", "value": "CA000000AB"}]},
            {"payment": {"amount": 62.13, "notice_number": "300012548634478225", "payee_taxcode": "10000000001"}},
            {"payment": {"amount": 62.12, "notice_number": 300012548634478225, "payee_taxcode": "10000000001"}},
            {"something_else": 1},
        ],
    )
    def test_with_the_same_key_is_409(self, api: Integrator, change: dict[str, Any]) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        body = problem(api.post(valid_body(**change), idempotency_key=KEY), 409, "idempotency_key_reused")
        assert body["errors"][0]["pointer"] == "/idempotency_key"
        assert Message.objects.count() == 1

    def test_for_another_service_instance_is_409(self, api: Integrator, consumer: Consumer) -> None:
        other = factories.service_instance(organization=api.instance.organization, service=api.instance.service)
        api.post(valid_body(), idempotency_key=KEY)
        problem(api.post(valid_body(), idempotency_key=KEY, service_instance=other.pk), 409, "idempotency_key_reused")

    def test_that_is_malformed_is_400(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        problem(api.post(valid_body(taxcode="X"), idempotency_key=KEY), 400)

    def test_with_another_key_is_another_message(self, api: Integrator) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        assert api.post(valid_body(), idempotency_key=fresh_key()).status_code == 201


class TestPrincipal:
    def test_of_another_consumer_has_keys_of_its_own(self, api: Integrator, sender: User) -> None:
        other = program_of(sender, api.instance)
        mine, theirs = api.post(valid_body(), idempotency_key=KEY), other.post(valid_body(), idempotency_key=KEY)
        assert (mine.status_code, theirs.status_code) == (201, 201)
        assert mine.json()["id"] != theirs.json()["id"]

    def test_with_two_keys_is_one_consumer(self, api: Integrator, consumer: Consumer) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        api.key = factories.consumer_key(consumer)
        assert api.post(valid_body(), idempotency_key=KEY).status_code == 200

    def test_that_may_not_send_any_more_is_told_what_was_accepted(self, api: Integrator, consumer: Consumer) -> None:
        """Told that it may not, it would send the same in another way."""
        made = api.post(valid_body(), idempotency_key=KEY).json()
        consumer.user.grants.update(role=Role.VIEWER)
        again = api.post(valid_body(), idempotency_key=KEY)
        assert (again.status_code, again.json()["id"]) == (200, made["id"])
        # As anywhere else to this role.
        assert (made["taxcode"], again.json()["taxcode"]) == ("RSSMRA80A01H501U", "RSSMRA••••••501U")
        assert Message.objects.count() == 1

    def test_that_may_not_send_any_more_makes_nothing(self, api: Integrator, consumer: Consumer) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        consumer.user.grants.update(role=Role.VIEWER)
        problem(api.post(valid_body(), idempotency_key=fresh_key()), 403, "permission_denied")
        problem(api.post(valid_body(email="x@example.it"), idempotency_key=KEY), 403, "permission_denied")
        assert Message.objects.count() == 1

    def test_that_sees_the_service_instance_and_no_message_reads_nothing(
        self, api: Integrator, consumer: Consumer
    ) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        consumer.user.grants.update(role=Role.CONFIGURATOR)
        problem(api.post(valid_body(), idempotency_key=KEY), 404)

    def test_that_lost_its_rights_reads_nothing(self, api: Integrator, consumer: Consumer) -> None:
        api.post(valid_body(), idempotency_key=KEY)
        consumer.user.grants.all().delete()
        problem(api.post(valid_body(), idempotency_key=KEY), 422, "service_instance_unknown")


class TestRefusedRequest:
    @pytest.mark.parametrize(("change", "status"), [({"taxcode": "X"}, 400), ({"placeholders": []}, 422)])
    def test_uses_up_no_key(self, api: Integrator, change: dict[str, Any], status: int) -> None:
        problem(api.post(valid_body(**change), idempotency_key=KEY), status)
        assert not IdempotencyKey.objects.exists()
        assert api.post(valid_body(), idempotency_key=KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
class TestSimultaneousRequests:
    def volley(self, api: Integrator, bodies: list[dict[str, Any]]) -> list[Any]:
        """Real threads with connections of their own, let go at the same instant."""
        gate = threading.Barrier(len(bodies))
        answers: list[Any] = [None] * len(bodies)

        def shoot(index: int) -> None:
            program = Integrator(api.key, api.instance)
            try:
                gate.wait(10)
                answers[index] = program.post(bodies[index], idempotency_key=KEY)
            finally:
                connection.close()

        threads = [threading.Thread(target=shoot, args=(index,)) for index in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return answers

    def test_that_are_the_same_make_one_message(self, transactional_db: None, api: Integrator) -> None:
        answers = self.volley(api, [valid_body()] * 6)
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert Message.objects.count() == IdempotencyKey.objects.count() == 1

    def test_that_differ_make_one_message_and_refuse_the_others(self, transactional_db: None, api: Integrator) -> None:
        bodies = [valid_body(email=f"name{number}@example.it") for number in range(4)]
        answers = self.volley(api, bodies)
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        assert Message.objects.count() == 1


class TestCanonicalHash:
    def hash(self, body: Any, **changes: Any) -> str:
        return canonical_hash(body, **{"service_instance_id": 1, "amount_unit": "euro", **changes})

    def test_ignores_order_and_spelling(self) -> None:
        one = {"a": Decimal("62.10"), "b": [1, {"c": "x", "d": None}]}
        other = {"b": [Decimal("1.0"), {"d": None, "c": "x"}], "a": Decimal("6.21E+1")}
        assert self.hash(one) == self.hash(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, "1"),
            (1, True),
            (0, False),
            (None, "null"),
            ([], {}),
            ([1, 2], [2, 1]),
            ({"a": None}, {}),
            (["a", "b"], ["a,b"]),
            (["1,2"], [1, 2]),
            ({"a": "b"}, ["a", "b"]),
            (Decimal("0.1"), Decimal("0.10000000000000000001")),
            ("è", "e\u0300"),
        ],
    )
    def test_tells_apart(self, one: Any, other: Any) -> None:
        assert self.hash(one) != self.hash(other)

    def test_counts_the_service_instance_and_the_unit(self) -> None:
        assert len({self.hash({}), self.hash({}, service_instance_id=2), self.hash({}, amount_unit="cents")}) == 3

    def test_leaves_out_its_own_key(self) -> None:
        assert self.hash({"a": 1, "idempotency_key": KEY}) == self.hash({"a": 1})
        assert self.hash({"a": {"idempotency_key": KEY}}) != self.hash({"a": {}})
