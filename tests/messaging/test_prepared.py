"""A question written once: the same answer as the queryset's own, for every value and on every database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from messaging.models import Message, ServiceInstance
from messaging.prepared import Prepared
from registry.models import Role, User
from registry.permissions import Action
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def open_to_send(*, pk: int, user: int, at: datetime) -> Any:
    return ServiceInstance.objects.open_to(User(pk=user), Action.SEND_MESSAGES, at=at).with_everything().filter(pk=pk)


@pytest.fixture
def instance() -> ServiceInstance:
    return factories.service_instance()


@pytest.fixture
def sender(instance: ServiceInstance) -> User:
    person = factories.user()
    factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(instance.service,))
    return person


class TestAnswer:
    def test_is_the_row_with_all_that_hangs_on_it_and_costs_no_other_query(
        self, instance: ServiceInstance, sender: User
    ) -> None:
        prepared = Prepared(open_to_send)
        prepared.first(pk=instance.pk, user=sender.pk, at=AT)
        with CaptureQueriesContext(connection) as counted:
            found = prepared.first(pk=instance.pk, user=sender.pk, at=AT)
            assert found is not None
            version = found.template.current_version
            assert version is not None
            told = (found.organization.legal_name, found.service.service_name, version.subject, found.enabled)
        assert len(counted) == 1
        expected = instance.template.current_version
        assert expected is not None
        assert told == (instance.organization.legal_name, instance.service.service_name, expected.subject, True)
        assert found.io_service.primary_key.open() == "key-of-the-tests"

    def test_is_as_fresh_as_the_database(self, instance: ServiceInstance, sender: User) -> None:
        prepared = Prepared(open_to_send)
        for enabled in (True, False, True):
            ServiceInstance.objects.update(enabled=enabled)
            found = prepared.first(pk=instance.pk, user=sender.pk, at=AT)
            assert found is not None
            assert found.enabled is enabled

    def test_is_none_where_the_queryset_has_none(self, instance: ServiceInstance, sender: User) -> None:
        prepared = Prepared(open_to_send)
        other = factories.service_instance()
        stranger = factories.user()
        asked: list[tuple[ServiceInstance, User]] = [(instance, sender), (other, sender), (instance, stranger)]
        for where, who in asked:
            expected = open_to_send(pk=where.pk, user=who.pk, at=AT).first()
            assert prepared.first(pk=where.pk, user=who.pk, at=AT) == expected
        assert [prepared.first(pk=where.pk, user=who.pk, at=AT) is None for where, who in asked] == [False, True, True]

    def test_counts_the_instant_to_the_microsecond(self, instance: ServiceInstance) -> None:
        person = factories.user()
        factories.grant(person, Role.SENDER, all_organizations=True, all_services=True, expires_at=AT)
        prepared = Prepared(open_to_send)
        before = AT - timedelta(microseconds=1)
        assert prepared.first(pk=instance.pk, user=person.pk, at=before) == instance
        assert prepared.first(pk=instance.pk, user=person.pk, at=AT) is None

    def test_knows_a_person_who_was_disabled(self, instance: ServiceInstance, sender: User) -> None:
        prepared = Prepared(open_to_send)
        assert prepared.first(pk=instance.pk, user=sender.pk, at=AT) == instance
        User.objects.update(is_active=False)
        assert prepared.first(pk=instance.pk, user=sender.pk, at=AT) is None

    def test_has_what_is_missing_on_the_way_as_none(self) -> None:
        prepared = Prepared(lambda pk: Message.objects.with_everything().filter(pk=pk))
        whole, bare = factories.message(), factories.message()
        bare.content.delete()
        first, second = prepared.first(pk=whole.pk), prepared.first(pk=bare.pk)
        assert first is not None
        assert second is not None
        assert first.content.subject == whole.content.subject
        assert (getattr(second, "content", None), second.consumer) == (None, None)

    def test_has_its_annotations(self, instance: ServiceInstance) -> None:
        from django.db.models import F, Value
        from django.db.models.functions import Concat

        named = Concat(F("organization__legal_name"), Value(" 100%"))
        prepared = Prepared(lambda pk: ServiceInstance.objects.annotate(named=named).filter(pk=pk))
        found: Any = prepared.first(pk=instance.pk)
        assert found.named == f"{instance.organization.legal_name} 100%"


class TestWriting:
    def test_refuses_a_value_that_does_not_reach_the_statement(self) -> None:
        prepared = Prepared(lambda pk, other: ServiceInstance.objects.filter(pk=pk))
        with pytest.raises(TypeError):
            prepared.first(pk=1, other=2)

    def test_happens_once(self, instance: ServiceInstance) -> None:
        written = []

        def build(*, pk: int) -> Any:
            written.append(pk)
            return ServiceInstance.objects.filter(pk=pk)

        prepared = Prepared(build)
        assert [prepared.first(pk=instance.pk), prepared.first(pk=instance.pk)] == [instance, instance]
        assert len(written) == 1


class TestName:
    def test_is_that_of_the_text_alone(self, instance: ServiceInstance) -> None:
        """Behind a pooler one may meet what another process prepared: it must not be another question."""
        one, same = (Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk)) for _ in range(2))
        other = Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk, enabled=True))
        names = [prepared._write({"pk": 1}).name for prepared in (one, same, other)]
        assert names[0] == names[1] != names[2]


@pytest.mark.postgresql
class TestConnection:
    """Behind a pooler a statement may meet a connection that never heard of it."""

    @pytest.fixture
    def _own_connection(self, transactional_db: None) -> Iterator[None]:
        """What happens to this connection is of this test alone."""
        connection.close()
        yield
        connection.close()

    @pytest.mark.usefixtures("_own_connection")
    def test_is_prepared_once(self, instance: ServiceInstance) -> None:
        prepared = Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk, on_doubt="ask"))
        with CaptureQueriesContext(connection) as counted:
            for _ in range(3):
                prepared.first(pk=instance.pk)
        assert [query["sql"].split()[0] for query in counted] == ["PREPARE", "EXECUTE", "EXECUTE", "EXECUTE"]

    @pytest.mark.usefixtures("_own_connection")
    def test_that_forgot_it_gets_the_whole_statement_from_then_on(self, instance: ServiceInstance) -> None:
        prepared = Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk))
        prepared.first(pk=instance.pk)
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        with CaptureQueriesContext(connection) as counted:
            assert [prepared.first(pk=instance.pk), prepared.first(pk=instance.pk)] == [instance, instance]
        assert [query["sql"].split()[0] for query in counted] == ["EXECUTE", "SELECT", "SELECT"]

    @pytest.mark.usefixtures("_own_connection")
    def test_that_forgot_it_fails_no_transaction(self, instance: ServiceInstance) -> None:
        """There one failed statement is the end of all the others."""
        prepared = Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk))
        prepared.first(pk=instance.pk)
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        with transaction.atomic(), CaptureQueriesContext(connection) as counted:
            assert prepared.first(pk=instance.pk) == instance
            assert ServiceInstance.objects.filter(pk=instance.pk).exists()
        assert counted[0]["sql"].startswith("SELECT")

    @pytest.mark.usefixtures("_own_connection")
    def test_that_knows_another_one_of_this_name_gets_the_whole_statement(self, instance: ServiceInstance) -> None:
        prepared = Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk))
        with connection.cursor() as cursor:
            cursor.execute(f"PREPARE {prepared._write({'pk': 1}).name} AS SELECT 1")
        assert [prepared.first(pk=instance.pk), prepared.first(pk=instance.pk)] == [instance, instance]

    @pytest.mark.usefixtures("_own_connection")
    def test_tells_every_other_fault(self, instance: ServiceInstance) -> None:
        prepared = Prepared(lambda pk: ServiceInstance.objects.filter(pk=pk))
        with pytest.raises(DatabaseError):
            prepared.first(pk=2**63)
