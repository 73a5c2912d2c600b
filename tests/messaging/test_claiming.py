"""Which messages leave next: by priority, then service instances in turn, each by date; and who is passed over."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from messaging.claiming import Chosen, Turns, Wanted, choose, streams_due
from messaging.models import IOService, Message, ServiceInstance
from messaging.states import Delivery, Priority, WaitingReason
from registry.models import IOAccount
from tests import factories
from tests.messaging.lifecycle import AGO

pytestmark = pytest.mark.django_db


class Desk:
    """Service instances of one account, each with an IO service of its own."""

    def __init__(self, instances: int = 1) -> None:
        self.account = factories.io_account()
        self.sender = factories.user()
        self.instances = [
            factories.service_instance(io_service=factories.io_service(io_account=self.account))
            for _ in range(instances)
        ]

    def post(self, count: int = 1, *, at: int = 0, **columns: Any) -> list[int]:
        """Due messages of the instance with that number, in the order in which they should leave; their ids."""
        return [
            factories.message(
                instance=self.instances[at],
                sender=self.sender,
                not_before=columns.get("not_before", timezone.now() - AGO + timedelta(seconds=number)),
                **{name: value for name, value in columns.items() if name != "not_before"},
            ).pk
            for number in range(count)
        ]

    def choose(self, limit: int = 100, *, turns: Turns | None = None, closed: Any = (), **wanted: Any) -> list[Chosen]:
        streams = streams_due([self.account.pk], closed=closed)
        return choose(streams, wanted={self.account.pk: Wanted(limit, **wanted)}, turns=turns or Turns())

    def chosen(self, limit: int = 100, **options: Any) -> list[int]:
        return [row.message for row in self.choose(limit, **options)]


class TestOrder:
    def test_of_one_stream_the_earliest_date_goes_first_and_no_more_than_asked(self) -> None:
        desk = Desk()
        posted = desk.post(5)
        assert desk.chosen(3) == posted[:3]

    def test_a_more_urgent_one_overtakes_a_backlog(self) -> None:
        desk = Desk(instances=2)
        desk.post(5, priority=Priority.BULK)
        [scheduled] = desk.post(at=1, priority=Priority.SCHEDULED)
        [urgent] = desk.post(at=1, priority=Priority.INTERACTIVE)
        assert desk.chosen(1) == [urgent]
        assert desk.chosen(2) == [urgent, scheduled]

    def test_streams_of_one_priority_take_turns_whatever_each_has_waiting(self) -> None:
        desk = Desk(instances=3)
        backlog = desk.post(20, at=0, priority=Priority.BULK)
        few, fewer = desk.post(2, at=1, priority=Priority.BULK), desk.post(1, at=2, priority=Priority.BULK)
        first = desk.chosen(6)
        assert sorted(first) == sorted([*backlog[:3], *few, *fewer])
        assert desk.chosen(4, messages=first) == backlog[3:7]

    def test_with_one_token_at_a_time_every_stream_gets_its_turn(self) -> None:
        desk = Desk(instances=4)
        of = {pk: at for at in range(4) for pk in desk.post(3, at=at, priority=Priority.BULK)}
        turns, had = Turns(), []
        for _ in range(12):
            [pk] = desk.chosen(1, turns=turns)
            had.append(of[pk])
            Message.objects.filter(pk=pk).update(delivery_state=Delivery.CANCELLED)
        for begin in range(0, 12, 4):
            assert sorted(had[begin : begin + 4]) == [0, 1, 2, 3]

    def test_what_a_higher_priority_leaves_is_given_to_the_next(self) -> None:
        desk = Desk()
        urgent, bulk = desk.post(2, priority=Priority.INTERACTIVE), desk.post(9, priority=Priority.BULK)
        assert desk.chosen(5) == [*urgent, *bulk[:3]]

    def test_accounts_do_not_share_what_each_asked_for(self) -> None:
        here, there = Desk(), Desk()
        mine, theirs = here.post(4), there.post(4)
        streams = streams_due([here.account.pk, there.account.pk])
        wanted = {here.account.pk: Wanted(3), there.account.pk: Wanted(1)}
        assert {row.message for row in choose(streams, wanted=wanted, turns=Turns())} == {*mine[:3], theirs[0]}


class TestPassedOver:
    def test_what_is_under_way_already(self) -> None:
        desk = Desk()
        posted = desk.post(3)
        assert desk.chosen(messages=posted[:2]) == posted[2:]

    def test_what_is_not_due_yet(self) -> None:
        desk = Desk()
        desk.post(not_before=timezone.now() + timedelta(minutes=1))
        assert streams_due([desk.account.pk]) == []

    def test_one_that_waits_after_a_failure_does_not_hide_the_others_of_its_stream(self) -> None:
        desk = Desk()
        [late] = desk.post(not_before=timezone.now() + timedelta(minutes=1))
        [due] = desk.post()
        assert desk.chosen() == [due] != [late]

    def test_one_past_its_due_date(self) -> None:
        desk = Desk()
        desk.post(expires_at=timezone.now() - timedelta(seconds=1))
        assert desk.chosen() == []

    def test_one_set_aside(self) -> None:
        desk = Desk()
        desk.post(waiting_reason=WaitingReason.SET_ASIDE)
        assert streams_due([desk.account.pk]) == []

    @pytest.mark.parametrize("state", sorted(set(Delivery) - {Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED}))
    def test_one_that_does_not_wait_to_be_sent(self, state: Delivery) -> None:
        desk = Desk()
        factories.message_in(state, instance=desk.instances[0], sender=desk.sender)
        assert streams_due([desk.account.pk]) == []

    def test_a_suspended_service_but_not_the_others_of_its_account(self) -> None:
        desk = Desk(instances=2)
        desk.post(3, at=0)
        others = desk.post(2, at=1)
        IOService.objects.filter(pk=desk.instances[0].io_service_id).update(
            suspended_at=timezone.now(), suspended_reason="key_refused"
        )
        assert sorted(desk.chosen()) == sorted(others)

    def test_an_instance_that_is_switched_off(self) -> None:
        desk = Desk()
        desk.post(2)
        ServiceInstance.objects.update(enabled=False)
        assert streams_due([desk.account.pk]) == []

    def test_an_ente_outside_its_sending_hours(self) -> None:
        desk = Desk(instances=2)
        desk.post(2, at=0)
        others = desk.post(2, at=1)
        assert sorted(desk.chosen(closed={desk.instances[0].organization_id})) == sorted(others)

    def test_accounts_nobody_asked_about(self) -> None:
        desk = Desk()
        desk.post()
        assert streams_due([]) == []
        assert streams_due([factories.io_account().pk]) == []


class TestJustResumed:
    def test_sends_one_at_a_time_over_all_its_instances(self) -> None:
        account, sender = factories.io_account(), factories.user()
        service = factories.io_service(io_account=account)
        for _ in range(2):
            instance = factories.service_instance(io_service=service)
            factories.message(instance=instance, sender=sender)
            factories.message(instance=instance, sender=sender)
        IOService.objects.update(is_probing=True)
        streams = streams_due([account.pk])
        assert len(choose(streams, wanted={account.pk: Wanted(10)}, turns=Turns())) == 1
        busy = {account.pk: Wanted(10, io_services={service.pk})}
        assert choose(streams, wanted=busy, turns=Turns()) == []

    def test_does_not_hold_up_the_others_of_its_account(self) -> None:
        desk = Desk(instances=2)
        desk.post(5, at=0)
        others = desk.post(5, at=1)
        IOService.objects.filter(pk=desk.instances[0].io_service_id).update(is_probing=True)
        chosen = desk.chosen()
        assert set(others) <= set(chosen)
        assert len(chosen) == 6


class TestAge:
    def test_tells_the_allowed_from_those_to_ask_about_and_the_stale_from_the_fresh(self) -> None:
        desk = Desk()
        now = timezone.now()
        [unasked] = desk.post()
        [fresh] = desk.post(delivery_state=Delivery.RECIPIENT_ALLOWED, profile_checked_at=now - timedelta(minutes=4))
        [stale] = desk.post(delivery_state=Delivery.RECIPIENT_ALLOWED, profile_checked_at=now - timedelta(minutes=6))
        rows = {row.message: row for row in desk.choose()}
        assert (rows[unasked].is_allowed, rows[unasked].is_ready) == (False, False)
        assert (rows[fresh].is_allowed, rows[fresh].is_ready) == (True, True)
        assert (rows[stale].is_allowed, rows[stale].is_ready) == (True, False)


class TestCost:
    def test_is_two_statements_whatever_waits(self, django_assert_num_queries: Any) -> None:
        desk = Desk(instances=3)
        for at in range(3):
            desk.post(10, at=at)
        IOAccount.objects.get(pk=desk.account.pk)
        streams = streams_due([desk.account.pk])
        with django_assert_num_queries(1):
            streams_due([desk.account.pk])
        with django_assert_num_queries(1):
            choose(streams, wanted={desk.account.pk: Wanted(6)}, turns=Turns())
