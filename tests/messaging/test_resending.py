"""The rule that sends a doubt again: off until somebody switches it on, once, late enough, and never where it does harm."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from io_client.outcomes import Accepted
from messaging import moving, resending
from messaging.answers import SendAnswer
from messaging.auditing import ON_DOUBT, history_of
from messaging.dispatching import dispatch
from messaging.models import EventKind, FeatureLevel, IOService, Message, OnDoubt, ServiceInstance, SuspensionReason
from messaging.moving import StateConflict
from messaging.recording import record_sends
from messaging.resending import covered_by_rule, resend_by_rule, switch_rule
from messaging.settling import settle_arrived, settle_resend
from messaging.states import Delivery, Priority, WaitingReason
from messaging.tasks import sweep
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh, make_due, seconds_from_now
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LONG_AGO = timedelta(minutes=11)


@pytest.fixture
def ruled(db: None) -> ServiceInstance:
    return factories.service_instance(on_doubt=OnDoubt.RESEND)


def doubt(instance: ServiceInstance, *, age: timedelta = LONG_AGO, **fields: Any) -> Message:
    since = datetime.now(UTC) - age
    return factories.message_in(
        Delivery.UNCERTAIN, instance=instance, **{"marked_at": since, "updated_at": since, **fields}
    )


def assert_left_alone(row: Message) -> None:
    assert resend_by_rule(at=AT) == 0
    assert fresh(row).delivery_state == Delivery.UNCERTAIN
    assert fresh(row).attempt_id == row.attempt_id
    assert not fresh(row).is_resent_by_rule
    assert EventKind.RESENT_BY_RULE not in events(row)


class TestResendByRule:
    def test_waits_again_as_if_never_tried_in_its_own_place(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled, priority=Priority.BULK, retries=4)
        assert resend_by_rule(at=AT) == 1
        there = fresh(row)
        assert (there.delivery_state, there.waiting_reason) == (Delivery.SCHEDULED, WaitingReason.NONE)
        assert (there.attempt_id, there.marked_at, there.io_service_id, there.profile_checked_at) == (None,) * 4
        assert (there.priority, there.retries, there.is_resent_by_rule) == (Priority.BULK, 0, True)
        assert abs(seconds_from_now(there.not_before)) < 5

    def test_the_history_tells_that_it_was_the_rule_and_when_the_request_had_left(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled)
        resend_by_rule(at=AT)
        event = row.events.get()
        assert (event.kind, event.actor, event.at) == (EventKind.RESENT_BY_RULE, None, AT)
        assert row.marked_at is not None
        assert event.data == {"requested_at": row.marked_at.isoformat()}

    def test_is_off_by_default(self) -> None:
        instance = factories.service_instance()
        assert instance.on_doubt == OnDoubt.ASK
        assert_left_alone(doubt(instance))

    def test_the_rule_of_another_service_instance_is_not_its_own(self, ruled: ServiceInstance) -> None:
        other = factories.service_instance(organization=ruled.organization, io_service=ruled.io_service)
        assert_left_alone(doubt(other))

    @pytest.mark.parametrize("column", ["marked_at", "updated_at"])
    def test_waits_ten_minutes_from_the_request_and_from_the_doubt(self, ruled: ServiceInstance, column: str) -> None:
        """Whichever is later: a worker whose clock is slow must not shorten the wait."""
        recent = datetime.now(UTC) - timedelta(minutes=9, seconds=30)
        row = doubt(ruled)
        Message.objects.filter(pk=row.pk).update(**{column: recent})
        assert_left_alone(row)

    def test_the_business_date_given_does_not_decide(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled, age=timedelta(minutes=1))
        assert resend_by_rule(at=datetime.now(UTC) + timedelta(days=1)) == 0
        assert fresh(row).delivery_state == Delivery.UNCERTAIN

    def test_a_second_doubt_is_for_a_person(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled, is_resent_by_rule=True)
        assert resend_by_rule(at=AT) == 0
        assert events(row) == []

    def test_what_a_person_sent_again_already_is_for_a_person(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled)
        settle_resend(row, by=factories.user(), at=AT, reason="Non risulta")
        since = datetime.now(UTC) - LONG_AGO
        Message.objects.update(
            delivery_state=Delivery.UNCERTAIN, marked_at=since, updated_at=since, attempt_id=row.attempt_id,
            io_service=ruled.io_service,
        )  # fmt: skip
        assert_left_alone(row)

    def test_never_with_a_payment(self, ruled: ServiceInstance) -> None:
        payment = {"amount_cents": 14550, "notice_number": "300012548634478200"}
        assert_left_alone(doubt(ruled, content=payment))

    def test_never_premium_whose_content_io_may_fetch_from_the_ente(self, ruled: ServiceInstance) -> None:
        assert_left_alone(doubt(ruled, feature_level=FeatureLevel.ADVANCED))

    def test_never_through_secure_channels_now(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled)
        IOService.objects.update(require_secure_channels=True)
        assert_left_alone(row)

    def test_never_what_left_through_secure_channels(self, ruled: ServiceInstance) -> None:
        secure = factories.io_service(of=ruled.organization, require_secure_channels=True)
        assert_left_alone(doubt(ruled, io_service=secure))

    def test_never_past_its_due_date(self, ruled: ServiceInstance) -> None:
        assert_left_alone(doubt(ruled, expires_at=datetime.now(UTC) - timedelta(seconds=1)))

    def test_before_its_due_date_it_does(self, ruled: ServiceInstance) -> None:
        doubt(ruled, expires_at=datetime.now(UTC) + timedelta(hours=1))
        assert resend_by_rule(at=AT) == 1

    def test_never_without_its_text(self, ruled: ServiceInstance) -> None:
        """Retention removed it: nobody can tell any more whether it had a payment."""
        row = doubt(ruled)
        row.content.delete()
        assert resend_by_rule(at=AT) == 0

    def test_never_while_the_io_service_is_suspended(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled)
        IOService.objects.update(suspended_at=AT, suspended_reason=SuspensionReason.KEY_REFUSED)
        assert_left_alone(row)

    def test_never_where_the_service_instance_is_disabled(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled)
        ServiceInstance.objects.update(enabled=False)
        assert_left_alone(row)

    @pytest.mark.parametrize("state", [state for state in Delivery if state is not Delivery.UNCERTAIN])
    def test_touches_no_other_state(self, ruled: ServiceInstance, state: Delivery) -> None:
        since = datetime.now(UTC) - LONG_AGO
        row = factories.message_in(state, instance=ruled, updated_at=since)
        assert resend_by_rule(at=AT) == 0
        assert events(row) == []

    def test_one_settled_between_the_look_and_the_move_is_left_alone(
        self, ruled: ServiceInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = doubt(ruled)

        def move(*args: Any, **options: Any) -> list[int]:
            settle_arrived(row, by=factories.user(), at=AT, reason="Lo ha letto")
            return moving.move(*args, **options)

        monkeypatch.setattr(resending, "move", move)
        assert resend_by_rule(at=AT) == 0
        assert fresh(row).is_taken_as_arrived

    def test_one_whose_rule_was_switched_off_meanwhile_is_left_alone(
        self, ruled: ServiceInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = doubt(ruled)

        def move(*args: Any, **options: Any) -> list[int]:
            switch_rule(ruled, to=OnDoubt.ASK, by=factories.user())
            return moving.move(*args, **options)

        monkeypatch.setattr(resending, "move", move)
        assert resend_by_rule(at=AT) == 0
        assert fresh(row).delivery_state == Delivery.UNCERTAIN

    def test_a_group_at_a_time(self, ruled: ServiceInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resending, "GROUP", 2)
        for _ in range(3):
            doubt(ruled)
        assert [resend_by_rule(at=AT) for _ in range(3)] == [2, 1, 0]

    def test_is_part_of_the_sweep(self, ruled: ServiceInstance) -> None:
        row = doubt(ruled)
        sweep()
        assert fresh(row).delivery_state == Delivery.SCHEDULED

    def test_what_it_will_do_is_known_before(self, ruled: ServiceInstance) -> None:
        young, asked = doubt(ruled, age=timedelta(0)), doubt(factories.service_instance())
        assert list(covered_by_rule().filter(pk__in=[young.pk, asked.pk])) == [young]


@pytest.mark.django_db(transaction=True)
class TestBesideOthers:
    def test_of_two_sweeps_one_sends_it_again_once(self) -> None:
        row = doubt(factories.service_instance(on_doubt=OnDoubt.RESEND))
        assert sorted(at_once(*[lambda: resend_by_rule(at=AT)] * 2)) == [0, 1]
        assert events(row) == [EventKind.RESENT_BY_RULE]

    def test_of_the_rule_and_a_person_one_decides(self) -> None:
        row, person = doubt(factories.service_instance(on_doubt=OnDoubt.RESEND)), factories.user()
        resent, settled = at_once(
            lambda: resend_by_rule(at=AT), lambda: settle_arrived(row, by=person, at=AT, reason="Letto")
        )
        assert (resent, type(settled)) in [(1, StateConflict), (0, type(None))]
        assert len(events(row)) == 1

    def test_leaves_once_more_and_then_waits_for_a_person(self, io: StandIn) -> None:
        row = factories.message(instance=factories.service_instance(on_doubt=OnDoubt.RESEND))
        io.answer("send", Canned(fault="reset_after"))
        for sendings in (1, 2, 2):
            make_due(row)
            dispatch()
            assert fresh(row).delivery_state == Delivery.UNCERTAIN
            assert io.count("send") == sendings
            Message.objects.update(updated_at=datetime.now(UTC) - LONG_AGO, marked_at=datetime.now(UTC) - LONG_AGO)
            resend_by_rule(at=datetime.now(UTC))
        assert events(row).count(EventKind.RESENT_BY_RULE) == 1


class TestSwitchRule:
    def test_keeps_who_and_when_where_the_back_office_keeps_its_own(self) -> None:
        instance, person = factories.service_instance(), factories.user()
        for to in (OnDoubt.RESEND, OnDoubt.ASK):
            switch_rule(instance, to=to, by=person)
            instance.refresh_from_db()
            assert instance.on_doubt == to
        last, first = history_of(instance, limit=10)
        assert ON_DOUBT[OnDoubt.ASK] in last.get_change_message()
        assert ON_DOUBT[OnDoubt.RESEND] in first.get_change_message()
        assert (first.user, last.user) == (person, person)
        assert abs(seconds_from_now(first.action_time)) < 60

    def test_what_is_so_already_leaves_no_line(self) -> None:
        instance = factories.service_instance()
        with pytest.raises(StateConflict):
            switch_rule(instance, to=OnDoubt.ASK, by=factories.user())
        assert not LogEntry.objects.exists()

    def test_an_action_is_on_what_it_says(self, ruled: ServiceInstance) -> None:
        switch_rule(ruled, to=OnDoubt.ASK, by=factories.user())
        assert_left_alone(doubt(ruled))


def test_a_late_acceptance_stops_the_second_sending(ruled: ServiceInstance) -> None:
    row = doubt(ruled)
    assert row.io_service_id is not None
    assert row.attempt_id is not None
    resend_by_rule(at=AT)
    record_sends([SendAnswer(row.pk, row.io_service_id, row.attempt_id, Accepted("01ID"), AT)], at=AT)
    assert (fresh(row).delivery_state, fresh(row).appio_message_id) == (Delivery.SENT, "01ID")
    assert facts(row)["io_id"] == "01ID"
