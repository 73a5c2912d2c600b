"""Which enti may not send now, and when each may again. Messages that wait for it are neither moved nor rewritten."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime

from django.db.models import Exists, OuterRef

from registry.models import ClosureDay, Organization
from registry.opening_hours import ROME, Closure, OpeningHours, is_open
from registry.opening_hours import next_opening as opening_of

__all__ = ["ClosedNow", "closed_organizations", "next_opening"]

# Sending hours change by the minute.
_GOOD_FOR_SECONDS = 5.0


def closed_organizations(at: datetime) -> frozenset[int]:
    """The ids of the enti that may not send at this instant. One query, over those alone that have sending hours."""
    today = at.astimezone(ROME).date()
    own = ClosureDay.objects.falling_on(today).filter(organization=OuterRef("pk"))
    rows = Organization.objects.with_sending_hours().annotate(is_closed_today=Exists(own)).order_by()
    return frozenset(
        pk
        for pk, opens, closes, days, observes_holidays, is_closed_today in rows.values_list(
            "pk", "sends_from", "sends_until", "sending_days", "observes_holidays", "is_closed_today"
        )
        if not is_open(
            _with_today(
                OpeningHours(opens=opens, closes=closes, days=days, observes_holidays=observes_holidays),
                today=today,
                is_closed=is_closed_today,
            ),
            at,
        )
    )


class ClosedNow:
    """The enti that may not send now, asked again every few seconds: what a slice looks at many times a second."""

    def __init__(self) -> None:
        self._known: frozenset[int] = frozenset()
        self._until = 0.0

    def __call__(self) -> frozenset[int]:
        if time.monotonic() >= self._until:
            self._known = closed_organizations(datetime.now(UTC))
            self._until = time.monotonic() + _GOOD_FOR_SECONDS
        return self._known


def _with_today(hours: OpeningHours, *, today: date, is_closed: bool) -> OpeningHours:
    return replace(hours, closures=(Closure(today, is_yearly=False, name=""),)) if is_closed else hours


def next_opening(organization: Organization, at: datetime) -> datetime | None:
    """The first instant from `at` on at which it may send: `at` itself where it is open; None for not within two years.

    Costs a query where it observes holidays, unless its `closure_days` are prefetched.
    """
    return opening_of(organization.opening_hours(), at)
