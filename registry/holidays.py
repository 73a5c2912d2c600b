"""The holidays of the Italian Republic (law 260 of 1949 as it stands), worked out for any year. Pure."""

import functools
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# (month, day) -> name.
_FIXED: Final[Mapping[tuple[int, int], Promise]] = {
    (1, 1): _("Capodanno"),
    (1, 6): _("Epifania"),
    (4, 25): _("Festa della Liberazione"),
    (5, 1): _("Festa del Lavoro"),
    (6, 2): _("Festa della Repubblica"),
    (8, 15): _("Ferragosto"),
    (11, 1): _("Ognissanti"),
    (12, 8): _("Immacolata Concezione"),
    (12, 25): _("Natale"),
    (12, 26): _("Santo Stefano"),
}
# Law 151 of 8 October 2025, in force since 1 January 2026.
_SAN_FRANCESCO: Final = (10, 4)
_SAN_FRANCESCO_SINCE: Final = 2026


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the rule of Meeus, Jones and Butcher)."""
    golden = year % 19
    century, of_century = divmod(year, 100)
    leap, rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap - correction + 15) % 30
    weekday = (32 + 2 * rest + 2 * (of_century // 4) - epact - of_century % 4) % 7
    late = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


@functools.lru_cache(maxsize=64)
def holidays_of(year: int) -> Mapping[date, Promise]:
    """The national holidays of a year, Sundays apart: day -> name."""
    found = {date(year, month, day): name for (month, day), name in _FIXED.items()}
    if year >= _SAN_FRANCESCO_SINCE:
        found[date(year, *_SAN_FRANCESCO)] = _("San Francesco d’Assisi")
    found[easter(year)] = _("Pasqua")
    found[easter(year) + timedelta(days=1)] = _("Lunedì dell’Angelo")
    return found
