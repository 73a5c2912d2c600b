"""The last moment before a message leaves, and what we know of it afterwards."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import BytesPayload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter

# A timer that fires this late was not slow: the whole process was stopped, or its machine was.
_OVERSLEPT: Final = 1.0
# What an answer that came during such a pause gets to be read in.
_GRACE: Final = 1.0


class NotLeaving(Exception):
    """Raised inside aiohttp's writer to stop a request of which no byte has left; never seen outside this package."""


class Departure(BytesPayload):
    """The body of a send, which asks `may_leave` at the moment it is written.

    aiohttp takes a connection first (from its pool, or a new one with DNS, TCP and TLS), then keeps the serialised
    headers in memory, and writes them joined to the first piece of the body: so nothing is on the wire before
    `write_with_length` below writes. Raising there ends the request and closes the connection without a byte.
    """

    def __init__(
        self, body: bytes, *, may_leave: Callable[[], bool], deadline: asyncio.Timeout, seconds: float
    ) -> None:
        """The deadline is moved to `seconds` from now when the request leaves; connecting is not counted in it."""
        super().__init__(body, content_type="application/json; charset=utf-8")
        self._may_leave = may_leave
        self._deadline = deadline
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.was_asked = False
        self.was_allowed: bool | None = None  # None after was_asked: `may_leave` itself failed
        self.has_left = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if not _is_clean(writer):
            raise NotLeaving
        self.was_asked = True
        self.was_allowed = self._may_leave()
        if not self.was_allowed:
            raise NotLeaving
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._time_is_up, loop.time() + self._seconds)
        # From here on no await that could yield comes before the socket's own write.
        self.has_left = True
        await super().write_with_length(writer, content_length)

    def has_ended(self) -> None:
        """Call it before the deadline's block is left for other work: no time is up any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _time_is_up(self, when: float) -> None:
        """End the wait. A process that wakes from a pause finds this and the answer waiting at once, this one first:
        then the answer is given a moment, since without it the message would stay in doubt for ever.
        """
        now = asyncio.get_running_loop().time()
        self._deadline.reschedule(now + _GRACE if now - when > _OVERSLEPT else now)


def _is_clean(writer: AbstractStreamWriter) -> bool:
    """Whether the connection is open and silent, as one must be before a request.

    A server may close a connection that waits in the pool, or even write on it unasked, between the moment aiohttp
    took it and now. In the first case nothing can be written any more; in the second, what it wrote would be read as
    the answer to our request. Either way this request has not left, and saying so spares a doubt.
    """
    if not isinstance(writer, StreamWriter):
        return True
    transport, protocol = writer.transport, writer.protocol
    if transport is None or transport.is_closing():
        return False
    return not (isinstance(protocol, ResponseHandler) and protocol.should_close)
