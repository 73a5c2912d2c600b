"""Reading on for ever: no message is met twice, and none is missed because another was quicker to be seen."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from messaging.bulk import compose_many
from messaging.composing import compose
from messaging.drafting import save_draft
from messaging.exporting import Batch, read_on
from messaging.models import Message, ServiceInstance
from messaging.storing import rows
from registry.models import User
from tests import factories
from tests.messaging.test_composing import DATA

LONG_AGO = datetime.now(UTC) - timedelta(minutes=3)


@pytest.fixture
def instance(db: None) -> ServiceInstance:
    return factories.service_instance()


def read(*, after: int = 0, limit: int = 100) -> list[int]:
    return [row.pk for row in everything(after=after, limit=limit).rows]


def everything(*, after: int = 0, limit: int = 100) -> Batch:
    return read_on(Message.objects.all(), instances=ServiceInstance.objects.all(), after=after, limit=limit)


@contextmanager
def being_stored(make: Callable[[], Message]) -> Iterator[list[int]]:
    """A message that somebody else has stored and nobody sees yet; seen on leaving."""
    stored, leave = threading.Event(), threading.Event()
    made: list[int] = []

    def store() -> None:
        try:
            with transaction.atomic():
                made.append(make().pk)
                stored.set()
                leave.wait(20)
        finally:
            stored.set()
            connection.close()

    thread = threading.Thread(target=store)
    thread.start()
    assert stored.wait(20)
    try:
        yield made
    finally:
        leave.set()
        thread.join()


def asked_for_long_ago(instance: ServiceInstance, by: User) -> Message:
    whole = ServiceInstance.objects.with_everything().get(pk=instance.pk)
    return compose(DATA, instance=whole, by=by, amount_unit="euro", at=LONG_AGO).message


class TestBatches:
    def test_go_on_after_the_last_id_lowest_first(self, instance: ServiceInstance) -> None:
        stored = [factories.message(instance=instance).pk for _ in range(5)]
        assert read(limit=2) == stored[:2]
        assert read(after=stored[1], limit=2) == stored[2:4]
        assert read(after=stored[3], limit=2) == stored[4:]
        assert read(after=stored[4]) == []

    def test_know_whether_there_is_more(self, instance: ServiceInstance) -> None:
        for _ in range(2):
            factories.message(instance=instance)
        assert [everything(limit=limit).has_more for limit in (1, 2, 3)] == [
            True,
            False,
            False,
        ]

    def test_are_of_several_service_instances_in_one_order(self, instance: ServiceInstance) -> None:
        places = [instance, factories.service_instance(), factories.service_instance()]
        stored = [factories.message(instance=place).pk for place in (*places, *reversed(places))]
        assert read(limit=4) == stored[:4]
        assert read(after=stored[3]) == stored[4:]

    def test_hold_only_what_is_asked_for(self, instance: ServiceInstance) -> None:
        other = factories.service_instance()
        wanted = factories.message(instance=instance, taxcode="VRDLGU75B02F205A")
        factories.message(instance=instance)
        factories.message(instance=other, taxcode="VRDLGU75B02F205A")
        batch = read_on(
            Message.objects.filter(taxcode="VRDLGU75B02F205A"),
            instances=ServiceInstance.objects.filter(pk=instance.pk),
            after=0,
            limit=1,
        )
        assert (batch.rows, batch.has_more) == ([wanted], False)

    def test_nothing_asked_for_is_nothing_found(self, instance: ServiceInstance) -> None:
        factories.message(instance=instance)
        for messages, instances in (
            (Message.objects.none(), ServiceInstance.objects.all()),
            (Message.objects.all(), ServiceInstance.objects.none()),
            (Message.objects.filter(delivery_state__in=[]), ServiceInstance.objects.all()),
        ):
            assert read_on(messages, instances=instances, after=0, limit=5).rows == []

    def test_a_table_without_a_row_ever_is_read_as_empty(self, db: None) -> None:
        assert read() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestWhileOthersStore:
    def test_what_could_be_overtaken_waits(self) -> None:
        instance = factories.service_instance()
        sender = factories.user()
        with being_stored(lambda: factories.message(instance=instance, sender=sender)) as slow:
            quick = factories.message(instance=instance, sender=sender)
            assert slow[0] < quick.pk
            # Given now, `quick` would be the last id that the reader knows, and `slow` would never be met.
            assert read() == []
        assert read() == [*slow, quick.pk]

    def test_a_number_taken_for_a_message_that_is_still_to_be_written_holds_back_too(self) -> None:
        """As many at once take theirs, before they write them all together."""
        instance = factories.service_instance()
        sender = factories.user()

        def late() -> Message:
            [place] = rows().numbers(Message, 1)
            return Message(pk=place.number)

        with being_stored(late):
            quick = factories.message(instance=instance, sender=sender)
            assert read() == []
        assert read() == [quick.pk]

    def test_what_was_asked_for_long_before_it_was_stored_waits_too(self) -> None:
        """Its body came slowly, or a lock was waited for: `at` is old, its id is new."""
        instance = factories.service_instance()
        by = factories.user()
        with being_stored(lambda: factories.message(instance=instance, sender=by)) as slow:
            quick = asked_for_long_ago(instance, by)
            assert slow[0] < quick.pk
            assert read() == []
        assert read() == [*slow, quick.pk]

    def test_many_at_once_and_drafts_that_were_asked_for_long_before_wait_too(self) -> None:
        instance = ServiceInstance.objects.with_everything().get(pk=factories.service_instance().pk)
        by = factories.user()
        with being_stored(lambda: factories.message(instance=instance, sender=by)) as slow:
            item = {**DATA, "idempotency_key": str(uuid.uuid4())}
            [many] = compose_many([item], instance=instance, by=by, amount_unit="euro", at=LONG_AGO)
            draft = save_draft({}, instance=instance, by=by, at=LONG_AGO)
            assert read() == []
        assert read() == [*slow, many.message_id, draft.pk]

    def test_none_is_missed_when_many_were_held_up_by_a_lock(self) -> None:
        instance = factories.service_instance()
        by = factories.user()
        locked, free = threading.Event(), threading.Event()

        def hold_up() -> None:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE messaging_message IN SHARE MODE")
                locked.set()
                free.wait(20)
            connection.close()

        def store(slowly: bool) -> None:
            with transaction.atomic():
                asked_for_long_ago(instance, by)
                time.sleep(0.3 if slowly else 0)
            connection.close()

        writers = [threading.Thread(target=store, args=(bool(number % 2),)) for number in range(6)]
        holder = threading.Thread(target=hold_up)
        holder.start()
        assert locked.wait(20)
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        free.set()
        met: list[int] = []
        while any(writer.is_alive() for writer in writers):
            met += read(after=met[-1] if met else 0)
        holder.join()
        met += read(after=met[-1] if met else 0)
        assert met == list(Message.objects.order_by("pk").values_list("pk", flat=True))
        assert len(met) == len(writers)

    def test_all_waits_while_a_role_stores_whose_transactions_are_hidden(self) -> None:
        """Since when somebody stores is told only to their own role, and to those who watch over the server."""
        instance = factories.service_instance()
        by = factories.user()
        old = factories.message(instance=instance, created_at=LONG_AGO)
        with being_stored(lambda: factories.message(instance=instance, sender=by)) as slow:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE pg_read_all_data")
            try:
                assert read() == []
            finally:
                with connection.cursor() as cursor:
                    cursor.execute("RESET ROLE")
            assert read() == [old.pk]
        assert read() == [old.pk, *slow]

    def test_what_is_older_than_all_that_is_being_stored_does_not_wait(self) -> None:
        instance = factories.service_instance()
        sender = factories.user()
        old = factories.message(instance=instance, created_at=datetime.now(UTC) - timedelta(minutes=3))
        with being_stored(lambda: factories.message(instance=instance, sender=sender)) as slow:
            assert read() == [old.pk]
        assert read() == [old.pk, *slow]

    def test_storing_that_is_given_up_holds_nothing_back(self) -> None:
        instance = factories.service_instance()
        sender = factories.user()

        class GivenUp(Exception):
            pass

        def give_up() -> None:
            with transaction.atomic():
                factories.message(instance=instance, sender=sender)
                raise GivenUp

        with pytest.raises(GivenUp):
            give_up()
        kept = factories.message(instance=instance, sender=sender)
        assert read() == [kept.pk]

    def test_whoever_reads_holds_nobody_back(self) -> None:
        instance = factories.service_instance()
        stored = factories.message(instance=instance)
        reading, leave = threading.Event(), threading.Event()

        def look() -> None:
            with transaction.atomic():
                read()
                reading.set()
                leave.wait(20)
            connection.close()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            assert reading.wait(20)
            assert read() == [stored.pk]
        finally:
            leave.set()
            thread.join()
