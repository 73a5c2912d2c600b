"""What a message said, sent again as another: composed anew, once for each key, and told in both histories."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.composing import Composed, Idempotency, InstanceDisabled, KeyReused, compose
from messaging.copying import NotResendable, Obstacle, as_asked, obstacle_to, resend
from messaging.dispatching import dispatch
from messaging.models import EventKind, IdempotencyKey, Message, ServiceInstance
from messaging.moving import record
from messaging.states import FINAL, Delivery, Priority
from registry.models import AmountUnit, User
from tests import factories
from tests.messaging.lifecycle import at_once, events, facts
from tests.messaging.test_composing import DATA
from tests.support.io_stand_in import StandIn

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@pytest.fixture
def instance(db: None) -> ServiceInstance:
    return ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)


@pytest.fixture
def person(db: None) -> User:
    return factories.user()


@pytest.fixture
def rejected(instance: ServiceInstance, person: User) -> Message:
    made = compose(DATA, instance=instance, by=person, amount_unit=AmountUnit.EURO, at=AT).message
    Message.objects.filter(pk=made.pk).update(delivery_state=Delivery.REJECTED)
    return whole(made)


def whole(row: Message) -> Message:
    return Message.objects.with_everything().get(pk=row.pk)


def key(of: int = 1, body_hash: str = "a" * 64) -> Idempotency:
    return Idempotency(uuid.UUID(int=of), body_hash)


def resent(row: Message, person: User, **more: Any) -> Composed:
    return resend(row, **{"by": person, "at": LATER, "idempotency": key(), **more})


class TestResend:
    def test_makes_a_message_of_its_own(self, rejected: Message, person: User) -> None:
        made = resent(rejected, person)
        assert made.is_new
        row = whole(made.message)
        assert row.pk != rejected.pk
        assert (row.delivery_state, row.scheduled_at, row.priority) == (Delivery.SCHEDULED, LATER, Priority.INTERACTIVE)
        assert (row.content.subject, row.content.markdown) == (rejected.content.subject, rejected.content.markdown)
        assert (row.content.amount_cents, row.content.values) == (6212, {"cie": "ca000000aa"})

    def test_leaves_the_original_as_it_is(self, rejected: Message, person: User) -> None:
        before = Message.objects.filter(pk=rejected.pk).values().get()
        resent(rejected, person)
        assert Message.objects.filter(pk=rejected.pk).values().get() == before

    def test_both_histories_tell_of_the_other(self, rejected: Message, person: User) -> None:
        made = resent(rejected, person).message
        assert events(made) == [EventKind.COMPOSED]
        assert facts(made) == {"resend_of": rejected.pk}
        assert events(rejected) == [EventKind.COMPOSED, EventKind.RESENT_AS]
        assert facts(rejected) == {"resent_as": made.pk}

    def test_what_is_asked_again_is_composed_into_the_same(self, rejected: Message, person: User) -> None:
        """Sending again what was sent again changes nothing in it, however often."""
        first = resent(rejected, person).message
        Message.objects.filter(pk=first.pk).update(delivery_state=Delivery.FAILED)
        second = whole(resent(whole(first), person, idempotency=key(2)).message)
        assert as_asked(second, second.content, scheduled_at=None) == as_asked(
            rejected, rejected.content, scheduled_at=None
        )

    def test_refused_by_the_door_it_leaves_nothing(self, rejected: Message, person: User) -> None:
        rejected.service_instance.enabled = False
        with pytest.raises(InstanceDisabled):
            resent(rejected, person)
        assert Message.objects.count() == 1
        assert events(rejected) == [EventKind.COMPOSED]
        assert not IdempotencyKey.objects.exists()

    def test_the_citizen_gets_what_the_first_one_said(self, person: User, io: StandIn) -> None:
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        at = datetime.now(UTC) - timedelta(minutes=1)
        first = compose(DATA, instance=instance, by=person, amount_unit=AmountUnit.EURO, at=at).message
        Message.objects.filter(pk=first.pk).update(delivery_state=Delivery.REJECTED)
        resent(whole(first), person, at=at)
        dispatch()
        assert [sent.subject for sent in io.accepted] == [whole(first).content.subject]


class TestKey:
    def test_the_same_request_gives_the_same_message_and_no_other_line(self, rejected: Message, person: User) -> None:
        made, again = resent(rejected, person), resent(rejected, person)
        assert (again.message, again.is_new) == (made.message, False)
        assert events(rejected).count(EventKind.RESENT_AS) == 1

    def test_another_request_with_it_is_refused(self, rejected: Message, person: User) -> None:
        resent(rejected, person)
        with pytest.raises(KeyReused):
            resent(rejected, person, idempotency=key(body_hash="b" * 64))

    def test_counts_before_anything_that_would_stand_in_the_way_now(self, rejected: Message, person: User) -> None:
        made = resent(rejected, person)
        rejected.content.delete()
        assert resent(whole(rejected), person).message == made.message

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_make_one_message(self, rejected: Message, person: User) -> None:
        made = at_once(*[lambda: resent(whole(rejected), person)] * 2)
        assert sorted(each.is_new for each in made) == [False, True]
        assert len({each.message.pk for each in made}) == 1
        assert events(rejected).count(EventKind.RESENT_AS) == 1


class TestTwice:
    """With another key, by whoever does not know that somebody else did so already."""

    @pytest.mark.parametrize(
        "state", [state for state in Delivery if state not in FINAL or state is Delivery.PROCESSED], ids=str
    )
    def test_is_refused_while_the_other_may_arrive_or_did(
        self, rejected: Message, person: User, state: Delivery
    ) -> None:
        other = resent(rejected, person).message
        become(other, state)
        assert refusal(rejected, person) is Obstacle.ALREADY_RESENT
        assert Message.objects.count() == 2

    def test_is_refused_where_the_other_was_taken_as_arrived(self, rejected: Message, person: User) -> None:
        other = resent(rejected, person).message
        Message.objects.filter(pk=other.pk).update(delivery_state=Delivery.FAILED, is_taken_as_arrived=True)
        assert refusal(rejected, person) is Obstacle.ALREADY_RESENT

    @pytest.mark.parametrize("state", sorted(FINAL - {Delivery.PROCESSED}))
    def test_is_done_where_the_other_ended_without_arriving(
        self, rejected: Message, person: User, state: Delivery
    ) -> None:
        become(resent(rejected, person).message, state)
        assert resent(whole(rejected), person, idempotency=key(2)).is_new

    def test_is_done_on_somebodys_word(self, rejected: Message, person: User) -> None:
        resent(rejected, person)
        assert resent(whole(rejected), person, idempotency=key(2), even_if_arrived=True).is_new

    def test_knows_what_was_made_of_what_was_made(self, rejected: Message, person: User) -> None:
        first = resent(rejected, person).message
        become(first, Delivery.FAILED)
        second = resent(whole(first), person, idempotency=key(2)).message
        assert refusal(rejected, person) is Obstacle.ALREADY_RESENT
        assert refusal(first, person) is Obstacle.ALREADY_RESENT
        become(second, Delivery.FAILED)
        assert obstacle_to(whole(rejected)) is None

    def test_knows_that_what_it_was_made_from_arrived_late(self, rejected: Message, person: User) -> None:
        made = resent(rejected, person).message
        become(made, Delivery.FAILED)
        become(rejected, Delivery.PROCESSED)
        assert refusal(made, person) is Obstacle.ALREADY_RESENT

    @pytest.mark.django_db(transaction=True)
    def test_by_two_at_once_is_done_by_one(self, rejected: Message) -> None:
        def ask(number: int) -> Composed | Obstacle:
            try:
                return resent(whole(rejected), User.objects.get(pk=people[number].pk), idempotency=key(number + 1))
            except NotResendable as refused:
                return refused.obstacle

        people = [factories.user() for _ in range(2)]
        got = at_once(lambda: ask(0), lambda: ask(1))
        assert sum(each is Obstacle.ALREADY_RESENT for each in got) == 1
        assert Message.objects.count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_of_a_message_and_its_copy_at_once_is_done_of_one(self, rejected: Message, person: User) -> None:
        copy = resent(rejected, person).message
        become(copy, Delivery.FAILED)

        def ask(row: Message, number: int) -> Composed | Obstacle:
            try:
                return resent(whole(row), person, idempotency=key(number))
            except NotResendable as refused:
                return refused.obstacle

        got = at_once(lambda: ask(rejected, 2), lambda: ask(copy, 3))
        assert sum(each is Obstacle.ALREADY_RESENT for each in got) == 1
        assert Message.objects.count() == 3

    def test_looks_at_the_state_of_now(self, rejected: Message, person: User) -> None:
        """IO's late answer may have come since the message was read."""
        become(rejected, Delivery.PROCESSED)
        with pytest.raises(NotResendable) as refused:
            resent(rejected, person)
        assert refused.value.obstacle is Obstacle.DELIVERED
        assert rejected.delivery is Delivery.PROCESSED


def become(row: Message, state: Delivery) -> None:
    changes: dict[str, Any] = {"delivery_state": state}
    if state is Delivery.SENDING:
        service = row.service_instance.io_service_id
        changes |= {"attempt_id": uuid.uuid4(), "lease_until": LATER, "marked_at": AT, "io_service_id": service}
    Message.objects.filter(pk=row.pk).update(**changes)


def refusal(row: Message, person: User) -> Obstacle:
    with pytest.raises(NotResendable) as refused:
        resent(whole(row), person, idempotency=key(99))
    return refused.value.obstacle


class TestObstacles:
    @pytest.mark.parametrize("state", list(Delivery))
    def test_in_every_state(self, instance: ServiceInstance, state: Delivery) -> None:
        row = whole(factories.message_in(state, instance=instance))
        expected = {Delivery.PROCESSED: Obstacle.DELIVERED, Delivery.UNCERTAIN: Obstacle.UNCERTAIN}
        assert obstacle_to(row) is expected.get(state, None if state in FINAL else Obstacle.NOT_FINAL)

    def test_each_says_what_to_do(self) -> None:
        assert all(str(obstacle.cure) for obstacle in Obstacle)

    def test_taken_as_arrived(self, instance: ServiceInstance) -> None:
        row = factories.message_in(Delivery.SENT, instance=instance, is_taken_as_arrived=True, appio_message_id="")
        assert obstacle_to(whole(row)) is Obstacle.TAKEN_AS_ARRIVED

    @pytest.mark.parametrize("fields", [{"subject": ""}, {"subject": "", "draft_form": {"cie": "x"}}], ids=str)
    def test_without_a_text(self, instance: ServiceInstance, fields: dict[str, Any]) -> None:
        row = whole(factories.message_in(Delivery.CANCELLED, instance=instance, content=fields))
        expected = Obstacle.NEVER_COMPOSED if "draft_form" in fields else Obstacle.CONTENT_DELETED
        assert obstacle_to(row) is expected

    @pytest.mark.parametrize("again", [EventKind.SETTLED_RESEND, EventKind.RESENT_BY_RULE])
    def test_left_once_in_doubt_unless_somebody_takes_it_upon_them(
        self, instance: ServiceInstance, person: User, again: EventKind
    ) -> None:
        row = whole(factories.message_in(Delivery.EXPIRED, instance=instance))
        for kind in (EventKind.OUTCOME_UNKNOWN, again):
            record([row.pk], kind=kind, at=AT)
        assert obstacle_to(row) is Obstacle.MAY_HAVE_ARRIVED
        assert obstacle_to(row, even_if_arrived=True) is None
        with pytest.raises(NotResendable) as refused:
            resent(row, person)
        assert refused.value.obstacle is Obstacle.MAY_HAVE_ARRIVED

    def test_a_doubt_about_what_it_was_made_from_is_one_about_it(self, instance: ServiceInstance, person: User) -> None:
        """Or sending again twice would be a way round somebody's word."""
        payment = {"amount_cents": 6212, "notice_number": "300012548634478225"}
        row = factories.message_in(Delivery.BAD_REQUEST, instance=instance, content=payment, due_date=LATER)
        record([row.pk], kind=EventKind.OUTCOME_UNKNOWN, at=AT)
        last = row
        for number in (1, 2):
            last = resent(whole(last), person, idempotency=key(number), even_if_arrived=True).message
            become(last, Delivery.CANCELLED)
            assert refusal(last, person) is Obstacle.MAY_HAVE_ARRIVED
        assert refusal(row, person) is Obstacle.MAY_HAVE_ARRIVED

    def test_a_doubt_that_io_answered_since_is_none(self, instance: ServiceInstance) -> None:
        row = whole(factories.message_in(Delivery.BAD_REQUEST, instance=instance))
        for kind in (EventKind.OUTCOME_UNKNOWN, EventKind.LATE_ANSWER):
            record([row.pk], kind=kind, at=AT)
        assert obstacle_to(row) is None
