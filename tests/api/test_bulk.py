"""POST of many messages: what becomes of each item, and what refuses the request as a whole."""

import json
import logging
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging import bulk
from messaging.models import EventKind, IdempotencyKey, Message, MessageContent, MessageEvent, ServiceInstance
from messaging.models.service_instance import InstanceApproval
from messaging.querysets import MessageQuerySet
from messaging.states import Delivery, Priority
from registry.models import AmountUnit, Consumer, ConsumerKey, Role, Scope, User
from templates_app.models import Template
from templates_app.publishing import Use
from tests import factories
from tests.api.integrator import Integrator, fresh_key, pointers, problem, program_of, valid_body

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
NOTHING = {"id": None, "status": None, "_links": None}


def item(key: str | None = None, **changes: Any) -> dict[str, Any]:
    return {"idempotency_key": key or fresh_key(), **valid_body(**changes)}


def post(api: Integrator, body: Any, *, query: str | None = None, **options: Any) -> Any:
    asked = f"service_instance={api.instance.pk}" if query is None else query
    return api.client.generic(
        "POST",
        f"/api/v1/messages/bulk?{asked}",
        body if isinstance(body, str | bytes) else json.dumps(body),
        content_type=options.pop("content_type", "application/json"),
        headers=api.headers(options.pop("headers", None)),
    )


def send(api: Integrator, *items: Any) -> list[dict[str, Any]]:
    response = post(api, {"items": items})
    assert response.status_code == 200, response.content.decode()
    assert response["Content-Type"] == "application/hal+json"
    assert response["Cache-Control"] == "no-store"
    answered: list[dict[str, Any]] = response.json()["items"]
    assert [each["index"] for each in answered] == list(range(len(items)))
    return answered


def results(answered: list[dict[str, Any]]) -> list[str]:
    return [each["result"] for each in answered]


def nothing_was_stored() -> bool:
    return not any(model.objects.exists() for model in (Message, MessageContent, MessageEvent, IdempotencyKey))


class TestCreates:
    def test_each_item_and_tells_where_it_is(self, api: Integrator) -> None:
        (one,) = send(api, item())
        message = Message.objects.get()
        assert one == {
            "index": 0,
            "result": "created",
            "id": message.pk,
            "status": "scheduled",
            "_links": {"self": {"href": f"http://testserver/api/v1/messages/{message.pk}"}},
            "errors": [],
        }
        read = api.get(f"messages/{one['id']}").json()
        assert read["_links"]["self"] == one["_links"]["self"]
        assert read["status"] == one["status"]

    def test_in_the_order_of_the_items_whatever_the_order_of_the_keys(self, api: Integrator) -> None:
        keys = sorted((str(uuid.uuid4()) for _ in range(20)), reverse=True)
        codes = [f"RSSMRA80A01H{number:03d}U" for number in range(20)]
        answered = send(api, *(item(key, taxcode=code) for key, code in zip(keys, codes, strict=True)))
        stored = dict(Message.objects.values_list("pk", "taxcode"))
        assert [stored[each["id"]] for each in answered] == codes
        assert [each["id"] for each in answered] == sorted(stored)

    def test_the_same_rows_as_a_single_post_but_for_the_priority(self, api: Integrator) -> None:
        with time_machine.travel(NOW, tick=False):
            single = Message.objects.get(pk=api.post(valid_body()).json()["id"])
            many = Message.objects.get(pk=send(api, item())[0]["id"])
        assert (single.priority, many.priority) == (Priority.SCHEDULED, Priority.BULK)

        def columns(row: Any, *but: str) -> dict[str, Any]:
            return {
                field.attname: getattr(row, field.attname)
                for field in row._meta.concrete_fields
                if field.attname not in {"id", "message_id", "created_at", "updated_at", "at", *but}
            }

        for row in (single, many):
            key = IdempotencyKey.objects.get(message=row)
            assert {row.updated_at, row.events.get().at, key.created_at} == {row.created_at}
        assert columns(single, "priority") == columns(many, "priority")
        assert columns(single.content) == columns(many.content)
        assert columns(single.events.get()) == columns(many.events.get())
        first, second = IdempotencyKey.objects.order_by("message_id")
        assert columns(first, "key") == columns(second, "key")
        assert (first.message_id, second.message_id) == (single.pk, many.pk)

    def test_reads_back_like_a_message_posted_alone(self, api: Integrator) -> None:
        strange = {"taxcode": "PCRMJV76P12B782Z", "email": None, "due_date": "2020-01-01T00:00:00Z"}
        with time_machine.travel(NOW, tick=False):
            single = api.post(valid_body(**strange)).json()
            many = api.get(f"messages/{send(api, item(**strange))[0]['id']}").json()
        assert single["warnings"]
        for body in (single, many):
            assert body.pop("creation_date") == body.pop("last_update_status")
        del single["id"], many["id"], single["_links"]["self"], many["_links"]["self"]
        assert single == many

    def test_text_in_any_script_exactly(self, api: Integrator) -> None:
        hard = 'Zoë\t李 😀 d’Àscoli \\. \\N "x" {NULL,1}'
        api.instance.template = factories.template(
            has_payment=False,
            has_due_date=False,
            uses=[Use(factories.placeholder("nome"))],
            subject="Avviso per voi",
            body="Gentile ${nome}, " + "una riga qualunque. " * 5,
        )
        api.instance.save()
        body = {
            "taxcode": "RSSMRA80A01H501U",
            "placeholders": [{"name": "nome", "value": hard}],
            "idempotency_key": fresh_key(),
        }
        send(api, body)
        assert MessageContent.objects.get().values == {"nome": hard}

    def test_waiting_for_approval_where_a_rule_asks_for_it(self, api: Integrator) -> None:
        api.instance.approval = InstanceApproval.ALWAYS
        api.instance.save()
        answered = send(api, item(), item())
        assert [each["status"] for each in answered] == ["created", "created"]
        assert set(Message.objects.values_list("delivery_state", flat=True)) == {Delivery.PENDING_APPROVAL}
        assert set(MessageEvent.objects.values_list("kind", "state")) == {
            (EventKind.COMPOSED, Delivery.PENDING_APPROVAL)
        }

    def test_in_the_unit_of_the_consumer(self, in_cents: Integrator) -> None:
        payment = {"amount": 6212, "notice_number": "300012548634478225"}
        send(in_cents, item(payment=payment))
        assert MessageContent.objects.get().amount_cents == 6212

    def test_a_thousand_at_once(self, api: Integrator) -> None:
        answered = send(api, *(item() for _ in range(1000)))
        assert set(results(answered)) == {"created"}
        assert Message.objects.count() == MessageContent.objects.count() == MessageEvent.objects.count() == 1000

    def test_a_thousand_of_the_largest(self, api: Integrator) -> None:
        """10,000 characters each, of those that take most bytes."""
        api.instance.template = factories.template(
            has_payment=False,
            has_due_date=False,
            uses=[Use(factories.placeholder("testo", example="esempio " * 12))],
            subject="Un avviso lungo",
            body="${testo}",
        )
        api.instance.save()
        text = [{"name": "testo", "value": "漢" * 10_000}]
        bodies = [
            {"taxcode": "RSSMRA80A01H501U", "placeholders": text, "idempotency_key": fresh_key()} for _ in range(1000)
        ]
        response = post(api, json.dumps({"items": bodies}, ensure_ascii=False).encode())
        assert response.status_code == 200
        assert set(results(response.json()["items"])) == {"created"}


class TestInvalid:
    @pytest.mark.parametrize(
        ("change", "code", "pointer"),
        [
            ({"taxcode": "X"}, "taxcode_invalid", "/items/1/taxcode"),
            ({"payment": {"amount": 1}}, "required", "/items/1/payment/notice_number"),
            ({"placeholders": []}, "placeholder_missing", "/items/1/placeholders"),
            ({"due_date": None}, "due_date_required", "/items/1/due_date"),
            ({"idempotency_key": None}, "required", "/items/1/idempotency_key"),
            ({"idempotency_key": "x"}, "not_a_uuid", "/items/1/idempotency_key"),
            ({"idempotency_key": 1}, "not_a_uuid", "/items/1/idempotency_key"),
            ({"idempotency_key": "9a0d3f3e6f5c4c8e9f0e0d2b9b6c1a11"}, "not_a_uuid", "/items/1/idempotency_key"),
        ],
    )
    def test_is_told_with_a_pointer_and_stops_no_other(
        self, api: Integrator, change: dict[str, Any], code: str, pointer: str
    ) -> None:
        wrong = {name: value for name, value in {**item(), **change}.items() if value is not None}
        answered = send(api, item(), wrong, item())
        assert results(answered) == ["created", "invalid", "created"]
        (error,) = answered[1]["errors"]
        assert error.pop("detail")
        assert error == {"code": code, "pointer": pointer, "in": "body"}
        assert answered[1] | NOTHING == answered[1]
        assert Message.objects.count() == IdempotencyKey.objects.count() == MessageEvent.objects.count() == 2

    @pytest.mark.parametrize("wrong", [None, 1, "text", [], True])
    def test_when_it_is_no_object(self, api: Integrator, wrong: Any) -> None:
        answered = send(api, wrong, item())
        assert results(answered) == ["invalid", "created"]
        assert [(error["code"], error["pointer"]) for error in answered[0]["errors"]] == [("type", "/items/0")]

    def test_names_every_fault_at_once(self, api: Integrator) -> None:
        (one,) = send(api, {"idempotency_key": "x", **valid_body(taxcode="X", email="x", placeholders=[])})
        assert pointers(one) == [
            "/items/0/idempotency_key",
            "/items/0/taxcode",
            "/items/0/email",
            "/items/0/placeholders",
        ]

    def test_names_the_first_fifty_faults(self, api: Integrator) -> None:
        (one,) = send(api, item(placeholders=[{"name": "cie", "value": 5}] * 60))
        assert pointers(one) == [f"/items/0/placeholders/{number}/value" for number in range(50)]

    def test_when_its_key_is_that_of_an_item_before_and_says_of_which(self, api: Integrator) -> None:
        key = fresh_key()
        answered = send(api, item(), item(key), item(key.upper()), item(key, taxcode="X"))
        assert results(answered) == ["created", "created", "invalid", "invalid"]
        assert [(error["code"], error["pointer"]) for error in answered[2]["errors"]] == [
            ("idempotency_key_repeated", "/items/2/idempotency_key")
        ]
        assert "elemento 1" in answered[2]["errors"][0]["detail"]
        assert pointers(answered[3]) == ["/items/3/idempotency_key", "/items/3/taxcode"]
        assert Message.objects.count() == 2

    def test_when_its_key_is_that_of_an_item_before_that_was_accepted_long_ago(self, api: Integrator) -> None:
        key = fresh_key()
        send(api, item(key))
        assert results(send(api, item(key), item(key))) == ["replayed", "invalid"]

    def test_uses_up_no_key(self, api: Integrator) -> None:
        key = fresh_key()
        assert results(send(api, item(key, taxcode="X"))) == ["invalid"]
        assert nothing_was_stored()
        assert results(send(api, item(key))) == ["created"]

    def test_repeats_no_personal_data_in_errors_or_logs(
        self, api: Integrator, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        secret = "RSSMRA80A01H501"
        answer = post(api, {"items": [item(taxcode=secret), item(email=f"{secret}@"), item(placeholders=[secret])]})
        assert set(results(answer.json()["items"])) == {"invalid"}
        assert secret not in answer.content.decode()
        ours = [record for record in caplog.records if not record.name.startswith("django.db")]
        assert all(secret not in record.getMessage() for record in ours)


class TestRepeats:
    def test_are_answered_with_the_messages_made_first(self, api: Integrator) -> None:
        items = [item(), item(), item()]
        first = send(api, *items)
        second = send(api, *reversed(items))
        assert results(second) == ["replayed"] * 3
        assert [each["id"] for each in second] == [each["id"] for each in reversed(first)]
        assert [each["status"] for each in second] == ["scheduled"] * 3
        assert second[0]["_links"] == first[2]["_links"]
        assert Message.objects.count() == MessageEvent.objects.count() == 3

    def test_show_how_far_each_has_come(self, api: Integrator) -> None:
        one = item()
        send(api, one)
        Message.objects.update(delivery_state="processed", appio_message_id="01EXAMPLE")
        assert send(api, one)[0]["status"] == "processed"

    def test_of_a_part_make_the_rest(self, api: Integrator) -> None:
        old, new = item(), item()
        send(api, old)
        assert results(send(api, new, old)) == ["created", "replayed"]

    def test_of_a_single_post_are_the_same_request(self, api: Integrator) -> None:
        key = fresh_key()
        made = api.post(valid_body(), idempotency_key=key).json()
        (one,) = send(api, item(key))
        assert (one["result"], one["id"]) == ("replayed", made["id"])

    def test_as_a_single_post_are_the_same_request(self, api: Integrator) -> None:
        key = fresh_key()
        (one,) = send(api, item(key))
        again = api.post(valid_body(), idempotency_key=key)
        assert (again.status_code, again.json()["id"]) == (200, one["id"])
        problem(api.post(valid_body(email=None), idempotency_key=key), 409, "idempotency_key_reused")

    def test_are_the_same_whatever_the_order_of_names_and_the_spelling_of_numbers(self, api: Integrator) -> None:
        one = item()
        send(api, one)
        spelt = json.dumps({"items": [dict(reversed(one.items()))]}).replace("62.12", "6.2120e1")
        assert results(post(api, spelt).json()["items"]) == ["replayed"]

    def test_with_another_body_are_conflicts_that_tell_nothing(self, api: Integrator) -> None:
        key = fresh_key()
        send(api, item(key))
        answered = send(api, item(key, email=None), item())
        assert results(answered) == ["conflict", "created"]
        assert answered[0] | NOTHING == answered[0]
        assert [(error["code"], error["pointer"]) for error in answered[0]["errors"]] == [
            ("idempotency_key_reused", "/items/0/idempotency_key")
        ]

    def test_with_another_body_that_is_malformed_are_invalid(self, api: Integrator) -> None:
        key = fresh_key()
        send(api, item(key))
        (one,) = send(api, item(key, taxcode="X"))
        assert (one["result"], pointers(one)) == ("invalid", ["/items/0/taxcode"])

    def test_through_another_service_instance_are_conflicts(self, api: Integrator) -> None:
        other = factories.service_instance(organization=api.instance.organization, service=api.instance.service)
        one = item()
        send(api, one)
        api.instance = other
        assert results(send(api, one)) == ["conflict"]

    def test_of_another_consumer_are_requests_of_its_own(self, api: Integrator, sender: User) -> None:
        one = item()
        send(api, one)
        assert results(send(program_of(sender, api.instance), one)) == ["created"]

    @pytest.mark.parametrize("change", ["disabled", "without a text"])
    def test_are_honoured_when_nothing_new_would_be(self, api: Integrator, change: str) -> None:
        old, new = item(), item()
        send(api, old)
        if change == "disabled":
            ServiceInstance.objects.update(enabled=False)
            code = "service_instance_disabled"
        else:
            Template.objects.update(current_version=None)
            code = "template_not_published"
        answered = send(api, new, old, item(old["idempotency_key"]), item(old["idempotency_key"], email=None))
        assert results(answered) == ["invalid", "replayed", "invalid", "invalid"]
        assert [(error["code"], error["pointer"]) for error in answered[0]["errors"]] == [(code, "/items/0")]
        assert results(send(api, item(old["idempotency_key"], email=None))) == ["conflict"]

    def test_tell_nothing_of_a_message_that_may_not_be_seen_any_more(
        self, api: Integrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The right is withdrawn between the look at it and the answer, which no test can time otherwise."""
        one = item()
        send(api, one)
        monkeypatch.setattr(MessageQuerySet, "visible_to", lambda self, *args, **options: self.none())
        (again,) = send(api, one)
        assert again | NOTHING == again
        assert again["result"] == "invalid"
        assert [(error["code"], error["pointer"]) for error in again["errors"]] == [("not_found", "/items/0")]


class TestWholeRequest:
    @pytest.mark.parametrize(
        ("body", "code", "pointer"),
        [
            ([], "type", ""),
            ("[1]", "type", ""),
            ("null", "type", ""),
            ({}, "required", "/items"),
            ({"items": None}, "required", "/items"),
            ({"items": {}}, "type", "/items"),
            ({"items": "x"}, "type", "/items"),
            ({"items": []}, "too_few", "/items"),
            ({"items": [{}] * 1001}, "too_many", "/items"),
            ("", "body_missing", ""),
            ("{", "invalid_json", ""),
            ('{"items": [{"taxcode": NaN}]}', "number_not_finite", "/items/0/taxcode"),
            ('{"items": [{"a": 1, "a": 2}]}', "duplicate_key", "/items/0/a"),
            ('{"items": [{"email": "\\u0000"}]}', "nul_character", "/items/0/email"),
        ],
    )
    def test_is_400_when_it_is_not_what_it_should_be(self, api: Integrator, body: Any, code: str, pointer: str) -> None:
        refused = problem(post(api, body), 400, code)
        assert pointers(refused) == [pointer]
        assert nothing_was_stored()

    def test_is_400_naming_the_faults_of_query_and_body(self, api: Integrator) -> None:
        assert pointers(problem(post(api, {}, query=""), 400)) == ["/service_instance", "/items"]
        assert pointers(problem(post(api, "{", query="service_instance=x"), 400)) == ["/service_instance", ""]

    def test_is_413_above_its_own_limit(self, api: Integrator, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
        body = json.dumps({"items": [item()]})
        settings.BULK_UPLOAD_MAX_MEMORY_SIZE = len(body)
        assert post(api, body).status_code == 200
        problem(post(api, body + " "), 413, "body_too_large")

    def test_is_415_for_another_type_of_body(self, api: Integrator) -> None:
        problem(post(api, "taxcode=X", content_type="application/x-www-form-urlencoded"), 415)

    def test_is_422_with_an_unknown_service_instance(self, api: Integrator, elsewhere: ServiceInstance) -> None:
        unknown = problem(post(api, {"items": [item()]}, query="service_instance=987654321"), 422)
        assert [error["code"] for error in unknown["errors"]] == ["service_instance_unknown"]
        hidden = post(api, {"items": [item()]}, query=f"service_instance={elsewhere.pk}")
        assert hidden.json() == unknown

    def test_is_422_with_a_disabled_service_instance(self, api: Integrator) -> None:
        ServiceInstance.objects.update(enabled=False)
        refused = problem(post(api, {"items": [item(), {}]}), 422, "service_instance_disabled")
        assert (refused["errors"][0]["pointer"], refused["errors"][0]["in"]) == ("/service_instance", "query")

    def test_is_422_with_a_template_that_was_never_published(self, api: Integrator) -> None:
        Template.objects.update(current_version=None)
        problem(post(api, {"items": [item()]}), 422, "template_not_published")

    def test_is_503_when_other_calls_were_in_the_way_twice(
        self, api: Integrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """How that comes about is tested with the verb."""

        def contended(*args: Any, **options: Any) -> None:
            raise bulk.Contended

        monkeypatch.setattr(bulk, "compose_many", contended)
        response = post(api, {"items": [item()]})
        problem(response, 503, "unavailable")
        assert int(response["Retry-After"]) >= 1

    def test_has_no_other_method(self, api: Integrator) -> None:
        response = api.get("messages/bulk")
        problem(response, 405)
        assert response["Allow"] == "POST"

    def test_with_a_slash_is_another_address(self, api: Integrator) -> None:
        problem(api.client.post("/api/v1/messages/bulk/", {}, content_type="application/json"), 404)


class TestForbidden:
    @pytest.mark.parametrize("role", ["viewer", "editor", "approver", "configurator", "administrator"])
    def test_to_whoever_may_see_but_not_send(self, cast: factories.Cast, instance: ServiceInstance, role: str) -> None:
        program = program_of(getattr(cast, role), instance)
        problem(post(program, {"items": [item()]}), 403, "permission_denied")
        assert nothing_was_stored()

    def test_to_a_stranger_as_if_there_were_nothing(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        problem(post(program_of(cast.stranger, instance), {"items": [item()]}), 422, "service_instance_unknown")

    def test_to_a_sender_alone_is_allowed(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        assert results(send(program_of(cast.sender, instance), item())) == ["created"]

    def test_one_grant_must_cover_ente_and_service_together(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(elsewhere.service,))
        factories.grant(person, Role.SENDER, organizations=(elsewhere.organization,), services=(instance.service,))
        problem(post(program_of(person, instance), {"items": [item()]}), 422, "service_instance_unknown")

    def test_without_the_scope(self, sender: User, instance: ServiceInstance) -> None:
        program = program_of(sender, instance, scopes=[Scope.MESSAGES_READ])
        problem(post(program, {"items": [item()]}), 403, "scope_missing")

    def test_without_a_key_before_anything_is_read(self, instance: ServiceInstance) -> None:
        problem(post(Integrator(None, instance), "{", query=""), 401, "not_authenticated")

    def test_with_an_expired_key(self, api: Integrator) -> None:
        ConsumerKey.objects.update(expires_at=NOW - timedelta(days=1))
        problem(post(api, {"items": [item()]}), 401, "key_not_valid")

    def test_but_for_what_was_accepted_before_the_right_was_withdrawn(
        self, api: Integrator, consumer: Consumer
    ) -> None:
        one = item()
        [made] = send(api, one)
        grant = consumer.user.grants.get()
        grant.role = Role.VIEWER
        grant.save()
        [again, other] = send(api, one, item())
        assert (again["result"], again["id"]) == ("replayed", made["id"])
        assert (other["result"], other["errors"][0]["code"]) == ("invalid", "permission_denied")
        problem(post(api, {"items": [item()]}), 403, "permission_denied")
        problem(post(api, {"items": [{**one, "email": "x@example.it"}]}), 403, "permission_denied")
        assert Message.objects.count() == 1
        grant.delete()
        problem(post(api, {"items": [one]}), 422, "service_instance_unknown")


class TestCost:
    def statements(self, api: Integrator, count: int) -> list[str]:
        items = [item() for _ in range(count)]
        with CaptureQueriesContext(connection) as counted:
            assert set(results(send(api, *items))) == {"created"}
        return [
            query["sql"]
            for query in counted
            if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))
        ]

    @pytest.mark.postgresql
    def test_is_counted_in_statements_whatever_the_number_of_items(self, api: Integrator) -> None:
        send(api, item())  # the first of the minute also notes the use of the key
        few, many = self.statements(api, 2), self.statements(api, 500)
        # Key, service instance with rights, earlier requests; ids, idempotency keys, messages, contents, events.
        assert len(few) == len(many) == 8, few

    @pytest.mark.sqlite
    def test_is_counted_in_statements_of_as_many_rows_as_sqlite_takes(self, api: Integrator) -> None:
        send(api, item())
        few = self.statements(api, 2)
        # One more, which asks whose keys were free.
        assert len(few) == 9, few
        # Grouped by the number of parameters of a statement, never one by one.
        assert len(self.statements(api, 500)) < 60

    def test_of_repeats_is_one_look_up_for_all(self, api: Integrator) -> None:
        items = [item() for _ in range(100)]
        send(api, *items)
        with CaptureQueriesContext(connection) as counted:
            send(api, *items)
        # Key, service instance, earlier requests, which of them may be seen.
        assert len(counted) == 4


@pytest.mark.django_db(transaction=True)
class TestSimultaneousCalls:
    def volley(self, api: Integrator, calls: list[list[dict[str, Any]]]) -> list[Any]:
        """Real threads with connections of their own, let go at the same instant."""
        gate = threading.Barrier(len(calls))
        answers: list[Any] = [None] * len(calls)

        def shoot(index: int) -> None:
            program = Integrator(api.key, api.instance)
            try:
                gate.wait(10)
                answers[index] = post(program, {"items": calls[index]})
            finally:
                connection.close()

        threads = [threading.Thread(target=shoot, args=(index,)) for index in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [answer.status_code for answer in answers] == [200] * len(calls)
        return [answer.json()["items"] for answer in answers]

    def test_that_are_the_same_make_each_message_once(self, transactional_db: None, api: Integrator) -> None:
        items = [item() for _ in range(60)]
        answers = self.volley(api, [items, items, list(reversed(items)), items])
        for one in items:
            told = [
                each
                for call, answered in zip([items, items, items[::-1], items], answers, strict=True)
                for each in [answered[call.index(one)]]
            ]
            assert sorted(results(told)) == ["created", "replayed", "replayed", "replayed"]
            assert len({each["id"] for each in told}) == 1
        assert Message.objects.count() == IdempotencyKey.objects.count() == MessageEvent.objects.count() == 60

    def test_that_overlap_and_differ_make_one_message_of_each_key(
        self, transactional_db: None, api: Integrator
    ) -> None:
        keys = [fresh_key() for _ in range(40)]
        calls = [[item(key, email=f"call{number}@example.it") for key in keys] for number in range(3)]
        answers = self.volley(api, calls)
        for told in zip(*answers, strict=True):
            assert sorted(results(list(told))) == ["conflict", "conflict", "created"]
        assert Message.objects.count() == MessageContent.objects.count() == 40

    def test_of_one_message_and_of_many_make_it_once(self, transactional_db: None, api: Integrator) -> None:
        keys = [fresh_key() for _ in range(30)]
        singles: list[int] = []

        def one_by_one() -> None:
            program = Integrator(api.key, api.instance)
            try:
                singles.extend(program.post(valid_body(), idempotency_key=key).status_code for key in keys)
            finally:
                connection.close()

        thread = threading.Thread(target=one_by_one)
        thread.start()
        answered = send(api, *map(item, reversed(keys)))
        thread.join(60)
        assert Message.objects.count() == 30
        assert singles.count(201) == results(answered).count("replayed")
        assert set(singles) <= {200, 201}


class TestAmountsAndUnits:
    def test_of_another_unit_are_another_request(self, sender: User, instance: ServiceInstance) -> None:
        """A consumer's unit never changes once used; a key says nothing across consumers."""
        euro = program_of(sender, instance)
        cents = program_of(sender, instance, unit=AmountUnit.CENTS)
        payment = {"amount": 62, "notice_number": "300012548634478225"}
        one = item(payment=payment)
        assert results([*send(euro, one), *send(cents, one)]) == ["created", "created"]
        assert set(MessageContent.objects.values_list("amount_cents", flat=True)) == {6200, 62}
