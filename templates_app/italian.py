"""Dates, times and amounts as a citizen reads them. The text of a message is Italian whatever the operator's language."""

from datetime import date, datetime
from typing import Final

NO_BREAK_SPACE: Final = "\N{NO-BREAK SPACE}"
_WEEKDAYS: Final = ("lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica")
_MONTHS: Final = (
    "gennaio",
    "febbraio",
    "marzo",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "agosto",
    "settembre",
    "ottobre",
    "novembre",
    "dicembre",
)


def short_date(day: date) -> str:
    """`12/12/2007`. Not strftime: it writes years before 1000 differently from one C library to the next."""
    return f"{day.day:02}/{day.month:02}/{day.year:04}"


def verbose_date(day: date) -> str:
    """`mercoledì 12 dicembre 2007`, the day always in two digits as GovIO writes it."""
    return f"{_WEEKDAYS[day.weekday()]} {day.day:02} {_MONTHS[day.month - 1]} {day.year:04}"


def short_time(moment: datetime) -> str:
    """`09:05`"""
    return f"{moment.hour:02}:{moment.minute:02}"


def short_datetime(moment: datetime) -> str:
    """`12/12/2007 09:05`"""
    return f"{short_date(moment)} {short_time(moment)}"


def verbose_datetime(moment: datetime) -> str:
    """`mercoledì 12 dicembre 2007 alle ore 09:05`"""
    return f"{verbose_date(moment)} alle ore {short_time(moment)}"


def decimal_amount(cents: int) -> str:
    """Euro from cents, without the sign: `1.234,56`."""
    euro, rest = divmod(cents, 100)
    return f"{euro:,}".replace(",", ".") + f",{rest:02}"


def currency(cents: int) -> str:
    """`1.234,56 €`; the space does not break, so that a phone never leaves the sign alone on a line."""
    return f"{decimal_amount(cents)}{NO_BREAK_SPACE}€"
