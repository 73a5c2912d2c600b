"""The one door in: what becomes a message, what does not, and the same request twice."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from messaging import composing
from messaging.composing import (
    Composed,
    ComposeRefused,
    Idempotency,
    InstanceDisabled,
    KeyReused,
    TemplateMissing,
    check,
    compose,
    find_replay,
    rules_for,
)
from messaging.models import EventKind, IdempotencyKey, IOService, Message, ServiceInstance
from messaging.models.service_instance import InstanceApproval
from messaging.states import Delivery, Priority
from registry.models import AmountUnit, ApprovalRule, Consumer, User
from templates_app.publishing import Use, publish
from tests import factories
from tests.messaging.lifecycle import at_once, events

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
DATA: dict[str, Any] = {
    "taxcode": "RSSMRA80A01H501U",
    "payment": {
        "amount": Decimal("62.12"),
        "notice_number": 300012548634478200,
        "invalid_after_due_date": True,
        "payee_taxcode": 10000000001,
    },
    "email": "name@example.it",
    "due_date": "2026-12-31T22:59:00Z",
    "placeholders": [{"name": "cie", "value": "ca000000aa"}],
}


@pytest.fixture
def instance(db: None) -> ServiceInstance:
    return ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)


@pytest.fixture
def person(db: None) -> User:
    return factories.user()


def composed(instance: ServiceInstance, person: User, data: object = DATA, **more: Any) -> Composed:
    return compose(data, **{"instance": instance, "by": person, "amount_unit": AmountUnit.EURO, "at": AT, **more})


def key(body_hash: str = "a" * 64, *, of: uuid.UUID | None = None) -> Idempotency:
    return Idempotency(key=of or uuid.UUID(int=1), body_hash=body_hash)


class TestCompose:
    def test_stores_the_message_its_text_and_how_it_began(self, instance: ServiceInstance, person: User) -> None:
        made = composed(instance, person)
        assert made.is_new
        row = Message.objects.get()
        assert row == made.message
        assert (row.taxcode, row.delivery_state, row.sender) == ("RSSMRA80A01H501U", Delivery.SCHEDULED, person)
        assert (row.updated_at, row.scheduled_at, row.not_before) == (row.created_at, AT, AT)
        assert made.message.created_at == row.created_at
        assert row.io_account_id == instance.io_service.io_account_id
        assert (row.io_service_id, row.attempt_id, row.appio_message_id) == (None, None, "")
        content = row.content
        assert content.subject == "Scadenza CIE n. CA000000AA"
        assert "31/12/2026" in content.markdown
        assert content.version == instance.template.current_version
        assert content.values == {"cie": "ca000000aa"}
        assert (content.amount_cents, content.notice_number) == (6212, "300012548634478200")
        assert (content.invalid_after_due_date, content.payee_taxcode) == (True, "10000000001")
        assert content.email == "name@example.it"
        assert events(row) == [EventKind.COMPOSED]
        assert row.events.get().actor == person

    def test_what_the_check_shows_is_what_is_stored(self, instance: ServiceInstance, person: User) -> None:
        """The preview is the message."""
        shown = check(DATA, instance=instance, amount_unit=AmountUnit.EURO, at=AT).message
        assert shown is not None
        content = composed(instance, person).message.content
        assert (content.subject, content.markdown) == (shown.subject, shown.markdown)

    def test_a_check_stores_nothing(self, instance: ServiceInstance) -> None:
        check(DATA, instance=instance, amount_unit=AmountUnit.EURO, at=AT)
        assert not Message.objects.exists()

    def test_the_text_is_frozen_when_the_template_changes(self, instance: ServiceInstance, person: User) -> None:
        made = composed(instance, person).message
        subject = made.content.subject
        publish_again(instance)
        assert Message.objects.get(pk=made.pk).content.subject == subject

    def test_for_now_it_goes_first_for_later_after_those(self, instance: ServiceInstance, person: User) -> None:
        later = (AT + timedelta(days=1)).isoformat()
        now = composed(instance, person).message
        planned = composed(instance, person, {**DATA, "scheduled_expedition_date": later}).message
        assert (now.priority, planned.priority) == (Priority.INTERACTIVE, Priority.SCHEDULED)
        assert planned.not_before == AT + timedelta(days=1)

    def test_a_past_expedition_date_means_now(self, instance: ServiceInstance, person: User) -> None:
        made = composed(instance, person, {**DATA, "scheduled_expedition_date": "2020-01-01T00:00:00Z"}).message
        assert made.scheduled_at == AT

    def test_expires_with_a_due_date_that_is_ahead(self, instance: ServiceInstance, person: User) -> None:
        made = composed(instance, person).message
        assert made.expires_at == made.due_date == datetime(2026, 12, 31, 22, 59, tzinfo=UTC)

    def test_never_expires_for_a_due_date_already_past(self, instance: ServiceInstance, person: User) -> None:
        made = composed(instance, person, {**DATA, "due_date": "2025-07-07T00:08:33.513Z"}).message
        assert made.due_date is not None
        assert made.expires_at is None

    def test_keeps_the_warnings_for_a_replay(self, instance: ServiceInstance, person: User) -> None:
        made = composed(instance, person, {**DATA, "due_date": "2025-07-07T00:08:33.513Z"}).message
        (warning,) = made.content.warnings
        assert warning.keys() == {"code", "pointer", "detail"}
        assert (warning["code"], warning["pointer"]) == ("due_date_past", "/due_date")

    @pytest.mark.parametrize(("unit", "amount"), [("euro", Decimal("62.12")), ("cents", 6212)])
    def test_reads_amounts_in_the_unit_told(
        self, unit: str, amount: Any, instance: ServiceInstance, person: User
    ) -> None:
        data = {**DATA, "payment": {**DATA["payment"], "amount": amount}}
        assert composed(instance, person, data, amount_unit=unit).message.content.amount_cents == 6212

    def test_remembers_the_consumer(self, instance: ServiceInstance, person: User) -> None:
        consumer = factories.consumer(user=person)
        assert composed(instance, person, consumer=consumer).message.consumer == consumer

    def test_without_a_payment_stores_none(self, person: User) -> None:
        plain = factories.service_instance(template=factories.template(has_payment=False))
        data = {name: value for name, value in DATA.items() if name != "payment"}
        content = composed(plain, person, data).message.content
        assert (content.has_payment, content.amount_cents, content.notice_number) == (False, None, "")


def publish_again(instance: ServiceInstance) -> None:
    publish(
        instance.template,
        subject="Un altro titolo ${cie}",
        body="Un altro testo, lungo abbastanza per IO, che vuole almeno ottanta caratteri: ${cie} ${due_date}.",
        has_payment=True,
        has_due_date=True,
        uses=[Use(factories.placeholder())],
        by=None,
        at=AT,
    )


class TestRefused:
    def test_tells_everything_that_is_wrong_and_stores_nothing(self, instance: ServiceInstance, person: User) -> None:
        with pytest.raises(ComposeRefused) as refused:
            composed(instance, person, {"taxcode": "x", "email": "y"})
        pointers = {error.pointer for error in refused.value.verdict.errors}
        assert {"/taxcode", "/email", "/payment", "/due_date"} <= pointers
        assert not Message.objects.exists()

    def test_the_exception_repeats_nothing_of_the_input(self, instance: ServiceInstance, person: User) -> None:
        with pytest.raises(ComposeRefused) as refused:
            composed(instance, person, {**DATA, "email": "segreto"})
        assert str(refused.value) == "1 errors"

    def test_above_the_cap_of_the_service(self, instance: ServiceInstance, person: User) -> None:
        IOService.objects.update(payment_cap_cents=6211)
        instance.io_service.refresh_from_db()
        with pytest.raises(ComposeRefused) as refused:
            composed(instance, person)
        assert [error.code for error in refused.value.verdict.errors] == ["amount_above_cap"]

    def test_through_an_instance_switched_off(self, instance: ServiceInstance, person: User) -> None:
        instance.enabled = False
        with pytest.raises(InstanceDisabled):
            composed(instance, person)
        assert not Message.objects.exists()

    def test_through_a_template_without_a_text(self, instance: ServiceInstance, person: User) -> None:
        instance.template.current_version = None
        with pytest.raises(TemplateMissing):
            composed(instance, person)
        with pytest.raises(TemplateMissing):
            rules_for(instance, amount_unit=AmountUnit.EURO)

    def test_a_suspended_service_refuses_nothing(self, instance: ServiceInstance, person: User) -> None:
        """Its messages wait; whoever mends the key lets them leave."""
        IOService.objects.update(suspended_at=AT, suspended_reason="key_refused")
        assert composed(instance, person).message.delivery_state == Delivery.SCHEDULED


class TestApproval:
    @pytest.mark.parametrize(
        ("ente", "here", "asks"),
        [
            (ApprovalRule.NEVER, InstanceApproval.INHERIT, False),
            (ApprovalRule.ALWAYS, InstanceApproval.INHERIT, True),
            (ApprovalRule.NEVER, InstanceApproval.ALWAYS, True),
            (ApprovalRule.ALWAYS, InstanceApproval.ALWAYS, True),
            (ApprovalRule.NEVER, InstanceApproval.NEVER, False),
            (ApprovalRule.ALWAYS, InstanceApproval.NEVER, False),
        ],
    )
    def test_the_rule_of_the_instance_wins_over_that_of_the_ente(
        self, ente: str, here: str, asks: bool, instance: ServiceInstance, person: User
    ) -> None:
        instance.organization.approval = ente
        instance.approval = here
        made = composed(instance, person).message
        assert made.delivery_state == (Delivery.PENDING_APPROVAL if asks else Delivery.SCHEDULED)
        assert made.events.get().state == made.delivery_state

    def test_holds_for_integrators_too(self, instance: ServiceInstance, person: User) -> None:
        instance.approval = InstanceApproval.ALWAYS
        consumer = factories.consumer(user=person)
        made = composed(instance, person, consumer=consumer, idempotency=key()).message
        assert made.delivery_state == Delivery.PENDING_APPROVAL


class TestSameRequestTwice:
    def test_gives_the_message_made_the_first_time(self, instance: ServiceInstance, person: User) -> None:
        first = composed(instance, person, idempotency=key())
        again = composed(instance, person, idempotency=key())
        assert (first.is_new, again.is_new) == (True, False)
        assert again.message == first.message
        assert Message.objects.count() == 1

    def test_whatever_happened_since(self, instance: ServiceInstance, person: User) -> None:
        first = composed(instance, person, idempotency=key()).message
        Message.objects.update(delivery_state=Delivery.CANCELLED)
        instance.enabled = False
        publish_again(instance)
        much_later = AT + timedelta(days=400)
        assert composed(instance, person, idempotency=key(), at=much_later).message == first

    def test_another_request_with_the_same_key_is_refused(self, instance: ServiceInstance, person: User) -> None:
        composed(instance, person, idempotency=key("a" * 64))
        with pytest.raises(KeyReused):
            composed(instance, person, idempotency=key("b" * 64))
        assert Message.objects.count() == 1

    def test_another_key_is_another_message(self, instance: ServiceInstance, person: User) -> None:
        for number in (1, 2):
            composed(instance, person, idempotency=key(of=uuid.UUID(int=number)))
        assert Message.objects.count() == 2

    def test_without_a_key_every_request_is_new(self, instance: ServiceInstance, person: User) -> None:
        for _ in range(2):
            assert composed(instance, person).is_new
        assert Message.objects.count() == 2
        assert not IdempotencyKey.objects.exists()

    def test_a_refused_request_uses_up_no_key(self, instance: ServiceInstance, person: User) -> None:
        with pytest.raises(ComposeRefused):
            composed(instance, person, {}, idempotency=key("b" * 64))
        instance.enabled = False
        with pytest.raises(InstanceDisabled):
            composed(instance, person, idempotency=key("c" * 64))
        instance.enabled = True
        assert composed(instance, person, idempotency=key("a" * 64)).is_new

    def test_principals_do_not_share_keys(self, instance: ServiceInstance, person: User) -> None:
        """Two programs of one person, that person at the portal, and another person."""
        programs: list[Consumer | None] = [factories.consumer(user=person), factories.consumer(user=person), None]
        for program in programs:
            assert composed(instance, person, consumer=program, idempotency=key()).is_new
        assert composed(instance, factories.user(), idempotency=key()).is_new
        assert Message.objects.count() == 4

    def test_the_principal_stored_is_the_program_or_else_the_person(
        self, instance: ServiceInstance, person: User
    ) -> None:
        consumer = factories.consumer(user=person)
        composed(instance, person, consumer=consumer, idempotency=key())
        composed(instance, person, idempotency=key())
        assert set(IdempotencyKey.objects.values_list("consumer", "user")) == {(consumer.pk, None), (None, person.pk)}

    def test_is_looked_for_only_where_the_request_would_be_refused_or_its_key_is_taken(
        self, instance: ServiceInstance, person: User
    ) -> None:
        """A request that may be honoured meets its own key when it is stored."""
        with CaptureQueriesContext(connection) as counted:
            composed(instance, person, idempotency=key())
        assert not [query for query in counted if query["sql"].startswith("SELECT")]
        for data in (DATA, {}):
            with CaptureQueriesContext(connection) as counted:
                assert not composed(instance, person, data, idempotency=key()).is_new
            assert any("messaging_idempotencykey" in query["sql"] for query in counted)

    def test_is_found_without_composing(self, instance: ServiceInstance, person: User) -> None:
        assert find_replay(key().key, by=person, consumer=None) is None
        made = composed(instance, person, idempotency=key()).message
        found = find_replay(key().key, by=person, consumer=None)
        assert found is not None
        assert (found.message, found.body_hash, found.service_instance) == (made, "a" * 64, instance)


class TestAtTheSameTime:
    @pytest.mark.django_db(transaction=True)
    def test_the_same_request_makes_one_message(self) -> None:
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        person = factories.user()
        outcomes = at_once(*[lambda: composed(instance, person, idempotency=key())] * 4)
        assert all(isinstance(outcome, Composed) for outcome in outcomes), outcomes
        assert [outcome.is_new for outcome in outcomes].count(True) == 1
        assert {outcome.message for outcome in outcomes} == {Message.objects.get()}
        assert IdempotencyKey.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_of_two_different_requests_with_one_key_one_is_refused(self) -> None:
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        person = factories.user()
        outcomes = at_once(
            lambda: composed(instance, person, idempotency=key("a" * 64)),
            lambda: composed(instance, person, idempotency=key("b" * 64)),
        )
        assert {type(outcome) for outcome in outcomes} == {Composed, KeyReused}
        assert Message.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_broken_rule_of_the_database_that_is_not_the_key_is_a_fault_to_be_seen(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        columns = composing.columns_of

        def without_recipient(*args: Any, **kwargs: Any) -> dict[str, Any]:
            return {**columns(*args, **kwargs), "taxcode": ""}

        monkeypatch.setattr(composing, "columns_of", without_recipient)
        with pytest.raises(IntegrityError):
            composed(instance, factories.user(), idempotency=key())
        assert not IdempotencyKey.objects.exists()
