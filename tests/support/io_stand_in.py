"""A lean stand-in for IO's services API on loopback, in a thread of the test's own process.

    with StandIn() as io:
        client = IOClient(io.base_url)            # http://127.0.0.1:<port>/api/v1

Left alone it says yes: every profile may be written to, every message is accepted with an id of its own, the status
of an accepted message is PROCESSED and of any other 404. Keys are not checked, only recorded.

Programming an answer, the last one programmed that fits wins:

    io.answer("send", Canned(status=500))                                    # every send
    io.answer("profile", Canned(status=404), fiscal_code=CODE)               # one citizen
    io.answer("send", Canned(status=429, headers={"Retry-After": "1"}), times=3)   # the next three, then as before
    io.answer("send", lambda request: Canned(status=201, body={"id": request.json["content"]["subject"]}))

Calls are "profile" (POST /profiles), "send" (POST /messages), "status" (GET /messages/{fiscal_code}/{id}).
A `Canned` may come with a `delay` in seconds, and with a `fault` in place of the answer:

    "reset_before"   the connection is reset; IO did not take the message
    "reset_after"    IO takes the message, then the connection is reset before the answer
    "never"          IO takes the message and never answers (a delay, if any, comes before taking it)
    "late"           IO takes the message at once and answers after the delay, whether or not anybody still listens

Looking afterwards:

    io.requests                      every request received: call, fiscal_code, path, headers (lower case), body, json
    io.count("send")                 requests per call; io.count("send", fiscal_code=CODE) per person
    io.accepted                      messages that IO took: Taken(io_id, fiscal_code, subject); its length is what a
                                     citizen would see, so it is where a double shows. A programmed 201 takes too;
                                     with its own "id" that is the id
    io.accepted_by(CODE)             the same for one person
    io.connections                   connections accepted so far

`stop()` closes everything at once: from then on connections are refused; `start()` listens on the same port again.
`StandIn(delay=0.02)` makes every answer that has no delay of its own wait. `StandIn(record=False)` keeps counts only.
"""

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self
from urllib.parse import unquote

Call = Literal["profile", "send", "status", "unknown"]
Fault = Literal["", "reset_before", "reset_after", "never", "late"]

_PREFIX = "/api/v1"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Canned:
    """One answer. `body` is written as JSON, or as it is when it is bytes; None stands for the call's usual body."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float | None = None
    fault: Fault = ""


@dataclass(frozen=True)
class Request:
    call: Call
    fiscal_code: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that IO took."""

    io_id: str
    fiscal_code: str
    subject: str


Answer = Canned | Callable[[Request], Canned]


@dataclass(slots=True)
class _Rule:
    call: str
    fiscal_code: str | None
    answer: Answer
    times: int | None


class StandIn:
    def __init__(self, *, delay: float = 0.0, record: bool = True) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Taken] = []
        self.connections = 0
        self._delay = delay
        self._record = record
        self._port = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._rules: list[_Rule] = []
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open: set[_Connection] = set()

    # Programming

    def answer(self, call: Call, answer: Answer, *, fiscal_code: str | None = None, times: int | None = None) -> None:
        with self._lock:
            self._rules.insert(0, _Rule(call, fiscal_code, answer, times))

    def forget(self) -> None:
        """Drops programmed answers and everything recorded; ids of accepted messages stay known."""
        with self._lock:
            self._rules.clear()
            self._counts.clear()
            self.requests.clear()
            self.accepted.clear()

    # Looking

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{_PREFIX}"

    def count(self, call: Call, *, fiscal_code: str | None = None) -> int:
        with self._lock:
            return sum(n for (c, code), n in self._counts.items() if c == call and fiscal_code in (None, code))

    def accepted_by(self, fiscal_code: str) -> list[Taken]:
        with self._lock:
            return [taken for taken in self.accepted if taken.fiscal_code == fiscal_code]

    # Life

    def start(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="io-stand-in", daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the stand-in did not start")
        return self

    def stop(self) -> None:
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self, started: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port, backlog=1024)
        )
        self._port = server.sockets[0].getsockname()[1]
        self._loop = loop
        started.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            for connection in list(self._open):
                connection.cut()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    # Deciding; called in the server's thread

    def decide(self, request: Request) -> Canned:
        with self._lock:
            self._counts[request.call, request.fiscal_code] += 1
            if self._record:
                self.requests.append(request)
            answer = self._programmed(request)
        canned = answer(request) if callable(answer) else answer
        return self._usual(request) if canned is None else canned

    def take(self, request: Request, canned: Canned) -> str:
        """Records the message as taken by IO; returns its id."""
        own = canned.body.get("id") if isinstance(canned.body, dict) else None
        with self._lock:
            io_id = own if isinstance(own, str) else _ulid(len(self._ids))
            self._ids.add(io_id)
            content = request.json.get("content") or {}
            self.accepted.append(Taken(io_id, request.fiscal_code, str(content.get("subject", ""))))
        return io_id

    @property
    def usual_delay(self) -> float:
        return self._delay

    def _programmed(self, request: Request) -> Answer | None:
        for rule in self._rules:
            if rule.call == request.call and rule.fiscal_code in (None, request.fiscal_code):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                return rule.answer
        return None

    def _usual(self, request: Request) -> Canned:
        match request.call:
            case "profile":
                return Canned(200)
            case "send":
                return Canned(201)
            case "status" if request.path.rsplit("/", 1)[-1] in self._ids:
                return Canned(200)
            case _:
                return Canned(404)


def usual_body(request: Request, *, status: int, io_id: str) -> object:
    """What IO says with this status when a test does not say it."""
    if status == 429:
        return {"statusCode": 429, "message": "Rate limit is exceeded."}
    if status == 401:
        return {"statusCode": 401, "message": "Access denied due to invalid subscription key."}
    if status >= 400:
        return {"status": status, "title": "Stand-in", "detail": "Programmed by the test."}
    if request.call == "profile":
        return {"sender_allowed": True, "preferred_languages": ["it_IT"]}
    if request.call == "send":
        return {"id": io_id}
    message = {"id": request.path.rsplit("/", 1)[-1], "fiscal_code": request.fiscal_code}
    message |= {"created_at": "2026-01-01T00:00:00.000Z", "sender_service_id": "S", "feature_level_type": "STANDARD"}
    return {"message": message, "status": "PROCESSED"}


class _Connection(asyncio.Protocol):
    """HTTP/1.1, one request at a time, just enough of it for a well-behaved client."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._buffer = bytearray()
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._stand_in.connections += 1
        self._stand_in._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stand_in._open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._serve_next()

    def cut(self) -> None:
        """Ends the connection with a reset."""
        with_socket = self._transport.get_extra_info("socket")
        if with_socket is not None:
            with_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _serve_next(self) -> None:
        if self._is_busy or (request := self._parsed()) is None:
            return
        self._is_busy = True
        canned = self._stand_in.decide(request)
        delay = self._stand_in.usual_delay if canned.delay is None else canned.delay
        io_id = self._stand_in.take(request, canned) if canned.fault == "late" and request.call == "send" else ""
        if delay:
            asyncio.get_running_loop().call_later(delay, self._serve, request, canned, io_id)
        else:
            self._serve(request, canned, io_id)

    def _serve(self, request: Request, canned: Canned, io_id: str) -> None:
        if self._transport.is_closing():
            return
        if canned.fault == "reset_before":
            self.cut()
            return
        is_taken = request.call == "send" and (canned.status == 201 or canned.fault in ("reset_after", "never"))
        if is_taken and not io_id:
            io_id = self._stand_in.take(request, canned)
        if canned.fault == "reset_after":
            self.cut()
            return
        if canned.fault == "never":
            return
        self._write(request, canned, io_id=io_id)
        self._is_busy = False
        self._serve_next()

    def _write(self, request: Request, canned: Canned, *, io_id: str) -> None:
        body = usual_body(request, status=canned.status, io_id=io_id) if canned.body is None else canned.body
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        if io_id:
            headers["Location"] = f"{_PREFIX}/messages/{request.fiscal_code}/{io_id}"
        headers |= canned.headers
        lines = [f"HTTP/1.1 {canned.status} Stand-in", *(f"{name}: {value}" for name, value in headers.items())]
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + content)

    def _parsed(self) -> Request | None:
        """The next whole request of the buffer, None while a part of it is missing."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *rest = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        total = end + 4 + int(headers.get("content-length", "0"))
        if len(self._buffer) < total:
            return None
        body = bytes(self._buffer[end + 4 : total])
        del self._buffer[:total]
        method, path, _ = first.split(" ", 2)
        call, fiscal_code = _which(method, path, body)
        return Request(call, fiscal_code, method, path, headers, body)


def _which(method: str, path: str, body: bytes) -> tuple[Call, str]:
    segments = [unquote(segment) for segment in path.removeprefix(_PREFIX).split("/") if segment]
    match method, segments:
        case "POST", ["profiles"]:
            return "profile", str(json.loads(body).get("fiscal_code", ""))
        case "POST", ["messages"]:
            return "send", str(json.loads(body).get("fiscal_code", ""))
        case "GET", ["messages", fiscal_code, _]:
            return "status", fiscal_code
        case _:
            return "unknown", ""


def _ulid(number: int) -> str:
    """26 Crockford characters, in order of number."""
    tail = ""
    for _ in range(16):
        number, digit = divmod(number, 32)
        tail = _CROCKFORD[digit] + tail
    return "01JSTANDJN" + tail
