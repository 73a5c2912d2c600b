"""An integrator's key: shown once, stored as a digest, live only while everybody concerned is."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from registry.models import AmountUnit, Consumer, ConsumerKey, Scope
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def consumer() -> Consumer:
    return factories.consumer(user=factories.user())


def is_live(key: ConsumerKey) -> bool:
    return ConsumerKey.objects.live(AT).filter(pk=key.pk).exists()


class TestIssue:
    def test_the_key_is_not_stored_only_its_digest_and_its_beginning(self, consumer: Consumer) -> None:
        row, clear = ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND])
        stored = " ".join(str(value) for value in ConsumerKey.objects.filter(pk=row.pk).values_list()[0])
        assert clear not in stored
        assert row.digest == hashlib.sha256(clear.encode()).hexdigest()
        assert clear.startswith(row.prefix)
        assert len(row.prefix) == 12

    def test_a_key_is_long_recognisable_and_always_another(self, consumer: Consumer) -> None:
        keys = {ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_READ])[1] for _ in range(5)}
        assert len(keys) == 5
        assert all(key.startswith("giop_") and len(key) >= 48 for key in keys)

    def test_it_is_shown_by_its_beginning(self, consumer: Consumer) -> None:
        row, clear = ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_READ])
        assert str(row) == f"{clear[:12]}…"

    @pytest.mark.parametrize("scopes", [[], ["messages:everything"], "messages:send", None, [Scope.MESSAGES_SEND, "x"]])
    def test_refuses_scopes_that_do_not_exist_or_none_at_all(self, scopes: list[str], consumer: Consumer) -> None:
        with pytest.raises(ValidationError):
            ConsumerKey.issue(consumer, scopes=scopes)
        assert not ConsumerKey.objects.exists()

    def test_the_same_key_is_not_issued_twice(self, consumer: Consumer) -> None:
        ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND], key="giop_the-same")
        with pytest.raises(IntegrityError), transaction.atomic():
            ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND], key="giop_the-same")


class TestLive:
    def test_a_key_without_dates_is(self, consumer: Consumer) -> None:
        assert is_live(ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND])[0])

    @pytest.mark.parametrize("field", ["expires_at", "revoked_at"])
    @pytest.mark.parametrize(("moment", "live"), [(AT + SECOND, True), (AT, False), (AT - SECOND, False)])
    def test_until_it_expires_or_is_revoked(self, field: str, moment: datetime, live: bool, consumer: Consumer) -> None:
        key, _clear = ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND])
        ConsumerKey.objects.filter(pk=key.pk).update(**{field: moment})
        assert is_live(key) == live

    def test_not_when_its_consumer_is_switched_off(self, consumer: Consumer) -> None:
        key, _clear = ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND])
        Consumer.objects.update(is_active=False)
        assert not is_live(key)

    def test_not_when_the_person_it_acts_for_is_disabled(self, consumer: Consumer) -> None:
        key, _clear = ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND])
        type(consumer.user).objects.update(is_active=False)
        assert not is_live(key)

    def test_one_key_revoked_leaves_the_other(self, consumer: Consumer) -> None:
        revoked, other = (ConsumerKey.issue(consumer, scopes=[Scope.MESSAGES_SEND])[0] for _ in range(2))
        ConsumerKey.objects.filter(pk=revoked.pk).update(revoked_at=AT - SECOND)
        assert (is_live(revoked), is_live(other)) == (False, True)


class TestAmountUnit:
    @pytest.mark.parametrize("unit", AmountUnit)
    def test_is_euro_or_cents(self, unit: AmountUnit) -> None:
        assert factories.consumer(user=factories.user(), amount_unit=unit).amount_unit == unit

    @pytest.mark.parametrize("unit", ["", "eur", "EURO"])
    def test_has_no_default_and_nothing_else(self, unit: str) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Consumer.objects.create(name="Senza unità", user=factories.user(), amount_unit=unit)
