"""The one way in which a message changes state: only from where the table allows, and never without its event."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models import Q

from messaging.deciding import cancel
from messaging.models import EventKind, Message, MessageEvent
from messaging.moving import PerRow, StateConflict, move, record
from messaging.states import SOURCES, Delivery
from registry.models import User
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def columns_of(state: Delivery, row: Message) -> dict[str, Any]:
    """What the database demands of a row in that state."""
    if state is not Delivery.SENDING:
        return {}
    return {
        "attempt_id": uuid.uuid4(),
        "marked_at": AT,
        "lease_until": AT + timedelta(seconds=30),
        "io_service": row.service_instance.io_service,
    }


@pytest.mark.django_db
class TestMove:
    @pytest.mark.parametrize("target", Delivery)
    def test_moves_from_every_allowed_state_and_refuses_every_other(self, target: Delivery) -> None:
        instance = factories.service_instance()
        rows = {state: factories.message_in(state, instance=instance) for state in Delivery}

        moved = move(
            [row.pk for row in rows.values()],
            to=target,
            kind=EventKind.STATUS,
            at=AT,
            columns=columns_of(target, rows[Delivery.DRAFT]),
        )

        assert moved == sorted(rows[state].pk for state in SOURCES[target])
        for source, row in rows.items():
            has_moved = source in SOURCES[target]
            assert fresh(row).delivery_state == (target if has_moved else source)
            assert events(row) == ([EventKind.STATUS] if has_moved else [])

    def test_moves_no_row_that_was_not_named_though_its_state_allows_it(self) -> None:
        instance = factories.service_instance()
        named, other = factories.message(instance=instance), factories.message(instance=instance)
        assert move([named.pk], to=Delivery.CANCELLED, kind=EventKind.CANCELLED, at=AT) == [named.pk]
        assert fresh(other).delivery_state == Delivery.SCHEDULED
        assert events(other) == []

    def test_the_event_tells_when_who_and_what_came_of_it(self) -> None:
        row, person = factories.message(), factories.user()
        move([row.pk], to=Delivery.CANCELLED, kind=EventKind.CANCELLED, at=AT, by=person, data={"reason": "doppione"})
        event = row.events.get()
        assert (event.at, event.actor, event.state) == (AT, person, Delivery.CANCELLED)
        assert event.data == {"reason": "doppione"}
        assert fresh(row).updated_at == AT

    def test_narrowed_sources_are_not_widened_by_the_table(self) -> None:
        instance = factories.service_instance()
        draft = factories.message_in(Delivery.DRAFT, instance=instance)
        scheduled = factories.message_in(Delivery.SCHEDULED, instance=instance)
        moved = move(
            [draft.pk, scheduled.pk],
            to=Delivery.CANCELLED,
            kind=EventKind.CANCELLED,
            sources=[Delivery.DRAFT],
            at=AT,
        )
        assert moved == [draft.pk]

    def test_sources_given_never_widen_the_table(self) -> None:
        row = factories.message_in(Delivery.SENT)
        assert move([row.pk], to=Delivery.DRAFT, kind=EventKind.DRAFTED, sources=[Delivery.SENT], at=AT) == []
        assert fresh(row).delivery_state == Delivery.SENT

    def test_refuses_a_row_that_belongs_to_another_attempt(self) -> None:
        row = factories.message_in(Delivery.SENDING)
        assert move([row.pk], to=Delivery.SENT, kind=EventKind.SENT, attempt_id=uuid.uuid4(), at=AT) == []
        assert move([row.pk], to=Delivery.SENT, kind=EventKind.SENT, attempt_id=row.attempt_id, at=AT) == [row.pk]

    def test_refuses_a_row_for_which_the_condition_does_not_hold(self) -> None:
        row = factories.message()
        condition = Q(refusals__gt=0)
        assert move([row.pk], to=Delivery.EXPIRED, kind=EventKind.EXPIRED, condition=condition, at=AT) == []
        assert events(row) == []

    def test_sets_one_value_for_all_or_one_for_each(self) -> None:
        instance = factories.service_instance()
        rows = [factories.message_in(Delivery.SENDING, instance=instance) for _ in range(3)]
        ids = {row.pk: f"ID{index}" for index, row in enumerate(rows)}
        move(
            list(ids),
            to=Delivery.SENT,
            kind=EventKind.SENT,
            at=AT,
            columns={"appio_message_id": PerRow(ids), "status_detail": "per tutti"},
            data={pk: {"io_id": io_id} for pk, io_id in ids.items()},
        )
        for row in rows:
            assert fresh(row).appio_message_id == ids[row.pk]
            assert fresh(row).status_detail == "per tutti"
            assert facts(row) == {"io_id": ids[row.pk]}

    def test_a_value_for_a_row_that_did_not_move_changes_nothing(self) -> None:
        instance = factories.service_instance()
        here = factories.message_in(Delivery.SENDING, instance=instance)
        gone = factories.message_in(Delivery.CANCELLED, instance=instance)
        per_row = PerRow({here.pk: "ID0", gone.pk: "ID1"})
        move([here.pk, gone.pk], to=Delivery.SENT, kind=EventKind.SENT, at=AT, columns={"appio_message_id": per_row})
        assert fresh(here).appio_message_id == "ID0"
        assert fresh(gone).appio_message_id == ""

    def test_nothing_asked_costs_nothing(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert move([], to=Delivery.SENT, kind=EventKind.SENT, at=AT) == []

    def test_an_event_may_tell_something_that_moves_nothing(self) -> None:
        row = factories.message()
        record([row.pk], kind=EventKind.REVEALED, at=AT)
        assert row.events.get().state == ""
        assert fresh(row).delivery_state == Delivery.SCHEDULED


@pytest.mark.django_db(transaction=True)
class TestTogether:
    def test_a_move_whose_event_cannot_be_written_does_not_happen(self) -> None:
        row, nobody = factories.message(), User(pk=2**80)
        # What the two databases say of a number that fits no column.
        with pytest.raises((DatabaseError, OverflowError)):
            move([row.pk], to=Delivery.CANCELLED, kind=EventKind.CANCELLED, at=AT, by=nobody)
        assert fresh(row).delivery_state == Delivery.SCHEDULED
        assert not MessageEvent.objects.exists()

    def test_of_many_who_move_it_at_once_exactly_one_wins(self) -> None:
        row, person = factories.message(), factories.user()
        outcomes = at_once(*[lambda: cancel(Message.objects.get(pk=row.pk), by=person, at=AT)] * 6)
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, StateConflict) for outcome in outcomes) == 5
        assert events(row) == [EventKind.CANCELLED]

    def test_whoever_cancels_and_whoever_sends_cannot_both_win(self) -> None:
        row, person = factories.message_in(Delivery.RECIPIENT_ALLOWED), factories.user()

        def mark() -> list[int]:
            columns = columns_of(Delivery.SENDING, row)
            return move([row.pk], to=Delivery.SENDING, kind=EventKind.MARKED, at=AT, columns=columns)

        marked, cancelled = at_once(mark, lambda: cancel(row, by=person, at=AT))
        if marked == [row.pk]:
            assert isinstance(cancelled, StateConflict)
            assert fresh(row).delivery_state == Delivery.SENDING
        else:
            assert (marked, cancelled) == ([], None)
            assert fresh(row).delivery_state == Delivery.CANCELLED

    def test_groups_that_share_rows_wait_for_each_other(self) -> None:
        """Locked in one order: taken in opposite orders they would deadlock."""
        instance = factories.service_instance()
        ids = [factories.message(instance=instance).pk for _ in range(20)]

        def expire(some: list[int]) -> list[int]:
            return move(some, to=Delivery.EXPIRED, kind=EventKind.EXPIRED, at=AT)

        outcomes = at_once(lambda: expire(ids), lambda: expire(ids[::-1]), lambda: expire(ids))
        assert sorted(pk for moved in outcomes for pk in moved) == ids
        assert MessageEvent.objects.count() == len(ids)
