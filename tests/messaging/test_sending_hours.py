"""Which enti are closed, in one query; and what composing says of a due date that passes before the next opening."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from messaging.composing import check, compose
from messaging.dispatching import dispatch
from messaging.models import Message
from messaging.sending_hours import closed_organizations, next_opening
from messaging.states import Delivery
from registry.models import ClosureDay, Organization
from registry.opening_hours import EVERY_DAY, ROME, is_open
from tests import factories
from tests.messaging.lifecycle import events, fresh, with_a_token_in_hand
from tests.messaging.test_composing import DATA
from tests.support.io_stand_in import StandIn

pytestmark = pytest.mark.django_db

# A Saturday, 10:00 in Rome.
AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
CODE = factories.messages.CODES[1]
OFFICE = {"sends_from": time(8), "sends_until": time(18), "sending_days": 0b0011111}


def warnings_of(data: dict[str, Any], *, of: Organization, at: datetime = AT) -> list[str]:
    instance = factories.service_instance(organization=of)
    verdict = check({**DATA, **data}, instance=instance, amount_unit="euro", at=at)
    assert verdict.message is not None, verdict.errors
    return [finding.code for finding in verdict.warnings]


class TestClosedOrganizations:
    def test_are_those_outside_their_hours(self) -> None:
        factories.organization()
        weekend = factories.organization(sending_days=0b1100000)
        office = factories.organization(**OFFICE)
        assert closed_organizations(AT) == {office.pk}
        assert closed_organizations(MONDAY) == {weekend.pk}

    def test_are_those_that_observe_a_holiday_or_a_closure_of_their_own(self) -> None:
        factories.organization()
        observing = factories.organization(observes_holidays=True)
        patron = factories.organization(observes_holidays=True)
        heedless = factories.organization()
        for ente in (patron, heedless):
            ClosureDay.objects.create(organization=ente, day=date(2020, 6, 24), is_yearly=True, name="San Giovanni")
        ClosureDay.objects.create(organization=observing, day=date(2025, 6, 24), name="Solo nel 2025")
        christmas, patrons_day = (datetime(2026, month, day, 9, tzinfo=UTC) for month, day in ((12, 25), (6, 24)))
        assert closed_organizations(christmas) == {observing.pk, patron.pk}
        assert closed_organizations(patrons_day) == {patron.pk}

    def test_the_day_is_that_of_rome(self) -> None:
        ente = factories.organization(observes_holidays=True)
        ClosureDay.objects.create(organization=ente, day=date(2026, 11, 24), name="Ponte")
        midnight = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
        assert closed_organizations(midnight - timedelta(seconds=1)) == set()
        assert closed_organizations(midnight) == {ente.pk}

    def test_cost_one_query_however_many(self, django_assert_num_queries: Any) -> None:
        for number in range(5):
            ente = factories.organization(observes_holidays=True)
            ClosureDay.objects.create(organization=ente, day=AT.date() + timedelta(days=number), name="Ponte")
        with django_assert_num_queries(1):
            assert len(closed_organizations(AT)) == 1

    def test_say_the_same_as_the_hours_of_each(self) -> None:
        entities = [
            factories.organization(**OFFICE, observes_holidays=True),
            factories.organization(sending_days=0b1111110),
            factories.organization(observes_holidays=True),
        ]
        ClosureDay.objects.create(organization=entities[2], day=date(2026, 12, 7), is_yearly=True, name="Patrono")
        for hours in range(0, 24 * 40, 5):
            at = AT + timedelta(hours=hours)
            assert closed_organizations(at) == {ente.pk for ente in entities if not is_open(ente.opening_hours(), at)}


class TestNextOpening:
    def test_is_when_the_ente_may_send_again(self) -> None:
        assert next_opening(factories.organization(**OFFICE), AT) == MONDAY

    def test_is_now_for_one_without_hours(self) -> None:
        assert next_opening(factories.organization(), AT) == AT


class TestDispatch:
    """By this machine's clock: the ente sends only on the day after tomorrow."""

    @pytest.fixture
    def closed(self) -> Organization:
        later = datetime.now(ROME) + timedelta(days=2)
        return factories.organization(sending_days=1 << later.weekday())

    def test_what_belongs_to_a_closed_ente_waits_as_it_is_and_the_others_leave(
        self, closed: Organization, io: StandIn
    ) -> None:
        account = factories.io_account()
        rows = [
            factories.message(
                instance=factories.service_instance(
                    organization=ente, io_service=factories.io_service(of=ente, io_account=account)
                ),
                taxcode=code,
            )
            for ente, code in ((closed, factories.messages.CODES[0]), (factories.organization(), CODE))
        ]
        with_a_token_in_hand(rows[0])
        dispatch()
        assert [taken.fiscal_code for taken in io.accepted] == [CODE]
        waiting = fresh(rows[0])
        assert (waiting.delivery_state, waiting.not_before) == (Delivery.SCHEDULED, rows[0].not_before)
        assert events(rows[0]) == []

    def test_hours_that_change_apply_at_once_to_what_is_waiting(self, closed: Organization, io: StandIn) -> None:
        row = factories.message(instance=factories.service_instance(organization=closed))
        with_a_token_in_hand(row)
        assert dispatch() == 0
        Organization.objects.update(sending_days=EVERY_DAY)
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        assert len(io.accepted) == 1


class TestComposing:
    def test_warns_of_a_due_date_that_passes_before_the_ente_sends_again(self) -> None:
        assert "due_date_before_opening" in warnings_of(
            {"due_date": "2026-11-23T08:00:00+01:00"}, of=factories.organization(**OFFICE)
        )

    def test_does_not_of_one_that_comes_after(self) -> None:
        office = factories.organization(**OFFICE)
        assert "due_date_before_opening" not in warnings_of({"due_date": "2026-11-23T08:00:01+01:00"}, of=office)

    def test_does_not_where_the_ente_is_open(self) -> None:
        office = factories.organization(**OFFICE)
        assert "due_date_before_opening" not in warnings_of(
            {"due_date": "2026-11-23T12:00:00+01:00"}, of=office, at=MONDAY
        )

    def test_looks_at_the_date_asked_for_and_not_at_now(self) -> None:
        data = {"scheduled_expedition_date": "2026-11-27T19:00:00+01:00", "due_date": "2026-11-29T12:00:00+01:00"}
        assert "due_date_before_opening" in warnings_of(data, of=factories.organization(**OFFICE), at=MONDAY)

    def test_says_one_thing_of_a_due_date_that_is_wrong_already(self) -> None:
        office = factories.organization(**OFFICE)
        past = warnings_of({"due_date": "2026-11-20T12:00:00+01:00"}, of=office)
        before = warnings_of(
            {"scheduled_expedition_date": "2026-11-28T12:00:00+01:00", "due_date": "2026-11-22T12:00:00+01:00"},
            of=office,
        )
        assert "due_date_before_opening" not in [*past, *before]

    def test_keeps_the_date_that_was_asked_for(self) -> None:
        """Waiting for the opening rewrites nothing: hours that change meanwhile apply at once."""
        instance = factories.service_instance(organization=factories.organization(**OFFICE))
        composed = compose(DATA, instance=instance, by=factories.user(), amount_unit="euro", at=AT)
        row = Message.objects.get(pk=composed.message.pk)
        assert (row.scheduled_at, row.not_before, row.delivery_state) == (AT, AT, Delivery.SCHEDULED)
