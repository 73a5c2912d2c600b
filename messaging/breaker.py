"""The breaker of an IO account: when IO stops answering, stop handing it messages.

closed -> (three calls in a row without a definite answer) -> open: only a profile call probes, with backoff
open -> (the probe is answered) -> half open: one message at a time -> (a message is taken or refused) -> closed
A pure value; `lanes` stores it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

FAILURES_TO_OPEN = 3
FIRST_PROBE_AFTER = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=1)


class Position(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


@dataclass(frozen=True, slots=True)
class Breaker:
    # Counted apart: while only the sending of messages fails, the profile calls between two sends still answer.
    failures_in_row: int = 0
    send_failures_in_row: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    probes_failed: int = 0
    is_half_open: bool = False

    @property
    def position(self) -> Position:
        if self.opened_at is not None:
            return Position.OPEN
        return Position.HALF_OPEN if self.is_half_open else Position.CLOSED

    def may_probe(self, at: datetime) -> bool:
        return self.position is Position.OPEN and (self.probe_at is None or self.probe_at <= at)

    def failed(self, at: datetime, *, was_send: bool) -> "Breaker":
        """One more call that IO did not answer, or answered in a way that concludes nothing."""
        if self.position is Position.OPEN:
            # Answers of calls begun before the opening come in too: only a due probe lengthens the wait.
            if not self.may_probe(at):
                return self
            failed = self.probes_failed + 1
            return replace(self, probes_failed=failed, probe_at=at + _wait(failed))
        if self.position is Position.HALF_OPEN:
            failed = self.probes_failed + 1
            return Breaker(opened_at=at, probe_at=at + _wait(failed), probes_failed=failed)
        counted = (
            replace(self, send_failures_in_row=self.send_failures_in_row + 1)
            if was_send
            else replace(self, failures_in_row=self.failures_in_row + 1)
        )
        if max(counted.failures_in_row, counted.send_failures_in_row) < FAILURES_TO_OPEN:
            return counted
        return Breaker(opened_at=at, probe_at=at + FIRST_PROBE_AFTER)

    def answered(self, *, was_send: bool) -> "Breaker":
        """IO gave a definite answer, a refusal included."""
        match self.position:
            case Position.OPEN:
                # A late answer to a send begun before the opening is no proof that the next will be answered.
                return self if was_send else Breaker(is_half_open=True, probes_failed=self.probes_failed)
            case Position.HALF_OPEN:
                return Breaker() if was_send else self
            case Position.CLOSED:
                return Breaker() if was_send else replace(self, failures_in_row=0)


def _wait(probes_failed: int) -> timedelta:
    return min(FIRST_PROBE_AFTER * int(2 ** min(probes_failed, 10)), LONGEST_WAIT)
