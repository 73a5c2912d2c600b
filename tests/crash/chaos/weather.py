"""How IO behaves towards a round: well, or in one of the ways that leave us without an answer.

It knows whose answer it withheld: those messages, and no others, may be in doubt on its account.
"""

import threading
from random import Random

from tests.crash.chaos.plan import SEND_TIMEOUT_SECONDS
from tests.support.io_stand_in import Canned, Fault, Request, StandIn

FAULTS: dict[str, Fault] = {
    "io_late": "late",
    "io_silent": "never",
    "io_resets": "reset_after",
    "io_refuses_after_accepting": "reset_before",
    "io_hangs": "never",
}
# One that answers late does so when nobody listens any more.
LATE_BY_SECONDS = (0.5, 2.5)


# Long enough that somebody is always waiting for an answer when something happens.
NORMALLY_SECONDS = 0.1
SLOWLY_SECONDS = 0.5


class Weather:
    def __init__(self, io: StandIn, *, seed: int) -> None:
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._fault: Fault = ""
        self._chance = 0.0
        self._is_hanging = False
        self._delay = NORMALLY_SECONDS
        self._withheld: set[str] = set()
        io.answer("send", self._send)
        io.answer("profile", self._read)
        io.answer("status", self._read)

    def turn_bad(self, kind: str, *, chance: float) -> None:
        with self._lock:
            self._fault, self._chance, self._is_hanging = FAULTS[kind], chance, kind == "io_hangs"

    def turn_slow(self) -> None:
        """Well, and slow."""
        with self._lock:
            self._delay = SLOWLY_SECONDS

    def turn_good(self) -> None:
        with self._lock:
            self._fault, self._chance, self._is_hanging, self._delay = "", 0.0, False, NORMALLY_SECONDS

    def withheld(self) -> set[str]:
        """The fiscal codes of the messages to which IO gave no answer in time."""
        with self._lock:
            return set(self._withheld)

    # In the stand-in's thread.

    def _send(self, request: Request) -> Canned:
        with self._lock:
            if not self._fault or self._random.random() >= self._chance:
                return Canned(201, delay=self._delay)
            self._withheld.add(request.fiscal_code)
            delay = SEND_TIMEOUT_SECONDS + self._random.uniform(*LATE_BY_SECONDS) if self._fault == "late" else None
            return Canned(201, fault=self._fault, delay=delay)

    def _read(self, request: Request) -> Canned:
        with self._lock:
            return Canned(200, fault="never" if self._is_hanging else "")
