"""What IO answered about a message, on its way from the loop's thread to the row."""

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from io_client.outcomes import (
    OutcomeUnknown,
    ProfileOutcome,
    Refused,
    SendOutcome,
    Unavailable,
    Withheld,
)
from messaging.breaker import Breaker, Position


@dataclass(frozen=True, slots=True)
class ProfileAnswer:
    """What a profile call about the recipient of this message came to."""

    message: int
    io_service: int
    outcome: ProfileOutcome
    # Of the key that was used (suspending.digest_of_key): a refused key that was replaced meanwhile suspends nothing.
    key_digest: str = ""
    # When it was asked (monotonic seconds): a process that stood still must not take an old answer for a new one.
    asked_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """What the sending of this message, by this attempt, came to; `at` is when the answer arrived."""

    message: int
    io_service: int
    attempt_id: uuid.UUID
    outcome: SendOutcome
    at: datetime
    key_digest: str = ""


Answer = ProfileAnswer | SendAnswer


def is_definite(answer: Answer) -> bool:
    """Whether something is known now that was not before the call."""
    return not isinstance(answer.outcome, Unavailable | OutcomeUnknown)


def folding(answers: Iterable[Answer]) -> Callable[[Breaker, datetime], Breaker]:
    """What these answers make of the account's breaker, in the order in which they came."""

    def fold(breaker: Breaker, now: datetime) -> Breaker:
        for answer in answers:
            was_send = isinstance(answer, SendAnswer)
            if not is_definite(answer):
                breaker = breaker.failed(now, was_send=was_send)
            elif _tells_of_io(answer) and not (breaker.position is Position.OPEN and not breaker.may_probe(now)):
                # Before it was time to probe, an answer is to a call begun before the opening: it proves nothing.
                breaker = breaker.answered(was_send=was_send)
        return breaker

    return fold


def _tells_of_io(answer: Answer) -> bool:
    """Whether IO itself answered; what was decided here (withheld, refused before calling) says nothing about it."""
    outcome = answer.outcome
    return not isinstance(outcome, Withheld) and not (isinstance(outcome, Refused) and outcome.status == 0)
