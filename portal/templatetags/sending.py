"""Spans, hours and paces as the page on the state of sending says them."""

from datetime import datetime, timedelta

from django import template
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from portal import wording

register = template.Library()


@register.filter
def span(length: float | timedelta) -> str:
    """`3 s`, `4 minuti`: seconds are told up to a minute and a half."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 90:
        return _("%(number)s s") % {"number": max(0, round(seconds))}
    return wording.duration(timedelta(seconds=seconds))


@register.filter
def since(at: datetime | None) -> str:
    return "" if at is None else wording.since(at, now=timezone.now())


@register.filter
def soon(at: datetime) -> str:
    return wording.soon(at, now=timezone.now())


@register.filter
def exact_clock(at: datetime) -> str:
    """`9:00:03`, in Rome."""
    return formats.date_format(timezone.localtime(at), "G:i:s")


@register.filter
def rate(calls_per_second: float) -> str:
    return wording.rate(calls_per_second)
