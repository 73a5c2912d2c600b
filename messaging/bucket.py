"""What an account may call now, as arithmetic: a bucket of tokens and the window that IO counts over.

A token is the right to make one call. The bucket sets the pace and forgives a look that comes late; the window is the
rule itself: in no trailing five seconds are there more tokens than IO grants. Instants are whole milliseconds.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum

# IO counts an account's calls over this long (150 in 5 s are "30 a second").
WINDOW_SECONDS = 5.0
# A call leaves a moment after its token was taken, and not always the same moment: two calls may reach IO closer
# together than their tokens were taken, so our window is longer than IO's by this much.
JITTER_SECONDS = 0.05
# A call that left later than this after its token was taken is told, and counts from when it is told (`Wish.late`): half
# of the jitter, since the other half happens on the way.
LATE_AFTER_SECONDS = JITTER_SECONDS / 2
COUNTED_MS = round((WINDOW_SECONDS + JITTER_SECONDS) * 1000)
# The part of the rate that flows in. At the whole rate the window would be full all the time, and every burst would come
# back every five seconds for ever; with this much air bursts dissolve, and in the long run as many calls are made.
STEADY_PART = 0.985
# How much a bucket holds, in seconds of its rate: what a late look may catch up at once.
DEPTH_SECONDS = 0.5
# Of the calls made while polls wait, one in ten is theirs.
SHARE_OF_POLLS = 0.1
# What one call of sending's then costs, its part for the polls included.
COST_WITH_SHARE = 1 / (1 - SHARE_OF_POLLS)
# A clock that went back further than this is another clock: what was dated by it says nothing.
CLOCK_STEP_MS = 1000


class Use(IntEnum):
    """What tokens are taken for; the numbers are the script's too."""

    SENDING = 0
    SENDING_WHILE_POLLS_WAIT = 1
    POLLS = 2
    POLLS_WHILE_SENDING_WAITS = 3


@dataclass(frozen=True, slots=True)
class Demand:
    """Up to `want` tokens for a use, at `rate` calls per second; `late` and its age: see `Wish`."""

    want: int
    rate: float
    use: Use
    late: int = 0
    late_age_ms: int = 0


def depth(rate: float) -> float:
    return max(2.0, rate * DEPTH_SECONDS)


def limit(rate: float) -> int:
    """The most tokens in a window. Rounded up, or a slowed account of less than a call in five seconds would stop."""
    return math.ceil(rate * WINDOW_SECONDS - 1e-9)


def refill(rate: float) -> float:
    """Tokens per millisecond."""
    return rate * STEADY_PART / 1000


@dataclass(slots=True)
class Bucket:
    """`polls` is what sending laid aside for the polls, and no part of `tokens`.

    `grants` are [instant, count] of the window, oldest first; those of one slot are one entry with the later instant.
    """

    slot_ms: int
    tokens: float = 0.0
    polls: float = 0.0
    at: int | None = None
    grants: list[list[int]] = field(default_factory=list)

    def take(self, demand: Demand, *, now: int) -> int:
        """What is given; after 0 given to a known bucket nothing has changed that would have to be kept."""
        rate, use = demand.rate, demand.use
        if self.at is None:
            self.at = now
        elif self.at > now + CLOCK_STEP_MS:
            self.tokens, self.polls, self.at, self.grants = 0.0, 0.0, now, [[now, limit(rate)]]
        now = max(now, self.at)
        self.grants = [grant for grant in self.grants if grant[0] > now - COUNTED_MS]
        if demand.late > 0:
            # All of them, whether or not their grants are still there to be taken out.
            self._reduce(demand.late, granted_by=now - demand.late_age_ms)
            self._append(demand.late, now=now)
        tokens, polls = min(depth(rate), self.tokens + (now - self.at) * refill(rate)), self.polls
        room = limit(rate) - sum(count for _, count in self.grants)
        is_full = tokens >= depth(rate) and room - polls >= min(limit(rate), depth(rate))
        if use is Use.POLLS_WHILE_SENDING_WAITS and is_full:
            # Neither the bucket nor the window holds anybody back: whatever sending waits for, it is not tokens.
            use = Use.POLLS
        if use in (Use.SENDING, Use.POLLS):
            tokens, polls = min(depth(rate), tokens + polls), 0.0
        if use is Use.POLLS_WHILE_SENDING_WAITS:
            given = min(demand.want, int(polls), room)
        elif use is Use.SENDING_WHILE_POLLS_WAIT:
            # What is laid aside has its place in the window too, as far as it makes whole tokens.
            fitting = math.ceil((room + 1 - polls) / COST_WITH_SHARE) - 1
            given = min(demand.want, int(tokens / COST_WITH_SHARE), fitting)
        else:
            given = min(demand.want, int(tokens), room)
        given = max(0, given)
        if use is Use.POLLS_WHILE_SENDING_WAITS:
            polls -= given
        elif use is Use.SENDING_WHILE_POLLS_WAIT:
            tokens -= given * COST_WITH_SHARE
            polls = min(depth(rate), polls + given * (COST_WITH_SHARE - 1))
        else:
            tokens -= given
        self.tokens, self.polls, self.at = tokens, polls, now
        self._append(given, now=now)
        return given

    def give_back(self, count: int, *, now: int, age_ms: int = 0) -> None:
        """Tokens not needed leave the window where they were taken, `age_ms` ago. The next look caps the bucket."""
        if self.at is not None and self.at <= now + CLOCK_STEP_MS:
            self.tokens += self._reduce(count, granted_by=max(now, self.at) - age_ms)

    def _reduce(self, count: int, *, granted_by: int) -> int:
        """Take this many out of the newest grants of that instant's slot and before; returns how many there were.

        What was granted later is somebody else's and really used. In place of a grant that is gone an older one goes
        (it is the first to leave the window anyway), or none: so for too long is the worst that anything can count.
        """
        left, index = count, len(self.grants)
        while left > 0 and index > 0:
            index -= 1
            at, there = self.grants[index]
            if at // self.slot_ms > granted_by // self.slot_ms:
                continue
            fewer = min(left, there)
            self.grants[index][1] -= fewer
            left -= fewer
        self.grants = [grant for grant in self.grants if grant[1] > 0]
        return count - left

    def _append(self, count: int, *, now: int) -> None:
        if count <= 0:
            return
        if self.grants and self.grants[-1][0] // self.slot_ms == now // self.slot_ms:
            # The later instant: an entry may count for too long, never too briefly.
            self.grants[-1] = [now, self.grants[-1][1] + count]
        else:
            self.grants.append([now, count])
