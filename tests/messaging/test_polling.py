"""Asking IO what became of a message: when, how often, with which key, and what its answers change."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from io_client.client import IOClient
from messaging import draining, engine, polling
from messaging.following import (
    DISABLED_NOW,
    NO_MORE_NEWS,
    NOT_ON_IO_NOW,
    REJECTED_UNEXPLAINED,
    Reply,
    next_poll_after,
    record_replies,
)
from messaging.models import ActiveKey, EventKind, IOService, Message, MessageEvent, ServiceInstance, SuspensionReason
from messaging.pacing import depth, pacer
from messaging.polling import poll
from messaging.states import FINAL, FOLLOWED, Delivery
from messaging.suspending import resume
from registry.models import IOAccount, Lane
from sealed.boxes import Sealed
from tests import factories
from tests.messaging.lifecycle import (
    AGO,
    at_once,
    events,
    facts,
    fresh,
    lane_of,
    let_calls_end,
    seconds_from_now,
    service_of,
    with_a_token_in_hand,
)
from tests.support.io_stand_in import Canned, Request, StandIn

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def said(status: str, **more: Any) -> Canned:
    """What IO says of a message: its words are of an open list."""
    return Canned(200, body={"message": {"id": "x"}, "status": status, **more})


async def fails(*args: object, **options: object) -> None:
    """A call that breaks inside us."""
    raise ZeroDivisionError


def due(state: Delivery = Delivery.SENT, *, sent_ago: timedelta = MINUTE, **fields: Any) -> Message:
    """A message about which it is time to ask."""
    now = datetime.now(UTC)
    return factories.message_in(
        state, **{"expedition_date": now - sent_ago, "next_poll_at": now - timedelta(seconds=1), **fields}
    )


def followed(state: Delivery = Delivery.SENT, **fields: Any) -> Message:
    """The same, with a call to ask it with."""
    row = due(state, **fields)
    with_a_token_in_hand(row)
    return row


class TestWhen:
    def asked_at(self) -> list[timedelta]:
        moments, at = [], AT
        while (at_next := next_poll_after(sent_at=AT, at=at)) is not None:
            moments.append(at_next - AT)
            at = at_next
        return moments

    def test_soon_then_less_and_less_often_then_daily_for_a_week(self, settings: Any) -> None:
        settings.IO_FIRST_POLLS = [60.0, 300.0, 1800.0, 7200.0]
        assert self.asked_at() == [
            MINUTE,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            *(day * DAY for day in range(1, 8)),
        ]

    def test_a_demo_may_ask_sooner(self, settings: Any) -> None:
        settings.IO_FIRST_POLLS = [2.0, 5.0]
        assert self.asked_at()[:3] == [timedelta(seconds=2), timedelta(seconds=5), DAY]

    def test_dates_missed_while_nobody_was_at_work_are_not_made_up_for(self) -> None:
        assert next_poll_after(sent_at=AT, at=AT + timedelta(days=2, hours=3)) == AT + 3 * DAY

    def test_after_seven_days_never(self) -> None:
        assert next_poll_after(sent_at=AT, at=AT + 7 * DAY) is None


@pytest.mark.django_db
class TestAnswer:
    @pytest.mark.parametrize("state", sorted(FOLLOWED))
    @pytest.mark.parametrize(
        ("word", "reached"),
        [
            ("ACCEPTED", Delivery.ACCEPTED),
            ("THROTTLED", Delivery.THROTTLED),
            ("PROCESSED", Delivery.PROCESSED),
            ("FAILED", Delivery.FAILED),
        ],
    )
    def test_ios_word_is_the_messages_state(self, word: str, reached: Delivery, state: Delivery, io: StandIn) -> None:
        row = followed(state)
        io.answer("status", said(word))
        assert poll() == 1
        there = fresh(row)
        assert (there.delivery_state, there.io_status) == (reached, word)
        assert (there.next_poll_at is None) == (reached in FINAL)
        assert events(row) == ([] if reached == state else [EventKind.STATUS])

    def test_is_asked_about_by_its_id_and_its_citizen(self, io: StandIn) -> None:
        row = followed()
        poll()
        (request,) = io.requests
        assert request.method == "GET"
        assert request.path == f"/api/v1/messages/{row.taxcode}/{row.appio_message_id}"

    def test_the_same_word_again_changes_only_when_to_ask_next(self, io: StandIn) -> None:
        row = followed(Delivery.ACCEPTED, sent_ago=10 * MINUTE)
        io.answer("status", said("ACCEPTED"))
        poll()
        assert events(row) == []
        assert 19 * 60 < seconds_from_now(fresh(row).next_poll_at) <= 20 * 60
        assert fresh(row).polls == 1

    def test_a_word_nobody_knows_is_kept_and_shown_and_the_message_still_followed(self, io: StandIn) -> None:
        row = followed(Delivery.ACCEPTED)
        io.answer("status", said("TELEPORTED"))
        poll()
        there = fresh(row)
        assert (there.delivery_state, there.io_status) == (Delivery.ACCEPTED, "TELEPORTED")
        assert there.next_poll_at is not None
        assert events(row) == [EventKind.STATUS]
        assert facts(row) == {"io_status": "TELEPORTED"}

    def test_a_word_nobody_knows_said_twice_is_one_event(self, io: StandIn) -> None:
        row = followed(io_status="TELEPORTED")
        io.answer("status", said("TELEPORTED"))
        poll()
        assert events(row) == []

    def test_one_that_was_taken_as_arrived_is_not_asked_about(self, io: StandIn) -> None:
        factories.message_in(Delivery.SENT, is_taken_as_arrived=True, appio_message_id="", next_poll_at=None)
        assert poll() == 0
        assert io.requests == []

    def test_not_before_its_time(self, io: StandIn) -> None:
        followed(next_poll_at=datetime.now(UTC) + HOUR)
        assert poll() == 0
        assert io.requests == []


@pytest.mark.django_db
class TestRejected:
    @pytest.mark.parametrize(
        ("profile", "explanation"),
        [
            (Canned(404), NOT_ON_IO_NOW),
            (Canned(200, body={"sender_allowed": False, "preferred_languages": []}), DISABLED_NOW),
            (Canned(200), REJECTED_UNEXPLAINED),
        ],
        ids=["not_on_io", "service_disabled", "unexplained"],
    )
    def test_is_explained_by_the_profile(self, profile: Canned, explanation: str, io: StandIn) -> None:
        row = followed()
        io.answer("status", said("REJECTED"))
        io.answer("profile", profile)
        poll()
        poll()
        there = fresh(row)
        assert (there.delivery_state, there.status_detail, there.next_poll_at) == (
            Delivery.REJECTED,
            explanation,
            None,
        )
        assert (io.count("status"), io.count("profile")) == (1, 1)
        assert events(row) == [EventKind.STATUS]

    def test_a_profile_that_does_not_answer_is_asked_again_later(self, io: StandIn) -> None:
        row = followed(Delivery.REJECTED)
        io.answer("profile", Canned(500))
        poll()
        assert fresh(row).delivery_state == Delivery.REJECTED
        assert seconds_from_now(fresh(row).next_poll_at) > 60

    def test_never_explained_it_keeps_its_state_and_says_nothing_false(self, io: StandIn) -> None:
        row = followed(Delivery.REJECTED, sent_ago=8 * DAY)
        io.answer("profile", Canned(500))
        poll()
        there = fresh(row)
        assert (there.delivery_state, there.status_detail, there.next_poll_at) == (Delivery.REJECTED, "", None)


@pytest.mark.django_db
class TestReadThatFails:
    @pytest.mark.parametrize(
        "answer",
        [
            Canned(404),
            Canned(403, body={"status": 403, "title": "You are not allowed here"}),
            Canned(403, body={"status": 403, "title": "Something new"}),
            Canned(400),
            Canned(408),
            Canned(500),
            Canned(503),
            Canned(302),
            Canned(204, body=b""),
            Canned(200, body={}),
            Canned(fault="reset_before"),
        ],
        ids=["404", "403", "403_unclear", "400", "408", "500", "503", "302", "204", "empty", "reset"],
    )
    def test_changes_no_state_and_suspends_nothing(self, answer: Canned, io: StandIn) -> None:
        row = followed(sent_ago=2 * MINUTE)
        io.answer("status", answer)
        assert poll() == 1
        there = fresh(row)
        assert (there.delivery_state, there.status_detail, there.io_status) == (Delivery.SENT, "", "")
        assert events(row) == []
        assert service_of(row).suspended_at is None
        assert lane_of(row).paused_until is None
        # At the next regular date: five minutes after the sending.
        assert 100 < seconds_from_now(there.next_poll_at) <= 180

    def test_no_answer_at_all_neither(self, io: StandIn, settings: Any) -> None:
        settings.IO_READ_TIMEOUT = 0.3
        row = followed()
        io.answer("status", Canned(fault="never"))
        poll()
        assert (fresh(row).delivery_state, events(row)) == (Delivery.SENT, [])

    def test_a_refused_key_suspends_and_asks_again_once_it_is_mended(self, io: StandIn) -> None:
        row = followed()
        io.answer("status", Canned(401))
        poll()
        assert service_of(row).suspended_reason == SuspensionReason.KEY_REFUSED
        Message.objects.update(next_poll_at=datetime.now(UTC) - AGO)
        assert poll() == 0
        assert seconds_from_now(fresh(row).next_poll_at) > 60
        resume(service_of(row), by=factories.user(), at=AT)
        io.forget()
        io.answer("status", said("PROCESSED"))
        assert poll() == 1
        assert fresh(row).delivery_state == Delivery.PROCESSED

    def test_a_suspension_for_another_reason_keeps_nobody_from_asking(self, io: StandIn) -> None:
        row = followed()
        IOService.objects.update(suspended_at=AT, suspended_reason=SuspensionReason.REFUSALS_IN_ROW)
        io.answer("status", said("PROCESSED"))
        poll()
        assert fresh(row).delivery_state == Delivery.PROCESSED

    def test_throttled_pauses_the_account_and_asks_again(self, io: StandIn) -> None:
        row = followed()
        io.answer("status", Canned(429, headers={"Retry-After": "30"}))
        poll()
        assert 0 < seconds_from_now(lane_of(row).paused_until) <= 30
        assert fresh(row).delivery_state == Delivery.SENT
        assert 0 < seconds_from_now(fresh(row).next_poll_at) <= 60

    def test_a_call_that_never_comes_back_is_asked_again(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(polling, "LONGEST_CALL_SECONDS", 0.1)
        row = followed()
        io.answer("status", Canned(delay=0.6))
        poll()
        assert fresh(row).delivery_state == Delivery.SENT
        assert 0 < seconds_from_now(fresh(row).next_poll_at) <= polling.CLAIMED_FOR_SECONDS
        let_calls_end()

    def test_a_fault_of_ours_changes_no_state(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(IOClient, "status", fails)
        row = followed()
        poll()
        assert (fresh(row).delivery_state, events(row)) == (Delivery.SENT, [])
        assert seconds_from_now(fresh(row).next_poll_at) > 60

    @pytest.mark.parametrize("key", [Sealed(), Sealed("0123abcd:x")], ids=["missing", "not_openable"])
    def test_without_a_key_nothing_is_asked_until_the_next_date(self, key: Sealed, io: StandIn) -> None:
        row = followed()
        IOService.objects.update(primary_key=key)
        poll()
        assert io.requests == []
        assert fresh(row).delivery_state == Delivery.SENT
        assert seconds_from_now(fresh(row).next_poll_at) > 60


@pytest.mark.django_db
class TestEnd:
    @pytest.mark.parametrize("answer", [said("ACCEPTED"), said("TELEPORTED"), Canned(500)], ids=["known", "new", "500"])
    def test_after_seven_days_without_news_it_is_not_followed_any_more(self, answer: Canned, io: StandIn) -> None:
        row = followed(Delivery.ACCEPTED, sent_ago=7 * DAY + MINUTE)
        io.answer("status", answer)
        poll()
        there = fresh(row)
        assert (there.delivery_state, there.next_poll_at, there.status_detail) == (
            Delivery.ACCEPTED,
            None,
            NO_MORE_NEWS,
        )
        assert events(row)[-1] == EventKind.FOLLOWING_ENDED

    def test_the_last_question_may_still_bring_the_news(self, io: StandIn) -> None:
        row = followed(sent_ago=7 * DAY + MINUTE)
        io.answer("status", said("PROCESSED"))
        poll()
        assert fresh(row).delivery_state == Delivery.PROCESSED
        assert EventKind.FOLLOWING_ENDED not in events(row)


@pytest.mark.django_db
class TestKey:
    def test_is_of_the_service_it_was_sent_through_though_the_instance_has_another_now(self, io: StandIn) -> None:
        row = followed()
        other = factories.io_service(of=row.service_instance.organization, key="the-key-of-the-other")
        ServiceInstance.objects.update(io_service=other)
        poll()
        assert io.requests[0].headers["ocp-apim-subscription-key"] == "key-of-the-tests"

    def test_is_the_one_in_use_now_of_that_service(self, io: StandIn) -> None:
        followed()
        IOService.objects.update(secondary_key=Sealed.close("the-new-key"), active_key=ActiveKey.SECONDARY)
        poll()
        assert io.requests[0].headers["ocp-apim-subscription-key"] == "the-new-key"


@pytest.mark.django_db
class TestPace:
    def queue(self, count: int, *, rate: int) -> list[Message]:
        via = factories.io_service(io_account=factories.io_account(calls_per_second=rate))
        instance = factories.service_instance(io_service=via)
        sender = factories.user()
        return [due(instance=instance, sender=sender) for _ in range(count)]

    def test_the_longest_waiting_is_asked_first(self, io: StandIn) -> None:
        rows = self.queue(3, rate=20)
        for minutes, row in zip((1, 9, 5), rows, strict=True):
            Message.objects.filter(pk=row.pk).update(next_poll_at=datetime.now(UTC) - minutes * MINUTE)
        io.answer("status", said("PROCESSED"))
        asked = 0
        while asked < 3:
            with_a_token_in_hand(rows[0])
            asked += poll()
        ids = [request.path.rsplit("/", 1)[-1] for request in io.requests]
        assert ids == [rows[index].appio_message_id for index in (1, 2, 0)]

    def test_one_that_waits_for_tokens_goes_on_within_the_slice(self, io: StandIn) -> None:
        rows = self.queue(4, rate=4)
        with_a_token_in_hand(rows[0])
        io.answer("status", said("PROCESSED"))
        assert poll() == 4

    def test_where_sending_waits_for_tokens_too_the_slice_does_not_stay_for_them(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is laid aside for the polls until the next tick is not lost."""
        monkeypatch.setattr(polling, "SLICE_SECONDS", 60.0)
        rows = self.queue(3, rate=4)
        factories.message(instance=rows[0].service_instance)
        with_a_token_in_hand(rows[0])
        while pacer().take(rows[0].io_account_id, want=9, rate=4):
            pass
        began = time.monotonic()
        poll()
        assert time.monotonic() - began < 30
        assert Message.objects.filter(next_poll_at__lte=datetime.now(UTC)).exists()

    def test_while_messages_are_leaving_polls_have_only_what_was_laid_aside_for_them(self, io: StandIn) -> None:
        rows = self.queue(10, rate=100)
        factories.message(instance=rows[0].service_instance)
        account = rows[0].io_account_id
        # Nine calls of sending lay aside one for the polls, and more calls than that there are not.
        taken = 0
        while taken < 9:
            taken += pacer().take(account, want=9 - taken, rate=100, polls_wait=True)
        assert poll() <= 1

    def test_messages_that_cannot_leave_take_nothing_from_them(self, io: StandIn) -> None:
        """Those of a suspended service wait too, but not for calls."""
        row = followed()
        stuck = factories.message(
            instance=factories.service_instance(io_service=factories.io_service(io_account=row.io_account))
        )
        IOService.objects.filter(pk=service_of(stuck).pk).update(
            suspended_at=AT, suspended_reason=SuspensionReason.REFUSALS_IN_ROW
        )
        assert poll() == 1

    @pytest.mark.parametrize(
        "lane", [{"paused_until": datetime(2100, 1, 1, tzinfo=UTC)}, {"opened_at": AT}], ids=["paused", "breaker_open"]
    )
    def test_nothing_is_asked_while_the_account_is(self, lane: dict[str, Any], io: StandIn) -> None:
        followed()
        Lane.objects.update(**lane)
        assert poll() == 0
        assert io.requests == []

    @pytest.mark.parametrize(
        ("answer", "is_half_open"), [(said("ACCEPTED"), True), (Canned(500), False)], ids=["answered", "unanswered"]
    )
    def test_with_the_breaker_open_one_question_finds_out_whether_io_is_back(
        self, answer: Canned, is_half_open: bool, io: StandIn
    ) -> None:
        """Where nothing is left to send, nothing else would."""
        rows = self.queue(5, rate=20)
        with_a_token_in_hand(rows[0])
        io.answer("status", answer)
        Lane.objects.update(opened_at=AT, probe_at=datetime.now(UTC) - AGO)
        asked = poll()
        lane = lane_of(rows[0])
        assert (lane.opened_at is None, lane.is_half_open) == (is_half_open, is_half_open)
        if not is_half_open:
            assert asked == 1
            assert seconds_from_now(lane.probe_at) > 0

    def test_another_account_is_asked_meanwhile(self, io: StandIn) -> None:
        paused = followed()
        Lane.objects.update(paused_until=datetime(2100, 1, 1, tzinfo=UTC))
        going = followed()
        io.answer("status", said("PROCESSED"))
        poll()
        assert fresh(going).delivery_state == Delivery.PROCESSED
        assert fresh(paused).delivery_state == Delivery.SENT

    def test_calls_keep_to_the_accounts_rate(self, io: StandIn) -> None:
        rows = self.queue(30, rate=10)
        with_a_token_in_hand(rows[0])
        began = time.monotonic()
        asked = poll()
        elapsed = time.monotonic() - began
        assert 1 <= asked <= depth(10) + 10 * (elapsed + 1)
        assert io.count("status") == asked


class TestTogether:
    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_ask_about_each_message_once(self, io: StandIn) -> None:
        instance, sender = factories.service_instance(), factories.user()
        rows = [followed(instance=instance, sender=sender) for _ in range(15)]
        with_a_token_in_hand(rows[0])
        io.answer("status", said("PROCESSED"))
        at_once(poll, poll)
        for _ in range(50):
            if not Message.objects.filter(next_poll_at__lte=datetime.now(UTC)).exists():
                break
            poll()
        ids = [request.path.rsplit("/", 1)[-1] for request in io.requests]
        assert sorted(ids) == sorted(row.appio_message_id for row in rows)
        assert MessageEvent.objects.filter(kind=EventKind.STATUS).count() == 15

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_one_that_another_is_claiming_is_left_to_it_without_waiting(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = followed()
        monkeypatch.setattr(polling, "SLICE_SECONDS", 0.5)
        with transaction.atomic():
            Message.objects.select_for_update().get(pk=row.pk)
            assert at_once(poll) == [0]
        assert io.requests == []

    @pytest.mark.django_db(transaction=True)
    def test_a_slow_answer_keeps_no_other_waiting(self, io: StandIn) -> None:
        slow, quick = followed(), followed(taxcode="VRDLGU75B02F205A")
        recorded = threading.Event()

        def held_back(request: Request) -> Canned:
            return Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=0.6)

        io.answer("status", said("PROCESSED"))
        io.answer("status", held_back, fiscal_code=slow.taxcode)

        def look() -> bool:
            for _ in range(100):
                if fresh(quick).delivery_state == Delivery.PROCESSED:
                    recorded.set()
                    return fresh(slow).delivery_state == Delivery.SENT
                recorded.wait(0.02)
            return False

        _asked, was_first = at_once(poll, look)
        assert was_first
        assert fresh(slow).delivery_state == Delivery.PROCESSED

    @pytest.mark.django_db(transaction=True)
    def test_a_message_settled_while_it_was_asked_about_keeps_its_end(self, io: StandIn) -> None:
        row = followed()

        def failed_meanwhile(request: Request) -> Canned:
            at_once(lambda: Message.objects.filter(pk=row.pk).update(delivery_state=Delivery.FAILED, next_poll_at=None))
            return said("ACCEPTED")

        io.answer("status", failed_meanwhile)
        poll()
        assert fresh(row).delivery_state == Delivery.FAILED
        assert fresh(row).next_poll_at is None


def account_with(count: int, *, rate: int = 100, key: str = "key-of-the-tests", **fields: Any) -> list[Message]:
    """Messages about which it is time to ask, of an account of their own that has a call in hand."""
    via = factories.io_service(io_account=factories.io_account(calls_per_second=rate), key=key)
    first = due(instance=factories.service_instance(organization=via.organization, io_service=via), **fields)
    more: dict[str, Any] = {"instance": first.service_instance, "sender": first.sender}
    rows = [first, *(due(**more, **fields) for _ in range(count - 1))]
    with_a_token_in_hand(first)
    return rows


def key_of(request: Request) -> str:
    return request.headers["ocp-apim-subscription-key"]


def slow_with(key: str, *, seconds: float) -> Callable[[Request], Canned]:
    """IO answers slowly to this key, and at once to any other."""

    def answer(request: Request) -> Canned:
        body = {"message": {"id": "x"}, "status": "PROCESSED"}
        return Canned(200, body=body, delay=seconds if key_of(request) == key else None)

    return answer


@pytest.mark.django_db(transaction=True)
class TestManyAccounts:
    def test_one_to_which_io_answers_slowly_does_not_hold_up_the_others(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "SLICE_SECONDS", 4.0)
        account_with(20, rate=10, key="slow", sent_ago=HOUR)
        account_with(30, rate=10, key="quick")
        io.answer("status", slow_with("slow", seconds=3.5))
        poll()
        quick = [request for request in io.requests if key_of(request) == "quick"]
        # In rounds that wait for their slowest call there would be no more than its bucket held, twice.
        assert len(quick) > 2 * depth(10) + 5

    def test_one_to_which_io_answers_slowly_has_no_more_than_a_seconds_calls_under_way(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "SLICE_SECONDS", 2.5)
        account_with(20, rate=4)
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=3.0))
        assert poll() == 4

    def test_those_that_wait_longer_without_tokens_shut_out_nobody(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "ACCOUNTS_AT_ONCE", 1)
        monkeypatch.setattr(polling, "SLICE_SECONDS", 1.0)
        longer, shorter = account_with(5, rate=1, next_poll_at=AT - 5 * DAY), account_with(1)
        while pacer().take(longer[0].io_account_id, want=9, rate=1):
            pass
        io.answer("status", said("PROCESSED"))
        poll()
        assert fresh(shorter[0]).delivery_state == Delivery.PROCESSED
        assert {fresh(row).delivery_state for row in longer[1:]} == {Delivery.SENT}

    def test_one_with_tokens_to_spare_shuts_out_nobody_while_connections_are_few(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "CONNECTIONS", 4)
        monkeypatch.setattr(polling, "ACCOUNTS_AT_ONCE", 1)
        monkeypatch.setattr(polling, "SLICE_SECONDS", 1.0)
        longer, shorter = account_with(60, next_poll_at=AT - 5 * DAY), account_with(1)
        io.answer("status", said("PROCESSED"))
        poll()
        assert fresh(shorter[0]).delivery_state == Delivery.PROCESSED
        assert Delivery.SENT in {fresh(row).delivery_state for row in longer}

    def test_each_has_its_turn_where_more_wait_than_are_looked_at_together(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "ACCOUNTS_AT_ONCE", 2)
        monkeypatch.setattr(polling, "SLICE_SECONDS", 2.0)
        rows = [account_with(8, rate=2) for _ in range(7)]
        io.answer("status", said("PROCESSED"))
        poll()
        assert all(any(fresh(row).delivery_state == Delivery.PROCESSED for row in own) for own in rows)


def fewest_free(poll_calls: Sequence[Callable[[], Any]]) -> int:
    """Run these at once; how many connections were free when they were fewest."""
    motor, seen, is_over = engine.engine(), [], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.append(motor.free())
            time.sleep(0.005)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        at_once(*poll_calls)
        draining.finish()
    finally:
        is_over.set()
        looking.join()
    return min(seen)


@pytest.mark.django_db(transaction=True)
class TestConnections:
    @pytest.fixture
    def rows(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
        """Many more questions at once than there are connections, and an IO that takes its time."""
        monkeypatch.setattr(engine, "CONNECTIONS", 12)
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=0.3))
        return [row for _ in range(4) for row in account_with(10)]

    def are_all_asked(self, rows: Collection[Message]) -> bool:
        return {fresh(row).delivery_state for row in rows} == {Delivery.PROCESSED}

    def test_half_of_them_are_left_to_sending(self, rows: list[Message]) -> None:
        assert fewest_free([poll]) == 6
        assert self.are_all_asked(rows)

    def test_of_those_that_sending_uses_none_are_counted_as_free(self, rows: list[Message]) -> None:
        for _ in range(8):
            engine.engine().start(asyncio.sleep(2.0), then=lambda _outcome: None)
        assert fewest_free([poll]) == 2
        assert self.are_all_asked(rows)

    def test_two_slices_leave_as_many_together(self, rows: list[Message]) -> None:
        assert fewest_free([poll, poll]) == 6
        assert self.are_all_asked(rows)

    def test_answers_that_a_slice_left_behind_are_counted_too(
        self, rows: list[Message], io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "SLICE_SECONDS", 0.2)
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=1.0))
        assert fewest_free([lambda: (poll(), poll(), poll())]) == 6

    def test_where_none_is_free_nothing_is_claimed(
        self, io: StandIn, rows: list[Message], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "SLICE_SECONDS", 0.3)
        monkeypatch.setattr(engine, "CONNECTIONS", 1)
        assert poll() == 0
        assert {fresh(row).polls for row in rows} == {0}


@pytest.mark.django_db(transaction=True)
class TestEndOfTheSlice:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(polling, "SLICE_SECONDS", 0.2)

    def test_the_place_is_free_though_slow_answers_are_still_under_way(self, io: StandIn) -> None:
        row = followed()
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=1.0))
        assert poll() == 1
        assert fresh(row).delivery_state == Delivery.SENT
        draining.finish()
        assert fresh(row).delivery_state == Delivery.PROCESSED

    def test_a_process_that_ends_keeps_its_task_until_the_answers_are_recorded(self, io: StandIn) -> None:
        row = followed()

        def answered_after_the_end_began(request: Request) -> Canned:
            engine.stopping.set()
            return Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=0.5)

        io.answer("status", answered_after_the_end_began)
        poll()
        assert fresh(row).delivery_state == Delivery.PROCESSED

    def test_a_process_that_ends_asks_nothing_more(self, io: StandIn) -> None:
        row = followed()
        engine.stopping.set()
        assert poll() == 0
        assert fresh(row).polls == 0

    def test_answers_that_cannot_be_recorded_afterwards_cost_the_others_nothing(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost, kept = followed(), followed(taxcode="VRDLGU75B02F205A")
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=0.6))
        io.answer(
            "status",
            Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=1.2),
            fiscal_code=kept.taxcode,
        )

        def fails_for_one(replies: Sequence[Reply], *, at: datetime) -> None:
            if any(reply.question.message == lost.pk for reply in replies):
                raise DatabaseError
            record_replies(replies, at=at)

        monkeypatch.setattr(polling, "record_replies", fails_for_one)
        assert poll() == 2
        draining.finish()
        assert fresh(kept).delivery_state == Delivery.PROCESSED
        assert fresh(lost).delivery_state == Delivery.SENT
        assert 0 < seconds_from_now(fresh(lost).next_poll_at) <= polling.CLAIMED_FOR_SECONDS

    def test_a_slice_that_fails_still_records_the_answers_under_way(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "SLICE_SECONDS", 5.0)
        monkeypatch.setattr(polling, "LOOK_EVERY_SECONDS", 0.01)
        monkeypatch.setattr(polling, "SURVEY_EVERY_SECONDS", 0.1)
        row = followed()
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=0.5))
        real = polling._accounts_with_polls

        def fails_while_one_is_under_way() -> Any:
            if fresh(row).polls:
                raise DatabaseError
            return real()

        monkeypatch.setattr(polling, "_accounts_with_polls", fails_while_one_is_under_way)
        with pytest.raises(DatabaseError):
            poll()
        draining.finish()
        assert fresh(row).delivery_state == Delivery.PROCESSED


@pytest.mark.django_db
class TestMeanwhile:
    """What an answer says of the account holds for the questions not asked yet."""

    def test_after_a_429_no_more_is_asked_of_the_account(self, io: StandIn) -> None:
        rows = account_with(30, rate=4)
        io.answer("status", Canned(429, headers={"Retry-After": "30"}))
        asked = poll()
        assert asked <= 4
        assert io.count("status") == asked
        assert sum(fresh(row).polls for row in rows) == asked

    def test_a_429_holds_while_other_answers_are_still_under_way(
        self, io: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(polling, "SURVEY_EVERY_SECONDS", 60.0)
        account_with(30, rate=10)
        time.sleep(0.4)
        io.answer("status", Canned(200, body={"message": {}, "status": "PROCESSED"}, delay=1.5))
        io.answer("status", Canned(429, headers={"Retry-After": "30"}), times=1)
        # What its bucket held, and nothing of what flowed in since.
        assert 2 <= poll() <= depth(10)

    def test_while_a_probe_is_under_way_there_is_no_other(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(polling, "SURVEY_EVERY_SECONDS", 0.05)
        rows = account_with(5)
        Lane.objects.update(opened_at=AT, probe_at=datetime.now(UTC) - AGO)
        io.answer("status", Canned(500, delay=0.8))
        assert poll() == 1
        assert sorted(fresh(row).polls for row in rows) == [0, 0, 0, 0, 1]

    def test_one_whose_key_is_refused_meanwhile_is_put_off(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(polling, "PUT_OFF_EVERY_SECONDS", 0.0)
        rows = account_with(30, rate=4)
        io.answer("status", Canned(401))
        asked = poll()
        assert asked <= 4
        assert all(seconds_from_now(fresh(row).next_poll_at) > 0 for row in rows)


@pytest.mark.django_db
def test_with_nothing_due_a_tick_costs_two_statements(io: StandIn) -> None:
    for _ in range(3):
        factories.message_in(Delivery.SENT)
    with CaptureQueriesContext(connection) as asked:
        assert poll() == 0
    assert len(asked) == 2


@pytest.mark.django_db
def test_accounts_without_anything_due_cost_no_token(io: StandIn) -> None:
    account: IOAccount = factories.message_in(Delivery.SENT).io_account
    with_a_token_in_hand(Message.objects.get())
    assert poll() == 0
    assert pacer().take(account.pk, want=1, rate=1000) == 1
