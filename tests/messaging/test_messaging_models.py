"""Rules that the database itself keeps about messages, whoever writes to it; and what a row says of itself."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from messaging.checkpoints import NAMES
from messaging.models import ActiveKey, IdempotencyKey, IOService, Message, MessageContent, ServiceInstance
from messaging.states import Delivery, Group
from sealed.boxes import Sealed
from tests import factories
from tests.support.sources import ROOT

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@pytest.mark.django_db
class TestMessage:
    @pytest.mark.parametrize("missing", ["attempt_id", "lease_until", "marked_at", "io_service"])
    def test_sending_without_an_attempt_that_can_be_found_again_is_refused(self, missing: str) -> None:
        """No request may leave for a row that the sweep could not find."""
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.message_in(Delivery.SENDING, **{missing: None})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"delivery_state": "denied"},
            {"reading_state": "maybe"},
            {"payment_state": "maybe"},
            {"taxcode": ""},
            {"next_poll_at": AT, "appio_message_id": ""},
        ],
        ids=["delivery", "reading", "payment", "no_recipient", "followed_without_id"],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.message(**wrong)

    def test_only_a_draft_may_have_no_recipient_yet(self) -> None:
        assert factories.message_in(Delivery.DRAFT, taxcode="").taxcode == ""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"amount_cents": 0, "notice_number": "300012548634478200"},
            {"amount_cents": 10_000_000_000, "notice_number": "300012548634478200"},
            {"amount_cents": 100, "notice_number": ""},
            {"amount_cents": None, "notice_number": "300012548634478200"},
        ],
        ids=["nothing_to_pay", "too_much", "no_notice", "no_amount"],
    )
    def test_half_a_payment_is_refused(self, wrong: dict[str, Any]) -> None:
        row = factories.message()
        with pytest.raises(IntegrityError), transaction.atomic():
            MessageContent.objects.filter(message=row).update(**wrong)

    def test_printing_it_shows_nothing_of_the_citizen(self) -> None:
        row = factories.message()
        shown = f"{row} {row!r} {row.content!r} {row.content} {row.events.all()!r}"
        assert row.taxcode not in shown
        assert row.content.subject not in shown

    def test_its_group_is_that_of_its_state_unless_a_person_took_it_as_arrived(self) -> None:
        assert factories.message_in(Delivery.SENT).group is Group.ONGOING
        assert Message(delivery_state=Delivery.SENT, is_taken_as_arrived=True).group is Group.DELIVERED

    def test_belongs_to_the_ente_and_the_service_of_its_instance(self) -> None:
        row = factories.message()
        assert row.organization_id == row.service_instance.organization_id
        assert row.service_id == row.service_instance.service_id


@pytest.mark.django_db
class TestIOService:
    def test_is_known_once_in_its_account(self) -> None:
        made = factories.io_service()
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.io_service(io_account=made.io_account, io_service_id=made.io_service_id)

    def test_the_same_id_may_exist_in_another_account(self) -> None:
        made = factories.io_service()
        assert factories.io_service(io_service_id=made.io_service_id).pk != made.pk

    @pytest.mark.parametrize("wrong", [{"suspended_at": AT}, {"suspended_reason": "key_refused"}])
    def test_is_never_suspended_without_a_reason_nor_the_other_way_round(self, wrong: dict[str, Any]) -> None:
        factories.io_service()
        with pytest.raises(IntegrityError), transaction.atomic():
            IOService.objects.update(**wrong)

    def test_calls_with_the_key_that_is_in_use(self) -> None:
        made = factories.io_service(key="first", secondary_key=Sealed.close("second"))
        assert made.key.open() == "first"
        made.active_key = ActiveKey.SECONDARY
        assert made.key.open() == "second"


@pytest.mark.django_db
class TestServiceInstance:
    def test_is_one_for_an_ente_a_service_and_a_template(self) -> None:
        made = factories.service_instance()
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.service_instance(organization=made.organization, service=made.service, template=made.template)

    def test_refuses_an_io_service_of_another_ente(self) -> None:
        made = factories.service_instance()
        made.io_service = factories.io_service()
        with pytest.raises(ValidationError) as refused:
            made.full_clean()
        assert set(refused.value.message_dict) == {"io_service"}

    def test_refuses_a_template_of_another_ente_and_takes_a_shared_one(self) -> None:
        made = factories.service_instance()
        made.full_clean()
        made.template = factories.template(organization=factories.organization())
        with pytest.raises(ValidationError) as refused:
            made.full_clean()
        assert set(refused.value.message_dict) == {"template"}
        made.template = factories.template(organization=made.organization)
        made.full_clean()

    def test_all_that_composing_needs_comes_in_one_query(self, django_assert_num_queries: Any) -> None:
        factories.service_instance()
        with django_assert_num_queries(1):
            found = ServiceInstance.objects.with_everything().get()
            needed = [found.organization, found.service, found.template.current_version, found.io_service]
        assert all(needed)


@pytest.mark.django_db
class TestIdempotencyKey:
    @pytest.fixture
    def fields(self) -> dict[str, Any]:
        row = factories.message()
        return {
            "key": uuid.UUID(int=1),
            "body_hash": "a" * 64,
            "message": row,
            "service_instance": row.service_instance,
            "created_at": AT,
        }

    def test_belongs_to_a_program_or_to_a_person_never_to_both_or_none(self, fields: dict[str, Any]) -> None:
        person = factories.user()
        for principal in ({}, {"user": person, "consumer": factories.consumer(user=person)}):
            with pytest.raises(IntegrityError), transaction.atomic():
                IdempotencyKey.objects.create(**fields, **principal)

    def test_is_used_once_by_each_principal(self, fields: dict[str, Any]) -> None:
        person = factories.user()
        principals: list[dict[str, Any]] = [
            {"user": person},
            {"user": factories.user()},
            {"consumer": factories.consumer(user=person)},
            {"consumer": factories.consumer(user=person)},
        ]
        for principal in principals:
            IdempotencyKey.objects.create(**fields, **principal)
        for principal in principals:
            with pytest.raises(IntegrityError), transaction.atomic():
                IdempotencyKey.objects.create(**fields, **principal)


def test_every_checkpoint_is_listed_for_the_crash_tests_and_every_name_listed_is_one() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "messaging").glob("*.py"))
    assert set(re.findall(r'checkpoint\("([a-z_]+)"', sources)) == set(NAMES)
