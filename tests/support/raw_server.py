"""A loopback server of bare bytes, for answers that no honest HTTP server gives."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """What reached the server: the bytes of each connection, in order of arrival."""

    base_url: str
    connections: list[bytearray] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(received.count(b" HTTP/1.1\r\n") for received in self.connections)


class _Recorder(asyncio.StreamReaderProtocol):
    """Keeps all that arrives, whether or not the handler reads it."""

    def __init__(self, serve: Handler, received: bytearray) -> None:
        super().__init__(asyncio.StreamReader(), serve)
        self._received = received

    def data_received(self, data: bytes) -> None:
        self._received += data
        super().data_received(data)


@asynccontextmanager
async def raw_server(handle: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Seen]:
    """Serves every connection with `handle` and closes it when that ends."""
    seen = Seen("")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    def protocol() -> asyncio.StreamReaderProtocol:
        received = bytearray()
        seen.connections.append(received)
        return _Recorder(serve, received)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    seen.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/api/v1"
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request; raises IncompleteReadError when the client leaves in the middle."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    return head + await reader.readexactly(length)


def answering(content: bytes) -> Handler:
    """A handler that writes these bytes after each request, for as long as the client asks."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(content)
            await writer.drain()

    return handle


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes whatever comes and never says a word."""
    while await reader.read(65536):
        pass


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
