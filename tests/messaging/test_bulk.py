"""Many messages in one transaction: what each item becomes, and that other calls in the way do no harm."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from messaging import bulk
from messaging.bulk import Contended, Outcome, Result, compose_many
from messaging.composing import Idempotency, InstanceDisabled, MayNotSend, TemplateMissing, compose
from messaging.idempotency import canonical_hash
from messaging.models import EventKind, IdempotencyKey, Message, MessageEvent, ServiceInstance
from messaging.states import Delivery, Priority
from registry.models import AmountUnit, User
from tests import factories

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def data(**changes: Any) -> dict[str, Any]:
    return {
        "taxcode": "RSSMRA80A01H501U",
        "payment": {"amount": Decimal("62.12"), "notice_number": "300012548634478225"},
        "due_date": "2026-12-31T22:59:00Z",
        "placeholders": [{"name": "cie", "value": "ca000000aa"}],
        **changes,
    }


def item(number: int, **changes: Any) -> dict[str, Any]:
    return data(idempotency_key=str(uuid.UUID(int=number)), **changes)


@pytest.fixture
def instance(db: None) -> ServiceInstance:
    return ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)


@pytest.fixture
def person(db: None) -> User:
    return factories.user()


def composed(instance: ServiceInstance, person: User, *items: object, **more: Any) -> list[Outcome]:
    return compose_many(items, **{"instance": instance, "by": person, "amount_unit": "euro", "at": AT, **more})


def results(outcomes: list[Outcome]) -> list[Result]:
    return [outcome.result for outcome in outcomes]


class TestComposeMany:
    def test_stores_what_compose_would_but_for_the_priority(self, instance: ServiceInstance, person: User) -> None:
        single = compose(data(), instance=instance, by=person, amount_unit=AmountUnit.EURO, at=AT).message
        (outcome,) = composed(instance, person, item(1))
        assert outcome.message_id is not None
        many = Message.objects.get(pk=outcome.message_id)
        assert (outcome.result, outcome.state) == (Result.CREATED, Delivery.SCHEDULED)
        assert (many.priority, many.not_before, many.expires_at) == (Priority.BULK, AT, single.expires_at)
        assert many.content.markdown == single.content.markdown
        event = many.events.get()
        assert (event.kind, event.at, event.actor, event.data) == (EventKind.COMPOSED, many.created_at, person, {})

    def test_later_ones_wait_for_their_date(self, instance: ServiceInstance, person: User) -> None:
        later = AT + timedelta(days=1)
        composed(instance, person, item(1, scheduled_expedition_date=later.isoformat()), item(2))
        assert sorted(Message.objects.values_list("not_before", "priority")) == [
            (AT, Priority.BULK),
            (later, Priority.BULK),
        ]

    def test_shares_its_keys_with_compose(self, instance: ServiceInstance, person: User) -> None:
        digest = canonical_hash(data(), service_instance_id=instance.pk, amount_unit="euro")
        key = Idempotency(uuid.UUID(int=1), digest)
        first = compose(data(), instance=instance, by=person, amount_unit="euro", at=AT, idempotency=key).message
        outcomes = composed(instance, person, item(1), item(2), item(1))
        assert results(outcomes) == [Result.REPLAYED, Result.CREATED, Result.INVALID]
        assert outcomes[0].message_id == first.pk
        assert composed(instance, person, item(2, email="x@example.it"))[0].result == Result.CONFLICT

    def test_whoever_may_not_send_any_more_is_told_what_was_accepted_and_nothing_else(
        self, instance: ServiceInstance, person: User
    ) -> None:
        [first] = composed(instance, person, item(1))
        outcomes = composed(instance, person, item(1), item(2), may_send=False)
        assert results(outcomes) == [Result.REPLAYED, Result.INVALID]
        assert outcomes[0].message_id == first.message_id
        assert [error.code for error in outcomes[1].errors] == ["permission_denied"]
        for others in ([item(2)], [item(1, email="x@example.it")]):
            with pytest.raises(MayNotSend):
                composed(instance, person, *others, may_send=False)
        assert Message.objects.count() == 1

    def test_tells_errors_as_they_stand_in_the_item(self, instance: ServiceInstance, person: User) -> None:
        (outcome,) = composed(instance, person, item(1, taxcode="X"))
        assert [error.pointer for error in outcome.errors] == ["/taxcode"]

    def test_of_nothing_new_writes_nothing_and_tells_no_worker(
        self, instance: ServiceInstance, person: User, django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks() as told:
            composed(instance, person, item(1))
        assert len(told) == 1
        with django_capture_on_commit_callbacks() as told:
            composed(instance, person, item(1), item(2, taxcode="X"))
        assert not told
        assert MessageEvent.objects.count() == 1

    def test_refuses_all_where_nothing_can_be_composed(self, instance: ServiceInstance, person: User) -> None:
        version, instance.template.current_version = instance.template.current_version, None
        with pytest.raises(TemplateMissing):
            composed(instance, person, item(1))
        instance.enabled = False
        with pytest.raises(InstanceDisabled):
            composed(instance, person, item(1))
        instance.template.current_version = version
        with pytest.raises(InstanceDisabled):
            composed(instance, person, item(1))
        assert not IdempotencyKey.objects.exists()

    def test_stores_all_or_nothing(
        self, instance: ServiceInstance, person: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise RuntimeError

        monkeypatch.setattr(bulk, "nudge_on_commit", fail)
        with pytest.raises(RuntimeError):
            composed(instance, person, item(1), item(2))
        for model in (Message, IdempotencyKey, MessageEvent):
            assert not model.objects.exists()


class Other:
    """Somebody else's session, on a connection of its own."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_stop = threading.Event()

    def wait_until_waited_for(self) -> bool:
        """False where it may stop, and nobody ever waited."""
        with connection.cursor() as cursor:
            while not self.may_stop.wait(0.01):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
                )
                if cursor.fetchone()[0]:
                    return True
        return False


@contextmanager
def other_session(work: Callable[[Other], None]) -> Iterator[None]:
    """Goes on once `work` has begun, and lets it stop afterwards."""
    other = Other()

    def run() -> None:
        try:
            work(other)
        finally:
            other.has_begun.set()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert other.has_begun.wait(30)
    try:
        yield
    finally:
        other.may_stop.set()
        thread.join(90)
    assert not thread.is_alive()


def key(instance: ServiceInstance, person: User, number: int) -> IdempotencyKey:
    """Another call's row with this key, not stored yet; its message is, in the transaction under way."""
    return IdempotencyKey(
        user=person,
        key=uuid.UUID(int=number),
        body_hash="0" * 64,
        service_instance=instance,
        message=factories.message(instance=instance, sender=person),
        created_at=AT,
    )


def be_patient(*, milliseconds: int) -> None:
    """Whose wait lasts longer than its `deadlock_timeout` looks for a deadlock, and is the one to give way."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET deadlock_timeout = '{milliseconds}ms'")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestDeadlock:
    """Only whoever takes keys in another order than ours can cause one, so the tests play somebody who does."""

    @pytest.fixture(autouse=True)
    def _quick_to_give_way(self, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        # However busy the machine is, whoever was let through goes first.
        monkeypatch.setattr(bulk, "PAUSE_SECONDS", 1.0)
        # PostgreSQL looks once in a wait: by then the other session must wait too, however busy the machine is.
        be_patient(milliseconds=2_000)
        yield
        with connection.cursor() as cursor:
            cursor.execute("RESET deadlock_timeout")
            cursor.execute("RESET lock_timeout")

    def crossing(self, instance: ServiceInstance, person: User, *, first: int, then: int) -> Callable[[Other], None]:
        """Takes one key, and the other once somebody waits for the first."""

        def work(other: Other) -> None:
            be_patient(milliseconds=60_000)
            with transaction.atomic():
                mine, wanted = key(instance, person, first), key(instance, person, then)
                mine.save()
                other.has_begun.set()
                if other.wait_until_waited_for():
                    wanted.save()

        return work

    def test_is_tried_again_and_then_answered(self, instance: ServiceInstance, person: User) -> None:
        with other_session(self.crossing(instance, person, first=2, then=1)):
            outcomes = composed(instance, person, item(3), item(2), item(1))
        # The other call has the two keys, with a request of its own.
        assert results(outcomes) == [Result.CREATED, Result.CONFLICT, Result.CONFLICT]
        assert Message.objects.count() == IdempotencyKey.objects.count() == 3

    def test_twice_in_a_row_is_told_and_stores_nothing(self, instance: ServiceInstance, person: User) -> None:
        with (
            other_session(self.crossing(instance, person, first=2, then=1)),
            other_session(self.crossing(instance, person, first=4, then=3)),
            pytest.raises(Contended),
        ):
            composed(instance, person, *map(item, (1, 2, 3, 4, 5)))
        assert not IdempotencyKey.objects.filter(key=uuid.UUID(int=5)).exists()
        assert not Message.objects.filter(priority=Priority.BULK).exists()

    def test_is_no_name_for_other_trouble(self, instance: ServiceInstance, person: User) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")

        def work(other: Other) -> None:
            with transaction.atomic():
                key(instance, person, 1).save()
                other.has_begun.set()
                other.may_stop.wait(30)

        with other_session(work), pytest.raises(OperationalError):
            composed(instance, person, item(1))

    def test_of_a_call_that_gives_up_its_key_is_no_conflict(self, instance: ServiceInstance, person: User) -> None:
        def work(other: Other) -> None:
            with transaction.atomic():
                key(instance, person, 1).save()
                other.has_begun.set()
                other.wait_until_waited_for()
                transaction.set_rollback(True)

        with other_session(work):
            assert results(composed(instance, person, item(1))) == [Result.CREATED]
