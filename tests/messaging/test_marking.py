"""The mark: only what is ours, committed before anything leaves, and an allowance after which nothing leaves."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from io_client.outcomes import Cause, Refused, SendOutcome, Withheld
from messaging import dispatching, marking
from messaging.dispatching import dispatch
from messaging.marking import LEASE_MARGIN_SECONDS, SEND_ALLOWANCE_SECONDS, Allowance, Departure, lease_seconds, mark
from messaging.models import EventKind, IOService, Message, MessageContent, ServiceInstance
from messaging.states import Delivery, WaitingReason
from sealed.boxes import Sealed
from tests import factories
from tests.messaging.lifecycle import AGO, at_once, events, facts, fresh, seconds_from_now
from tests.support.io_stand_in import StandIn


@dataclass
class Clocks:
    """The two clocks of a process, as an allowance reads them."""

    wall: float = 1_000_000.0
    since_start: float = 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.since_start


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(marking, "time", made)
    return made


class Marked:
    """What came of marking: who may depart, and who was handed back."""

    def __init__(self, *rows: Message) -> None:
        self.withheld: list[tuple[list[int], uuid.UUID]] = []
        self.outcomes: list[SendOutcome] = []
        self.departures: list[Departure] = list(mark([row.pk for row in rows], stayed=self._stays))

    def _stays(self, ids: list[int], attempt: uuid.UUID, outcome: SendOutcome) -> None:
        self.withheld.append((ids, attempt))
        self.outcomes += [outcome] * len(ids)

    @property
    def ids(self) -> list[int]:
        return sorted(departure.message for departure in self.departures)


class TestAllowance:
    def test_holds_at_once_and_for_five_seconds(self, clocks: Clocks) -> None:
        allowance = Allowance()
        assert allowance.holds()
        clocks.wall += SEND_ALLOWANCE_SECONDS - 0.01
        clocks.since_start += SEND_ALLOWANCE_SECONDS - 0.01
        assert allowance.holds()

    def test_ends_on_the_monotonic_clock_though_the_wall_clock_was_set_back(self, clocks: Clocks) -> None:
        allowance = Allowance()
        clocks.since_start += SEND_ALLOWANCE_SECONDS
        clocks.wall -= 3600
        assert not allowance.holds()

    def test_ends_on_the_wall_clock_though_the_monotonic_one_stood_still(self, clocks: Clocks) -> None:
        """A machine that slept: its monotonic clock may not have noticed."""
        allowance = Allowance()
        clocks.wall += SEND_ALLOWANCE_SECONDS
        assert not allowance.holds()

    def test_is_shorter_than_the_lease_by_more_than_a_send_can_last(self, settings: Any) -> None:
        settings.IO_SEND_TIMEOUT = 15.0
        assert lease_seconds() == SEND_ALLOWANCE_SECONDS + 15.0 + LEASE_MARGIN_SECONDS == 30.0


@pytest.mark.django_db
class TestMark:
    def test_says_which_attempt_sends_it_through_which_service(self) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, waiting_reason=WaitingReason.UNAVAILABLE)
        (departure,) = Marked(row).departures
        there = fresh(row)
        assert there.delivery_state == Delivery.SENDING
        assert there.attempt_id == departure.attempt_id
        assert there.io_service_id == departure.io_service == row.service_instance.io_service_id
        assert there.waiting_reason == WaitingReason.NONE
        assert events(row) == [EventKind.MARKED]
        assert facts(row) == {"attempt": str(departure.attempt_id)}

    @pytest.mark.parametrize("state", [state for state in Delivery if state is not Delivery.RECIPIENT_ALLOWED])
    def test_takes_only_a_message_whose_recipient_is_allowed(self, state: Delivery) -> None:
        row = factories.message_in(state)
        assert Marked(row).departures == []
        assert fresh(row).delivery_state == state

    def test_takes_nothing_past_its_due_date(self) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, expires_at=datetime.now(UTC) - AGO)
        assert Marked(row).departures == []

    def test_takes_nothing_whose_instance_moved_to_another_account_meanwhile(self) -> None:
        """Its lane and its bucket are not those of this account any more."""
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        ServiceInstance.objects.update(io_service=factories.io_service(of=row.service_instance.organization))
        assert Marked(row).departures == []

    def test_a_group_is_one_attempt(self) -> None:
        instance = factories.service_instance()
        rows = [factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance) for _ in range(3)]
        marked = Marked(*rows)
        assert marked.ids == [row.pk for row in rows]
        assert len({departure.attempt_id for departure in marked.departures}) == 1

    def test_nothing_to_mark_is_nothing_marked(self) -> None:
        assert Marked().departures == []

    def test_one_without_its_content_is_refused_for_good_and_the_others_leave(self) -> None:
        instance = factories.service_instance()
        broken, sound = (factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance) for _ in range(2))
        MessageContent.objects.filter(message=broken).delete()
        marked = Marked(broken, sound)
        assert marked.ids == [sound.pk]
        assert [ids for ids, _attempt in marked.withheld] == [[broken.pk]]
        [outcome] = marked.outcomes
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.CONTENT

    def test_one_whose_key_does_not_open_any_more_is_handed_back(self) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        IOService.objects.update(primary_key=Sealed("0123abcd:x"))
        marked = Marked(row)
        assert marked.departures == []
        assert [ids for ids, _attempt in marked.withheld] == [[row.pk]]
        assert marked.outcomes == [Withheld()]

    def test_printing_a_departure_shows_no_key_and_no_citizen(self) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        shown = repr(Marked(row).departures)
        assert "key-of-the-tests" not in shown
        assert row.taxcode not in shown

    @pytest.mark.parametrize("hours", [-5, 5])
    def test_the_lease_is_of_the_databases_clock_whatever_ours_says(self, hours: int) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=hours), tick=True):
            Marked(row)
        there = fresh(row)
        assert 0 < seconds_from_now(there.lease_until) <= lease_seconds()
        assert -10 < seconds_from_now(there.marked_at) <= 0

    @pytest.mark.django_db(transaction=True)
    def test_of_two_who_mark_it_at_once_one_sends_it(self) -> None:
        instance = factories.service_instance()
        rows = [factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance) for _ in range(10)]
        one, other = at_once(lambda: Marked(*rows).ids, lambda: Marked(*rows).ids)
        assert not set(one) & set(other)
        # Rows that the other held at that instant are left for the next round.
        assert set(one) | set(other) == {row.pk for row in Message.objects.filter(delivery_state=Delivery.SENDING)}


@pytest.mark.django_db
class TestProcessThatWasPaused:
    def test_wakes_up_harmless(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stopped between the mark and the request for longer than the allowance; then it tries again."""
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        answers = iter([False])
        monkeypatch.setattr(Allowance, "holds", lambda self: next(answers, True))
        dispatch()
        assert events(row) == [EventKind.MARKED, EventKind.RELEASED, EventKind.MARKED, EventKind.SENT]
        assert io.count("send") == 1

    def test_nothing_at_all_leaves_past_the_allowance(self, io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        monkeypatch.setattr(marking, "SEND_ALLOWANCE_SECONDS", 0.0)
        monkeypatch.setattr(dispatching, "SLICE_SECONDS", 0.3)
        dispatch()
        assert io.requests == []
        assert fresh(row).delivery_state == Delivery.RECIPIENT_ALLOWED
        assert set(events(row)) == {EventKind.MARKED, EventKind.RELEASED}
