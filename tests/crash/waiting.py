"""Waiting for a condition, never for a time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# Far longer than anything takes here on a slow and busy machine; what is waited for usually comes in a second or two.
PATIENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.03

# Set when the tests end, so that an interrupted run does not wait for its scenarios.
is_over = threading.Event()


def wait_for(look: Callable[[], Found], what: str) -> Found:
    """The first true answer of `look`. Raises AssertionError, saying what never came."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s in vain: {what}")
        if is_over.wait(LOOK_EVERY_SECONDS):
            raise AssertionError(f"interrupted while waiting: {what}")
