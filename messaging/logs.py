"""What sending says of itself in the logs: events with ids and counts, and no way to hand over anything else.

A fiscal code, a text or a key cannot get in by mistake: fields are the few named here, numbers and words of ours.
`govio_portal.logs` writes them after the sentence (`io_account=3`) or as fields of a JSON line.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypedDict, Unpack

log = logging.getLogger("messaging.sending")


class Fields(TypedDict, total=False):
    """What a line may carry besides its sentence."""

    # Ids.
    io_account: int
    io_service: int
    service_instance: int
    message_id: int
    message_ids: list[int]
    # Numbers.
    count: int
    seconds: float
    rate: float
    # Words of ours: a position of the breaker, a reason of suspension, how many calls ended how.
    call: str
    position: str
    reason: str
    outcomes: dict[str, int]


def tell(logger: logging.Logger, level: int, sentence: str, **fields: Unpack[Fields]) -> None:
    """One line. The sentence is always the same for the same event, so that it can be searched for."""
    if logger.isEnabledFor(level):
        logger.log(level, sentence, extra=dict(fields))


def lane_taken(io_account: int, *, rate: float) -> None:
    """This process serves the account from now on; `rate` in calls per second."""
    tell(log, logging.DEBUG, "lane taken", io_account=io_account, rate=rate)


def lane_left(io_account: int) -> None:
    tell(log, logging.DEBUG, "lane left", io_account=io_account)


def group_marked(io_account: int, messages: Collection[int]) -> None:
    """These were marked `sending`, committed: from here on a crash leaves them in doubt."""
    if messages and log.isEnabledFor(logging.DEBUG):
        ids = sorted(messages)
        tell(log, logging.DEBUG, "group marked", io_account=io_account, count=len(ids), message_ids=ids)


def group_recorded(io_account: int, call: str, outcomes: Mapping[int, str]) -> None:
    """Answers of IO were written down: message id -> word of `tallies.outcome_word`. What was sent is told at INFO."""
    level = logging.INFO if call == "send" else logging.DEBUG
    if outcomes and log.isEnabledFor(level):
        counts, ids = dict(Counter(outcomes.values())), sorted(outcomes)
        tell(
            log, level, "answers recorded",
            io_account=io_account, call=call, count=len(ids), outcomes=counts, message_ids=ids,
        )  # fmt: skip


def breaker_moved(io_account: int, position: str) -> None:
    """`closed`, `open` or `half open`."""
    tell(log, logging.WARNING, "breaker moved", io_account=io_account, position=position)


def account_paused(io_account: int, *, seconds: float) -> None:
    """IO answered 429: nobody calls for this account for so long."""
    tell(log, logging.WARNING, "account paused", io_account=io_account, seconds=round(seconds, 1))


def service_suspended(io_service: int, *, reason: str) -> None:
    """`reason` is a value of SuspensionReason."""
    tell(log, logging.WARNING, "IO service suspended", io_service=io_service, reason=reason)


def service_resumed(io_service: int) -> None:
    tell(log, logging.INFO, "IO service resumed", io_service=io_service)
