"""Requests whose answer never came become doubts, and what waited past its due date ends."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from messaging import moving, sweeping
from messaging.engine import stopping
from messaging.models import EventKind, Message
from messaging.states import WAITING, Delivery, WaitingReason
from messaging.sweeping import expire, sweep
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh

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


class TestManyAtOnce:
    """However many there are, in groups, and without keeping the sweep from its other work."""

    @pytest.fixture(autouse=True)
    def _small_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "BATCH", 3)
        monkeypatch.setattr(sweeping, "LOOK", 7)

    def test_one_run_ends_all_that_is_past_its_due_date(self) -> None:
        instance = factories.service_instance()
        over = datetime.now(UTC) + PAST
        for _ in range(20):
            factories.message(instance=instance, expires_at=over)
        ahead = factories.message(instance=instance, expires_at=datetime.now(UTC) + FUTURE)
        assert expire(at=AT) == 20
        assert list(Message.objects.exclude(delivery_state=Delivery.EXPIRED)) == [ahead]
        assert expire(at=AT) == 0

    def test_one_run_turns_all_lost_requests_into_doubts(self) -> None:
        instance = factories.service_instance()
        for _ in range(20):
            sending(lease=PAST, instance=instance)
        assert sweep(at=AT) == 20
        assert Message.objects.uncertain().count() == 20

    def test_past_its_time_it_stops_after_a_group_and_the_next_run_goes_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "RUN_SECONDS", -1.0)
        instance = factories.service_instance()
        for _ in range(5):
            factories.message(instance=instance, expires_at=datetime.now(UTC) + PAST)
        assert [expire(at=AT), expire(at=AT), expire(at=AT)] == [3, 2, 0]

    def test_told_to_stop_it_ends_with_the_group_under_way(self) -> None:
        instance = factories.service_instance()
        for _ in range(5):
            factories.message(instance=instance, expires_at=datetime.now(UTC) + PAST)
        stopping.set()
        try:
            assert expire(at=AT) == 3
        finally:
            stopping.clear()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.postgresql
    def test_rows_that_somebody_holds_keep_nobody_else_back(self) -> None:
        """More than a whole look of them: the run ends instead of asking for ever, and takes what it can."""
        instance = factories.service_instance()
        over = datetime.now(UTC) + PAST
        held = [factories.message(instance=instance, expires_at=over - timedelta(hours=1)).pk for _ in range(5)]
        free = [factories.message(instance=instance, expires_at=over).pk for _ in range(4)]
        is_held, is_done = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                list(Message.objects.select_for_update().filter(pk__in=held))
                is_held.set()
                is_done.wait(30)

        def run() -> int:
            is_held.wait(10)
            try:
                return expire(at=AT)
            finally:
                is_done.set()

        assert at_once(hold, run)[1] == 4
        assert set(Message.objects.filter(delivery_state=Delivery.EXPIRED).values_list("pk", flat=True)) == set(free)
