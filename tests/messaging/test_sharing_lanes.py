"""Workers share the accounts: a process that serves none asks those that serve several for half of theirs."""

import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest

from messaging import dispatching, lanes
from messaging.holders import new_holder, process_of, this_process
from messaging.lanes import ask_for_a_share, keep_lanes, leave_lanes, take_lanes
from messaging.models import Message
from messaging.states import Delivery
from registry.models import Lane
from tests import factories
from tests.messaging.lifecycle import AGO
from tests.support.io_stand_in import StandIn

pytestmark = pytest.mark.django_db

# Another process: its slices' names begin alike, and unlike ours.
_OTHER = 7 << 64


def other_holder(slice_number: int = 1, *, process: int = _OTHER) -> uuid.UUID:
    return uuid.UUID(int=process | slice_number)


def accounts(count: int) -> list[int]:
    return sorted(factories.message().io_account_id for _ in range(count))


def take(holder: uuid.UUID, *, limit: int = 64) -> list[int]:
    return sorted(lane.io_account for lane in take_lanes(holder=holder, limit=limit))


def wanted() -> list[int]:
    return sorted(Lane.objects.exclude(wanted_by=None).values_list("pk", flat=True))


class TestNames:
    def test_slices_of_a_process_have_names_of_their_own_and_one_process(self) -> None:
        first, second = new_holder(), new_holder()
        assert first != second
        assert process_of(first) == process_of(second) == this_process()
        assert process_of(other_holder()) != this_process()

    def test_a_child_of_a_forking_worker_is_another_process(self) -> None:
        mine = this_process()
        with mock.patch("os.getpid", return_value=-1):
            assert this_process() != mine
        assert this_process() == mine


class TestAsking:
    def test_half_of_the_lanes_of_who_holds_several(self) -> None:
        everything = accounts(5)
        take(other_holder())
        assert ask_for_a_share()
        assert len(wanted()) == 2
        assert set(wanted()) <= set(everything)
        assert set(Lane.objects.exclude(wanted_by=None).values_list("wanted_by", flat=True)) == {this_process()}

    def test_of_all_slices_of_that_process_together(self) -> None:
        """A slice for each account would otherwise look as if nobody had two."""
        accounts(4)
        for number in range(4):
            take(other_holder(number), limit=1)
        assert ask_for_a_share()
        assert len(wanted()) == 2

    def test_not_of_who_holds_one(self) -> None:
        accounts(2)
        take(other_holder(), limit=1)
        take(other_holder(process=9 << 64), limit=1)
        assert not ask_for_a_share()
        assert wanted() == []

    def test_not_by_a_process_that_holds_one_itself(self) -> None:
        accounts(5)
        take(new_holder(), limit=1)
        take(other_holder())
        assert not ask_for_a_share()

    def test_not_of_accounts_that_have_nothing_left_to_send(self) -> None:
        accounts(4)
        take(other_holder())
        Message.objects.update(delivery_state=Delivery.SENT)
        assert not ask_for_a_share()

    def test_not_of_lanes_whose_holder_is_no_more(self) -> None:
        accounts(4)
        take(other_holder())
        Lane.objects.update(held_until=datetime.now(UTC) - AGO)
        assert not ask_for_a_share()

    def test_where_nobody_serves_anything_there_is_nothing_to_ask_for(self, django_assert_num_queries: Any) -> None:
        accounts(2)
        with django_assert_num_queries(1):
            assert not ask_for_a_share()

    def test_of_what_one_asked_for_already_another_does_not(self) -> None:
        accounts(2)
        take(other_holder())
        assert ask_for_a_share()
        with mock.patch("os.getpid", return_value=-1):
            assert not ask_for_a_share()


class TestGivingUp:
    def test_the_holder_hears_of_it_where_it_holds_its_lanes_on(self) -> None:
        everything = accounts(2)
        take(other_holder())
        ask_for_a_share()
        kept = keep_lanes(everything, holder=other_holder())
        assert [kept[pk].is_wanted for pk in everything] == [True, False]

    def test_a_lane_given_up_is_kept_for_who_asked(self) -> None:
        asked, other = accounts(2)
        take(other_holder())
        ask_for_a_share()
        leave_lanes([asked, other], holder=other_holder())
        assert take(other_holder(2)) == [other]
        assert take(new_holder()) == [asked]
        assert wanted() == []

    def test_not_for_ever(self) -> None:
        everything = accounts(2)
        take(other_holder())
        ask_for_a_share()
        leave_lanes(everything, holder=other_holder())
        Lane.objects.exclude(wanted_until=None).update(wanted_until=datetime.now(UTC) - AGO)
        assert take(other_holder(2)) == everything


@pytest.mark.django_db(transaction=True)
class TestSlices:
    def test_a_slice_gives_up_what_is_asked_for_and_serves_the_rest(self, io: StandIn) -> None:
        """Answers under way at that moment are recorded, and what is left is sent by whoever has the lane."""
        instances = [factories.service_instance() for _ in range(2)]
        for instance in instances:
            instance.io_service.io_account.calls_per_second = 20
            instance.io_service.io_account.save()
            for _ in range(60):
                factories.message(instance=instance)
        asked = threading.Event()

        def ask() -> None:
            from django.db import connection

            try:
                until = time.monotonic() + 5
                while time.monotonic() < until and Lane.objects.exclude(holder=None).count() < 2:
                    time.sleep(0.05)
                with mock.patch.object(lanes, "this_process", return_value=uuid.UUID(int=_OTHER)):
                    if ask_for_a_share():
                        asked.set()
            finally:
                connection.close()

        thread = threading.Thread(target=ask)
        thread.start()
        began = time.monotonic()
        assert dispatching.dispatch() == 2
        lasted = time.monotonic() - began
        thread.join()
        assert asked.is_set()
        given_up, kept = (instance.io_service.io_account_id for instance in instances)
        sent = Message.objects.filter(delivery_state=Delivery.SENT)
        assert lasted < dispatching.SLICE_SECONDS + 2
        assert 0 < sent.filter(io_account=given_up).count() < 60
        assert sent.filter(io_account=kept).count() == 60
        assert not Message.objects.filter(delivery_state=Delivery.SENDING).exists()
        assert len(io.accepted) == sent.count()
        # The asker comes and finds it.
        assert take(other_holder()) == [given_up]

    def test_who_asks_waits_for_what_is_given_up(self, io: StandIn) -> None:
        everything = accounts(2)
        take(other_holder())

        def give_up() -> None:
            from django.db import connection

            try:
                until = time.monotonic() + 5
                while time.monotonic() < until and not wanted():
                    time.sleep(0.05)
                leave_lanes(wanted(), holder=other_holder())
            finally:
                connection.close()

        thread = threading.Thread(target=give_up)
        thread.start()
        assert dispatching.dispatch() == 1
        thread.join()
        assert [taken.fiscal_code for taken in io.accepted] == [Message.objects.get(io_account=everything[0]).taxcode]
