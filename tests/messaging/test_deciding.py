"""People's decisions before sending: approve, refuse, cancel, and look at who it is for."""

from datetime import UTC, datetime, timedelta

import pytest

from messaging.composing import compose
from messaging.deciding import OwnMessage, approve, cancel, reading_of, refuse, reveal
from messaging.dispatching import dispatch
from messaging.drafting import confirm_draft, save_draft
from messaging.models import EventKind, Message
from messaging.moving import StateConflict
from messaging.states import CANCELLABLE, Delivery, WaitingReason
from registry.models import User
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh
from tests.messaging.test_composing import DATA
from tests.support.io_stand_in import StandIn

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def approver() -> User:
    return factories.user()


@pytest.fixture
def pending() -> Message:
    return factories.message_in(Delivery.PENDING_APPROVAL)


def say_yes(row: Message, *, by: User) -> None:
    """Having read it as it is."""
    approve(row, by=by, at=AT, read=reading_of(row))


class TestApprove:
    def test_lets_the_message_leave_exactly_as_it_was(self, pending: Message, approver: User, io: StandIn) -> None:
        assert dispatch() == 0
        say_yes(pending, by=approver)
        assert fresh(pending).delivery_state == Delivery.SCHEDULED
        dispatch()
        assert io.accepted[0].subject == pending.content.subject

    def test_the_history_says_who(self, pending: Message, approver: User) -> None:
        say_yes(pending, by=approver)
        event = pending.events.get()
        assert (event.kind, event.actor, event.at) == (EventKind.APPROVED, approver, AT)

    def test_whoever_prepared_it_may_not(self, pending: Message) -> None:
        with pytest.raises(OwnMessage):
            say_yes(pending, by=pending.sender)
        assert fresh(pending).delivery_state == Delivery.PENDING_APPROVAL
        assert events(pending) == []

    def test_whoever_put_a_hand_to_the_draft_may_not_even_if_another_confirmed_it(self) -> None:
        instance = factories.service_instance(approval="always")
        writer, confirmer = factories.user(), factories.user()
        draft = save_draft({}, instance=instance, by=confirmer, at=AT)
        save_draft({"cie": "CA000000AA"}, instance=instance, by=writer, at=AT, draft=draft)
        row = confirm_draft(draft, DATA, by=confirmer, at=AT + MINUTE)
        for person in (writer, confirmer):
            with pytest.raises(OwnMessage):
                say_yes(row, by=person)
        say_yes(row, by=factories.user())

    def test_a_yes_to_another_text_than_the_one_that_was_read_is_refused(self, approver: User) -> None:
        """Read, given back by somebody else, changed, submitted again: the yes was to something else."""
        instance = factories.service_instance(approval="always")
        row = compose(DATA, instance=instance, by=factories.user(), amount_unit="euro", at=AT).message
        read = reading_of(row)
        refuse(row, by=factories.user(), at=AT + MINUTE, reason="Manca il saluto", read=reading_of(row))
        again = confirm_draft(row, DATA, by=row.sender, at=AT + 2 * MINUTE)
        for held in (row, again):
            with pytest.raises(StateConflict):
                approve(held, by=approver, at=AT + 3 * MINUTE, read=read)
        assert fresh(row).delivery_state == Delivery.PENDING_APPROVAL
        say_yes(again, by=approver)
        assert fresh(row).delivery_state == Delivery.SCHEDULED

    def test_whoever_submitted_it_meanwhile_may_not_though_the_object_in_hand_is_older(
        self, pending: Message, approver: User
    ) -> None:
        Message.objects.update(sender=approver)
        with pytest.raises((StateConflict, OwnMessage)):
            say_yes(pending, by=approver)
        assert fresh(pending).delivery_state == Delivery.PENDING_APPROVAL

    def test_its_date_stays_what_it_was(self, approver: User) -> None:
        later = datetime(2030, 1, 1, tzinfo=UTC)
        pending = factories.message_in(Delivery.PENDING_APPROVAL, scheduled_at=later, not_before=later)
        say_yes(pending, by=approver)
        assert fresh(pending).not_before == later


class TestRefuse:
    def test_gives_it_back_as_a_draft_with_the_reason(self, pending: Message, approver: User) -> None:
        refuse(pending, by=approver, at=AT, reason="Manca il saluto", read=reading_of(pending))
        assert fresh(pending).delivery_state == Delivery.DRAFT
        assert events(pending) == [EventKind.REFUSED_BY_APPROVER]
        assert facts(pending) == {"reason": "Manca il saluto"}


class TestWhatIsNotWaitingForApproval:
    @pytest.mark.parametrize("state", [state for state in Delivery if state is not Delivery.PENDING_APPROVAL])
    def test_is_neither_approved_nor_refused(self, state: Delivery, approver: User) -> None:
        row = factories.message_in(state)
        with pytest.raises(StateConflict):
            say_yes(row, by=approver)
        with pytest.raises(StateConflict):
            refuse(row, by=approver, at=AT, reason="", read=reading_of(row))
        assert fresh(row).delivery_state == state
        assert events(row) == []


class TestTwoApprovers:
    @pytest.mark.django_db(transaction=True)
    def test_a_yes_and_a_no_at_the_same_time_are_one_decision(self) -> None:
        pending, one, other = factories.message_in(Delivery.PENDING_APPROVAL), factories.user(), factories.user()
        outcomes = at_once(
            lambda: say_yes(pending, by=one),
            lambda: refuse(pending, by=other, at=AT, reason="no", read=reading_of(pending)),
        )
        assert outcomes.count(None) == 1
        assert len(events(pending)) == 1


class TestCancel:
    @pytest.mark.parametrize("state", sorted(CANCELLABLE))
    def test_stops_what_has_not_left(self, state: Delivery, approver: User) -> None:
        row = factories.message_in(state)
        cancel(row, by=approver, at=AT, reason="Errore nel testo")
        assert fresh(row).delivery_state == Delivery.CANCELLED
        assert events(row) == [EventKind.CANCELLED]
        assert facts(row) == {"reason": "Errore nel testo"}

    @pytest.mark.parametrize("state", [state for state in Delivery if state not in CANCELLABLE])
    def test_refuses_when_it_is_too_late(self, state: Delivery, approver: User) -> None:
        row = factories.message_in(state)
        with pytest.raises(StateConflict):
            cancel(row, by=approver, at=AT)
        assert fresh(row).delivery_state == state
        assert events(row) == []

    def test_one_set_aside_no_longer_waits_for_anything(self, approver: User) -> None:
        row = factories.message(waiting_reason=WaitingReason.SET_ASIDE)
        cancel(row, by=approver, at=AT)
        assert fresh(row).waiting_reason == WaitingReason.NONE

    def test_a_reason_is_not_asked_for(self, approver: User) -> None:
        row = factories.message()
        cancel(row, by=approver, at=AT)
        assert facts(row) == {}

    def test_a_cancelled_message_does_not_leave(self, approver: User, io: StandIn) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        cancel(row, by=approver, at=AT)
        assert dispatch() == 0
        assert io.requests == []


class TestReveal:
    def test_every_look_is_in_the_history(self, approver: User) -> None:
        row = factories.message_in(Delivery.PROCESSED)
        for _ in range(2):
            assert reveal(row, by=approver, at=AT) == row.taxcode
        assert events(row) == [EventKind.REVEALED, EventKind.REVEALED]
        assert set(row.events.values_list("actor", "state")) == {(approver.pk, "")}

    def test_the_history_does_not_repeat_the_code(self, approver: User) -> None:
        row = factories.message()
        reveal(row, by=approver, at=AT)
        assert row.taxcode not in str(facts(row))


class TestRightsDoNotChangeHands:
    def test_throwing_a_draft_away_does_not_stop_what_was_confirmed_meanwhile(self) -> None:
        instance, person = factories.service_instance(), factories.user()
        read = save_draft({}, instance=instance, by=person, at=AT)
        confirm_draft(read, DATA, by=person, at=AT + MINUTE)
        with pytest.raises(StateConflict):
            cancel(read, by=factories.user(), at=AT + MINUTE)
        assert fresh(read).delivery_state == Delivery.SCHEDULED

    def test_a_no_to_another_text_than_the_one_that_was_read_is_refused(self, pending: Message, approver: User) -> None:
        with pytest.raises(StateConflict):
            refuse(pending, by=approver, at=AT, reason="Manca il saluto", read="another reading")
        assert fresh(pending).delivery_state == Delivery.PENDING_APPROVAL
