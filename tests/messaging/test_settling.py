"""A doubt is settled by a person: it arrived, or send it again, knowing what that means."""

from datetime import UTC, datetime
from typing import Any

import pytest

from messaging.dispatching import dispatch
from messaging.models import EventKind, Message
from messaging.moving import StateConflict
from messaging.settling import settle_arrived, settle_resend
from messaging.states import Delivery, Group, Priority, WaitingReason
from registry.models import User
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh
from tests.support.io_stand_in import Canned, StandIn

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
REASON = "Ho chiesto al cittadino"


@pytest.fixture
def person(db: None) -> User:
    return factories.user()


@pytest.fixture
def doubt(db: None) -> Message:
    return factories.message_in(Delivery.UNCERTAIN, priority=Priority.BULK, retries=4)


class TestArrived:
    def test_is_sent_not_followed_and_counted_apart(self, doubt: Message, person: User) -> None:
        settle_arrived(doubt, by=person, at=AT, reason=REASON)
        row = fresh(doubt)
        assert row.delivery_state == Delivery.SENT
        assert (row.is_taken_as_arrived, row.appio_message_id, row.next_poll_at) == (True, "", None)
        assert row.expedition_date == doubt.marked_at
        assert row.is_final
        assert row.group is Group.DELIVERED
        assert not Message.objects.followed().exists()

    def test_the_history_says_who_and_why(self, doubt: Message, person: User) -> None:
        settle_arrived(doubt, by=person, at=AT, reason=REASON)
        event = doubt.events.get()
        assert (event.kind, event.actor, event.at) == (EventKind.SETTLED_ARRIVED, person, AT)
        assert event.data == {"reason": REASON}

    def test_the_attempt_stays_for_ios_late_answer(self, doubt: Message, person: User) -> None:
        settle_arrived(doubt, by=person, at=AT, reason=REASON)
        assert fresh(doubt).attempt_id == doubt.attempt_id


class TestResend:
    def test_waits_again_as_if_never_tried(self, doubt: Message, person: User) -> None:
        settle_resend(doubt, by=person, at=AT, reason=REASON)
        row = fresh(doubt)
        assert (row.delivery_state, row.waiting_reason) == (Delivery.SCHEDULED, WaitingReason.NONE)
        assert (row.attempt_id, row.marked_at, row.io_service_id, row.profile_checked_at) == (None, None, None, None)
        assert (row.priority, row.not_before, row.retries) == (Priority.INTERACTIVE, AT, 0)

    def test_the_history_says_who_and_why(self, doubt: Message, person: User) -> None:
        settle_resend(doubt, by=person, at=AT, reason=REASON)
        assert doubt.events.get().actor == person
        assert facts(doubt) == {"reason": REASON}

    def test_leaves_with_a_new_attempt(self, doubt: Message, person: User, io: StandIn) -> None:
        settle_resend(doubt, by=person, at=datetime.now(UTC), reason=REASON)
        dispatch()
        row = fresh(doubt)
        assert row.delivery_state == Delivery.SENT
        assert row.attempt_id not in (None, doubt.attempt_id)
        assert io.count("profile") == io.count("send") == 1

    def test_a_second_doubt_is_again_for_a_person(self, doubt: Message, person: User, io: StandIn) -> None:
        settle_resend(doubt, by=person, at=datetime.now(UTC), reason=REASON)
        io.answer("send", Canned(fault="reset_after"))
        dispatch()
        assert fresh(doubt).delivery_state == Delivery.UNCERTAIN
        assert dispatch() == 0


@pytest.mark.parametrize("settle", [settle_arrived, settle_resend])
class TestConflict:
    @pytest.mark.django_db
    def test_what_is_not_in_doubt_is_not_settled(self, settle: Any) -> None:
        instance = factories.service_instance()
        for state in Delivery:
            if state is Delivery.UNCERTAIN:
                continue
            row = factories.message_in(state, instance=instance)
            with pytest.raises(StateConflict):
                settle(row, by=row.sender, at=AT, reason=REASON)
            assert fresh(row).delivery_state == state
            assert events(row) == []

    @pytest.mark.django_db(transaction=True)
    def test_of_two_people_only_one_settles(self, settle: Any) -> None:
        doubt, person = factories.message_in(Delivery.UNCERTAIN), factories.user()
        outcomes = at_once(
            lambda: settle(doubt, by=person, at=AT, reason=REASON),
            lambda: settle_arrived(doubt, by=person, at=AT, reason=REASON),
        )
        assert outcomes.count(None) == 1
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [StateConflict]
        assert len(events(doubt)) == 1
