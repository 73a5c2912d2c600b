"""Stopping many messages at once: each by the rule of one, and an exact account of what was too late."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from messaging import deciding
from messaging.deciding import Stopped, cancel_many, cancellable_by
from messaging.dispatching import dispatch
from messaging.models import EventKind, Message, ServiceInstance
from messaging.moving import move
from messaging.states import CANCELLABLE, WAITING, Delivery, WaitingReason
from registry.models import Role, User
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts, fresh
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@pytest.fixture
def instance(db: None) -> ServiceInstance:
    return factories.service_instance()


def person_with(role: Role, instance: ServiceInstance) -> User:
    person = factories.user()
    factories.grant(person, role, organizations=(instance.organization,), services=(instance.service,))
    return person


@pytest.fixture
def sender(instance: ServiceInstance) -> User:
    return person_with(Role.SENDER, instance)


class TestCancelMany:
    def test_stops_whatever_has_not_left_and_tells_what_the_others_are(
        self, instance: ServiceInstance, sender: User
    ) -> None:
        rows = {state: factories.message_in(state, instance=instance) for state in Delivery}
        account = cancel_many([row.pk for row in rows.values()], by=sender, at=AT, reason="Testo sbagliato")
        assert set(account.cancelled) == {rows[state].pk for state in CANCELLABLE}
        assert account.too_late == {row.pk: state for state, row in rows.items() if state not in CANCELLABLE}
        for state, row in rows.items():
            assert fresh(row).delivery_state == (Delivery.CANCELLED if state in CANCELLABLE else state)
            assert events(row) == ([EventKind.CANCELLED] if state in CANCELLABLE else [])
        event = rows[Delivery.SCHEDULED].events.get()
        assert (event.actor, event.at, event.data) == (sender, AT, {"reason": "Testo sbagliato"})

    def test_counts_those_that_were_too_late_by_what_they_are(self, instance: ServiceInstance, sender: User) -> None:
        ids = [factories.message_in(Delivery.SENT, instance=instance).pk for _ in range(3)]
        ids.append(factories.message_in(Delivery.SENDING, instance=instance).pk)
        assert cancel_many(ids, by=sender, at=AT).late_by_state == {Delivery.SENT: 3, Delivery.SENDING: 1}

    def test_goes_by_groups_and_counts_each_message_once(
        self, instance: ServiceInstance, sender: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deciding, "GROUP", 3)
        ids = [factories.message(instance=instance).pk for _ in range(8)]
        account = cancel_many([*ids, *ids], by=sender, at=AT)
        assert (sorted(account.cancelled), account.too_late) == (ids, {})

    def test_what_is_committed_stays_when_a_later_group_fails(
        self, instance: ServiceInstance, sender: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deciding, "GROUP", 2)
        ids = [factories.message(instance=instance).pk for _ in range(4)]
        calls = []

        def fails_later(*args: Any, **kwargs: Any) -> list[int]:
            calls.append(args)
            if len(calls) > 2:
                raise KeyboardInterrupt
            return move(*args, **kwargs)

        monkeypatch.setattr(deciding, "move", fails_later)
        with pytest.raises(KeyboardInterrupt):
            cancel_many(ids, by=sender, at=AT)
        assert Message.objects.filter(delivery_state=Delivery.CANCELLED).count() == 2
        monkeypatch.setattr(deciding, "move", move)
        account = cancel_many(ids, by=sender, at=AT)
        assert (len(account.cancelled), account.late_by_state) == (2, {Delivery.CANCELLED: 2})

    def test_one_set_aside_no_longer_waits_for_anything(self, instance: ServiceInstance, sender: User) -> None:
        row = factories.message(instance=instance, waiting_reason=WaitingReason.SET_ASIDE)
        cancel_many([row.pk], by=sender, at=AT)
        assert fresh(row).waiting_reason == WaitingReason.NONE
        assert facts(row) == {}

    def test_nothing_asked_is_nothing_done(self, sender: User, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert cancel_many([], by=sender, at=AT) == Stopped()

    def test_costs_the_same_for_ten_as_for_two(
        self, instance: ServiceInstance, sender: User, django_assert_max_num_queries: Any
    ) -> None:
        def queries(number: int) -> int:
            ids = [factories.message(instance=instance).pk for _ in range(number)]
            with django_assert_max_num_queries(12) as counted:
                cancel_many(ids, by=sender, at=AT)
            return len(counted)

        assert queries(2) == queries(10)


class TestRights:
    def test_messages_of_others_and_forged_ids_are_as_good_as_absent(
        self, instance: ServiceInstance, sender: User
    ) -> None:
        other = factories.message()
        assert cancel_many([other.pk, other.pk + 1000, -1], by=sender, at=AT) == Stopped()
        assert fresh(other).delivery_state == Delivery.SCHEDULED

    @pytest.mark.parametrize("role", [role for role in Role if role not in (Role.SENDER, Role.EDITOR)])
    def test_without_the_role_nothing_is_stopped_and_nothing_told(self, instance: ServiceInstance, role: Role) -> None:
        ids = [factories.message_in(state, instance=instance).pk for state in (Delivery.SCHEDULED, Delivery.SENT)]
        assert cancel_many(ids, by=person_with(role, instance), at=AT) == Stopped()

    def test_an_editor_throws_drafts_away_and_stops_nothing_that_was_confirmed(self, instance: ServiceInstance) -> None:
        editor = person_with(Role.EDITOR, instance)
        draft = factories.message_in(Delivery.DRAFT, instance=instance)
        confirmed = factories.message_in(Delivery.SCHEDULED, instance=instance)
        account = cancel_many([draft.pk, confirmed.pk], by=editor, at=AT)
        assert (account.cancelled, account.too_late) == ([draft.pk], {confirmed.pk: Delivery.SCHEDULED})
        assert set(cancellable_by(editor)) == set()

    def test_what_can_be_stopped_is_what_one_could_stop_singly(self, instance: ServiceInstance, sender: User) -> None:
        rows = {state: factories.message_in(state, instance=instance) for state in Delivery}
        factories.message()
        assert set(cancellable_by(sender)) == {rows[state] for state in CANCELLABLE}


class TestAgainstTheQueue:
    def test_nothing_that_was_cancelled_leaves(self, instance: ServiceInstance, sender: User, io: StandIn) -> None:
        ids = [factories.message_in(state, instance=instance).pk for state in sorted(WAITING)]
        cancel_many(ids, by=sender, at=AT)
        assert dispatch() == 0
        assert io.requests == []

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.postgresql
    def test_while_a_worker_sends_each_is_either_cancelled_or_sent_and_told_as_too_late(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both go through the same rows at once, in small groups, so that they meet many times."""
        monkeypatch.setattr(deciding, "GROUP", 7)
        instance = factories.service_instance()
        sender = person_with(Role.SENDER, instance)
        ids = [
            factories.message(instance=instance, sender=sender, taxcode=f"RSSMRA80A01H{number:03d}U").pk
            for number in range(300)
        ]
        started = threading.Event()

        def begin(request: Any) -> Canned:
            started.set()
            return Canned(status=201)

        io.answer("send", begin)

        def stop() -> Stopped:
            started.wait(30)
            # The last to leave first, so that the two meet in the middle and not side by side.
            return cancel_many(reversed(ids), by=sender, at=AT)

        _sent, account = at_once(dispatch, stop)
        assert isinstance(account, Stopped), account
        assert account.cancelled, "the worker was faster than anybody could cancel: the test shows nothing"
        assert account.too_late
        assert {*account.cancelled, *account.too_late} == set(ids)
        assert not {*account.cancelled} & {*account.too_late}
        dispatch()
        rows = {row.pk: row for row in Message.objects.all()}
        cancelled = {rows[pk].taxcode for pk in account.cancelled}
        left = [taken.fiscal_code for taken in io.accepted]
        assert not cancelled & set(left)
        assert {rows[pk].delivery_state for pk in account.cancelled} == {Delivery.CANCELLED}
        assert sorted(left) == sorted(rows[pk].taxcode for pk in account.too_late)
        assert set(account.late_by_state) <= {Delivery.SENDING, Delivery.SENT}
        for row in rows.values():
            kinds = set(row.events.values_list("kind", flat=True))
            assert (EventKind.CANCELLED in kinds) != (EventKind.MARKED in kinds)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.postgresql
    def test_waits_for_a_mark_under_way_and_then_tells_it(self, io: StandIn) -> None:
        """A worker holds the row in a transaction that is not committed yet: cancelling decides after it, not before."""
        instance = factories.service_instance()
        sender = person_with(Role.SENDER, instance)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        held, marked = threading.Event(), threading.Event()

        def worker() -> None:
            from django.db import transaction

            with transaction.atomic():
                moved = move(
                    [row.pk],
                    to=Delivery.SENDING,
                    kind=EventKind.MARKED,
                    at=AT,
                    columns={
                        "attempt_id": "00000000-0000-0000-0000-000000000001",
                        "marked_at": AT,
                        "lease_until": datetime(2100, 1, 1, tzinfo=UTC),
                        "io_service": instance.io_service_id,
                    },
                )
                assert moved
                held.set()
                # Until somebody waits for the row; that it does is what the database says.
                for _ in range(200):
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                        if cursor.fetchone()[0]:
                            break
                    marked.wait(0.02)
            marked.set()

        def stop() -> Stopped:
            held.wait(10)
            return cancel_many([row.pk], by=sender, at=AT)

        _none, account = at_once(worker, stop)
        assert isinstance(account, Stopped), account
        assert (account.cancelled, account.too_late) == ([], {row.pk: Delivery.SENDING})
