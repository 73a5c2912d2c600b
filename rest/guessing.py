"""Against guessing: so many failures a minute from one address (GUESS_LIMIT), then no attempt from there is looked at.

One program with an old key must not shut out its neighbours behind the same address, so a proof that opened the door
before is looked at all the same; whether it still does is asked each time. What opened the door is remembered by each
process alone, and only as a digest.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from rest.counts import CountsAway, Window, shared_counts
from rest.problems import Problem

WINDOW_SECONDS = 60
MAX_REMEMBERED = 10_000


@dataclass(slots=True)
class Door:
    """One way in; failures at one door say nothing of another."""

    name: str
    _known: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)
    # Address -> end of the window in which it failed too often: asked of nobody again.
    _closed: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds_closed(self, origin: str, proof: str = "") -> int:
        """How long to wait before an attempt from there is looked at; 0 when it may be now.

        `proof` is a digest of what is shown, if that can open the door by itself.
        """
        if not settings.GUESS_LIMIT:
            return 0
        now = time.time()
        with self._lock:
            if proof and (origin, proof) in self._known:
                self._known.move_to_end((origin, proof))
                return 0
            if self._closed.get(origin, 0) > now:
                return Window(WINDOW_SECONDS, self._closed[origin]).left(now)
        window = Window.around(now, seconds=WINDOW_SECONDS)
        try:
            failures = shared_counts().read(self._count_of(origin), window)
        except CountsAway:
            return 0
        if failures < settings.GUESS_LIMIT:
            return 0
        with self._lock:
            if len(self._closed) >= MAX_REMEMBERED:
                self._closed = {one: ends_at for one, ends_at in self._closed.items() if ends_at > now}
            self._closed[origin] = window.ends_at
        return window.left(now)

    def check(self, origin: str, proof: str = "") -> None:
        """Raises Problem (429) while the door is closed to this address."""
        if seconds := self.seconds_closed(origin, proof):
            raise Problem(
                429,
                code="too_many_failures",
                detail=_(
                    "Troppi tentativi falliti da questo indirizzo: correggi la chiave e riprova dopo i secondi indicati "
                    "in Retry-After."
                ),
                headers={"Retry-After": str(seconds)},
            )

    def failed(self, origin: str, proof: str = "") -> None:
        if not settings.GUESS_LIMIT:
            return
        with self._lock:
            self._known.pop((origin, proof), None)
        window = Window.around(time.time(), seconds=WINDOW_SECONDS)
        try:
            shared_counts().add(self._count_of(origin), window, 1)
        except CountsAway:
            return

    def opened(self, origin: str, proof: str) -> None:
        if not settings.GUESS_LIMIT:
            return
        with self._lock:
            self._known[origin, proof] = None
            self._known.move_to_end((origin, proof))
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)

    def forget(self) -> None:
        """What this process remembers, so that one test leaves nothing to the next."""
        with self._lock:
            self._known.clear()
            self._closed.clear()

    def _count_of(self, origin: str) -> str:
        # Not the address itself: it is of a person, and a count needs no more than a name.
        return f"{self.name}:{salted_hmac('rest.guessing', origin, algorithm='sha256').hexdigest()[:40]}"
