"""How a message leaves: which rows, in which order, with what, and when not."""

import contextlib
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connection, transaction

from io_client.client import IOClient
from io_client.outcomes import Accepted, Unavailable
from messaging import claiming, dispatching, draining, engine, keeping_answers, lanes, marking, moving, serving
from messaging.answers import ProfileAnswer, SendAnswer
from messaging.deciding import cancel
from messaging.dispatching import dispatch
from messaging.engine import stopping
from messaging.keeping_answers import keep
from messaging.models import ActiveKey, EventKind, IOService, Message, MessageContent, ServiceInstance, SuspensionReason
from messaging.recording import record_sends
from messaging.states import WAITING, Delivery, Priority, WaitingReason
from registry.models import Lane
from sealed.boxes import Sealed
from tests import factories
from tests.factories.messages import CODES
from tests.messaging.lifecycle import (
    AGO,
    at_once,
    events,
    fresh,
    lane_of,
    let_calls_end,
    make_due,
    service_of,
    with_a_token_in_hand,
)
from tests.support.io_stand_in import Canned, Request, StandIn

FACTS_OF_A_SENT_MESSAGE = [EventKind.PROFILE_ALLOWED, EventKind.MARKED, EventKind.SENT]


def codes(count: int) -> list[str]:
    """Well formed fiscal codes, all different."""
    return [f"RSSMRA80A01H{number:03d}U" for number in range(count)]


@pytest.mark.django_db
class TestDispatch:
    def test_a_due_message_is_asked_about_marked_sent_and_recorded(self, io: StandIn) -> None:
        row = factories.message()

        assert dispatch() == 1

        row.refresh_from_db()
        assert row.delivery_state == Delivery.SENT
        assert [taken.io_id for taken in io.accepted] == [row.appio_message_id]
        assert io.count("profile") == io.count("send") == 1
        assert events(row) == FACTS_OF_A_SENT_MESSAGE
        assert row.next_poll_at is not None
        assert row.lease_until is None
        assert row.expedition_date is not None

    def test_the_request_is_exactly_the_frozen_content(self, io: StandIn) -> None:
        row = factories.message(
            due_date=datetime(2026, 12, 31, 22, 59, tzinfo=UTC),
            content={"amount_cents": 6212, "notice_number": "300012548634478200", "payee_taxcode": "10000000001"},
        )

        dispatch()

        (sent,) = [request for request in io.requests if request.call == "send"]
        assert sent.json == {
            "fiscal_code": row.taxcode,
            "feature_level_type": "STANDARD",
            "content": {
                "subject": row.content.subject,
                "markdown": row.content.markdown,
                "due_date": "2026-12-31T22:59:00Z",
                "payment_data": {
                    "amount": 6212,
                    "notice_number": "300012548634478200",
                    "invalid_after_due_date": False,
                    "payee": {"fiscal_code": "10000000001"},
                },
            },
        }
        assert sent.headers["ocp-apim-subscription-key"] == "key-of-the-tests"

    def test_the_text_is_not_rendered_again(self, io: StandIn) -> None:
        row = factories.message()
        row.service_instance.template.current_version = None
        row.service_instance.template.save()
        dispatch()
        assert io.accepted[0].subject == row.content.subject

    def test_secure_channels_are_asked_for_where_the_service_wants_them(self, io: StandIn) -> None:
        row = factories.message()
        IOService.objects.update(require_secure_channels=True)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        assert io.requests[-1].json["content"]["require_secure_channels"] is True

    def test_calls_are_made_with_the_key_in_use(self, io: StandIn) -> None:
        factories.message()
        IOService.objects.update(secondary_key=Sealed.close("the-other-key"), active_key=ActiveKey.SECONDARY)
        dispatch()
        assert {request.headers["ocp-apim-subscription-key"] for request in io.requests} == {"the-other-key"}

    def test_each_service_is_served_with_its_own_key(self, io: StandIn) -> None:
        account = factories.io_account()
        for index, code in enumerate(CODES):
            via = factories.io_service(io_account=account, key=f"key-{index}")
            instance = factories.service_instance(organization=via.organization, io_service=via)
            factories.message(instance=instance, taxcode=code)
        dispatch()
        used = {(request.fiscal_code, request.headers["ocp-apim-subscription-key"]) for request in io.requests}
        assert used == {(code, f"key-{index}") for index, code in enumerate(CODES)}

    def test_nothing_due_takes_no_lane_and_asks_nothing(self, io: StandIn) -> None:
        factories.service_instance()
        assert dispatch() == 0
        assert io.requests == []

    @pytest.mark.django_db(transaction=True)
    def test_one_cancelled_while_io_was_asked_about_it_does_not_leave(self, io: StandIn) -> None:
        row, person = factories.message(), factories.user()

        def cancel_meanwhile(request: Request) -> Canned:
            at_once(lambda: cancel(row, by=person, at=datetime.now(UTC)))
            return Canned()

        io.answer("profile", cancel_meanwhile)
        dispatch()
        assert fresh(row).delivery_state == Delivery.CANCELLED
        assert io.count("send") == 0
        assert events(row) == [EventKind.CANCELLED]

    def test_a_hundred_and_more_messages_leave_in_one_slice(self, io: StandIn) -> None:
        instance = factories.service_instance()
        rows = [factories.message(instance=instance, sender=factories.user("uno"), taxcode=codes(120)[0])]
        rows += [factories.message(instance=instance, sender=rows[0].sender, taxcode=code) for code in codes(120)[1:]]
        dispatch()
        assert Message.objects.filter(delivery_state=Delivery.SENT).count() == 120
        assert sorted(taken.fiscal_code for taken in io.accepted) == codes(120)


@pytest.mark.django_db
class TestWhoLeaves:
    @pytest.mark.parametrize("state", [state for state in Delivery if state not in WAITING])
    def test_only_waiting_messages_do(self, state: Delivery, io: StandIn) -> None:
        row = factories.message_in(state)
        assert dispatch() == 0
        assert io.requests == []
        assert events(row) == []

    def test_not_before_its_time(self, io: StandIn) -> None:
        row = factories.message(not_before=datetime.now(UTC) + timedelta(minutes=5))
        assert dispatch() == 0
        make_due(row)
        assert dispatch() == 1
        assert fresh(row).delivery_state == Delivery.SENT

    @pytest.mark.parametrize("state", sorted(WAITING))
    def test_not_past_its_due_date(self, state: Delivery, io: StandIn) -> None:
        row = factories.message_in(state, expires_at=datetime.now(UTC) - AGO)
        dispatch()
        assert io.requests == []
        assert fresh(row).delivery_state == state

    def test_one_whose_due_date_is_ahead_does(self, io: StandIn) -> None:
        row = factories.message(expires_at=datetime.now(UTC) + timedelta(days=1))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT

    def test_not_one_set_aside(self, io: StandIn) -> None:
        factories.message(waiting_reason=WaitingReason.SET_ASIDE)
        assert dispatch() == 0
        assert io.requests == []

    def test_not_through_a_suspended_service_while_others_of_the_account_go_on(self, io: StandIn) -> None:
        stopped = factories.message()
        account = stopped.io_account
        going = factories.message(
            instance=factories.service_instance(io_service=factories.io_service(io_account=account))
        )
        IOService.objects.filter(pk=service_of(stopped).pk).update(
            suspended_at=datetime.now(UTC), suspended_reason=SuspensionReason.KEY_REFUSED
        )
        dispatch()
        assert fresh(stopped).delivery_state == Delivery.SCHEDULED
        assert fresh(going).delivery_state == Delivery.SENT

    def test_not_through_an_instance_switched_off_until_it_is_on_again(self, io: StandIn) -> None:
        row = factories.message()
        ServiceInstance.objects.update(enabled=False)
        assert dispatch() == 0
        assert io.requests == []
        ServiceInstance.objects.update(enabled=True)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT

    def test_by_priority_then_by_date_then_by_age(self) -> None:
        instance = factories.service_instance()
        now = datetime.now(UTC)

        def made(priority: Priority, minutes_ago: int) -> int:
            not_before = now - timedelta(minutes=minutes_ago)
            return factories.message(instance=instance, priority=priority, not_before=not_before).pk

        bulk_early, last, later = made(Priority.BULK, 90), made(Priority.LAST, 99), made(Priority.INTERACTIVE, 1)
        scheduled, earlier, bulk_late = (
            made(Priority.SCHEDULED, 5),
            made(Priority.INTERACTIVE, 2),
            made(Priority.BULK, 3),
        )
        twin = made(Priority.BULK, 3)
        due = Message.objects.claimable(io_account=instance.io_service.io_account_id, at=datetime.now(UTC))
        ordered = list(due.values_list("pk", flat=True))
        assert ordered[:4] == [earlier, later, scheduled, bulk_early]
        assert ordered[4:] == [*sorted([bulk_late, twin], key=lambda pk: Message.objects.get(pk=pk).not_before), last]

    def test_an_interactive_message_overtakes_a_long_queue(self, io: StandIn) -> None:
        account = factories.io_account(calls_per_second=20)
        instance = factories.service_instance(io_service=factories.io_service(io_account=account))
        sender = factories.user()
        for code in codes(60):
            factories.message_in(
                Delivery.RECIPIENT_ALLOWED, instance=instance, sender=sender, taxcode=code, priority=Priority.BULK
            )
        urgent = factories.message(instance=instance, sender=sender, priority=Priority.INTERACTIVE)

        def stop_after(request: Request) -> Canned:
            if request.fiscal_code == urgent.taxcode:
                stopping.set()
            return Canned(201)

        io.answer("send", stop_after)
        dispatch()
        assert fresh(urgent).delivery_state == Delivery.SENT
        assert io.count("send") < 30


@pytest.mark.django_db
class TestProfileIsGoodForFiveMinutes:
    def test_asked_four_minutes_ago_is_not_asked_again(self, io: StandIn) -> None:
        checked = datetime.now(UTC) - timedelta(minutes=4)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, profile_checked_at=checked)
        dispatch()
        assert io.count("profile") == 0
        assert events(row) == [EventKind.MARKED, EventKind.SENT]

    def test_asked_six_minutes_ago_is_asked_again(self, io: StandIn) -> None:
        checked = datetime.now(UTC) - timedelta(minutes=6)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, profile_checked_at=checked)
        dispatch()
        assert io.count("profile") == io.count("send") == 1
        assert events(row) == [EventKind.PROFILE_STALE, *FACTS_OF_A_SENT_MESSAGE]

    def test_a_citizen_who_changed_their_mind_meanwhile_gets_nothing(self, io: StandIn) -> None:
        checked = datetime.now(UTC) - timedelta(minutes=6)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, profile_checked_at=checked)
        io.answer("profile", Canned(200, body={"sender_allowed": False, "preferred_languages": []}))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENDER_NOT_ALLOWED
        assert io.count("send") == 0


@pytest.mark.django_db
class TestKeyThatCannotBeUsed:
    @pytest.mark.parametrize("state", sorted(WAITING))
    def test_a_missing_one_suspends_the_service_and_says_so(self, state: Delivery, io: StandIn) -> None:
        row = factories.message_in(state)
        IOService.objects.update(primary_key=Sealed())
        dispatch()
        service = service_of(row)
        assert service.suspended_reason == SuspensionReason.KEY_REFUSED
        assert service.suspended_detail
        assert io.requests == []
        assert fresh(row).delivery_state == state

    def test_one_sealed_with_a_key_we_no_longer_have_suspends_and_the_log_names_it(
        self, io: StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        row = factories.message()
        IOService.objects.update(primary_key=Sealed("0123abcd:gAAAA"))
        dispatch()
        assert service_of(row).suspended_reason == SuspensionReason.KEY_REFUSED
        assert "inseriscila di nuovo" in service_of(row).suspended_detail
        assert "0123abcd" in caplog.text
        assert io.requests == []

    def test_the_other_services_of_the_account_go_on(self, io: StandIn) -> None:
        keyless = factories.message()
        IOService.objects.update(primary_key=Sealed())
        via = factories.io_service(io_account=keyless.io_account)
        going = factories.message(instance=factories.service_instance(io_service=via))
        dispatch()
        assert fresh(going).delivery_state == Delivery.SENT
        assert fresh(keyless).delivery_state == Delivery.SCHEDULED


class TestManyWorkers:
    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_on_one_account_send_each_message_once(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Lanes only avoid waste: here each is free again as soon as it is taken, as after a pause of the process."""
        monkeypatch.setattr(lanes, "HELD_FOR_SECONDS", -60.0)
        instance = factories.service_instance()
        sender = factories.user()
        rows = [factories.message(instance=instance, sender=sender, taxcode=code) for code in codes(40)]
        io.answer("profile", Canned(delay=0.05))
        io.answer("send", Canned(201, delay=0.05))

        def serve() -> int:
            # One that comes at the very instant in which the other takes the lane skips it: the next tick tries again.
            return next((taken for _ in range(100) if (taken := dispatch())), 0)

        assert at_once(serve, serve) == [1, 1]

        assert sorted(taken.fiscal_code for taken in io.accepted) == codes(40)
        for row in rows:
            assert fresh(row).delivery_state == Delivery.SENT
            assert events(row).count(EventKind.MARKED) == events(row).count(EventKind.SENT) == 1

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_a_row_held_by_a_process_that_stands_still_delays_no_other(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 0.5)
        instance = factories.service_instance()
        held, other = (
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=code) for code in codes(2)
        )
        with transaction.atomic():
            Message.objects.select_for_update().get(pk=held.pk)
            assert at_once(dispatch) == [1]
        assert fresh(other).delivery_state == Delivery.SENT
        assert fresh(held).delivery_state == Delivery.RECIPIENT_ALLOWED
        dispatch()
        assert fresh(held).delivery_state == Delivery.SENT

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_share_the_accounts(self, io: StandIn) -> None:
        rows = [factories.message(taxcode=code) for code in codes(6)]
        outcomes = at_once(dispatch, dispatch)
        # Whoever came second may find lanes free again, with nothing left to do in them.
        assert sum(outcomes) >= 6
        assert sorted(taken.fiscal_code for taken in io.accepted) == codes(6)
        assert {fresh(row).delivery_state for row in rows} == {Delivery.SENT}

    @pytest.mark.django_db(transaction=True)
    def test_the_mark_is_committed_before_the_request_leaves(self, io: StandIn) -> None:
        row = factories.message()
        seen: list[Message] = []

        def look(request: Request) -> Canned:
            # On a connection of its own, which sees only what was committed.
            seen.extend(at_once(lambda: fresh(row)))
            return Canned(201)

        io.answer("send", look)
        dispatch()
        (there,) = seen
        assert there.delivery_state == Delivery.SENDING
        assert there.attempt_id is not None
        assert there.lease_until is not None

    @pytest.mark.django_db
    def test_an_account_to_which_io_answers_slowly_delays_no_other(self, io: StandIn) -> None:
        slow, fast = factories.service_instance(), factories.service_instance()
        sender = factories.user()
        slow_codes, fast_codes = codes(150)[:130], codes(150)[130:]
        for code in slow_codes:
            factories.message(instance=slow, sender=sender, taxcode=code)
            io.answer("profile", Canned(delay=1.5), fiscal_code=code)
        for code in fast_codes:
            factories.message(instance=fast, sender=sender, taxcode=code)
        overtaken: list[int] = []

        def count(request: Request) -> Canned:
            if request.fiscal_code in fast_codes:
                overtaken.append(io.count("send", fiscal_code=slow_codes[0]))
                if len(overtaken) == len(fast_codes):
                    stopping.set()
            return Canned(201)

        io.answer("send", count)
        dispatch()
        assert overtaken == [0] * len(fast_codes)
        assert engine.CONNECTIONS > 2 * 100

    @pytest.mark.django_db
    def test_asked_to_end_it_starts_nothing_and_leaves_its_lanes(self, io: StandIn) -> None:
        row = factories.message()
        stopping.set()
        dispatch()
        assert io.requests == []
        assert fresh(row).delivery_state == Delivery.SCHEDULED
        assert Lane.objects.get().holder is None

    @pytest.mark.django_db
    def test_asked_to_end_it_finishes_what_is_under_way(self, io: StandIn) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)

        def stop(request: Request) -> Canned:
            stopping.set()
            return Canned(201, delay=0.1)

        io.answer("send", stop)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT

    @pytest.mark.django_db
    def test_a_lane_taken_over_by_another_is_given_up(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process was paused and comes back: it starts nothing more in a lane that is another's."""
        monkeypatch.setattr(dispatching, "KEEP_EVERY_SECONDS", 0.0)
        row, other = factories.message(), uuid.uuid4()
        io.answer("profile", Canned(delay=0.2))
        keep = lanes.keep_lanes

        def keep_after_another_took_it(accounts: Any, *, holder: uuid.UUID) -> dict[int, lanes.TakenLane]:
            if io.count("profile"):
                Lane.objects.update(holder=other)
            return keep(accounts, holder=holder)

        monkeypatch.setattr(lanes, "keep_lanes", keep_after_another_took_it)
        dispatch()
        assert io.count("send") == 0
        assert fresh(row).delivery_state == Delivery.RECIPIENT_ALLOWED
        assert Lane.objects.get().holder == other


class TestDatabaseThatFails:
    @pytest.mark.django_db(transaction=True)
    def test_while_marking_no_request_leaves_and_the_rows_are_released(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mark was committed, but nobody heard of it."""
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)

        def moved_and_lost(*args: Any, **kwargs: Any) -> list[int]:
            moving.move(*args, **kwargs)
            raise DatabaseError("server closed the connection unexpectedly")

        monkeypatch.setattr(marking, "move", moved_and_lost)
        with pytest.raises(DatabaseError):
            dispatch()
        assert io.count("send") == 0
        assert fresh(row).delivery_state == Delivery.RECIPIENT_ALLOWED
        assert events(row) == [EventKind.MARKED, EventKind.RELEASED]
        assert Lane.objects.get().holder is None

    @pytest.mark.django_db(transaction=True)
    def test_while_recording_is_tried_again_until_it_works(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        row = factories.message()
        for name in ("record_profiles", "record_sends"):
            monkeypatch.setattr(keeping_answers, name, Flaky(getattr(keeping_answers, name), failures=2))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        assert events(row) == FACTS_OF_A_SENT_MESSAGE

    @pytest.mark.django_db(transaction=True)
    def test_after_recording_though_it_was_committed_is_recorded_once(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = factories.message()
        for name in ("record_profiles", "record_sends"):
            once = Flaky(getattr(keeping_answers, name), failures=1, is_committed=True)
            monkeypatch.setattr(keeping_answers, name, once)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        assert events(row) == FACTS_OF_A_SENT_MESSAGE

    @pytest.mark.django_db(transaction=True)
    def test_between_profiles_and_sends_does_not_record_the_profiles_again(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked, sending = factories.message(), factories.message_in(Delivery.SENDING)
        monkeypatch.setattr(keeping_answers, "record_sends", Flaky(record_sends, failures=1))
        assert sending.attempt_id is not None
        keep(
            [
                ProfileAnswer(asked.pk, service_of(asked).pk, Unavailable("HTTP 503")),
                SendAnswer(sending.pk, service_of(sending).pk, sending.attempt_id, Accepted("ID"), datetime.now(UTC)),
            ]
        )
        assert fresh(asked).retries == 1
        assert fresh(sending).delivery_state == Delivery.SENT

    @pytest.mark.django_db(transaction=True)
    def test_for_too_long_leaves_the_rows_to_the_sweep(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        monkeypatch.setattr(keeping_answers, "RECORD_FOR_SECONDS", 0.0)
        monkeypatch.setattr(keeping_answers, "record_sends", Flaky(record_sends, failures=1))
        with pytest.raises(DatabaseError):
            dispatch()
        assert fresh(row).delivery_state == Delivery.SENDING
        assert fresh(row).lease_until is not None

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("call", ["profile", "send"])
    def test_a_cut_connection_loses_no_answer(self, call: Any, io: StandIn) -> None:
        row = factories.message()

        def cut(request: Request) -> Canned:
            at_once(cut_every_connection_but_this)
            return Canned(201 if call == "send" else 200)

        io.answer(call, cut, times=1)
        # Where the cut is noticed elsewhere than in recording, what is under way is recorded, and the next tick goes on.
        with contextlib.suppress(DatabaseError):
            dispatch()
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        assert io.count("send") == 1


def cut_every_connection_but_this() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.django_db(transaction=True)
class TestFaultOfOurs:
    def test_in_a_profile_call_the_message_waits(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        row = factories.message()
        monkeypatch.setattr(IOClient, "profile", fails)
        dispatch()
        assert (fresh(row).delivery_state, fresh(row).waiting_reason) == (Delivery.SCHEDULED, WaitingReason.UNAVAILABLE)

    def test_in_a_send_says_nothing_about_what_io_has_so_it_is_a_doubt(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        monkeypatch.setattr(IOClient, "send", fails)
        dispatch()
        assert fresh(row).delivery_state == Delivery.UNCERTAIN

    def test_that_loses_a_call_for_good_leaves_it_to_the_sweep(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 0.1)
        monkeypatch.setattr(serving, "LONGEST_CALL_SECONDS", 0.2)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        with_a_token_in_hand(row)
        io.answer("send", Canned(201, delay=0.8))
        dispatch()
        draining.finish()
        assert fresh(row).delivery_state == Delivery.SENDING
        assert fresh(row).lease_until is not None
        let_calls_end()


@pytest.mark.django_db(transaction=True)
class TestAnswerThatCannotBeRecorded:
    def test_does_not_keep_the_others_from_being_recorded(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fault of one row is no failure of the database: trying again would not help, and the others must not wait."""
        instance = factories.service_instance()
        rows = [factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=code) for code in codes(6)]

        def refuses_one(answers: Any, *, at: datetime) -> None:
            if any(answer.message == rows[2].pk for answer in answers):
                raise IntegrityError("a rule of one row")
            record_sends(answers, at=at)

        monkeypatch.setattr(keeping_answers, "record_sends", refuses_one)
        dispatch()
        states = [fresh(row).delivery_state for row in rows]
        assert states.count(Delivery.SENT) == 5
        # For the sweep to show.
        assert states[2] == Delivery.SENDING


@pytest.mark.django_db(transaction=True)
class TestEndOfTheSlice:
    def test_lanes_are_free_though_slow_answers_are_still_under_way(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 0.1)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        with_a_token_in_hand(row)
        io.answer("send", Canned(201, delay=1.0))

        def look() -> str:
            for _ in range(400):
                if fresh(row).delivery_state == Delivery.SENDING and lane_of(row).holder is None:
                    return "free"
                time.sleep(0.01)
            return "held"

        assert at_once(dispatch, look) == [1, "free"]
        draining.finish()
        assert fresh(row).delivery_state == Delivery.SENT

    def test_the_place_is_free_though_slow_answers_are_still_under_way(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 0.1)
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        with_a_token_in_hand(row)
        io.answer("send", Canned(201, delay=1.0))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENDING
        draining.finish()
        assert fresh(row).delivery_state == Delivery.SENT

    def test_a_process_that_ends_keeps_its_task_until_the_answers_are_recorded(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        with_a_token_in_hand(row)

        def answered_after_the_end_began(request: Request) -> Canned:
            engine.stopping.set()
            return Canned(201, delay=0.5)

        io.answer("send", answered_after_the_end_began)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT


async def fails(*args: object, **options: object) -> None:
    """A call that breaks inside us."""
    raise ZeroDivisionError


class Flaky:
    """A function whose transaction fails a few times before it works, with or without having been committed."""

    def __init__(self, real: Any, *, failures: int, is_committed: bool = False) -> None:
        self._real = real
        self._failures = failures
        self._is_committed = is_committed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._failures == 0:
            return self._real(*args, **kwargs)
        self._failures -= 1
        if self._is_committed:
            self._real(*args, **kwargs)
        raise DatabaseError("server closed the connection unexpectedly")


@pytest.mark.django_db(transaction=True)
class TestManyAccounts:
    def test_each_is_served_though_together_they_could_have_more_calls_than_there_are_connections(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "CONNECTIONS", 12)
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 3.0)
        monkeypatch.setattr(dispatching, "LOOK_FOR_TOKENS_SECONDS", 0.0)
        sender, rows = factories.user(), []
        for _ in range(12):
            service = factories.io_service(io_account=factories.io_account(calls_per_second=1))
            instance = factories.service_instance(io_service=service)
            rows += [
                factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, sender=sender, taxcode=code)
                for code in codes(9)
            ]
        dispatch()
        draining.finish()
        served = {row.io_account_id for row in map(fresh, rows) if row.delivery_state == Delivery.SENT}
        assert served == {row.io_account_id for row in rows}

    def test_those_to_which_io_answers_slowly_leave_connections_to_the_others(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "CONNECTIONS", 16)
        monkeypatch.setattr(dispatching, "KEPT_FREE", 2)
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 3.0)
        sender = factories.user()

        def through_an_account_of_its_own() -> ServiceInstance:
            account = factories.io_account(calls_per_second=100)
            return factories.service_instance(io_service=factories.io_service(io_account=account))

        slow, slow_too, quick = (through_an_account_of_its_own() for _ in range(3))
        for code in codes(60):
            for instance in (slow, slow_too):
                factories.message(instance=instance, sender=sender, taxcode=code)
            io.answer("profile", Canned(200, delay=2.0), fiscal_code=code)
        row = factories.message(instance=quick, sender=sender, not_before=datetime.now(UTC) + timedelta(seconds=0.8))

        def the_next_task() -> float:
            time.sleep(1.0)
            dispatch()
            draining.finish()
            return time.monotonic()

        def when_it_left() -> float:
            while not io.count("send", fiscal_code=row.taxcode):
                time.sleep(0.02)
            return time.monotonic()

        began = time.monotonic()
        _, _, left_at = at_once(dispatch, the_next_task, when_it_left)
        # Not after the slow ones had been answered.
        assert left_at - began < 1.9


@pytest.mark.django_db
class TestMessageWithoutItsText:
    def test_ends_at_once_and_does_not_eat_the_pace_of_the_others(self, io: StandIn) -> None:
        instance = factories.service_instance()
        broken, sound = (factories.message(instance=instance) for _ in range(2))
        MessageContent.objects.filter(message=broken).delete()
        dispatch()
        assert fresh(broken).delivery_state == Delivery.BAD_REQUEST
        assert fresh(broken).status_detail == marking.CONTENT_GONE
        assert events(broken).count(EventKind.MARKED) == 1
        assert fresh(sound).delivery_state == Delivery.SENT


@pytest.mark.django_db(transaction=True)
class TestPauseHeardElsewhere:
    def test_stops_the_slice_that_sends_now_at_once(self, io: StandIn) -> None:
        """A poll, or an answer to the slice before, met a 429: this one does not wait to look at the lane's row."""
        account = factories.io_account(calls_per_second=20)
        instance = factories.service_instance(io_service=factories.io_service(io_account=account))
        sender = factories.user()
        for code in codes(60):
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, sender=sender, taxcode=code)

        def told_in_the_middle(request: Request) -> Canned:
            if io.count("send") == 5:
                threading.Thread(target=pause_in_a_thread, args=(account.pk,)).start()
            return Canned(201, delay=0.05)

        io.answer("send", told_in_the_middle)
        dispatch()
        draining.finish()
        assert 5 <= io.count("send") <= 40


def pause_in_a_thread(io_account: int) -> None:
    lanes.pause(io_account, seconds=30)
    connection.close()


@pytest.mark.django_db(transaction=True)
class TestOneBadAnswerAndADatabaseThatBlinks:
    def test_loses_no_other_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = [factories.message_in(Delivery.SENDING) for _ in range(3)]
        answers = [
            SendAnswer(
                row.pk, service_of(row).pk, row.attempt_id or uuid.uuid4(), Accepted(f"ID{row.pk}"), datetime.now(UTC)
            )
            for row in rows
        ]
        faults = [DataError("one bad row"), OperationalError("restarting"), OperationalError("restarting")]

        def blinking(group: Any, *, at: datetime) -> None:
            if faults:
                raise faults.pop(0)
            record_sends(group, at=at)

        monkeypatch.setattr(keeping_answers, "record_sends", blinking)
        assert keep(answers) is None
        assert {fresh(row).delivery_state for row in rows} == {Delivery.SENT}


@pytest.mark.django_db(transaction=True)
class TestEngineThatDied:
    def test_releases_what_was_marked_since_nothing_left(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        with_a_token_in_hand(row)

        def dies(self: engine.Engine, calls: Any) -> None:
            for call, _then in calls:
                call.close()
            if calls:
                raise engine.EngineDead

        monkeypatch.setattr(engine.Engine, "start_all", dies)
        with pytest.raises(engine.EngineDead):
            dispatch()
        assert fresh(row).delivery_state == Delivery.RECIPIENT_ALLOWED
        assert events(row) == [EventKind.MARKED, EventKind.RELEASED]


@pytest.mark.django_db(transaction=True)
class TestNoRoomToSend:
    def test_asks_the_database_now_and_then_until_an_answer_comes(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 2.0)
        monkeypatch.setattr(serving, "MOST_SENDING", 1)
        asked: list[int] = []
        choose = claiming.choose

        def counted(*args: Any, **kwargs: Any) -> list[claiming.Chosen]:
            asked.append(1)
            return choose(*args, **kwargs)

        monkeypatch.setattr(claiming, "choose", counted)
        instance = factories.service_instance()
        for code in codes(9):
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=code)
        io.answer("send", Canned(201, delay=1.9))
        dispatch()
        draining.finish()
        # A hundred times a second otherwise.
        assert len(asked) < 70
