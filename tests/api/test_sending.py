"""POST of one message: what is accepted, what is refused and how, in which order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import EventKind, IdempotencyKey, Message, MessageContent, MessageEvent, ServiceInstance
from messaging.models.service_instance import InstanceApproval
from messaging.states import Delivery
from registry.models import Role
from templates_app.models import Template
from templates_app.publishing import Use
from tests import factories
from tests.api.integrator import Integrator, fresh_key, pointers, problem, program_of, valid_body

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def nothing_was_stored() -> bool:
    return not (Message.objects.exists() or IdempotencyKey.objects.exists() or MessageContent.objects.exists())


def placeholders(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


class TestAccepts:
    def test_a_message_without_oddities_without_warnings(self, api: Integrator) -> None:
        response = api.post(valid_body())
        assert response.status_code == 201
        assert response.json()["warnings"] == []

    def test_stores_the_message_its_content_and_its_first_event(self, api: Integrator, consumer: Any) -> None:
        api.post(valid_body())
        message = Message.objects.get()
        assert message.delivery_state == Delivery.SCHEDULED
        assert message.sender == consumer.user
        assert message.consumer == consumer
        assert message.content.amount_cents == 6212
        assert message.content.notice_number == "300012548634478225"
        assert list(MessageEvent.objects.values_list("kind", flat=True)) == [EventKind.COMPOSED]

    def test_the_smallest_message_answering_null_for_the_rest(self, api: Integrator) -> None:
        api.instance.template = factories.template(
            has_payment=False,
            has_due_date=False,
            uses=[],
            subject="Un avviso semplice",
            body="Una riga qualunque. " * 5,
        )
        api.instance.save()
        body = api.post({"taxcode": "RSSMRA80A01H501U"}).json()
        assert (body["payment"], body["email"], body["due_date"]) == (None, None, None)
        assert body["warnings"] == []

    @pytest.mark.parametrize("date", [None, "2020-01-01T00:00:00Z", "2026-11-21T09:59:59+01:00"])
    def test_an_absent_or_past_date_as_now(self, api: Integrator, date: str | None) -> None:
        with time_machine.travel(NOW, tick=False):
            body = api.post(valid_body(scheduled_expedition_date=date)).json()
        assert body["scheduled_expedition_date"] == "2026-11-21T09:00:00.000Z"

    def test_a_date_ahead_in_any_offset_answering_in_utc(self, api: Integrator) -> None:
        body = api.post(valid_body(scheduled_expedition_date="2090-07-01T10:00:00.5+02:00")).json()
        assert body["scheduled_expedition_date"] == "2090-07-01T08:00:00.500Z"

    def test_a_wrong_check_character_with_a_warning(self, api: Integrator) -> None:
        response = api.post(valid_body(taxcode="PCRMJV76P12B782Z"))
        assert response.status_code == 201
        assert [warning["pointer"] for warning in response.json()["warnings"]] == ["/taxcode"]

    def test_a_past_due_date_with_a_warning_and_never_expires_it(self, api: Integrator) -> None:
        response = api.post(valid_body(due_date="2020-01-01T00:00:00Z", scheduled_expedition_date=None))
        assert response.status_code == 201
        assert [warning["code"] for warning in response.json()["warnings"]] == ["due_date_past"]
        assert Message.objects.get().expires_at is None

    def test_numbers_where_strings_belong(self, api: Integrator) -> None:
        payment = {"amount": 1, "notice_number": 300012548634478225, "payee_taxcode": 12345678901}
        body = api.post(valid_body(payment=payment)).json()
        assert body["payment"]["notice_number"] == "300012548634478225"
        assert body["payment"]["payee_taxcode"] == "12345678901"

    def test_null_for_what_is_optional(self, api: Integrator) -> None:
        body = valid_body()
        body |= {"email": None, "scheduled_expedition_date": None}
        assert api.post(body).status_code == 201

    def test_text_in_any_script_exactly(self, api: Integrator) -> None:
        factories.placeholder("nome", example="Anna Maria")
        api.instance.template = factories.template(
            has_payment=False,
            has_due_date=False,
            uses=[Use(factories.placeholder("nome"))],
            subject="Avviso per ${nome}",
            body="Gentile ${nome}, " + "una riga qualunque. " * 5,
        )
        api.instance.save()
        body = api.post(
            {"taxcode": "RSSMRA80A01H501U", "placeholders": placeholders(("nome", "Zoë 李 😀 d’Àscoli"))}
        ).json()
        assert body["subject"] == "Avviso per Zoë 李 😀 d’Àscoli"

    def test_waits_for_approval_where_a_rule_asks_for_it(self, api: Integrator) -> None:
        api.instance.approval = InstanceApproval.ALWAYS
        api.instance.save()
        body = api.post(valid_body()).json()
        assert (body["status"], body["delivery_state"]) == ("created", "pending_approval")


class TestAmounts:
    @pytest.mark.parametrize(
        ("sent", "cents", "shown"),
        [("62.12", 6212, 62.12), ("62.1", 6210, 62.1), ("62", 6200, 62), ("0.01", 1, 0.01), ("6.212e1", 6212, 62.12)],
    )
    def test_in_euro_with_at_most_two_decimals(self, api: Integrator, sent: str, cents: int, shown: float) -> None:
        body = api.post(self.body(sent)).json()
        assert body["payment"] | {"amount": shown, "amount_cents": cents, "amount_unit": "euro"} == body["payment"]

    @pytest.mark.parametrize("cents", [1, 10, 6210, 6212, 999_999_999, 9_999_999_999])
    def test_in_euro_come_back_as_they_are_written(self, api: Integrator, cents: int) -> None:
        api.instance.io_service.payment_cap_cents = None
        api.instance.io_service.save()
        euro = f"{cents // 100}.{cents % 100:02}"
        answer = api.post(self.body(euro)).content.decode()
        shown = answer.partition('"amount":')[2].partition(",")[0]
        assert shown in {euro, euro.rstrip("0"), euro.rstrip("0") + "0"}

    def test_in_cents_as_whole_numbers(self, in_cents: Integrator) -> None:
        body = in_cents.post(self.body("6212")).json()
        assert body["payment"] | {"amount": 6212, "amount_cents": 6212, "amount_unit": "cents"} == body["payment"]
        assert isinstance(body["payment"]["amount"], int)

    @pytest.mark.parametrize("sent", ["62.123", "0", "-1", "true", '"62.12"', "null", "[]", "0.001", "99999999999"])
    def test_in_euro_that_are_none_are_refused(self, api: Integrator, sent: str) -> None:
        body = problem(api.post(self.body(sent)), 400)
        assert pointers(body) == ["/payment/amount"]

    @pytest.mark.parametrize("sent", ["62.12", "6212.5", "0", "-1", "true", '"6212"', "9999999999999"])
    def test_in_cents_that_are_none_are_refused(self, in_cents: Integrator, sent: str) -> None:
        body = problem(in_cents.post(self.body(sent)), 400)
        assert pointers(body) == ["/payment/amount"]

    def test_above_the_cap_are_refused_naming_both_readings(self, api: Integrator) -> None:
        # The cap of the tests' IO service is 10,000 euro: somebody wrote cents where euro were agreed.
        body = problem(api.post(self.body("621200")), 422, "amount_above_cap")
        assert pointers(body) == ["/payment/amount"]
        assert "621.200,00" in body["detail"]
        assert "6.212,00" in body["detail"]

    def body(self, amount: str) -> str:
        return (
            '{"taxcode": "RSSMRA80A01H501U", "due_date": "2090-01-01T00:00:00Z", "payment": {"amount": ' + amount + ","
            ' "notice_number": "300012548634478225"}, "placeholders": [{"name": "cie", "value": "CA000000AA"}]}'
        )


class TestMalformed:
    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"taxcode": None}, "/taxcode"),
            ({"taxcode": 1}, "/taxcode"),
            ({"taxcode": "rssmra80a01h501u"}, "/taxcode"),
            ({"taxcode": "RSSMRA80A01H501"}, "/taxcode"),
            ({"taxcode": "12345678901"}, "/taxcode"),
            ({"taxcode": ["RSSMRA80A01H501U"]}, "/taxcode"),
            ({"taxcode": "RSSMRA80A01H501U\n"}, "/taxcode"),
            ({"payment": []}, "/payment"),
            ({"payment": "62.12"}, "/payment"),
            ({"payment": {"notice_number": "300012548634478225"}}, "/payment/amount"),
            ({"payment": {"amount": 1}}, "/payment/notice_number"),
            ({"payment": {"amount": 1, "notice_number": "412345678901234567"}}, "/payment/notice_number"),
            ({"payment": {"amount": 1, "notice_number": 1e17}}, "/payment/notice_number"),
            ({"email": "not an address"}, "/email"),
            ({"email": True}, "/email"),
            ({"scheduled_expedition_date": "tomorrow"}, "/scheduled_expedition_date"),
            ({"scheduled_expedition_date": "2026-12-01T10:00:00"}, "/scheduled_expedition_date"),
            ({"scheduled_expedition_date": 1783411200}, "/scheduled_expedition_date"),
            ({"due_date": "2026-02-30T10:00:00Z"}, "/due_date"),
            ({"placeholders": {"cie": "CA000000AA"}}, "/placeholders"),
            ({"placeholders": [{"name": "cie"}]}, "/placeholders/0/value"),
            ({"placeholders": [{"name": "cie", "value": 5}]}, "/placeholders/0/value"),
            ({"placeholders": ["cie"]}, "/placeholders/0"),
        ],
    )
    def test_is_400_with_a_pointer(self, api: Integrator, change: dict[str, Any], pointer: str) -> None:
        body = problem(api.post(valid_body(**change)), 400)
        assert pointer in pointers(body)
        assert nothing_was_stored()

    @pytest.mark.parametrize("body", ["null", "[]", '"text"', "1", "true"])
    def test_is_400_when_it_is_no_object(self, api: Integrator, body: str) -> None:
        problem(api.post(body), 400)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ("{not json", "invalid_json"),
            ("", "body_missing"),
            ('{"taxcode": NaN}', "number_not_finite"),
            ('{"payment": {"amount": 1e999999999}}', "number_too_long"),
            ('{"payment": {"notice_number": 300012548634478225000}}', "number_too_long"),
            ('{"email": "a\\u0000b"}', "nul_character"),
            ('{"email": "\\ud800"}', "lone_surrogate"),
            ('{"taxcode": "A", "taxcode": "B"}', "duplicate_key"),
            ('{"a":' * 21 + "1" + "}" * 21, "too_deep"),
            (b'{"email": "\xff"}', "invalid_utf8"),
        ],
    )
    def test_is_400_when_it_is_no_strict_json(self, api: Integrator, body: str | bytes, code: str) -> None:
        problem(api.post(body), 400, code)
        assert nothing_was_stored()

    def test_names_every_fault_of_body_and_query_at_once(self, api: Integrator) -> None:
        response = api.post(valid_body(taxcode="X", email="x"), query="service_instance=zero")
        assert pointers(problem(response, 400)) == ["/service_instance", "/idempotency_key", "/taxcode", "/email"]

    def test_names_the_faults_of_the_query_beside_broken_json(self, api: Integrator) -> None:
        body = problem(api.post("{", query=f"service_instance={api.instance.pk}"), 400)
        assert pointers(body) == ["/idempotency_key", ""]
        assert [error["in"] for error in body["errors"]] == ["query", "body"]

    def test_with_something_impossible_too_is_400_listing_both(self, api: Integrator) -> None:
        body = problem(api.post(valid_body(taxcode="X", placeholders=[])), 400)
        assert pointers(body) == ["/taxcode", "/placeholders"]

    @pytest.mark.parametrize(
        "query",
        [
            "idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
            "service_instance=&idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
            "service_instance=-1&idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
            "service_instance=1.5&idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
            "service_instance=1&service_instance=2&idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
            "service_instance=99999999999999999999&idempotency_key=9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11",
        ],
    )
    def test_service_instance_is_400(self, api: Integrator, query: str) -> None:
        assert pointers(problem(api.post(valid_body(), query=query), 400)) == ["/service_instance"]

    @pytest.mark.parametrize(
        "key", ["", "&idempotency_key=", "&idempotency_key=1", "&idempotency_key=%00", "&idempotency_key=x-y"]
    )
    def test_idempotency_key_is_400(self, api: Integrator, key: str) -> None:
        response = api.post(valid_body(), query=f"service_instance={api.instance.pk}{key}")
        assert pointers(problem(response, 400)) == ["/idempotency_key"]

    def test_is_415_for_another_type_of_body(self, api: Integrator) -> None:
        problem(api.post("taxcode=X", content_type="application/x-www-form-urlencoded"), 415)


class TestImpossible:
    def test_without_a_mandatory_placeholder(self, api: Integrator) -> None:
        body = problem(api.post(valid_body(placeholders=[])), 422)
        assert pointers(body) == ["/placeholders"]
        assert "cie" in body["detail"]
        assert nothing_was_stored()

    def test_without_the_payment_or_due_date_of_the_template(self, api: Integrator) -> None:
        body = problem(api.post(valid_body(payment=None, due_date=None)), 422)
        assert sorted(pointers(body)) == ["/due_date", "/payment"]

    def test_with_a_subject_too_long_once_rendered(self, api: Integrator) -> None:
        body = problem(api.post(valid_body(placeholders=placeholders(("cie", "A" * 130)))), 422)
        assert len(body["errors"]) == 1
        assert "120" in body["detail"]

    def test_with_an_unknown_service_instance(self, api: Integrator) -> None:
        body = problem(api.post(valid_body(), service_instance=987654321), 422, "service_instance_unknown")
        assert body["errors"][0]["pointer"] == "/service_instance"
        assert body["errors"][0]["in"] == "query"

    def test_with_a_service_instance_of_somebody_else_as_if_unknown(
        self, api: Integrator, elsewhere: ServiceInstance
    ) -> None:
        unknown = api.post(valid_body(), service_instance=987654321).json()
        assert api.post(valid_body(), service_instance=elsewhere.pk).json() == unknown

    def test_with_an_unknown_service_instance_and_a_malformed_body_is_400_listing_both(self, api: Integrator) -> None:
        body = problem(api.post(valid_body(taxcode="X"), service_instance=987654321), 400)
        assert pointers(body) == ["/service_instance", "/taxcode"]

    def test_with_a_disabled_service_instance(self, api: Integrator) -> None:
        ServiceInstance.objects.update(enabled=False)
        body = problem(api.post(valid_body()), 422, "service_instance_disabled")
        assert pointers(body) == ["/service_instance"]

    def test_with_a_disabled_service_instance_lists_the_other_faults_too(self, api: Integrator) -> None:
        ServiceInstance.objects.update(enabled=False)
        assert pointers(problem(api.post(valid_body(placeholders=[])), 422)) == ["/service_instance", "/placeholders"]
        assert pointers(problem(api.post(valid_body(taxcode="X")), 400)) == ["/service_instance", "/taxcode"]

    def test_with_a_template_that_was_never_published(self, api: Integrator) -> None:
        Template.objects.update(current_version=None)
        problem(api.post(valid_body()), 422, "template_not_published")


class TestForbidden:
    @pytest.mark.parametrize("role", ["viewer", "editor", "approver", "configurator", "administrator"])
    def test_to_whoever_may_see_but_not_send(self, cast: factories.Cast, instance: ServiceInstance, role: str) -> None:
        problem(program_of(getattr(cast, role), instance).post(valid_body()), 403, "permission_denied")
        assert nothing_was_stored()

    def test_comes_after_what_is_malformed(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        problem(program_of(cast.viewer, instance).post(valid_body(taxcode="X")), 400)

    def test_tells_nothing_of_the_template(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        problem(program_of(cast.viewer, instance).post(valid_body(placeholders=[])), 403, "permission_denied")

    def test_one_grant_must_cover_ente_and_service_together(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(elsewhere.service,))
        factories.grant(person, Role.SENDER, organizations=(elsewhere.organization,), services=(instance.service,))
        problem(program_of(person, instance).post(valid_body()), 422, "service_instance_unknown")

    def test_once_the_grant_expired(self, instance: ServiceInstance) -> None:
        person = factories.user()
        options: Any = {"organizations": (instance.organization,), "services": (instance.service,)}
        factories.grant(person, Role.SENDER, **options, expires_at=NOW)
        factories.grant(person, Role.VIEWER, **options)
        program = program_of(person, instance)
        with time_machine.travel(NOW - timedelta(seconds=1), tick=False):
            assert program.post(valid_body()).status_code == 201
        with time_machine.travel(NOW, tick=False):
            problem(program.post(valid_body()), 403)

    def test_an_emptied_set_means_nothing_and_all_is_explicit(self, instance: ServiceInstance) -> None:
        nobody, everybody = factories.user(), factories.user()
        factories.grant(nobody, Role.SENDER)
        factories.grant(everybody, Role.SENDER, all_organizations=True, all_services=True)
        problem(program_of(nobody, instance).post(valid_body()), 422, "service_instance_unknown")
        assert program_of(everybody, instance).post(valid_body()).status_code == 201


class TestLanguage:
    def test_is_italian_unless_english_is_asked_for(self, api: Integrator) -> None:
        italian = api.post(valid_body(email="x"))
        english = api.post(valid_body(email="x"), headers={"Accept-Language": "en-GB, it;q=0.5"})
        assert italian["Content-Language"] == "it"
        assert english["Content-Language"] == "en"
        assert italian.json()["title"] == "Richiesta non valida"
        assert english.json()["title"] == "Invalid request"


class TestCost:
    def test_is_counted_in_statements(self, api: Integrator) -> None:
        api.post(valid_body())  # the first of the minute also notes the use of the key
        with CaptureQueriesContext(connection) as counted:
            assert api.post(valid_body(), idempotency_key=fresh_key()).status_code == 201
        work = [
            query["sql"]
            for query in counted
            if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))
        ]
        # Key; service instance with rights; message, content, event and idempotency key, on PostgreSQL in one.
        assert len(work) == (3 if connection.vendor == "postgresql" else 6), work


class TestTrailingSlash:
    def test_is_another_address(self, api: Integrator) -> None:
        problem(api.client.post("/api/v1/messages/", valid_body(), content_type="application/json"), 404)
