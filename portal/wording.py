"""How values read on a page: masked fiscal codes, amounts, moments. Plain text in, plain text out; no markup here."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils import formats, timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from messaging.masking import masked

__all__ = ["masked"]

# Times are those of the clock on the wall of an Italian office, whatever the server thinks.
NARROW = "\N{NO-BREAK SPACE}"


def euro(cents: int) -> str:
    """`1.234,50 €` in Italian: always two decimals, grouped as the reader's language does."""
    amount = formats.number_format(Decimal(cents) / 100, decimal_pos=2, use_l10n=True, force_grouping=True)
    return f"{amount}{NARROW}€"


def count(number: int) -> str:
    """`1.980`"""
    return str(formats.number_format(number, use_l10n=True, force_grouping=True))


def in_sentence(text: str) -> str:
    """Django gives Italian days and months a capital; inside a sentence they have none."""
    return text.lower() if (get_language() or "").startswith("it") else text


def date_of(day: date) -> str:
    """`7 luglio 2025`"""
    return in_sentence(formats.date_format(day, "j F Y"))


def long_date(day: date) -> str:
    """`lunedì 7 luglio 2025`"""
    return in_sentence(formats.date_format(day, "l j F Y"))


def clock(at: datetime) -> str:
    """Hours and minutes in Rome: `9:00`."""
    return formats.date_format(timezone.localtime(at), "G:i")


def day(at: datetime) -> str:
    """`lunedì 7 luglio 2025`, in Rome."""
    return in_sentence(formats.date_format(timezone.localtime(at), "l j F Y"))


def moment(at: datetime, *, now: datetime) -> str:
    """When, as a person would say it: `oggi alle 9:00`, `domani alle 9:00`, else the date with the time."""
    local, today = timezone.localtime(at), timezone.localtime(now).date()
    values = {"time": clock(at), "date": in_sentence(formats.date_format(local, "j F Y"))}
    if local.date() == today:
        return _("oggi alle %(time)s") % values
    if local.date() == today + timedelta(days=1):
        return _("domani alle %(time)s") % values
    if local.date() == today - timedelta(days=1):
        return _("ieri alle %(time)s") % values
    return _("%(date)s alle %(time)s") % values


def since(at: datetime, *, now: datetime) -> str:
    """From when on: `da oggi alle 9:00`, `da ieri alle 9:00`, `dal 7 luglio 2025 alle 9:00`."""
    local, today = timezone.localtime(at), timezone.localtime(now).date()
    values = {"time": clock(at), "date": date_of(local.date())}
    if local.date() == today:
        return _("da oggi alle %(time)s") % values
    if local.date() == today - timedelta(days=1):
        return _("da ieri alle %(time)s") % values
    if local.day in (8, 11):
        # The days whose name begins with a vowel.
        return _("dall’%(date)s alle %(time)s") % values
    return _("dal %(date)s alle %(time)s") % values


def soon(at: datetime, *, now: datetime) -> str:
    """An instant within the hour: `alle 10:32`, or that it is a matter of seconds."""
    if at - now < timedelta(minutes=1):
        return _("fra pochi secondi")
    return _("alle %(time)s") % {"time": clock(at)}


def until(at: datetime, *, now: datetime) -> str:
    """The end of something short: `fino alle 10:32`, or that it is a matter of seconds."""
    if at - now < timedelta(minutes=1):
        return _("ancora per qualche secondo")
    return _("fino alle %(time)s") % {"time": clock(at)}


def duration(span: timedelta) -> str:
    """About how long, in the largest unit that says something: `40 minuti`, `2 ore`, `3 giorni`."""
    minutes = max(1, int(span.total_seconds() // 60))
    if minutes < 60:
        return ngettext("%(number)s minuto", "%(number)s minuti", minutes) % {"number": minutes}
    hours = minutes // 60
    if hours < 48:
        return ngettext("%(number)s ora", "%(number)s ore", hours) % {"number": hours}
    return ngettext("%(number)s giorno", "%(number)s giorni", hours // 24) % {"number": count(hours // 24)}


def rate(calls_per_second: float) -> str:
    """`10`, `2,5`: calls per second without needless decimals."""
    rounded = round(calls_per_second, 1)
    places = 0 if rounded == int(rounded) else 1
    return str(formats.number_format(rounded, decimal_pos=places, use_l10n=True, force_grouping=True))


def full_moment(at: datetime) -> str:
    """`lunedì 7 luglio 2025 alle 9:00`: nothing left to guess, for confirmations."""
    return _("%(day)s alle %(time)s") % {"day": day(at), "time": clock(at)}


def exact_moment(at: datetime) -> str:
    """To the second, with the zone: `7 luglio 2025, 9:00:03 (CEST)`, to compare with logs of others."""
    local = timezone.localtime(at)
    return f"{in_sentence(formats.date_format(local, 'j F Y, G:i:s'))} ({local.tzname()})"
