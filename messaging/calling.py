"""The calls of a slice: begun on the engine's loop, their answers put into the queue of the slice's thread."""

import logging
import queue
import time
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from io_client.outcomes import OutcomeUnknown, ProfileOutcome, SendOutcome, Unavailable, Withheld
from messaging.answers import Answer, ProfileAnswer, SendAnswer
from messaging.checkpoints import checkpoint
from messaging.claiming import Chosen
from messaging.engine import Engine
from messaging.marking import Departure
from messaging.serving import ServedLane

log = logging.getLogger(__name__)

# What the engine starts: a coroutine, and who hears what came of it (on the loop's thread).
Call = tuple[Coroutine[Any, Any, Any], Callable[[Any], None]]
Answers = queue.SimpleQueue[tuple[ServedLane, Answer]]


class Calls:
    """How a slice asks for profiles and sends messages; each method belongs to the slice's thread."""

    def __init__(self, motor: Engine, answers: Answers) -> None:
        self._motor = motor
        self._answers = answers

    def asking(self, lane: ServedLane, row: Chosen, *, key: str, digest: str) -> Call:
        """Whether this service may write to this person."""
        taken_at, asked_at = lane.taken_at, time.monotonic()
        lane.begins(row.message, row.io_service, is_send=False)

        async def ask() -> ProfileOutcome:
            lane.leaves(taken_at=taken_at)
            return await self._motor.client.profile(row.taxcode, key=key)

        def answered(outcome: ProfileOutcome | BaseException) -> None:
            if isinstance(outcome, BaseException):
                log.error("a profile call failed inside us: %s", type(outcome).__name__)
                outcome = Unavailable("internal")
            self._answers.put((lane, ProfileAnswer(row.message, row.io_service, outcome, digest, asked_at)))

        return ask(), answered

    def sending(self, lane: ServedLane, departure: Departure) -> Call:
        """The request of a marked message, unless in its last instant it may not leave."""
        taken_at = lane.taken_at
        lane.begins(departure.message, departure.io_service, is_send=True)

        def may_leave() -> bool:
            if not (departure.is_allowed() and lane.may_send()):
                return False
            lane.leaves(taken_at=taken_at)
            return True

        async def send() -> SendOutcome:
            checkpoint("before_request")
            outcome = await self._motor.client.send(departure.letter, key=departure.key, may_leave=may_leave)
            checkpoint("send_answered")
            return outcome

        def answered(outcome: SendOutcome | BaseException) -> None:
            if isinstance(outcome, BaseException):
                # A fault of ours says nothing about what IO has: that is what doubt is for.
                log.error("message %s: sending failed inside us: %s", departure.message, type(outcome).__name__)
                outcome = OutcomeUnknown("internal")
            lane.notices(outcome)
            self._put(lane, departure, outcome)

        return send(), answered

    def withheld(self, lane: ServedLane, departure: Departure) -> None:
        """Marked, and its call was never begun."""
        self._put(lane, departure, Withheld())

    def stayed(self, lane: ServedLane, row: Chosen, attempt_id: uuid.UUID, outcome: SendOutcome) -> None:
        """Marked, or perhaps marked, and no request left: said so as soon as the database is back."""
        lane.begins(row.message, row.io_service, is_send=True)
        self._answers.put((lane, SendAnswer(row.message, row.io_service, attempt_id, outcome, datetime.now(UTC))))

    def _put(self, lane: ServedLane, departure: Departure, outcome: SendOutcome) -> None:
        answer = SendAnswer(
            departure.message,
            departure.io_service,
            departure.attempt_id,
            outcome,
            datetime.now(UTC),
            departure.key_digest,
        )
        self._answers.put((lane, answer))
