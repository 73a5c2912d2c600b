"""A date and an hour on the wall clock of Rome, and the two nights a year on which they are not an instant.

In spring an hour does not exist: refused. In autumn an hour comes twice: the form then asks which of the two, with a field
that exists only while the question does.
"""

from datetime import date, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from messaging.local_time import UnreadableTime, parse_local
from portal.forms.fields import DayField, HourField
from templates_app.rome_time import TimeFault, read_instant_or_local

FIRST, SECOND = "0", "1"
# What each answer adds to a moment written as text.
OFFSETS = {FIRST: "+02:00", SECOND: "+01:00"}
AMBIGUOUS = gettext_lazy("Quella notte quest’ora capita due volte: scegli quale delle due.")


def which_of_two(label: Any) -> forms.ChoiceField:
    """The question of the autumn night."""
    field = forms.ChoiceField(
        label=label,
        required=False,
        widget=forms.RadioSelect,
        choices=[
            (FIRST, gettext_lazy("La prima volta, con l’ora legale (+02:00)")),
            (SECOND, gettext_lazy("La seconda volta, con l’ora solare (+01:00)")),
        ],
    )
    field.depends_on_another = True  # type: ignore[attr-defined]  # read by portal.rendering
    return field


def is_ambiguous(day: date, hour: time) -> bool:
    try:
        parse_local(day, hour)
    except UnreadableTime as unreadable:
        return unreadable.fault is TimeFault.AMBIGUOUS
    return False


def is_ambiguous_text(text: Any) -> bool:
    """The same of a moment as the browser's field gives it, `2027-10-31T02:30`."""
    try:
        read_instant_or_local(str(text or "").strip())
    except UnreadableTime as unreadable:
        return unreadable.fault is TimeFault.AMBIGUOUS
    return False


def typed(day: Any, hour: Any) -> tuple[date, time] | None:
    """What two raw texts mean, or None while they mean nothing; errors are the fields' own business."""
    try:
        found_day, found_hour = DayField(required=False).clean(day), HourField(required=False).clean(hour)
    except ValidationError:
        return None
    return None if found_day is None or found_hour is None else (found_day, found_hour)


def instant(day: date, hour: time, *, which: str) -> datetime:
    """The instant in UTC; raises ValidationError with the cure. `which` answers the question, or is empty."""
    try:
        return parse_local(day, hour, fold=int(which) if which in (FIRST, SECOND) else None)
    except UnreadableTime as unreadable:
        if unreadable.fault is TimeFault.AMBIGUOUS:
            raise ValidationError(AMBIGUOUS, code="ambiguous") from None
        raise ValidationError(unreadable.fault.cure, code=unreadable.fault.value) from None
