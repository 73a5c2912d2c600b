"""A date and a time as typed in a form, on the clock of an Italian wall."""

from datetime import date, datetime, time

from templates_app.rome_time import UnreadableTime, from_rome

__all__ = ["UnreadableTime", "end_of_day", "parse_local"]


def parse_local(day: date, at: time, *, fold: int | None = None) -> datetime:
    """The instant (UTC) of a local date and time.

    Raises UnreadableTime: its `fault` is NONEXISTENT in the hour that the spring night skips, AMBIGUOUS in the hour that
    the autumn night repeats unless `fold` chooses (0 the first time round, summer time; 1 the second).
    """
    return from_rome(datetime.combine(day, at), fold=fold)


def end_of_day(day: date) -> datetime:
    """The last second of that day in Italy: what "by the 12th" means on IO."""
    return from_rome(datetime.combine(day, time(23, 59, 59)))
