"""One IO account while a slice serves it: its tokens, its calls under way, and how many more may begin."""

import math
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from io_client.outcomes import OutcomeUnknown, SendOutcome, Unavailable, Withheld
from messaging.breaker import FAILURES_TO_OPEN, Breaker, Position
from messaging.bucket import LATE_AFTER_SECONDS
from messaging.claiming import Wanted
from messaging.lanes import TakenLane, is_paused_here
from messaging.tokens import Wish

# A group is marked and sent together; small enough that a crash leaves little doubt.
GROUP = 100
CALLS_AT_ONCE = 300
IN_FLIGHT_PER_LANE = 400
# The most messages of an account on their way to IO: what a crash leaves in doubt.
MOST_SENDING = 300
# Of a limited account no more is on its way to IO than this many seconds of its rate, however slowly IO answers.
SENDING_SECONDS = 2.0
# Past any call's own timeouts: one that has not come back by then never will.
LONGEST_CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way: for which IO service, whether it is a send, since when (monotonic)."""

    io_service: int
    is_send: bool
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class ServedLane:
    """What one slice knows of an account; used by the slice's thread, save where it says otherwise."""

    io_account: int
    rate: float
    breaker: Breaker
    now: Callable[[], datetime]
    tokens: int = 0
    # When the tokens in hand were asked for, and when they were there (monotonic).
    taken_at: float = 0.0
    given_at: float = 0.0
    # message id -> the call under way.
    in_flight: dict[int, Call] = field(default_factory=dict)
    look_at: float = 0.0
    looked_at: float = 0.0
    polls_wait: bool = False
    # Messages of this account that others are sending: the slice before, whose answers are slow, or another process.
    elsewhere: int = 0
    is_out_of_tokens: bool = False
    is_served: bool = True
    # Another process asks for the account: it is given up at once, and what is under way comes back here all the same.
    is_wanted: bool = False
    # Sends in a row that IO did not answer, as the loop's thread saw them come in.
    _unanswered: int = 0
    # For each call that left late when its token was asked for; the loop's thread appends.
    _late: deque[float] = field(default_factory=deque)

    @classmethod
    def of(cls, taken: TakenLane) -> "ServedLane":
        return cls(taken.io_account, rate=taken.rate, breaker=taken.breaker, now=taken.clock.now)

    # --- on the loop's thread ------------------------------------------------------------------------------------

    def may_send(self) -> bool:
        """Asked in the last instant before a request leaves."""
        return (
            self.is_served
            and self.breaker.position is not Position.OPEN
            and self._unanswered < FAILURES_TO_OPEN
            and not is_paused_here(self.io_account)
        )

    def notices(self, outcome: SendOutcome) -> None:
        """What a send came to, before anything is recorded: with an IO that is not well no message more may leave."""
        if isinstance(outcome, Unavailable | OutcomeUnknown):
            self._unanswered += 1
        elif not isinstance(outcome, Withheld):
            self._unanswered = 0

    def leaves(self, *, taken_at: float) -> None:
        """A call leaves now, on a token taken then."""
        if time.monotonic() - taken_at > LATE_AFTER_SECONDS:
            self._late.append(taken_at)

    # --- on the slice's thread -----------------------------------------------------------------------------------

    def is_shut(self) -> bool:
        """The breaker is open and it is not yet time to probe."""
        return self.breaker.position is Position.OPEN and not self.breaker.may_probe(self.now())

    def room(self) -> int:
        """How many calls may start now, as far as the breaker and the size of a group say."""
        match self.breaker.position:
            case Position.CLOSED:
                return min(CALLS_AT_ONCE, IN_FLIGHT_PER_LANE - len(self.in_flight))
            case Position.HALF_OPEN:
                return 0 if self.in_flight else 1
            case Position.OPEN:
                return 1 if not self.in_flight and self.breaker.may_probe(self.now()) else 0

    def room_to_send(self) -> int:
        """How many messages may be marked now."""
        most = min(MOST_SENDING, max(2, math.ceil(self.rate * SENDING_SECONDS)))
        return most - self._sending() - self.elsewhere

    def _sending(self) -> int:
        return sum(call.is_send for call in self.in_flight.values())

    def knows_of(self, being_sent: int) -> None:
        """So many messages of the account are marked `sending` now, ours among them."""
        self.elsewhere = max(0, being_sent - self._sending())

    def wish(self, *, room: int) -> Wish:
        """How many tokens to ask for: at most a second's worth, counting those in hand."""
        late = [self._late.popleft() for _ in range(len(self._late))]
        late_age = time.monotonic() - min(late) if late else 0.0
        want = max(0, min(room, math.ceil(self.rate)) - self.tokens)
        return Wish(want, self.rate, polls_wait=self.polls_wait, late=len(late), late_age=late_age)

    def given(self, tokens: int, *, asked_at: float) -> None:
        if tokens and not self.tokens:
            self.taken_at, self.given_at = asked_at, time.monotonic()
        self.tokens += tokens

    def wanted(self, *, room: int) -> Wanted:
        calls = self.in_flight
        return Wanted(
            limit=min(room, self.tokens),
            messages=list(calls),
            io_services=frozenset(call.io_service for call in calls.values()),
        )

    def begins(self, message: int, io_service: int, *, is_send: bool) -> None:
        self.tokens -= 1
        self.in_flight[message] = Call(io_service, is_send)

    def ended(self, message: int) -> None:
        self.in_flight.pop(message, None)

    def hears(self, taken: TakenLane) -> None:
        """What the lane's row says now: others may have met an outage, a 429 or a new rate."""
        self.rate, self.now, self.is_wanted = taken.rate, taken.clock.now, taken.is_wanted
        self.learns(taken.breaker)

    def learns(self, breaker: Breaker) -> None:
        """The breaker as the row has it; from here on it decides."""
        self.breaker = breaker
        self._unanswered = 0

    def forget_lost_calls(self) -> Collection[int]:
        """Give up calls older than any call can get; returns the messages. The sweep finds them."""
        oldest = time.monotonic() - LONGEST_CALL_SECONDS
        lost = [message for message, call in self.in_flight.items() if call.since < oldest]
        for message in lost:
            del self.in_flight[message]
        return lost
