"""Requests whose answer never came become doubts, and what waited past its due date ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging import moving, sweeping
from messaging.models import EventKind, Message
from messaging.states import WAITING, Delivery, WaitingReason
from messaging.sweeping import expire, sweep
from tests import factories
from tests.messaging.lifecycle import events, facts, fresh

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PAST, FUTURE = -timedelta(seconds=1), timedelta(seconds=30)


def sending(*, lease: timedelta, **fields: Any) -> Message:
    return factories.message_in(Delivery.SENDING, lease_until=datetime.now(UTC) + lease, **fields)


class TestSweep:
    def test_past_its_lease_a_request_is_a_doubt(self) -> None:
        row = sending(lease=PAST)
        assert sweep(at=AT) == 1
        there = fresh(row)
        assert (there.delivery_state, there.lease_until, there.updated_at) == (Delivery.UNCERTAIN, None, AT)
        assert events(row) == [EventKind.OUTCOME_UNKNOWN]
        assert facts(row)["reason"]

    def test_the_attempt_stays_for_a_late_answer(self) -> None:
        row = sending(lease=PAST)
        sweep(at=AT)
        assert fresh(row).attempt_id == row.attempt_id
        assert fresh(row).io_service_id == row.io_service_id

    def test_before_its_lease_it_is_left_alone(self) -> None:
        row = sending(lease=FUTURE)
        assert sweep(at=AT) == 0
        assert fresh(row).delivery_state == Delivery.SENDING

    def test_the_business_date_given_does_not_decide_leases(self) -> None:
        """A worker whose clock runs ahead must not declare lost what is still under way."""
        row = sending(lease=FUTURE)
        assert sweep(at=datetime.now(UTC) + timedelta(days=1)) == 0
        assert fresh(row).delivery_state == Delivery.SENDING

    @pytest.mark.parametrize("state", [state for state in Delivery if state is not Delivery.SENDING])
    def test_touches_no_other_state(self, state: Delivery) -> None:
        row = factories.message_in(state, lease_until=datetime.now(UTC) + PAST)
        assert sweep(at=AT) == 0
        assert events(row) == []

    def test_twice_finds_nothing_the_second_time(self) -> None:
        row = sending(lease=PAST)
        assert (sweep(at=AT), sweep(at=AT)) == (1, 0)
        assert events(row) == [EventKind.OUTCOME_UNKNOWN]

    def test_one_marked_again_meanwhile_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Released and marked anew between the sweep's look and its move."""
        row = sending(lease=PAST)

        def move(*args: Any, **kwargs: Any) -> list[int]:
            Message.objects.update(lease_until=datetime.now(UTC) + FUTURE)
            return moving.move(*args, **kwargs)

        monkeypatch.setattr(sweeping, "move", move)
        assert sweep(at=AT) == 0
        assert fresh(row).delivery_state == Delivery.SENDING


class TestExpire:
    @pytest.mark.parametrize("state", sorted(WAITING))
    def test_a_waiting_message_past_its_due_date_ends(self, state: Delivery) -> None:
        row = factories.message_in(state, expires_at=datetime.now(UTC) + PAST, waiting_reason=WaitingReason.SUSPENDED)
        assert expire(at=AT) == 1
        assert (fresh(row).delivery_state, fresh(row).waiting_reason) == (Delivery.EXPIRED, WaitingReason.NONE)
        assert events(row) == [EventKind.EXPIRED]

    def test_one_set_aside_too(self) -> None:
        row = factories.message(expires_at=datetime.now(UTC) + PAST, waiting_reason=WaitingReason.SET_ASIDE)
        assert expire(at=AT) == 1
        assert fresh(row).waiting_reason == WaitingReason.NONE

    def test_one_whose_due_date_is_ahead_does_not(self) -> None:
        factories.message(expires_at=datetime.now(UTC) + FUTURE)
        assert expire(at=AT) == 0

    def test_one_whose_due_date_was_past_when_it_was_accepted_does_not(self) -> None:
        """The validator leaves `expires_at` empty for it: it was accepted with a warning, so it leaves."""
        factories.message(due_date=AT - timedelta(days=1), expires_at=None)
        assert expire(at=AT) == 0

    @pytest.mark.parametrize("state", [state for state in Delivery if state not in WAITING])
    def test_touches_no_other_state(self, state: Delivery) -> None:
        row = factories.message_in(state, expires_at=datetime.now(UTC) + PAST)
        assert expire(at=AT) == 0
        assert fresh(row).delivery_state == state
