"""IO for measurements, in a process of its own so that it takes no time of ours: `python -m benchmarks.stand_in`.

Hand-written HTTP/1.1 over an asyncio protocol, reading no more of a request than it must, so that the limit measured
is the client's and not this one's (`measured_alone` tells how much it can do). Loopback only.

It prints its address, then answers commands, one JSON object a line on standard input, one line back:

    {"do": "counts"}                       calls so far by kind, 429s, open connections, connections ever
    {"do": "arrivals"}                     what was recorded since the last time asked, with {"do": "record"} before:
                                           [[time, key, call, status, number], ...]; `time` is time.time() at arrival,
                                           `number` the digits after MARK in a message's text, 0 where there are none
    {"do": "gateway", "windows": "sliding" | "fixed" | "", "calls": 150, "seconds": 5.0}
                                           IO's gateway: 429 beyond so many calls for each key, saying when to return
    {"do": "intruder", "rate": 10.0}       somebody else who makes so many calls a second with every key
    {"do": "mood", "is": "well" | "503" | "silent" | "cut"}
                                           answer 503 to everything, answer nothing, or refuse and reset connections

It ends when whoever started it closes its standard input, or after twenty minutes at the latest.
"""

import asyncio
import json
import math
import os
import sys
import time
from argparse import ArgumentParser
from collections import Counter, deque
from typing import Any

LONGEST_SECONDS = 1200.0
MARK = b"CIE n. CA"
DIGITS = 6
ANSWERED_AFTER = 0.02

_KEY = b"\r\nocp-apim-subscription-key:"
_LENGTH = b"\r\ncontent-length:"
_JSON = b"Content-Type: application/json\r\nContent-Length: "


def _answer(status: bytes, body: bytes, *, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%s%s%d\r\n\r\n%s" % (status, headers, _JSON, len(body), body)


_ALLOWED = _answer(b"200 OK", b'{"sender_allowed":true,"preferred_languages":["it_IT"]}')
_PROCESSED = _answer(
    b"200 OK",
    b'{"message":{"id":"01JSTANDJN0000000000000000","fiscal_code":"RSSMRA80A01H501U","sender_service_id":"S",'
    b'"created_at":"2026-01-01T00:00:00.000Z","feature_level_type":"STANDARD"},"status":"PROCESSED"}',
)
_AWAY = _answer(b"503 Service Unavailable", b'{"status":503,"title":"Service unavailable"}')
_TOO_MANY = b'{"statusCode":429,"message":"Rate limit is exceeded."}'


class Gateway:
    """How many calls each key may make; counts those that it let through, as IO's does."""

    def __init__(self, *, windows: str = "", calls: int = 150, seconds: float = 5.0) -> None:
        self.windows = windows
        self._calls = calls
        self._seconds = seconds
        self._let_through: dict[str, deque[float]] = {}

    def wait(self, key: str, at: float) -> float:
        """0 where the call is let through, else the seconds after which to return."""
        if not self.windows:
            return 0.0
        recent = self._let_through.setdefault(key, deque())
        begin = at - self._seconds if self.windows == "sliding" else at - at % self._seconds
        while recent and recent[0] < begin:
            recent.popleft()
        if len(recent) < self._calls:
            recent.append(at)
            return 0.0
        end = recent[0] + self._seconds if self.windows == "sliding" else begin + self._seconds
        return max(end - at, 0.001)

    def known(self) -> list[str]:
        return list(self._let_through)


class StandIn:
    def __init__(self, *, delay: float) -> None:
        self.delay = delay
        self.gateway = Gateway()
        self.mood = "well"
        self.counts: Counter[str] = Counter()
        self.open: set[Connection] = set()
        self.is_recording = False
        self._arrivals: list[tuple[float, str, str, int, int]] = []
        self._intruding: asyncio.Task[None] | None = None
        self._number = 0

    def decide(self, head: bytes, buffer: bytearray, key: str) -> bytes:
        """The answer to one whole request, recorded as it arrives."""
        at = time.time()
        if head.startswith(b"POST /api/v1/messages"):
            call, self._number = "send", self._number + 1
        else:
            call = "profile" if head.startswith(b"POST") else "status"
        self.counts[call] += 1
        status = 200
        if self.mood == "503":
            status, answer = 503, _AWAY
        elif wait := self.gateway.wait(key, at):
            status = 429
            self.counts["429"] += 1
            after = b"x-rate-limit-retry-after: %d\r\n" % math.ceil(wait)
            answer = _answer(b"429 Too Many Requests", _TOO_MANY, headers=after)
        elif call == "send":
            status = 201
            answer = _answer(b"201 Created", b'{"id":"01JSTANDJN%016d"}' % self._number)
        else:
            answer = _ALLOWED if call == "profile" else _PROCESSED
        if self.is_recording:
            number = 0
            if call == "send" and (found := buffer.find(MARK)) >= 0:
                number = int(buffer[found + len(MARK) : found + len(MARK) + DIGITS])
            self._arrivals.append((at, key, call, status, number))
        return answer

    async def command(self, words: dict[str, Any]) -> object:
        match words.pop("do"):
            case "counts":
                return {**self.counts, "open": len(self.open)}
            case "record":
                self.is_recording = True
            case "arrivals":
                arrivals, self._arrivals = self._arrivals, []
                return arrivals
            case "gateway":
                self.gateway = Gateway(**words)
            case "intruder":
                if self._intruding is not None:
                    self._intruding.cancel()
                self._intruding = asyncio.create_task(self._intrude(words["rate"])) if words["rate"] else None
            case "mood":
                self.mood = words["is"]
                if self.mood == "cut":
                    for connection in list(self.open):
                        connection.cut()
        return None

    async def _intrude(self, rate: float) -> None:
        due = time.time()
        while True:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            for key in self.gateway.known():
                self.gateway.wait(key, time.time())


class Connection(asyncio.Protocol):
    """One request at a time, each with a Content-Length, as our client writes them."""

    def __init__(self, io: StandIn) -> None:
        self._io = io
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._io.counts["connections"] += 1
        self._io.open.add(self)
        if self._io.mood == "cut":
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._io.open.discard(self)

    def cut(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(buffer[:end])
        names = head.lower()
        if (at := names.find(_LENGTH)) >= 0:
            at += len(_LENGTH)
            line = names.find(b"\r\n", at)
            if len(buffer) < end + 4 + int(names[at : line if line > 0 else None]):
                return
        at = names.find(_KEY) + len(_KEY)
        line = names.find(b"\r\n", at)
        key = head[at : line if line > 0 else None].strip().decode("latin-1")
        answer = self._io.decide(head, buffer, key)
        buffer.clear()
        if self._io.mood != "silent":
            self._loop.call_later(self._io.delay, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(*, delay: float) -> None:
    io = StandIn(delay=delay)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(io), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    commands = asyncio.StreamReader(limit=65_536)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print(f"http://127.0.0.1:{port}/api/v1", flush=True)
    while line := await commands.readline():
        print(json.dumps(await io.command(json.loads(line))), flush=True)
    # Connections still open would be waited for.
    os._exit(0)


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--delay", type=float, default=ANSWERED_AFTER)
    asyncio.run(asyncio.wait_for(serve(delay=parser.parse_args().delay), LONGEST_SECONDS))


if __name__ == "__main__":
    main()
