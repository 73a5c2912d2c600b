"""Instants and Italian wall-clock time. Everything a citizen reads is in Europe/Rome, everything stored is in UTC."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

ROME: Final = ZoneInfo("Europe/Rome")

# ISO 8601 as RFC 3339 narrows it; seconds may be left out. Python's own reader takes much more (weeks, any separator).
_DATE: Final = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_DATE_ONLY: Final = re.compile(_DATE)
_MOMENT: Final = re.compile(
    _DATE + r"T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?(Z|([+-])([0-9]{2}):?([0-9]{2}))?",
    re.IGNORECASE | re.ASCII,
)


class TimeFault(StrEnum):
    """Why a text is not an instant."""

    UNREADABLE = "datetime_invalid"
    NO_OFFSET = "datetime_without_offset"
    # Spring night: the clock jumps from 2 to 3, so the time was never on any wall.
    NONEXISTENT = "local_time_nonexistent"
    # Autumn night: the hour from 2 to 3 happens twice, so the time means two instants.
    AMBIGUOUS = "local_time_ambiguous"
    # Real, but Python's calendar (years 1 to 9999) cannot express it in both UTC and Rome.
    OUT_OF_RANGE = "datetime_out_of_range"

    @property
    def cure(self) -> str:
        match self:
            case TimeFault.UNREADABLE:
                return _("Non è una data e ora ISO 8601: scrivila come 2026-12-31T23:59:00+01:00.")
            case TimeFault.NO_OFFSET:
                return _("Manca lo scostamento dall'ora UTC: aggiungi Z oppure +01:00 (+02:00 con l'ora legale).")
            case TimeFault.NONEXISTENT:
                return _(
                    "Quest'ora non esiste in Italia: quella notte l'orologio salta dalle 2 alle 3. Scegline un'altra."
                )
            case TimeFault.AMBIGUOUS:
                return _(
                    "Quest'ora in Italia capita due volte quella notte: indica +02:00 (ora legale) o +01:00 (solare)."
                )
            case TimeFault.OUT_OF_RANGE:
                return _("La data è fuori dal calendario: usa un anno fra 1 e 9999.")


class UnreadableTime(ValueError):
    """A text or a local time is no instant; `fault` says why. The message holds no part of the text."""

    def __init__(self, fault: TimeFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def to_rome(moment: datetime) -> datetime:
    """The same instant on an Italian wall clock; raises UnreadableTime at the two ends of the calendar."""
    try:
        return moment.astimezone(ROME)
    except OverflowError:
        raise UnreadableTime(TimeFault.OUT_OF_RANGE) from None


def from_rome(local: datetime, *, fold: int | None = None) -> datetime:
    """The instant (UTC) of a naive Italian wall-clock time.

    An hour that happens twice is refused unless `fold` chooses: 0 the first time (summer time), 1 the second.
    """
    first = local.replace(tzinfo=ROME, fold=0).utcoffset() or timedelta()
    second = local.replace(tzinfo=ROME, fold=1).utcoffset() or timedelta()
    if first < second:
        raise UnreadableTime(TimeFault.NONEXISTENT)
    if first > second and fold is None:
        raise UnreadableTime(TimeFault.AMBIGUOUS)
    return _in_utc(local, offset=second if fold else first)


def read_instant(text: str) -> datetime:
    """An ISO 8601 moment that says its offset, in UTC; raises UnreadableTime. Fractions go down to microseconds."""
    local, offset = _read(text)
    if offset is None:
        raise UnreadableTime(TimeFault.NO_OFFSET)
    moment = _in_utc(local, offset=offset)
    to_rome(moment)
    return moment


def read_instant_or_local(text: str) -> datetime:
    """Like `read_instant`, but a moment without offset is Italian wall-clock time."""
    local, offset = _read(text)
    return from_rome(local) if offset is None else read_instant(text)


def read_date(text: str) -> date | None:
    """`yyyy-MM-dd`, or None."""
    found = _DATE_ONLY.fullmatch(text)
    if found is None:
        return None
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError:
        return None


def _read(text: str) -> tuple[datetime, timedelta | None]:
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise UnreadableTime(TimeFault.UNREADABLE)
    year, month, day, hour, minute, second, fraction, zone, sign, hours, minutes = found.groups()
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    try:
        day_and_time = (int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond)
        # Naive on purpose: this is what a clock on the wall shows, before anybody says which clock.
        local = datetime(*day_and_time)  # noqa: DTZ001
    except ValueError:
        raise UnreadableTime(TimeFault.UNREADABLE) from None
    if zone is None:
        return local, None
    if sign is None:
        return local, timedelta()
    if int(hours) > 18 or int(minutes) > 59:
        raise UnreadableTime(TimeFault.UNREADABLE)
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return local, -offset if sign == "-" else offset


def _in_utc(local: datetime, *, offset: timedelta) -> datetime:
    try:
        return local.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except OverflowError:
        raise UnreadableTime(TimeFault.OUT_OF_RANGE) from None
