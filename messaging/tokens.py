"""The contract of pacing: who asks for tokens, and what every kind of pacer promises."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from messaging.bucket import Demand, Use


@dataclass(frozen=True, slots=True)
class Wish:
    """Up to `want` tokens for sending, at `rate` calls per second. While polls wait, their tenth is laid aside.

    `late`: of the tokens this caller took last, how many calls left later than `LATE_AFTER_SECONDS` after the taking.
    They count from now on, since IO saw them later, too: calls held up for 300 ms, then followed by those that 300 ms
    earned, are more in IO's window than in ours. `late_age`: how many seconds ago the oldest of their tokens was asked
    for, at least; what was granted after that is not theirs.
    """

    want: int
    rate: float
    polls_wait: bool = False
    late: int = 0
    late_age: float = 0.0

    @property
    def demand(self) -> Demand:
        use = Use.SENDING_WHILE_POLLS_WAIT if self.polls_wait else Use.SENDING
        return Demand(max(0, self.want), self.rate, use, max(0, self.late), math.ceil(self.late_age * 1000))


@dataclass(frozen=True, slots=True)
class Spare:
    """Tokens that come back, and how long ago they were given."""

    count: int
    age_ms: int = 0


class Pacer(ABC):
    """Gives nothing when it cannot know: a bucket out of reach slows us down and never lets us burst."""

    def take_many(self, wishes: Mapping[int, Wish]) -> dict[int, int]:
        """io_account -> tokens, for every account asked about, in one round trip."""
        given = self._take({account: wish.demand for account, wish in wishes.items() if wish.want > 0 or wish.late > 0})
        return {account: given.get(account, 0) for account in wishes}

    def take(self, io_account: int, *, want: int, rate: float, polls_wait: bool = False) -> int:
        """`take_many` for one account."""
        return self.take_many({io_account: Wish(want, rate, polls_wait)})[io_account]

    def take_for_polls(self, io_account: int, *, want: int, rate: float, sending_waits: bool) -> int:
        """Up to `want` tokens for polls: all there are, or only what was laid aside for them while sending waits.

        A full bucket is nobody's loss: whatever sending waits for, it is not tokens.
        """
        if want <= 0:
            return 0
        use = Use.POLLS_WHILE_SENDING_WAITS if sending_waits else Use.POLLS
        return self._take({io_account: Demand(want, rate, use)}).get(io_account, 0)

    def give_back_many(self, counts: Mapping[int, int], *, ages: Mapping[int, float] | None = None) -> None:
        """Return tokens that turned out not to be needed; `ages`: given how many seconds ago, 0 where it is not said.

        Those older than the window have left it already: nothing comes back for them.
        """
        ages = ages or {}
        spare = {
            account: Spare(count, max(0, int(ages.get(account, 0.0) * 1000)))
            for account, count in counts.items()
            if count > 0
        }
        if spare:
            self._give_back(spare)

    def give_back(self, io_account: int, *, count: int, age: float = 0.0) -> None:
        self.give_back_many({io_account: count}, ages={io_account: age})

    @abstractmethod
    def _take(self, demands: Mapping[int, Demand]) -> dict[int, int]: ...

    @abstractmethod
    def _give_back(self, spare: Mapping[int, Spare]) -> None: ...
