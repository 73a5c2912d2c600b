"""A message leaves within five seconds of its date when capacity allows, woken by nothing but the tick."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from govio_portal.schedule import SCHEDULE
from messaging import dispatching
from messaging.dispatching import dispatch
from messaging.models import Message
from messaging.states import Delivery
from tests import factories
from tests.messaging.lifecycle import with_a_token_in_hand
from tests.support.io_stand_in import StandIn

pytestmark = pytest.mark.django_db(transaction=True)

ALLOWED = timedelta(seconds=5)


def tick_until_sent(*, within: float) -> None:
    """What beat does: a dispatch every second, until nothing waits."""
    end = time.monotonic() + within
    while Message.objects.exclude(delivery_state=Delivery.SENT).exists():
        assert time.monotonic() < end, list(Message.objects.values_list("delivery_state", "not_before"))
        dispatch()
        time.sleep(float(SCHEDULE["dispatch"]["schedule"]))


def test_a_message_leaves_within_five_seconds_of_its_date_and_never_before(io: StandIn) -> None:
    instance = factories.service_instance()
    dates = [datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (1.5, 2.0, 3.5)]
    rows = [factories.message(instance=instance, scheduled_at=at, not_before=at) for at in dates]
    with_a_token_in_hand(rows[0])
    tick_until_sent(within=20)
    for row, date in zip(rows, dates, strict=True):
        left = Message.objects.get(pk=row.pk).marked_at
        assert left is not None
        assert timedelta() <= left - date <= ALLOWED


def test_so_do_a_hundred_that_come_due_together_at_the_end_of_another_slice(
    io: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their date comes while a worker is busy with others of the same account."""
    monkeypatch.setattr(dispatching, "SLICE_SECONDS", 2.0)
    instance = factories.service_instance()
    for _ in range(50):
        factories.message(instance=instance)
    date = datetime.now(UTC) + timedelta(seconds=2)
    rows = [factories.message(instance=instance, scheduled_at=date, not_before=date) for _ in range(100)]
    with_a_token_in_hand(rows[0])
    tick_until_sent(within=30)
    marked = Message.objects.filter(pk__in=[row.pk for row in rows]).values_list("marked_at", flat=True)
    assert all(at is not None and timedelta() <= at - date <= ALLOWED for at in marked)
