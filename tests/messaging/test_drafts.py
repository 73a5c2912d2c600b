"""Drafts: kept as typed, confirmed only as they were seen, and once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from messaging.composing import ComposeRefused, InstanceDisabled, TemplateMissing, check
from messaging.deciding import cancel, reading_of, refuse
from messaging.drafting import PreviewOutdated, confirm_draft, fingerprint, save_draft
from messaging.models import EventKind, Message, ServiceInstance
from messaging.models.service_instance import InstanceApproval
from messaging.moving import StateConflict
from messaging.states import Delivery
from registry.models import AmountUnit, User
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh
from tests.messaging.test_composing import DATA, publish_again

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
FORM = {"taxcode": "rssmra", "cie": ""}


@pytest.fixture
def instance(db: None) -> ServiceInstance:
    return ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)


@pytest.fixture
def person(db: None) -> User:
    return factories.user()


@pytest.fixture
def draft(instance: ServiceInstance, person: User) -> Message:
    return save_draft(FORM, instance=instance, by=person, at=AT)


def seen(instance: ServiceInstance, data: object = DATA) -> str:
    verdict = check(data, instance=instance, amount_unit=AmountUnit.EURO, at=AT)
    assert verdict.message is not None
    return fingerprint(verdict.message, instance=instance, at=LATER)


class TestSave:
    def test_keeps_what_was_typed_however_incomplete(self, draft: Message, person: User) -> None:
        assert (draft.delivery_state, draft.taxcode, draft.sender) == (Delivery.DRAFT, "", person)
        assert draft.content.draft_form == FORM
        assert events(draft) == [EventKind.DRAFTED]

    def test_again_changes_the_same_draft(self, draft: Message, instance: ServiceInstance, person: User) -> None:
        again = save_draft({"taxcode": "x"}, instance=instance, by=person, at=LATER, draft=draft)
        assert again.pk == draft.pk
        assert (fresh(draft).content.draft_form, again.updated_at) == ({"taxcode": "x"}, LATER)
        assert Message.objects.count() == 1

    def test_may_change_what_it_is_sent_through(self, draft: Message, person: User) -> None:
        other = factories.service_instance()
        save_draft(FORM, instance=other, by=person, at=LATER, draft=draft)
        row = fresh(draft)
        assert (row.service_instance, row.io_account_id) == (other, other.io_service.io_account_id)
        assert row.content.version == other.template.current_version

    @pytest.mark.parametrize("state", [state for state in Delivery if state is not Delivery.DRAFT])
    def test_refuses_when_it_is_no_longer_a_draft(
        self, state: Delivery, instance: ServiceInstance, person: User
    ) -> None:
        row = factories.message_in(state, instance=instance)
        with pytest.raises(StateConflict):
            save_draft(FORM, instance=instance, by=person, at=LATER, draft=row)
        assert fresh(row).content.draft_form is None

    def test_refuses_through_an_instance_switched_off(self, instance: ServiceInstance, person: User) -> None:
        instance.enabled = False
        with pytest.raises(InstanceDisabled):
            save_draft(FORM, instance=instance, by=person, at=AT)

    def test_refuses_without_a_published_template(self, instance: ServiceInstance, person: User) -> None:
        instance.template.current_version = None
        with pytest.raises(TemplateMissing):
            save_draft(FORM, instance=instance, by=person, at=AT)


class TestConfirm:
    def test_makes_it_a_message_on_its_way(self, draft: Message, instance: ServiceInstance, person: User) -> None:
        row = confirm_draft(draft, DATA, by=person, at=LATER, seen=seen(instance))
        assert (row.delivery_state, row.taxcode, row.not_before) == (Delivery.SCHEDULED, "RSSMRA80A01H501U", LATER)
        assert row.content.subject == "Scadenza CIE n. CA000000AA"
        assert row.content.amount_cents == 6212
        assert events(row) == [EventKind.DRAFTED, EventKind.SCHEDULED]

    def test_whoever_confirms_is_the_sender(self, draft: Message) -> None:
        other = factories.user()
        assert confirm_draft(draft, DATA, by=other, at=LATER).sender == other

    def test_goes_to_approval_where_a_rule_asks(self, draft: Message, person: User) -> None:
        ServiceInstance.objects.update(approval=InstanceApproval.ALWAYS)
        row = confirm_draft(draft, DATA, by=person, at=LATER)
        assert row.delivery_state == Delivery.PENDING_APPROVAL
        assert events(row) == [EventKind.DRAFTED, EventKind.SUBMITTED]

    def test_refuses_a_preview_that_the_template_has_overtaken(
        self, draft: Message, instance: ServiceInstance, person: User
    ) -> None:
        looked_at = seen(instance)
        publish_again(instance)
        with pytest.raises(PreviewOutdated):
            confirm_draft(draft, DATA, by=person, at=LATER, seen=looked_at)
        assert fresh(draft).delivery_state == Delivery.DRAFT

    @pytest.mark.parametrize(
        "change",
        [
            {"taxcode": "VRDLGU75B02F205A"},
            {"due_date": "2027-01-31T22:59:00Z"},
            {"placeholders": [{"name": "cie", "value": "CA000000AB"}]},
            {"payment": {**DATA["payment"], "amount": Decimal("62.13")}},
            {"payment": {**DATA["payment"], "notice_number": "300012548634478201"}},
            {"payment": {**DATA["payment"], "invalid_after_due_date": False}},
            {"payment": {**DATA["payment"], "payee_taxcode": "10000000002"}},
        ],
        ids=["recipient", "due_date", "text", "amount", "notice", "validity", "payee"],
    )
    def test_refuses_whatever_was_not_what_the_person_saw(
        self, change: dict[str, Any], draft: Message, instance: ServiceInstance, person: User
    ) -> None:
        with pytest.raises(PreviewOutdated):
            confirm_draft(draft, {**DATA, **change}, by=person, at=LATER, seen=seen(instance))

    def test_a_second_click_confirms_nothing_more(self, draft: Message, person: User) -> None:
        confirm_draft(draft, DATA, by=person, at=LATER)
        with pytest.raises(StateConflict):
            confirm_draft(draft, DATA, by=person, at=LATER)
        assert events(draft) == [EventKind.DRAFTED, EventKind.SCHEDULED]

    def test_refuses_what_is_not_valid_and_keeps_the_draft(self, draft: Message, person: User) -> None:
        with pytest.raises(ComposeRefused):
            confirm_draft(draft, {**DATA, "taxcode": None}, by=person, at=LATER)
        assert fresh(draft).delivery_state == Delivery.DRAFT
        assert fresh(draft).content.draft_form == FORM

    def test_refuses_through_an_instance_switched_off_meanwhile(self, draft: Message, person: User) -> None:
        ServiceInstance.objects.update(enabled=False)
        with pytest.raises(InstanceDisabled):
            confirm_draft(draft, DATA, by=person, at=LATER)

    def test_leaves_at_the_pace_of_the_account_that_the_instance_has_now(
        self, draft: Message, instance: ServiceInstance, person: User
    ) -> None:
        moved_to = factories.io_service(of=instance.organization)
        ServiceInstance.objects.update(io_service=moved_to)
        assert confirm_draft(draft, DATA, by=person, at=LATER).io_account == moved_to.io_account

    def test_given_back_by_its_approver_it_can_be_corrected_and_confirmed_again(
        self, draft: Message, instance: ServiceInstance, person: User
    ) -> None:
        ServiceInstance.objects.update(approval=InstanceApproval.ALWAYS)
        row = confirm_draft(draft, DATA, by=person, at=LATER)
        refuse(row, by=factories.user(), at=LATER, reason="Manca il saluto", read=reading_of(row))
        assert facts(row) == {"reason": "Manca il saluto"}
        assert fresh(row).content.draft_form == FORM
        save_draft(FORM, instance=instance, by=person, at=LATER, draft=row)
        assert confirm_draft(row, DATA, by=person, at=LATER).delivery_state == Delivery.PENDING_APPROVAL

    @pytest.mark.django_db(transaction=True)
    def test_of_two_simultaneous_clicks_one_confirms(self) -> None:
        person = factories.user()
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        draft = save_draft(FORM, instance=instance, by=person, at=AT)
        outcomes = at_once(*[lambda: confirm_draft(draft, DATA, by=person, at=LATER)] * 3)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Message", "StateConflict", "StateConflict"]
        assert events(draft) == [EventKind.DRAFTED, EventKind.SCHEDULED]

    @pytest.mark.django_db(transaction=True)
    def test_confirming_and_cancelling_at_once_do_not_both_win(self) -> None:
        person = factories.user()
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        draft = save_draft(FORM, instance=instance, by=person, at=AT)
        at_once(lambda: confirm_draft(draft, DATA, by=person, at=LATER), lambda: cancel(draft, by=person, at=LATER))
        # Cancelled may come after scheduled, never scheduled after cancelled.
        state, history = fresh(draft).delivery_state, events(draft)
        assert (state == Delivery.CANCELLED) == (EventKind.CANCELLED in history)
        assert history[-1] == (EventKind.CANCELLED if state == Delivery.CANCELLED else EventKind.SCHEDULED)


class TestWhatWasSeen:
    """Confirming is a yes to what the page showed: anything else shows the page again."""

    def test_another_date_than_the_one_shown_is_not_confirmed(self, draft: Message, instance: ServiceInstance) -> None:
        shown = {**DATA, "scheduled_expedition_date": "2027-01-10T08:00:00Z"}
        with pytest.raises(PreviewOutdated):
            confirm_draft(draft, DATA, by=draft.sender, at=LATER, seen=seen(instance, shown))

    def test_another_service_than_the_one_shown_is_not_confirmed(
        self, draft: Message, instance: ServiceInstance
    ) -> None:
        other = factories.service_instance(template=instance.template)
        looked_at = seen(instance)
        moved = save_draft(FORM, instance=other, by=draft.sender, at=LATER, draft=draft)
        with pytest.raises(PreviewOutdated):
            confirm_draft(moved, DATA, by=draft.sender, at=LATER, seen=looked_at)

    def test_as_soon_as_possible_stays_the_same_while_time_passes(
        self, draft: Message, instance: ServiceInstance
    ) -> None:
        at = LATER + timedelta(minutes=3)
        assert confirm_draft(draft, DATA, by=draft.sender, at=at, seen=seen(instance)).scheduled_at == at
