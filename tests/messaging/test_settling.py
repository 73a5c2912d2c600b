"""Doubts are settled by a person, one or many at once: they arrived, or send them again, knowing what that means."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging import moving, settling
from messaging.dispatching import dispatch
from messaging.models import EventKind, Message, MessageEvent
from messaging.moving import StateConflict
from messaging.settling import (
    Meanwhile,
    settle_arrived,
    settle_many_arrived,
    settle_many_resend,
    settle_resend,
)
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


def requested_at(row: Message) -> str:
    assert row.marked_at is not None
    return row.marked_at.isoformat()


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
        assert event.data == {"reason": REASON, "requested_at": requested_at(doubt)}

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
        assert facts(doubt) == {"reason": REASON, "requested_at": requested_at(doubt)}

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


def doubts(number: int) -> list[Message]:
    """In doubt, each since another instant."""
    instance, sender, now = factories.service_instance(), factories.user(), datetime.now(UTC)
    return [
        factories.message_in(
            Delivery.UNCERTAIN, instance=instance, sender=sender, marked_at=now - timedelta(minutes=index)
        )
        for index in range(number)
    ]


SETTLE_MANY = [settle_many_arrived, settle_many_resend]


@pytest.mark.django_db
class TestMany:
    def test_arrived_each_is_sent_when_its_own_request_left(self, person: User) -> None:
        rows = doubts(3)
        outcome = settle_many_arrived([row.pk for row in rows], by=person, at=AT, reason=REASON)
        assert (outcome.settled, outcome.too_late) == ([row.pk for row in rows], {})
        for row in rows:
            there = fresh(row)
            assert (there.delivery_state, there.is_taken_as_arrived) == (Delivery.SENT, True)
            assert there.expedition_date == row.marked_at
            assert facts(row) == {"reason": REASON, "requested_at": requested_at(row)}

    def test_sent_again_many_overtake_nobody(self, person: User) -> None:
        rows = doubts(2)
        assert settle_many_resend([row.pk for row in rows], by=person, at=AT, reason=REASON).settled
        for row in rows:
            there = fresh(row)
            assert (there.delivery_state, there.priority, there.attempt_id) == (Delivery.SCHEDULED, Priority.BULK, None)
            event = row.events.get()
            assert (event.kind, event.actor) == (EventKind.SETTLED_RESEND, person)
            assert event.data == {"reason": REASON, "requested_at": requested_at(row)}

    @pytest.mark.parametrize("settle", SETTLE_MANY)
    def test_the_account_tells_what_became_of_the_others(self, settle: Any, person: User) -> None:
        row = doubts(1)[0]
        instance = row.service_instance
        others = {
            Delivery.SENT: Meanwhile.ANSWERED,
            Delivery.PROCESSED: Meanwhile.ANSWERED,
            Delivery.FORBIDDEN: Meanwhile.ANSWERED,
            Delivery.BAD_REQUEST: Meanwhile.ANSWERED,
            Delivery.SCHEDULED: Meanwhile.SENDING_AGAIN,
            Delivery.RECIPIENT_ALLOWED: Meanwhile.SENDING_AGAIN,
            Delivery.SENDING: Meanwhile.SENDING_AGAIN,
            Delivery.CANCELLED: Meanwhile.CLOSED,
            Delivery.EXPIRED: Meanwhile.CLOSED,
        }
        late = {factories.message_in(state, instance=instance).pk: state for state in others}
        taken = factories.message_in(Delivery.SENT, instance=instance, is_taken_as_arrived=True, appio_message_id="")
        outcome = settle([*late, row.pk, taken.pk], by=person, at=AT, reason=REASON)
        assert outcome.settled == [row.pk]
        assert outcome.too_late == {**late, taken.pk: Delivery.SENT}
        assert outcome.meanwhile == {
            Meanwhile.ANSWERED: 4,
            Meanwhile.SENDING_AGAIN: 3,
            Meanwhile.CLOSED: 2,
            Meanwhile.TAKEN_AS_ARRIVED: 1,
        }
        assert list(MessageEvent.objects.values_list("message", flat=True)) == [row.pk]

    @pytest.mark.parametrize("settle", SETTLE_MANY)
    def test_of_a_queryset_only_doubts_are_taken(self, settle: Any, person: User, monkeypatch: Any) -> None:
        monkeypatch.setattr(settling, "GROUP", 2)
        rows = doubts(5)
        other = factories.message_in(Delivery.PROCESSED, instance=rows[0].service_instance)
        outcome = settle(Message.objects.all(), by=person, at=AT, reason=REASON)
        assert (outcome.settled, outcome.too_late) == ([row.pk for row in rows], {})
        assert events(other) == []

    @pytest.mark.parametrize("settle", SETTLE_MANY)
    def test_what_is_not_among_the_permitted_is_neither_touched_nor_told(self, settle: Any, person: User) -> None:
        mine, theirs = doubts(1)[0], doubts(1)[0]
        gone = factories.message_in(Delivery.PROCESSED, instance=theirs.service_instance)
        among = Message.objects.filter(service_instance=mine.service_instance)
        outcome = settle([mine.pk, theirs.pk, gone.pk, 10**15], by=person, at=AT, reason=REASON, among=among)
        assert (outcome.settled, outcome.too_late) == ([mine.pk], {})
        assert fresh(theirs).delivery_state == Delivery.UNCERTAIN
        assert events(theirs) == []

    @pytest.mark.parametrize("settle", SETTLE_MANY)
    def test_nothing_chosen_settles_nothing(self, settle: Any, person: User) -> None:
        outcome = settle([], by=person, at=AT, reason=REASON)
        assert (outcome.settled, outcome.too_late) == ([], {})

    @pytest.mark.parametrize("settle", SETTLE_MANY)
    def test_ids_are_read_as_they_are_needed(self, settle: Any, person: User, monkeypatch: Any) -> None:
        """Whoever gives them may stop in between: what is settled by then stays so, the rest stays in doubt."""
        monkeypatch.setattr(settling, "GROUP", 2)
        rows = doubts(4)
        seen: list[int] = []

        def ids() -> Iterator[int]:
            for row in rows:
                if len(seen) == 2:
                    assert fresh(rows[0]).delivery_state != Delivery.UNCERTAIN
                    return
                seen.append(row.pk)
                yield row.pk

        assert settle(ids(), by=person, at=AT, reason=REASON).settled == seen
        assert fresh(rows[3]).delivery_state == Delivery.UNCERTAIN

    @pytest.mark.parametrize("settle", SETTLE_MANY)
    def test_a_group_costs_the_same_whatever_its_size(self, settle: Any, person: User) -> None:
        def cost(ids: list[int]) -> int:
            with CaptureQueriesContext(connection) as statements:
                settle(ids, by=person, at=AT, reason=REASON)
            return len(statements)

        few, many = [row.pk for row in doubts(2)], [row.pk for row in doubts(20)]
        assert cost(few) == cost(many)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("settle", SETTLE_MANY)
def test_a_fault_in_the_middle_undoes_one_group_alone(settle: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(settling, "GROUP", 2)
    rows, person = doubts(5), factories.user()

    def move(ids: Any, **options: Any) -> list[int]:
        moved = moving.move(ids, **options)
        if rows[2].pk in ids:
            raise ConnectionError
        return moved

    monkeypatch.setattr(settling, "move", move)
    with pytest.raises(ConnectionError):
        settle([row.pk for row in rows], by=person, at=AT, reason=REASON)
    assert [fresh(row).delivery_state == Delivery.UNCERTAIN for row in rows] == [False, False, True, True, True]
    assert [len(events(row)) for row in rows] == [1, 1, 0, 0, 0]
