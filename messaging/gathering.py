"""Answers come in one by one on another thread, and are recorded together: ten cost little more than one."""

import queue
import time
from typing import TypeVar

_Answer = TypeVar("_Answer")


def gather(
    answers: "queue.SimpleQueue[_Answer]", *, first_within: float, more_within: float, most: int
) -> list[_Answer]:
    """The next answer and, at most `most` in all, those that come right after it; none when there is no first. Seconds."""
    together: list[_Answer] = []
    try:
        together.append(answers.get(timeout=first_within))
        until = time.monotonic() + more_within
        while len(together) < most:
            together.append(answers.get(timeout=max(0.0, until - time.monotonic())))
    except queue.Empty:
        pass
    return together
