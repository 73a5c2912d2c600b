"""So many requests a second for each caller of the API (API_RATE_LIMIT), in fixed windows of one second.

With Redis every request is counted there. In the database a row would be written for every request, so there a process
admits a tenth of the limit of each second on its own, then asks for a tenth at a time: a caller who is slow costs no
statement, a fast one every fifth request, and n processes together admit at most n - 1 tenths too many. While neither
answers each process counts alone.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.http import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from rest.counts import Counts, CountsAway, RedisCounts, Window, shared_counts
from rest.problems import Problem

WINDOW_SECONDS = 1
MAX_TALLIES = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands after this request: what the headers tell."""

    limit: int
    remaining: int
    reset: int
    is_over: bool = False

    def headers(self) -> Mapping[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


@dataclass(slots=True)
class _Tally:
    """A caller in one window, as this process knows it."""

    window: Window
    # What this process may admit in this window, and what it has admitted of it.
    held: int
    used: int = 0
    # How much of `held` the others know, and how much they hold themselves.
    reported: int = 0
    others: int = 0
    is_over: bool = False


class RateLimit:
    """`held_unasked` are admitted in each window without asking, then `block` are asked for at a time."""

    def __init__(self, counts: Counts, limit: int, *, held_unasked: int, block: int) -> None:
        self._counts = counts
        self._limit = limit
        self._held_unasked = held_unasked
        self._block = block
        self._tallies: dict[str, _Tally] = {}
        self._lock = threading.Lock()

    def take(self, name: str, *, now: float) -> Standing:
        """Count one request of this caller."""
        with self._lock:
            tally = self._tally(name, now)
            if tally.used < tally.held:
                return self._admit(tally, now)
            if tally.is_over:
                return self._refuse(tally, now)
            # While we ask, others may ask too: what is asked for is nobody else's to ask.
            asked = tally.held + self._block - tally.reported
            tally.held += self._block
            tally.used += self._block
            tally.reported += asked
        try:
            total: int | None = self._counts.add(name, tally.window, asked)
        except CountsAway:
            total = None
        with self._lock:
            if total is None:
                tally.reported -= asked
                above = tally.held - self._limit
            else:
                tally.others = max(tally.others, total - tally.reported)
                above = total - self._limit
            refused = min(self._block, max(0, above))
            tally.held -= refused
            tally.used -= self._block
            tally.is_over = refused > 0
            return self._admit(tally, now) if refused < self._block else self._refuse(tally, now)

    def _tally(self, name: str, now: float) -> _Tally:
        window = Window.around(now, seconds=WINDOW_SECONDS)
        tally = self._tallies.get(name)
        if tally is None or tally.window != window:
            if len(self._tallies) >= MAX_TALLIES:
                self._tallies = {key: one for key, one in self._tallies.items() if one.window == window}
            tally = self._tallies[name] = _Tally(window, self._held_unasked)
        return tally

    def _admit(self, tally: _Tally, now: float) -> Standing:
        tally.used += 1
        remaining = max(0, self._limit - tally.others - tally.used)
        return Standing(self._limit, remaining, tally.window.left(now))

    def _refuse(self, tally: _Tally, now: float) -> Standing:
        return Standing(self._limit, 0, tally.window.left(now), is_over=True)


def count_request(request: Request, caller: str) -> None:
    """Once for each request, as soon as its caller is known. Raises Problem (429) when the second holds too many."""
    limit: int = settings.API_RATE_LIMIT
    if not limit:
        return
    standing = _rate_limit(limit, settings.REDIS_URL).take(caller, now=time.time())
    request.standing = standing  # type: ignore[attr-defined]  # for `show`, at the end of the same request
    if standing.is_over:
        detail = _("Hai superato %(limit)s richieste al secondo: riprova dopo i secondi indicati in Retry-After.")
        raise Problem(
            429, code="throttled", detail=detail % {"limit": limit}, headers={"Retry-After": str(standing.reset)}
        )


def show(request: Request, answer: HttpResponseBase) -> None:
    """The headers, on whatever is answered to a caller who was counted."""
    standing: Standing | None = getattr(request, "standing", None)
    if standing is not None:
        for name, value in standing.headers().items():
            answer[name] = value


@lru_cache(maxsize=2)
def _rate_limit(limit: int, redis_url: str) -> RateLimit:
    counts = shared_counts()
    if isinstance(counts, RedisCounts):
        return RateLimit(counts, limit, held_unasked=0, block=1)
    return RateLimit(counts, limit, held_unasked=limit // 10, block=max(1, limit // 10))


def forget() -> None:
    """What this process knows of the present second, so that one test leaves nothing to the next."""
    _rate_limit.cache_clear()
