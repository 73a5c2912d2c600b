"""Named places where a crash would matter. In the product a checkpoint does nothing.

The crash tests start a worker through an entry point of their own that replaces `reached`, and kill or stop the process
there. Every name used is listed, so that a test over all of them cannot miss one.
"""

from collections.abc import Callable

NAMES = (
    "lane_taken",
    "rows_chosen",
    "profile_answered",
    "profile_recorded",
    "before_mark",
    "marked",
    "before_request",
    "send_answered",
    "before_record",
    "recorded",
)


def _nothing(name: str) -> None:
    return


reached: Callable[[str], None] = _nothing


def checkpoint(name: str) -> None:
    reached(name)
