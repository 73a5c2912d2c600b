"""Changing when an ente sends: the settings and the line that says who changed them, together."""

import hashlib
import json
from datetime import datetime, time
from typing import Any

from django.db import transaction

from registry.models import ClosureDay, Organization, SendingHoursChange, User
from registry.opening_hours import OpeningHours, next_opening


class NeverOpen(Exception):
    """With these hours nothing would ever leave."""


class HoursOutdated(Exception):
    """Somebody else changed them since they were read: show them again."""


def snapshot(organization: Organization) -> dict[str, Any]:
    """The hours as the record of changes keeps them; costs a query for the closures.

    `{"opens": "08:00:00" or None, "closes": ..., "days": 31, "observes_holidays": true,
    "closures": [{"day": "2026-06-24", "is_yearly": true, "name": "San Giovanni"}]}`, closures in order of day. They are
    listed even where holidays are not observed.
    """
    closures = ClosureDay.objects.filter(organization_id=organization.pk).order_by("day")
    return {
        "opens": _written(organization.sends_from),
        "closes": _written(organization.sends_until),
        "days": organization.sending_days,
        "observes_holidays": organization.observes_holidays,
        "closures": [
            {"day": closure.day.isoformat(), "is_yearly": closure.is_yearly, "name": closure.name}
            for closure in closures
        ],
    }


def reading_of(organization: Organization) -> str:
    """Names what a person is being shown, to be handed back with the change."""
    return hashlib.sha256(json.dumps(snapshot(organization), sort_keys=True).encode()).hexdigest()


def change_hours(
    organization: Organization, hours: OpeningHours, *, by: User, at: datetime, read: str | None = None
) -> bool:
    """Set when this ente sends; returns whether anything changed. Messages in the queue follow at once.

    `read` is the `reading_of` what the person saw. Raises NeverOpen, and HoursOutdated when it is no longer so.
    """
    if next_opening(hours, at) is None:
        raise NeverOpen
    with transaction.atomic():
        locked = Organization.objects.select_for_update().get(pk=organization.pk)
        if read is not None and read != reading_of(locked):
            raise HoursOutdated
        before = snapshot(locked)
        locked.sends_from, locked.sends_until = hours.opens, hours.closes
        locked.sending_days, locked.observes_holidays = hours.days, hours.observes_holidays
        locked.clean()
        locked.save(update_fields=["sends_from", "sends_until", "sending_days", "observes_holidays"])
        ClosureDay.objects.filter(organization=locked).delete()
        ClosureDay.objects.bulk_create(
            ClosureDay(organization=locked, day=closure.day, is_yearly=closure.is_yearly, name=closure.name)
            for closure in hours.closures
        )
        return record_change(locked, before=before, by=by, at=at)


def record_change(organization: Organization, *, before: dict[str, Any], by: User, at: datetime) -> bool:
    """Note what differs from this earlier `snapshot`; nothing where nothing does. In the transaction of the change."""
    after = snapshot(organization)
    if after == before:
        return False
    SendingHoursChange.objects.create(organization=organization, at=at, actor=by, before=before, after=after)
    return True


def _written(moment: time | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
