"""A service that IO refuses is suspended, not its messages: they wait, a person mends it, they leave in a wise order."""

import itertools
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from messaging.dispatching import dispatch
from messaging.engine import stopping
from messaging.models import EventKind, IOService, Message, ServiceInstance, SuspensionReason
from messaging.moving import StateConflict
from messaging.states import Delivery, Priority, WaitingReason
from messaging.suspending import release_set_aside, resume, suspend
from registry.models import IOAccount, User
from tests import factories
from tests.factories.messages import CODES
from tests.messaging.lifecycle import events, fresh, lane_of, service_of, with_a_token_in_hand
from tests.support.io_stand_in import Canned, Request, StandIn

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
UNCLEAR = Canned(403, body={"status": 403, "title": "Something new", "detail": "that nobody understands"})


@pytest.fixture
def instance() -> ServiceInstance:
    return factories.service_instance()


@pytest.fixture
def person() -> User:
    return factories.user()


@pytest.fixture
def refused(instance: ServiceInstance, io: StandIn) -> Message:
    """One message that IO refused without a clear reason."""
    row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
    io.answer("send", UNCLEAR, fiscal_code=row.taxcode)
    dispatch()
    return fresh(row)


def service(instance: ServiceInstance) -> IOService:
    return IOService.objects.get(pk=instance.io_service_id)


def refuse_again(row: Message, person: User) -> None:
    """The service is suspended and resumed, and IO refuses the message once more."""
    suspend(service_of(row).pk, reason=SuspensionReason.REFUSALS_IN_ROW, detail="", at=AT)
    resume(service_of(row), by=person, at=AT)
    dispatch()


class TestSuspend:
    def test_says_since_when_why_and_in_io_s_words(self, instance: ServiceInstance) -> None:
        assert suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="Access denied", at=AT)
        found = service(instance)
        assert (found.suspended_at, found.suspended_reason, found.suspended_detail) == (
            AT,
            SuspensionReason.KEY_REFUSED,
            "Access denied",
        )

    def test_the_first_reason_stays(self, instance: ServiceInstance) -> None:
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="first", at=AT)
        assert not suspend(instance.io_service_id, reason=SuspensionReason.REFUSALS_IN_ROW, detail="second", at=AT)
        assert service(instance).suspended_detail == "first"


class TestSetAside:
    def test_waits_for_a_person_and_is_counted(self, refused: Message, io: StandIn) -> None:
        assert (refused.delivery_state, refused.waiting_reason) == (Delivery.SCHEDULED, WaitingReason.SET_ASIDE)
        assert refused.refusals == 1
        assert dispatch() == 0
        assert io.count("send") == 1

    def test_does_not_suspend_by_itself(self, refused: Message) -> None:
        assert service_of(refused).suspended_at is None

    def test_released_by_a_person_it_leaves_after_the_others(self, refused: Message, person: User, io: StandIn) -> None:
        assert release_set_aside(service_of(refused), by=person, at=AT) == [refused.pk]
        row = fresh(refused)
        assert (row.waiting_reason, row.priority) == (WaitingReason.NONE, Priority.LAST)
        assert row.events.last().actor == person  # type: ignore[union-attr]  # it has events
        io.forget()
        dispatch()
        assert fresh(refused).delivery_state == Delivery.SENT

    def test_only_the_chosen_ones_are_released(self, refused: Message, person: User) -> None:
        assert release_set_aside(service_of(refused), by=person, at=AT, ids=[refused.pk + 1]) == []
        assert fresh(refused).waiting_reason == WaitingReason.SET_ASIDE

    def test_nothing_is_released_for_another_service(self, refused: Message, person: User) -> None:
        assert release_set_aside(factories.io_service(), by=person, at=AT) == []

    def test_one_refused_by_the_profile_while_it_was_allowed_is_scheduled_and_can_be_released(
        self, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        """Only a probe of an open breaker asks about a message that is allowed already."""
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        lane = lane_of(row)
        lane.opened_at = lane.probe_at = datetime.now(UTC)
        lane.save()
        io.answer("profile", UNCLEAR)
        with_a_token_in_hand(row)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SCHEDULED
        assert release_set_aside(instance.io_service, by=person, at=AT) == [row.pk]


class TestThreeRefusalsInARow:
    def test_of_different_recipients_suspend(self, instance: ServiceInstance, io: StandIn) -> None:
        io.answer("send", UNCLEAR)
        for number, code in enumerate(CODES, start=1):
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=code)
            dispatch()
            assert (service(instance).suspended_at is not None) == (number == 3)
        assert service(instance).suspended_reason == SuspensionReason.REFUSALS_IN_ROW
        assert service(instance).suspended_detail == "Something new: that nobody understands"

    def test_all_at_once_suspend_too(self, instance: ServiceInstance, io: StandIn) -> None:
        io.answer("profile", UNCLEAR)
        for code in CODES:
            factories.message(instance=instance, taxcode=code)
        dispatch()
        assert service(instance).suspended_reason == SuspensionReason.REFUSALS_IN_ROW

    def test_of_the_same_recipient_do_not(self, instance: ServiceInstance, io: StandIn) -> None:
        io.answer("send", UNCLEAR)
        for _ in range(4):
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
            dispatch()
        assert service(instance).suspended_at is None

    def test_with_an_acceptance_in_between_do_not(self, instance: ServiceInstance, io: StandIn) -> None:
        io.answer("send", UNCLEAR)
        for code in CODES:
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=code)
            dispatch()
            io.answer("send", Canned(201), times=1)
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
            dispatch()
        assert service(instance).suspended_at is None
        assert len(io.accepted) == 3

    def test_of_another_service_do_not_count(self, instance: ServiceInstance, io: StandIn) -> None:
        io.answer("send", UNCLEAR)
        for code in CODES[:2]:
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=code)
        other = factories.message_in(Delivery.RECIPIENT_ALLOWED, taxcode=CODES[2])
        dispatch()
        assert service(instance).suspended_at is None
        assert service_of(other).suspended_at is None


class TestResume:
    def test_refuses_when_it_is_not_suspended(self, instance: ServiceInstance, person: User) -> None:
        with pytest.raises(StateConflict):
            resume(instance.io_service, by=person, at=AT)

    def test_forgets_the_reason_and_puts_the_waiting_back(self, io: StandIn, person: User) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(401), times=1)
        dispatch()
        assert fresh(row).waiting_reason == WaitingReason.SUSPENDED
        resume(service_of(row), by=person, at=AT)
        found = service_of(row)
        assert (found.suspended_at, found.suspended_reason, found.suspended_detail) == (None, "", "")
        assert fresh(row).waiting_reason == WaitingReason.NONE
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT

    def test_starts_with_a_message_that_is_not_to_blame(
        self, refused: Message, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        innocent = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, taxcode=CODES[1])
        suspend(instance.io_service_id, reason=SuspensionReason.REFUSALS_IN_ROW, detail="", at=AT)
        resume(service(instance), by=person, at=AT)
        before = len(io.requests)
        dispatch()
        sends = [request.fiscal_code for request in io.requests[before:] if request.call == "send"]
        assert sends == [innocent.taxcode, refused.taxcode]

    def test_one_message_at_a_time_until_one_is_accepted(
        self, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        sender = factories.user()
        for number in range(12):
            code = f"RSSMRA80A01H{number:03d}U"
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, sender=sender, taxcode=code)
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT)
        resume(service(instance), by=person, at=AT)
        began: list[float] = []

        def answer(request: Request) -> Canned:
            began.append(time.monotonic())
            # Refused four times for the recipient alone, which ends the message and says nothing of the service.
            if len(began) <= 4:
                return Canned(403, body={"status": 403, "title": "Recipient forbidden"}, delay=0.1)
            return Canned(201, delay=0.1)

        io.answer("send", answer)
        dispatch()
        # Each begins after the one before was answered, up to the first that comes after an acceptance.
        assert all(after - before >= 0.1 for before, after in itertools.pairwise(began[:6]))
        assert len(io.accepted) == 8
        assert service(instance).is_probing is False

    def test_on_trial_it_does_not_hold_up_the_other_services_of_the_account(
        self, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        other = factories.service_instance(
            io_service=factories.io_service(io_account=instance.io_service.io_account, key="of-the-other")
        )
        on_trial, going = ([f"{stem}80A01H{number:03d}U" for number in range(8)] for stem in ("RSSMRA", "VRDLGU"))
        sender = factories.user()
        for code in on_trial:
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance, sender=sender, taxcode=code)
        for code in going:
            factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=other, sender=sender, taxcode=code)
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT)
        resume(service(instance), by=person, at=AT)
        # So slow that a whole group of what may leave now is of the service on trial.
        IOAccount.objects.update(calls_per_second=10)
        sent: list[str] = []

        def answer(request: Request) -> Canned:
            sent.append(request.headers["ocp-apim-subscription-key"])
            if len(sent) == 3:
                stopping.set()
            return Canned(201, delay=0.5)

        io.answer("send", answer)
        dispatch()
        # Whichever stream came first, the one on trial had one message under way and the other went on.
        assert sorted(sent[:3]) == ["key-of-the-tests", "of-the-other", "of-the-other"]

    def test_suspended_again_when_the_key_is_still_refused(self, io: StandIn, person: User) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(401))
        for _ in range(2):
            dispatch()
            assert service_of(row).suspended_reason == SuspensionReason.KEY_REFUSED
            resume(service_of(row), by=person, at=AT)
        assert io.count("send") == 2
        # The key was at fault, not the message.
        assert fresh(row).refusals == 0


class TestRecovered:
    def test_messages_put_last_are_ordinary_again_once_one_is_accepted(
        self, refused: Message, person: User, io: StandIn
    ) -> None:
        release_set_aside(service_of(refused), by=person, at=AT)
        resting = factories.message(
            instance=refused.service_instance, priority=Priority.LAST, not_before=datetime(2100, 1, 1, tzinfo=UTC)
        )
        io.forget()
        dispatch()
        assert fresh(refused).delivery_state == Delivery.SENT
        assert fresh(resting).priority == Priority.SCHEDULED
        assert service_of(refused).refusing_since is None


class TestRefusedAgainAndAgain:
    @pytest.mark.parametrize("call", ["profile", "send"])
    def test_after_two_resumes_the_third_refusal_ends_the_message(
        self, call: Any, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        row = factories.message(instance=instance)
        io.answer(call, UNCLEAR)
        dispatch()
        for refusals in (2, 3):
            assert fresh(row).delivery_state == Delivery.SCHEDULED
            refuse_again(row, person)
            assert io.count(call) == refusals
        ended = fresh(row)
        assert (ended.delivery_state, ended.waiting_reason) == (Delivery.FORBIDDEN, WaitingReason.NONE)
        assert ended.status_detail == "Something new: that nobody understands"
        assert events(row)[-1] == EventKind.REFUSED

    def test_a_missing_permission_ends_it_too(self, instance: ServiceInstance, person: User, io: StandIn) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        io.answer("send", Canned(403, body={"status": 403, "title": "You are not allowed here"}))
        dispatch()
        for _ in range(2):
            assert service(instance).suspended_reason == SuspensionReason.PERMISSION_MISSING
            assert fresh(row).delivery_state == Delivery.SCHEDULED
            resume(service(instance), by=person, at=AT)
            dispatch()
        assert fresh(row).delivery_state == Delivery.FORBIDDEN
