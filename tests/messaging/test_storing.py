"""New messages, one or many at once: whatever the database, the same is stored."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from messaging import storing
from messaging.models import EventKind, IdempotencyKey, Message, MessageContent, MessageEvent, ServiceInstance
from messaging.states import Delivery, Priority
from registry.models import Consumer, User
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC)
# What the text formats of databases give a meaning to.
HARD = ["", "\\N", "\\.", "a\tb\nc\rd", "\\t", '"quoted", {NULL}', "'; DROP TABLE x; --", "è 李 😀", "%s %(x)s", " "]


@pytest.fixture
def instance() -> ServiceInstance:
    return factories.service_instance()


@pytest.fixture
def person() -> User:
    return factories.user()


@pytest.fixture
def consumer(person: User) -> Consumer:
    return factories.consumer(user=person)


def message(instance: ServiceInstance, person: User, **columns: Any) -> Message:
    return Message(
        **{
            "service_instance": instance,
            "sender": person,
            "io_account_id": instance.io_service.io_account_id,
            "taxcode": "RSSMRA80A01H501U",
            "delivery_state": Delivery.SCHEDULED,
            "created_at": AT,
            "updated_at": AT,
            "scheduled_at": AT,
            "not_before": AT,
            **columns,
        }
    )


def stored(rows: list[Message]) -> list[Message]:
    """Inserted, with ids."""
    for row, place in zip(rows, storing.rows().numbers(Message, len(rows)), strict=True):
        row.pk = place.number
    storing.rows().insert(rows)
    return rows


def the_databases_instant() -> datetime:
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [instant] = cursor.fetchone()
    assert isinstance(instant, datetime)
    return instant


def columns(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


class TestNumbers:
    def test_rise_and_are_given_once(self, instance: ServiceInstance, person: User) -> None:
        before = factories.message(instance=instance).pk
        with transaction.atomic():
            first = [row.pk for row in stored([message(instance, person) for _ in range(5)])]
            second = [row.pk for row in stored([message(instance, person) for _ in range(3)])]
        after = factories.message(instance=instance).pk
        given = [before, *first, *second, after]
        assert given == sorted(set(given))

    def test_of_deleted_rows_are_not_given_again(self, instance: ServiceInstance, person: User) -> None:
        gone = stored([message(instance, person)])[0].pk
        Message.objects.all().delete()
        assert stored([message(instance, person)])[0].pk > gone

    @pytest.mark.django_db(transaction=True)
    def test_come_with_the_instant_at_which_they_are_given(self) -> None:
        """And not that at which the transaction began, which may have waited since."""
        with transaction.atomic():
            factories.message()
            between = the_databases_instant()
            [place] = storing.rows().numbers(Message, 1)
        assert between < place.at <= the_databases_instant()


class TestInsert:
    def test_stores_every_column_as_the_orm_would(
        self, instance: ServiceInstance, person: User, consumer: Consumer
    ) -> None:
        options: dict[str, Any] = {
            "consumer": consumer,
            "due_date": AT + timedelta(days=1),
            "expires_at": AT + timedelta(microseconds=1),
            "priority": Priority.BULK,
            "status_detail": HARD[3],
            "attempt_id": uuid.UUID(int=7),
            "io_service": instance.io_service,
            "is_taken_as_arrived": True,
            "retries": 3,
        }
        plain, full = stored([message(instance, person), message(instance, person, **options)])
        for row, more in ((plain, {}), (full, options)):
            single = message(instance, person, **more)
            single.save()
            expected = columns(Message.objects.get(pk=single.pk)) | {"id": row.pk}
            assert columns(Message.objects.get(pk=row.pk)) == expected

    def test_keeps_text_and_json_exactly(self, instance: ServiceInstance, person: User) -> None:
        rows = stored([message(instance, person, status_detail=text) for text in HARD])
        version = instance.template.current_version
        storing.rows().insert(
            [
                MessageContent(message_id=row.pk, version=version, markdown=text, values={"a": text}, warnings=[text])
                for row, text in zip(rows, HARD, strict=True)
            ]
        )
        for row, text in zip(rows, HARD, strict=True):
            read = Message.objects.select_related("content").get(pk=row.pk)
            content = read.content
            assert [read.status_detail, content.markdown, content.values, content.warnings] == [
                text,
                text,
                {"a": text},
                [text],
            ]
            # Null, and not the JSON word null.
            assert MessageContent.objects.filter(pk=row.pk, draft_form__isnull=True).exists()

    def test_lets_the_database_number_what_has_no_id(self, instance: ServiceInstance, person: User) -> None:
        row = factories.message(instance=instance)
        events = [MessageEvent(message=row, at=AT, kind=kind) for kind in (EventKind.COMPOSED, EventKind.SCHEDULED)]
        storing.rows().insert(events)
        kept = row.events.order_by("id")
        assert [event.kind for event in kept] == [EventKind.COMPOSED, EventKind.SCHEDULED]

    def test_holds_to_the_constraints(self, instance: ServiceInstance, person: User) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            stored([message(instance, person), message(instance, person, delivery_state="nonsense")])
        assert not Message.objects.exists()


class TestClaim:
    def key(self, number: int, of: Message, *, by: User | None = None, consumer: Consumer | None = None) -> Any:
        return IdempotencyKey(
            key=uuid.UUID(int=number),
            message=of,
            user=by,
            consumer=consumer,
            body_hash="a" * 64,
            service_instance_id=of.service_instance_id,
            created_at=AT,
        )

    def test_stores_what_is_free_and_tells_which(self, instance: ServiceInstance, person: User) -> None:
        rows = [factories.message(instance=instance) for _ in range(4)]
        with transaction.atomic():
            assert storing.rows().claim([self.key(2, rows[0], by=person)]) == {rows[0].pk}
            more = [self.key(number, row, by=person) for number, row in zip((1, 2, 3), rows[1:], strict=True)]
            assert storing.rows().claim(more) == {rows[1].pk, rows[3].pk}
        assert dict(IdempotencyKey.objects.values_list("key", "message_id")) == {
            uuid.UUID(int=1): rows[1].pk,
            uuid.UUID(int=2): rows[0].pk,
            uuid.UUID(int=3): rows[3].pk,
        }
        kept = IdempotencyKey.objects.get(message=rows[1])
        assert (kept.user, kept.consumer, kept.body_hash, kept.created_at) == (person, None, "a" * 64, AT)

    def test_is_free_to_every_principal_once(self, instance: ServiceInstance, person: User, consumer: Consumer) -> None:
        rows = [factories.message(instance=instance) for _ in range(3)]
        other = factories.consumer(user=person)
        with transaction.atomic():
            mine, theirs, others = rows
            assert storing.rows().claim([self.key(1, mine, by=person)]) == {mine.pk}
            assert storing.rows().claim([self.key(1, theirs, consumer=consumer)]) == {theirs.pk}
            assert storing.rows().claim([self.key(1, others, consumer=other)]) == {others.pk}
            again = [self.key(1, factories.message(instance=instance), consumer=consumer)]
            assert not storing.rows().claim(again)
        assert IdempotencyKey.objects.count() == 3

    @pytest.mark.django_db(transaction=True)
    def test_lets_no_other_clash_pass_for_a_taken_key(self, instance: ServiceInstance, person: User) -> None:
        """As where the numbering of the rows was set back by a restored copy."""
        first, second = (factories.message(instance=instance) for _ in range(2))
        storing.rows().claim([self.key(1, first, by=person)])
        clashing = self.key(2, second, by=person)
        clashing.pk = IdempotencyKey.objects.get().pk
        with pytest.raises(IntegrityError):
            storing.rows().claim([clashing])


class TestAdd:
    """One message with all that belongs to it."""

    def whole(
        self, instance: ServiceInstance, person: User, *, number: int = 1, has_key: bool = True, **columns: Any
    ) -> storing.Whole:
        row = message(instance, person, **columns)
        return storing.Whole(
            message=row,
            content=MessageContent(
                version=instance.template.current_version,
                subject=HARD[5],
                markdown="".join(HARD),
                values={"a": HARD[5]},
                warnings=[{"code": HARD[8]}],
            ),
            event=MessageEvent(at=AT, kind=EventKind.COMPOSED, state=row.delivery_state, actor=person, data={"a": 1}),
            key=IdempotencyKey(
                key=uuid.UUID(int=number),
                user=person,
                body_hash="a" * 64,
                service_instance_id=instance.pk,
                created_at=AT,
            )
            if has_key
            else None,
        )

    def test_stores_every_column_as_the_orm_would(self, instance: ServiceInstance, person: User) -> None:
        options: dict[str, Any] = {"due_date": AT + timedelta(microseconds=1), "status_detail": HARD[8], "retries": 3}
        new = self.whole(instance, person, **options)
        assert storing.rows().add(new)
        single = message(instance, person, **options)
        single.save()
        kept = Message.objects.select_related("content").get(pk=new.message.pk)
        stored_at = {"created_at": kept.created_at, "updated_at": kept.created_at}
        assert columns(kept) == columns(Message.objects.get(pk=single.pk)) | {"id": kept.pk, **stored_at}
        text = kept.content
        assert (text.subject, text.markdown, text.values) == (HARD[5], "".join(HARD), {"a": HARD[5]})
        assert text.warnings == [{"code": HARD[8]}]
        # Null, and not the JSON word null.
        assert MessageContent.objects.filter(pk=kept.pk, draft_form__isnull=True).exists()
        event = kept.events.get()
        assert (event.at, event.kind, event.state, event.actor, event.data) == (
            kept.created_at,
            EventKind.COMPOSED,
            Delivery.SCHEDULED,
            person,
            {"a": 1},
        )
        key = IdempotencyKey.objects.get()
        assert (key.message, key.user, key.consumer, key.body_hash) == (kept, person, None, "a" * 64)
        assert key.created_at == kept.created_at

    def test_gives_the_rows_what_they_lacked(self, instance: ServiceInstance, person: User) -> None:
        new = self.whole(instance, person)
        storing.rows().add(new)
        assert new.message.pk == new.content.pk == new.event.message_id
        assert new.message.content is new.content
        kept = Message.objects.get()
        assert (new.message.created_at, new.message.updated_at) == (kept.created_at, kept.updated_at)

    @pytest.mark.parametrize("has_key", [True, False])
    @pytest.mark.django_db(transaction=True)
    def test_says_when_it_was_stored_whatever_was_waited_for_before(
        self, instance: ServiceInstance, person: User, *, has_key: bool
    ) -> None:
        """The rows came with an instant of long ago: that of the request, before its body was read."""
        with transaction.atomic():
            factories.message(instance=instance)
            between = the_databases_instant()
            assert storing.rows().add(self.whole(instance, person, has_key=has_key))
        assert between < Message.objects.latest("pk").created_at <= the_databases_instant()

    def test_needs_no_key(self, instance: ServiceInstance, person: User) -> None:
        assert [storing.rows().add(self.whole(instance, person, has_key=False)) for _ in range(2)] == [True, True]
        assert (Message.objects.count(), IdempotencyKey.objects.count()) == (2, 0)

    def test_stores_nothing_where_the_key_is_taken(self, instance: ServiceInstance, person: User) -> None:
        assert storing.rows().add(self.whole(instance, person))
        assert not storing.rows().add(self.whole(instance, person))
        assert storing.rows().add(self.whole(instance, person, number=2))
        counts = [model.objects.count() for model in (Message, MessageContent, MessageEvent, IdempotencyKey)]
        assert counts == [2, 2, 2, 2]

    @pytest.mark.django_db(transaction=True)
    def test_holds_to_the_constraints_and_stores_nothing_of_it(self, instance: ServiceInstance, person: User) -> None:
        for wrong in ({"delivery_state": "nonsense"}, {"io_account_id": 2**40}):
            with pytest.raises(IntegrityError):
                storing.rows().add(self.whole(instance, person, **wrong))
        assert not Message.objects.exists()
        assert not IdempotencyKey.objects.exists()

    @pytest.mark.postgresql
    @pytest.mark.django_db(transaction=True)
    def test_lets_no_other_clash_pass_for_a_taken_key(self, instance: ServiceInstance, person: User) -> None:
        """Taken for one, the request would be a repetition of a message that is not there."""
        assert storing.rows().add(self.whole(instance, person))
        with connection.cursor() as cursor:
            # As after a copy was restored without its sequences.
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)",
                [IdempotencyKey._meta.db_table, IdempotencyKey.objects.get().pk],
            )
        with pytest.raises(IntegrityError):
            storing.rows().add(self.whole(instance, person, number=2))
        assert Message.objects.count() == 1

    @pytest.mark.postgresql
    def test_is_one_statement(self, instance: ServiceInstance, person: User) -> None:
        new = self.whole(instance, person)
        with CaptureQueriesContext(connection) as counted:
            storing.rows().add(new)
        assert len(counted) == 1
