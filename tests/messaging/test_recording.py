"""What IO answered, written down: once, only on rows of the attempt, and nothing that IO took is ever forgotten."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from io_client.outcomes import (
    Accepted,
    Cause,
    OutcomeUnknown,
    Profile,
    ProfileOutcome,
    Refused,
    SendOutcome,
    Throttled,
    Unavailable,
    Withheld,
)
from messaging.answers import ProfileAnswer, SendAnswer
from messaging.attempts import NOT_ARRIVED_AFTER_ALL
from messaging.deciding import cancel
from messaging.late_answers import ARRIVED_AT_FIRST
from messaging.models import EventKind, IOService, Message, MessageEvent, ServiceInstance, SuspensionReason
from messaging.recording import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, record_profiles, record_sends
from messaging.settling import settle_arrived, settle_resend
from messaging.states import WAITING, Delivery, WaitingReason
from messaging.suspending import digest_of_key
from messaging.sweeping import sweep
from sealed.boxes import Sealed
from tests import factories
from tests.factories.messages import CODES
from tests.messaging.lifecycle import AGO, at_once, events, facts, fresh, seconds_from_now, service_of

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ANSWERED_AT = AT - timedelta(seconds=2)
IO_ID, OTHER_ID = "01HIOID0000000000000000001", "01HIOID0000000000000000002"
YES, NO = Profile(True, ("it_IT",)), Profile(False, ())


def refused(cause: Cause, *, status: int = 403) -> Refused:
    return Refused(status, "Titolo", "dettaglio", cause)


def sent(row: Message, outcome: SendOutcome, *, attempt: uuid.UUID | None = None, key_digest: str = "") -> None:
    """The answer to this message's sending, by its attempt unless another is named."""
    attempt = attempt or row.attempt_id
    assert attempt is not None
    service = row.service_instance.io_service_id
    record_sends([SendAnswer(row.pk, service, attempt, outcome, ANSWERED_AT, key_digest)], at=AT)


def asked(row: Message, outcome: ProfileOutcome, *, key_digest: str = "") -> None:
    record_profiles([ProfileAnswer(row.pk, row.service_instance.io_service_id, outcome, key_digest)], at=AT)


def everything_about(row: Message) -> tuple[Any, ...]:
    """All that recording could change, of the row, its service and its history."""
    return (
        *Message.objects.filter(pk=row.pk).values_list()[0],
        *IOService.objects.filter(pk=row.service_instance.io_service_id).values_list(
            "suspended_at", "suspended_reason", "suspended_detail", "is_probing", "refusing_since"
        ),
        *MessageEvent.objects.filter(message=row).values_list("kind", "state", "data"),
    )


SEND_OUTCOMES: list[SendOutcome] = [
    Accepted(IO_ID),
    Accepted(None),
    OutcomeUnknown("no answer"),
    Unavailable("not sent"),
    Withheld(),
    Throttled(3.0),
    *(refused(cause) for cause in Cause),
]
PROFILE_OUTCOMES: list[ProfileOutcome] = [YES, NO, Throttled(3.0), *(refused(cause) for cause in Cause)]


class TestTwice:
    """The commit may have been lost on its way back: then the same answers are recorded again."""

    @pytest.mark.parametrize("outcome", SEND_OUTCOMES, ids=str)
    @pytest.mark.parametrize("state", [Delivery.SENDING, Delivery.UNCERTAIN])
    def test_the_second_recording_of_a_send_changes_nothing(self, state: Delivery, outcome: SendOutcome) -> None:
        row = factories.message_in(state)
        sent(row, outcome)
        first = everything_about(row)
        sent(row, outcome)
        assert everything_about(row) == first

    @pytest.mark.parametrize("outcome", PROFILE_OUTCOMES, ids=str)
    def test_the_second_recording_of_a_profile_changes_nothing(self, outcome: ProfileOutcome) -> None:
        row = factories.message()
        asked(row, outcome)
        first = everything_about(row)
        asked(row, outcome)
        assert everything_about(row) == first

    @pytest.mark.parametrize("cause", [Cause.UNCLEAR, Cause.PERMISSION])
    def test_one_refusal_recorded_three_times_is_not_three_refusals(self, cause: Cause) -> None:
        by_profile, by_send = factories.message(), factories.message_in(Delivery.SENDING)
        for _ in range(3):
            asked(by_profile, refused(cause))
            sent(by_send, refused(cause))
        for row in (by_profile, by_send):
            assert (fresh(row).delivery_state, fresh(row).refusals) == (Delivery.SCHEDULED, 1)


class TestOnlyRowsOfTheAttempt:
    @pytest.mark.parametrize("outcome", [each for each in SEND_OUTCOMES if not isinstance(each, Accepted)], ids=str)
    def test_an_answer_to_another_attempt_moves_nothing_whatever_the_state(self, outcome: SendOutcome) -> None:
        instance = factories.service_instance()
        rows = [factories.message_in(state, instance=instance) for state in Delivery]
        before = list(Message.objects.order_by("pk").values())
        answers = [SendAnswer(row.pk, instance.io_service_id, uuid.uuid4(), outcome, AT) for row in rows]
        record_sends(answers, at=AT)
        assert list(Message.objects.order_by("pk").values()) == before
        assert not MessageEvent.objects.exists()

    @pytest.mark.parametrize("outcome", [*PROFILE_OUTCOMES, Unavailable("no answer")], ids=str)
    def test_a_profile_answered_too_late_moves_nothing_that_is_not_waiting(self, outcome: ProfileOutcome) -> None:
        instance = factories.service_instance()
        rows = [factories.message_in(state, instance=instance) for state in Delivery if state not in WAITING]
        before = list(Message.objects.order_by("pk").values())
        record_profiles([ProfileAnswer(row.pk, instance.io_service_id, outcome) for row in rows], at=AT)
        assert list(Message.objects.order_by("pk").values()) == before
        assert not MessageEvent.objects.exists()

    def test_answers_of_many_attempts_and_kinds_are_recorded_together(self) -> None:
        instance = factories.service_instance()
        rows = [factories.message_in(Delivery.SENDING, instance=instance, attempt_id=uuid.uuid4()) for _ in range(4)]
        outcomes: list[SendOutcome] = [
            Accepted(IO_ID),
            OutcomeUnknown("reset"),
            Throttled(None),
            refused(Cause.CONTENT, status=400),
        ]
        record_sends(
            [
                SendAnswer(row.pk, instance.io_service_id, row.attempt_id or uuid.uuid4(), outcome, AT)
                for row, outcome in zip(rows, outcomes, strict=True)
            ],
            at=AT,
        )
        assert [fresh(row).delivery_state for row in rows] == [
            Delivery.SENT,
            Delivery.UNCERTAIN,
            Delivery.RECIPIENT_ALLOWED,
            Delivery.BAD_REQUEST,
        ]

    def test_each_of_a_group_keeps_its_own_id_and_moment(self) -> None:
        instance, attempt = factories.service_instance(), uuid.uuid4()
        rows = [factories.message_in(Delivery.SENDING, instance=instance, attempt_id=attempt) for _ in range(3)]
        record_sends(
            [
                SendAnswer(row.pk, instance.io_service_id, attempt, Accepted(f"ID{n}"), AT + timedelta(seconds=n))
                for n, row in enumerate(rows)
            ],
            at=AT,
        )
        for n, row in enumerate(rows):
            assert fresh(row).appio_message_id == f"ID{n}"
            assert fresh(row).expedition_date == AT + timedelta(seconds=n)


class TestLateAnswer:
    """The sweep declared a doubt, then the answer came after all."""

    @pytest.fixture
    def doubt(self) -> Message:
        row = factories.message_in(Delivery.SENDING, lease_until=datetime.now(UTC) - AGO)
        sweep(at=AT)
        return fresh(row)

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [
            (Accepted(IO_ID), Delivery.SENT),
            (Unavailable("not sent"), Delivery.RECIPIENT_ALLOWED),
            (Withheld(), Delivery.RECIPIENT_ALLOWED),
            (Throttled(1.0), Delivery.RECIPIENT_ALLOWED),
            (refused(Cause.KEY, status=401), Delivery.SCHEDULED),
            (refused(Cause.UNCLEAR), Delivery.SCHEDULED),
            (refused(Cause.CONTENT, status=400), Delivery.BAD_REQUEST),
            (refused(Cause.RECIPIENT), Delivery.FORBIDDEN),
        ],
        ids=str,
    )
    def test_settles_the_doubt_and_says_that_it_was_late(
        self, outcome: SendOutcome, state: Delivery, doubt: Message
    ) -> None:
        sent(doubt, outcome)
        assert fresh(doubt).delivery_state == state
        assert events(doubt) == [EventKind.OUTCOME_UNKNOWN, EventKind.LATE_ANSWER]
        assert facts(doubt)["answer"]

    def test_an_acceptance_starts_the_following(self, doubt: Message) -> None:
        sent(doubt, Accepted(IO_ID))
        row = fresh(doubt)
        assert (row.appio_message_id, row.expedition_date) == (IO_ID, ANSWERED_AT)
        assert 0 < seconds_from_now(row.next_poll_at) <= 60

    def test_one_more_unknown_outcome_leaves_the_doubt_as_it_is(self, doubt: Message) -> None:
        sent(doubt, OutcomeUnknown("reset"))
        assert fresh(doubt).delivery_state == Delivery.UNCERTAIN
        assert events(doubt) == [EventKind.OUTCOME_UNKNOWN]


class TestTakenAsArrivedAndWasNot:
    @pytest.mark.parametrize(
        "outcome", [Withheld(), Unavailable("refused"), Throttled(1.0), refused(Cause.CONTENT, status=400)]
    )
    def test_goes_back_to_the_person_who_decides(self, outcome: SendOutcome) -> None:
        """The process slept before sending; nobody sends it again by itself."""
        row = factories.message_in(Delivery.UNCERTAIN)
        settle_arrived(row, by=row.sender, at=AT, reason="")
        sent(row, outcome)
        after = fresh(row)
        assert (after.delivery_state, after.is_taken_as_arrived) == (Delivery.UNCERTAIN, False)
        assert (after.expedition_date, after.status_detail) == (None, NOT_ARRIVED_AFTER_ALL)
        assert events(row)[-1] == EventKind.LATE_ANSWER

    def test_but_not_one_that_io_told_us_it_took(self) -> None:
        row = factories.message_in(Delivery.SENT)
        sent(row, Withheld())
        assert fresh(row).delivery_state == Delivery.SENT
        assert events(row) == []


class TestAcceptanceThatNoRowWaitsFor:
    @pytest.fixture
    def doubt(self) -> Message:
        return factories.message_in(Delivery.UNCERTAIN)

    def test_of_one_taken_as_arrived_fills_the_id_and_starts_the_following(self, doubt: Message) -> None:
        settle_arrived(doubt, by=doubt.sender, at=AT, reason="")
        sent(doubt, Accepted(IO_ID))
        row = fresh(doubt)
        assert (row.delivery_state, row.appio_message_id, row.is_taken_as_arrived) == (Delivery.SENT, IO_ID, False)
        assert row.next_poll_at is not None
        assert events(doubt) == [EventKind.SETTLED_ARRIVED, EventKind.LATE_ANSWER]

    def test_without_an_id_it_stays_taken_as_arrived_and_the_history_tells(self, doubt: Message) -> None:
        settle_arrived(doubt, by=doubt.sender, at=AT, reason="")
        sent(doubt, Accepted(None))
        assert fresh(doubt).is_taken_as_arrived
        assert fresh(doubt).next_poll_at is None
        assert events(doubt)[-1] == EventKind.LATE_ANSWER

    @pytest.mark.parametrize("io_id", [IO_ID, None])
    @pytest.mark.parametrize("is_allowed", [False, True])
    def test_of_one_to_be_sent_again_that_has_not_left_stops_it(
        self, is_allowed: bool, io_id: str | None, doubt: Message
    ) -> None:
        settle_resend(doubt, by=doubt.sender, at=AT, reason="")
        if is_allowed:
            asked(doubt, YES)
        sent(doubt, Accepted(io_id))
        row = fresh(doubt)
        assert (row.delivery_state, row.appio_message_id) == (Delivery.SENT, io_id or "")
        assert (row.attempt_id, row.io_service_id) == (doubt.attempt_id, doubt.io_service_id)
        assert row.expedition_date == ANSWERED_AT
        assert (row.next_poll_at is not None) == (io_id is not None)
        assert events(doubt)[-1] == EventKind.LATE_ANSWER

    def test_of_one_that_is_leaving_again_is_told_in_the_history(self, doubt: Message) -> None:
        second = leaving_again(doubt)
        sent(doubt, Accepted(IO_ID))
        row = fresh(doubt)
        assert (row.delivery_state, row.attempt_id, row.appio_message_id) == (Delivery.SENDING, second, "")
        assert events(doubt)[-1] == EventKind.LATE_ANSWER
        assert facts(doubt)["io_id"] == IO_ID

    def test_two_different_ids_are_a_possible_double_whichever_came_first(self, doubt: Message) -> None:
        second = leaving_again(doubt)
        sent(doubt, Accepted(IO_ID))
        sent(doubt, Accepted(OTHER_ID), attempt=second)
        row = fresh(doubt)
        assert (row.delivery_state, row.appio_message_id) == (Delivery.SENT, OTHER_ID)
        assert events(doubt)[-1] == EventKind.POSSIBLE_DOUBLE
        assert facts(doubt) == {"io_id": OTHER_ID, "known_io_id": IO_ID}

    def test_two_different_ids_the_other_way_round(self, doubt: Message) -> None:
        second = leaving_again(doubt)
        sent(doubt, Accepted(OTHER_ID), attempt=second)
        sent(doubt, Accepted(IO_ID))
        assert fresh(doubt).appio_message_id == OTHER_ID
        assert events(doubt)[-1] == EventKind.POSSIBLE_DOUBLE
        assert (facts(doubt)["io_id"], facts(doubt)["known_io_id"]) == (IO_ID, OTHER_ID)

    @pytest.mark.parametrize(
        "outcome",
        [
            Throttled(1.0),
            Withheld(),
            Unavailable("refused"),
            OutcomeUnknown("reset"),
            refused(Cause.KEY, status=401),
            refused(Cause.UNCLEAR),
        ],
    )
    def test_stops_the_second_sending_as_soon_as_it_is_known_not_to_have_arrived(
        self, outcome: SendOutcome, doubt: Message
    ) -> None:
        second = leaving_again(doubt)
        sent(doubt, Accepted(IO_ID))
        sent(doubt, outcome, attempt=second)
        row = fresh(doubt)
        assert (row.delivery_state, row.appio_message_id) == (Delivery.SENT, IO_ID)
        assert (row.attempt_id, row.waiting_reason) == (doubt.attempt_id, "")
        assert row.next_poll_at is not None
        assert events(doubt)[-1] == EventKind.LATE_ANSWER

    def test_of_one_refused_at_the_second_time_says_that_it_arrived_at_the_first(self, doubt: Message) -> None:
        second = leaving_again(doubt)
        sent(doubt, Accepted(IO_ID))
        sent(doubt, refused(Cause.CONTENT, status=400), attempt=second)
        row = fresh(doubt)
        assert (row.delivery_state, row.status_detail) == (Delivery.BAD_REQUEST, ARRIVED_AT_FIRST)

    def test_ends_the_doubt_about_the_second_sending_too(self, doubt: Message) -> None:
        second = leaving_again(doubt)
        sent(doubt, OutcomeUnknown("reset"), attempt=second)
        sent(doubt, Accepted(IO_ID))
        assert fresh(doubt).delivery_state == Delivery.SENT
        sent(doubt, Accepted(OTHER_ID), attempt=second)
        assert events(doubt)[-1] == EventKind.POSSIBLE_DOUBLE

    def test_is_remembered_when_the_second_sending_is_lost(self, doubt: Message) -> None:
        leaving_again(doubt)
        sent(doubt, Accepted(IO_ID))
        Message.objects.update(lease_until=AT)
        sweep(at=AT)
        assert fresh(doubt).delivery_state == Delivery.SENT

    @pytest.mark.parametrize(("first", "second"), [(None, OTHER_ID), (IO_ID, None), (None, None)])
    def test_two_acceptances_are_a_possible_double_though_io_told_no_id(
        self, first: str | None, second: str | None, doubt: Message
    ) -> None:
        again = leaving_again(doubt)
        sent(doubt, Accepted(first))
        sent(doubt, Accepted(second), attempt=again)
        assert events(doubt)[-1] == EventKind.POSSIBLE_DOUBLE

    def test_one_id_heard_twice_is_no_double(self, doubt: Message) -> None:
        sent(doubt, Accepted(IO_ID))
        sent(doubt, Accepted(IO_ID), attempt=uuid.uuid4())
        assert events(doubt) == [EventKind.LATE_ANSWER]

    @pytest.mark.parametrize("state", [Delivery.PROCESSED, Delivery.REJECTED, Delivery.CANCELLED, Delivery.EXPIRED])
    def test_of_one_that_has_ended_moves_nothing_and_is_an_alert(self, state: Delivery) -> None:
        """Cancelled or expired after "send again", or followed to its end under another id: the citizen has this one."""
        row = factories.message_in(state)
        sent(row, Accepted(OTHER_ID), attempt=uuid.uuid4())
        assert fresh(row).delivery_state == state
        assert facts(row)["io_id"] == OTHER_ID

    def test_of_one_given_up_after_send_again_is_no_double_but_says_that_it_arrived(self, doubt: Message) -> None:
        settle_resend(doubt, by=doubt.sender, at=AT, reason="")
        cancel(fresh(doubt), by=doubt.sender, at=AT)
        sent(doubt, Accepted(IO_ID))
        assert fresh(doubt).delivery_state == Delivery.CANCELLED
        assert "il cittadino lo ha ricevuto" in fresh(doubt).status_detail
        assert events(doubt)[-1] == EventKind.LATE_ANSWER

    def test_of_a_message_that_retention_removed_is_no_fault(self, doubt: Message) -> None:
        attempt = doubt.attempt_id
        assert attempt is not None
        record_sends([SendAnswer(doubt.pk + 1, 1, attempt, Accepted(IO_ID), AT)], at=AT)


def leaving_again(doubt: Message) -> uuid.UUID:
    """A person asked to send it again, and the second attempt is under way; its id."""
    settle_resend(doubt, by=doubt.sender, at=AT, reason="")
    again = uuid.uuid4()
    Message.objects.filter(pk=doubt.pk).update(
        delivery_state=Delivery.SENDING,
        attempt_id=again,
        marked_at=AT,
        lease_until=datetime.now(UTC) + timedelta(seconds=30),
        io_service=doubt.io_service,
    )
    return again


class TestBackOff:
    def test_each_silence_of_io_lengthens_the_wait_up_to_ten_minutes(self) -> None:
        row, waits = factories.message(), []
        for _ in range(9):
            asked(row, Unavailable("HTTP 503"))
            waits.append(round(seconds_from_now(fresh(row).not_before)))
        expected = [min(FIRST_RETRY_SECONDS * 2**n, LONGEST_RETRY_SECONDS) for n in range(9)]
        assert [pytest.approx(each, abs=3) for each in expected] == waits
        assert fresh(row).waiting_reason == WaitingReason.UNAVAILABLE

    @pytest.mark.parametrize("answer", [YES, NO])
    def test_an_answer_starts_the_count_again(self, answer: Profile) -> None:
        row = factories.message(retries=5, waiting_reason=WaitingReason.UNAVAILABLE)
        asked(row, answer)
        assert (fresh(row).retries, fresh(row).waiting_reason) == (0, WaitingReason.NONE)

    def test_a_row_withheld_by_us_does_not_wait(self) -> None:
        row = factories.message_in(Delivery.SENDING)
        sent(row, Withheld())
        assert seconds_from_now(fresh(row).not_before) < 0
        assert fresh(row).retries == 0


class TestKeyReplacedMeanwhile:
    """A person put a new key while a call with the old one was under way."""

    @pytest.mark.parametrize("record", [lambda row, digest: sent(row, refused(Cause.KEY, status=401), key_digest=digest),
                                        lambda row, digest: asked(row, refused(Cause.KEY, status=401), key_digest=digest)],
                             ids=["send", "profile"])  # fmt: skip
    def test_a_refusal_of_the_old_one_suspends_nothing(self, record: Callable[[Message, str], None]) -> None:
        row = factories.message_in(Delivery.SENDING)
        IOService.objects.update(primary_key=Sealed.close("the-new-key"))
        record(row, digest_of_key("key-of-the-tests"))
        assert service_of(row).suspended_at is None

    def test_a_refusal_of_the_one_in_use_does(self) -> None:
        row = factories.message_in(Delivery.SENDING)
        sent(row, refused(Cause.KEY, status=401), key_digest=digest_of_key("key-of-the-tests"))
        assert service_of(row).suspended_reason == SuspensionReason.KEY_REFUSED

    def test_the_message_does_not_wait_for_a_suspension_that_there_is_not(self) -> None:
        row = factories.message_in(Delivery.SENDING)
        IOService.objects.update(primary_key=Sealed.close("the-new-key"))
        sent(row, refused(Cause.KEY, status=401), key_digest=digest_of_key("key-of-the-tests"))
        due = Message.objects.due(at=datetime.now(UTC))
        assert list(due) == [row]


class TestAtTheSameTime:
    @pytest.mark.django_db(transaction=True)
    def test_two_recorders_of_crossed_groups_do_not_block_each_other(self) -> None:
        instance: ServiceInstance = factories.service_instance()
        attempts = [uuid.uuid4(), uuid.uuid4()]
        rows = [
            factories.message_in(Delivery.SENDING, instance=instance, attempt_id=attempts[n % 2], taxcode=CODES[n % 3])
            for n in range(12)
        ]
        answers = [
            SendAnswer(row.pk, instance.io_service_id, row.attempt_id or attempts[0], Accepted(f"ID{row.pk}"), AT)
            for row in rows
        ]
        assert at_once(
            lambda: record_sends(answers, at=AT),
            lambda: record_sends(answers[::-1], at=AT),
            lambda: record_sends(answers[6:] + answers[:6], at=AT),
        ) == [None, None, None]
        for row in rows:
            assert events(row) == [EventKind.SENT]
            assert fresh(row).appio_message_id == f"ID{row.pk}"

    @pytest.mark.django_db(transaction=True)
    def test_an_answer_and_the_sweep_leave_the_message_sent(self) -> None:
        row = factories.message_in(Delivery.SENDING, lease_until=datetime.now(UTC) - AGO)
        at_once(lambda: sent(row, Accepted(IO_ID)), lambda: sweep(at=AT))
        assert (fresh(row).delivery_state, fresh(row).appio_message_id) == (Delivery.SENT, IO_ID)
