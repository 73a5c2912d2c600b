"""Counting: in memory first, then added to the database, where every process reads the same."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from celery.signals import worker_shutdown
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from io_client.outcomes import (
    Accepted,
    Cause,
    MessageStatus,
    OutcomeUnknown,
    Profile,
    Refused,
    Throttled,
    Unavailable,
    Withheld,
)
from messaging import dispatching, tallies, tasks
from messaging.models import CallTally, Heartbeat, MinuteTally, TokenTally
from messaging.states import Delivery
from tests import factories
from tests.messaging.lifecycle import at_once, the_databases_present
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_counted_before() -> Iterator[None]:
    tallies._forget()
    yield
    tallies._forget()


@pytest.fixture
def account() -> int:
    return int(factories.io_account().pk)


def calls() -> dict[tuple[int, str, str], int]:
    rows = CallTally.objects.values_list("io_account", "call", "outcome", "count")
    return {(account, call, outcome): count for account, call, outcome, count in rows}


class TestFlush:
    def test_adds_to_what_was_there(self, account: int) -> None:
        for count in (2, 3):
            for _ in range(count):
                tallies.count_call(account, "send", "accepted")
            tallies.count_call(account, "profile", "allowed")
            tallies.count_tokens(account, count)
            assert tallies.flush()
        assert calls() == {(account, "send", "accepted"): 5, (account, "profile", "allowed"): 2}
        assert TokenTally.objects.get().count == 5

    def test_keeps_the_accounts_apart(self, account: int) -> None:
        other = factories.io_account().pk
        tallies.count_call(account, "send", "accepted")
        tallies.count_call(other, "send", "accepted")
        tallies.flush()
        assert calls() == {(account, "send", "accepted"): 1, (other, "send", "accepted"): 1}

    def test_tells_in_one_statement_a_table(self, account: int) -> None:
        others = [factories.io_account().pk for _ in range(5)]
        for pk in (account, *others):
            tallies.count_call(pk, "send", "accepted")
            tallies.count_tokens(pk, 1)
        with CaptureQueriesContext(connection) as asked:
            tallies.flush()
        assert len([query for query in asked if query["sql"].startswith("INSERT")]) == 3

    def test_with_nothing_new_asks_nothing(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert tallies.flush()

    def test_that_fails_keeps_what_it_had(self, account: int, monkeypatch: pytest.MonkeyPatch) -> None:
        tallies.count_call(account, "send", "unknown")
        tallies.count_tokens(account, 4)

        def away(*args: Any, **options: Any) -> None:
            raise OperationalError("the connection is closed")

        with monkeypatch.context() as while_away:
            while_away.setattr(tallies, "_upsert", away)
            assert not tallies.flush()
        tallies.count_call(account, "send", "unknown")
        assert tallies.flush()
        assert calls() == {(account, "send", "unknown"): 2}
        assert TokenTally.objects.get().count == 4

    def test_of_an_account_deleted_meanwhile_stops_no_other(self, account: int) -> None:
        gone = factories.io_account()
        tallies.count_call(gone.pk, "send", "accepted")
        tallies.count_call(account, "send", "accepted")
        gone.delete()
        assert tallies.flush()
        assert calls()[account, "send", "accepted"] == 1

    def test_counts_every_call_of_many_threads(self, account: int) -> None:
        def count() -> None:
            for _ in range(2000):
                tallies.count_call(account, "send", "accepted")

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tallies.flush()
        assert calls() == {(account, "send", "accepted"): 8000}

    @pytest.mark.django_db(transaction=True)
    def test_of_several_workers_at_once_loses_nothing(self, account: int) -> None:
        accounts = [account, *(factories.io_account().pk for _ in range(20))]

        def worker(order: list[int]) -> None:
            for _ in range(5):
                with transaction.atomic():
                    tallies._add(Counter({(pk, "send", "accepted"): 1 for pk in order}), Counter())

        outcomes = at_once(*(partial(worker, order) for order in (accounts, accounts[::-1], accounts[::2])))
        assert outcomes == [None, None, None]
        assert sum(calls().values()) == 5 * (21 + 21 + 11)

    def test_happens_at_most_every_few_seconds(self, account: int) -> None:
        tallies.count_call(account, "send", "accepted")
        tallies.flush_now_and_then()
        tallies.count_call(account, "send", "accepted")
        tallies.flush_now_and_then()
        assert calls() == {(account, "send", "accepted"): 1}

    def test_a_forked_child_does_not_tell_what_its_parent_counted(self, account: int) -> None:
        tallies.count_call(account, "send", "accepted")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            calls_of_child, _tokens = tallies._gathered.take()
            os.write(writing, str(len(calls_of_child)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert told.read() == "0"


class TestMinutes:
    def test_hold_the_calls_that_left_and_the_messages_that_io_took(self, account: int) -> None:
        for word in ("accepted", "accepted", "unknown", "withheld", "refused_before_call"):
            tallies.count_call(account, "send", word)
        tallies.count_call(account, "profile", "allowed")
        tallies.flush()
        minute = MinuteTally.objects.get()
        assert (minute.calls, minute.accepted) == (4, 2)
        since = the_databases_present() - minute.minute
        assert timedelta() <= since < timedelta(minutes=2)
        assert (minute.minute.second, minute.minute.microsecond) == (0, 0)

    def test_of_yesterday_are_forgotten(self, account: int) -> None:
        now = the_databases_present()
        for hours in (1, 23, 25, 400):
            MinuteTally.objects.create(minute=now - timedelta(hours=hours), io_account_id=account, calls=1)
        tallies.count_call(account, "send", "throttled")
        tallies.flush()
        assert MinuteTally.objects.count() == 3


class TestOutcomeWord:
    REFUSED = [Refused(status=400, title="RSSMRA80A01H501U", detail="x" * 500, cause=cause) for cause in Cause]

    @pytest.mark.parametrize(
        ("outcome", "word"),
        [
            (Accepted("01"), "accepted"),
            (Profile(sender_allowed=True, preferred_languages=()), "allowed"),
            (Profile(sender_allowed=False, preferred_languages=()), "not_allowed"),
            (MessageStatus("PROCESSED", None, None), "answered"),
            (Throttled(None), "throttled"),
            (Unavailable("timeout"), "unavailable"),
            (OutcomeUnknown("HTTP 500"), "unknown"),
            (Withheld(), "withheld"),
            (Refused(status=0, title="", detail="", cause=Cause.CONTENT), "refused_before_call"),
            (Refused(status=401, title="", detail="", cause=Cause.KEY), "refused_key"),
            (Refused(status=404, title="", detail="", cause=Cause.NOT_FOUND), "refused_not_found"),
            (RuntimeError("RSSMRA80A01H501U"), "fault"),
        ],
    )
    def test_says_what_came_of_it(self, outcome: Any, word: str) -> None:
        assert tallies.outcome_word(outcome) == word

    def test_is_one_of_few_whatever_io_wrote(self) -> None:
        assert {tallies.outcome_word(refused) for refused in self.REFUSED} <= tallies.WORDS
        assert len(tallies.WORDS) <= 20
        assert max(map(len, tallies.WORDS)) <= (CallTally._meta.get_field("outcome").max_length or 0)


class TestNoteTick:
    def test_tells_when_by_the_databases_clock(self) -> None:
        tallies.note_tick("dispatch")
        assert abs(Heartbeat.objects.get(name="dispatch").at - the_databases_present()) < timedelta(seconds=5)

    def test_moves_the_same_row_on(self) -> None:
        Heartbeat.objects.create(name="dispatch", at=the_databases_present() - timedelta(hours=1))
        tallies.note_tick("dispatch")
        assert the_databases_present() - Heartbeat.objects.get().at < timedelta(minutes=1)

    def test_writes_at_most_every_few_seconds(self, django_assert_num_queries: Any) -> None:
        tallies.note_tick("dispatch")
        with django_assert_num_queries(0):
            tallies.note_tick("dispatch")

    @pytest.mark.parametrize(
        ("task", "name"), [(tasks.dispatch, "dispatch"), (tasks.poll, "poll"), (tasks.sweep, "sweep")]
    )
    def test_follows_every_task_that_came_to_its_end(self, task: Any, name: str) -> None:
        task()
        assert list(Heartbeat.objects.values_list("name", flat=True)) == [name]

    def test_follows_no_task_that_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken() -> None:
            raise RuntimeError

        monkeypatch.setattr(dispatching, "dispatch", broken)
        with pytest.raises(RuntimeError):
            tasks.dispatch()
        assert not Heartbeat.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestPolls:
    def test_are_counted_with_the_tokens_they_used(self, io: StandIn) -> None:
        row = factories.message_in(Delivery.SENT, next_poll_at=the_databases_present() - timedelta(minutes=1))
        io.answer("status", Canned(status=500))
        for _ in range(50):
            tasks.poll()
            if io.count("status"):
                break
            time.sleep(0.05)
        tallies.flush()
        assert calls() == {(row.io_account_id, "status", "unavailable"): 1}
        assert TokenTally.objects.get(pk=row.io_account_id).count == 1


def test_the_end_of_a_worker_loses_no_count(account: int) -> None:
    tallies.flush_now_and_then()
    tallies.count_call(account, "send", "accepted")
    worker_shutdown.send(sender=None)
    assert calls() == {(account, "send", "accepted"): 1}
