"""When an ente sends, in words: its hours, and when what is due while it is closed will really leave."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby

from django.utils import formats, timezone
from django.utils.dates import WEEKDAYS as WEEKDAY_NAMES
from django.utils.translation import gettext as _

from messaging import sending_hours
from portal import wording
from registry.models import Organization
from registry.opening_hours import EVERY_DAY, WEEKDAYS, Closure, OpeningHours, includes


@dataclass(frozen=True, slots=True)
class Opening:
    """From an instant on: the first one at which the ente sends, None where there is none in sight."""

    wanted: datetime
    at: datetime | None

    @property
    def is_awaited(self) -> bool:
        """Whether what is due at the wanted instant waits for it."""
        return self.at is None or self.at > self.wanted

    @property
    def in_words(self) -> str:
        """A whole sentence, empty where nothing waits."""
        if not self.is_awaited:
            return ""
        if self.at is None:
            return _("Fuori dall’orario di invio dell’ente, che non riapre nei prossimi due anni: non partirà.")
        return _("Fuori dall’orario di invio dell’ente: partirà %(when)s.") % {"when": wording.full_moment(self.at)}

    def as_reason(self, *, now: datetime) -> str:
        """The same for a list, short."""
        if self.at is None:
            return _("In attesa: fuori orario di invio")
        is_near = timezone.localdate(self.at) <= timezone.localdate(now) + timedelta(days=1)
        when = wording.moment(self.at, now=now) if is_near else wording.full_moment(self.at)
        return _("In attesa: fuori orario di invio, riparte %(when)s") % {"when": when}


def after(organization: Organization, wanted: datetime) -> Opening:
    return Opening(wanted, sending_hours.next_opening(organization, wanted))


def hours_in_words(hours: OpeningHours) -> str:
    """`lunedì–venerdì, dalle 8:00 alle 18:00, non nei giorni festivi`"""
    if not hours.is_restricted:
        return _("sempre, a qualsiasi ora")
    parts = [days_in_words(hours.days), times_in_words(hours.opens, hours.closes)]
    if hours.observes_holidays:
        parts.append(_("non nei giorni festivi"))
    return ", ".join(parts)


def times_in_words(opens: time | None, closes: time | None) -> str:
    if opens is None or closes is None:
        return _("a qualsiasi ora")
    shown = {"from": formats.time_format(opens, "G:i"), "until": formats.time_format(closes, "G:i")}
    return _("dalle %(from)s alle %(until)s") % shown


def days_in_words(days: int) -> str:
    """`lunedì–venerdì, domenica`"""
    if days == EVERY_DAY:
        return _("tutti i giorni")
    numbers = [number for number in range(WEEKDAYS) if includes(days, number)]
    # Consecutive days keep their distance from their place in the row.
    runs = [
        [day for _place, day in run] for _distance, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(
        weekday(run[0]) if len(run) == 1 else f"{weekday(run[0])}{', ' if len(run) == 2 else '–'}{weekday(run[-1])}"
        for run in runs
    )


def weekday(number: int) -> str:
    """`lunedì` for 0."""
    return wording.in_sentence(str(WEEKDAY_NAMES[number]))


def closure_in_words(closure: Closure) -> str:
    """`24 giugno, ogni anno (San Giovanni)`"""
    if closure.is_yearly:
        words = _("%(day)s, ogni anno (%(name)s)")
        day = wording.in_sentence(formats.date_format(closure.day, "j F"))
    else:
        words = _("%(day)s (%(name)s)")
        day = wording.date_of(closure.day)
    return words % {"day": day, "name": closure.name}


def changes_in_words(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What a recorded change changed, one sentence each (shape: `registry.setting_hours.snapshot`)."""
    was, became = _read(before), _read(after)
    sentences = []
    for label, old, new in (
        (_("Orario"), times_in_words(was.opens, was.closes), times_in_words(became.opens, became.closes)),
        (_("Giorni"), days_in_words(was.days), days_in_words(became.days)),
        (_("Giorni festivi"), _sends(was), _sends(became)),
    ):
        if old != new:
            values = {"what": label, "before": old, "after": new}
            sentences.append(_("%(what)s: da “%(before)s” a “%(after)s”") % values)
    sentences += [
        _("Chiusura aggiunta: %(day)s") % {"day": closure_in_words(one)}
        for one in became.closures
        if one not in was.closures
    ]
    sentences += [
        _("Chiusura tolta: %(day)s") % {"day": closure_in_words(one)}
        for one in was.closures
        if one not in became.closures
    ]
    return sentences


def _sends(hours: OpeningHours) -> str:
    return _("non invia") if hours.observes_holidays else _("invia")


def _read(kept: dict[str, object]) -> OpeningHours:
    opens, closes, days, closures = kept["opens"], kept["closes"], kept["days"], kept["closures"]
    assert isinstance(days, int)
    assert isinstance(closures, list)
    return OpeningHours(
        opens=time.fromisoformat(opens) if isinstance(opens, str) else None,
        closes=time.fromisoformat(closes) if isinstance(closes, str) else None,
        days=days,
        observes_holidays=bool(kept["observes_holidays"]),
        closures=tuple(
            Closure(date.fromisoformat(one["day"]), is_yearly=one["is_yearly"], name=one["name"]) for one in closures
        ),
    )
