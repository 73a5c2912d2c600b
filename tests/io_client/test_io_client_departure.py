"""Whether a byte left: the question that separates "send it again" from "nobody knows"."""

import asyncio
import socket
import time
from pathlib import Path

import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter

from io_client.departure import Departure, NotLeaving
from io_client.outcomes import Accepted, OutcomeUnknown, Profile, Unavailable, Withheld
from tests.io_client.connected import CODE, CREATED, KEY, MESSAGE, ULID, client_of, sent_by, sent_to
from tests.support.io_stand_in import StandIn
from tests.support.looping import in_a_loop
from tests.support.raw_server import answering, http, raw_server, read_request, silence
from tests.support.self_signed import self_signed


class TestSurelyNotSent:
    @in_a_loop
    async def test_refused_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        outcome = await sent_to(f"http://127.0.0.1:{port}/api/v1")
        assert outcome == Unavailable("not sent: ClientConnectorError")

    @in_a_loop
    async def test_unknown_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*args: object, **kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        assert await sent_to("http://io.invalid/api/v1") == Unavailable("not sent: ClientConnectorDNSError")

    @in_a_loop
    async def test_connection_not_made_in_time(self) -> None:
        # The port is open, but TLS never starts: as far as we know the connection is still being made.
        async with raw_server(silence) as seen:
            outcome = await sent_to(seen.base_url.replace("http:", "https:"), connect_timeout=0.1)
        assert outcome == Unavailable("not sent: ConnectionTimeoutError")

    @in_a_loop
    async def test_tls_with_a_certificate_that_nobody_signed(self, tmp_path: Path) -> None:
        async with raw_server(silence, tls=self_signed(tmp_path)) as seen:
            outcome = await sent_to(seen.base_url)
        assert outcome == Unavailable("not sent: ClientConnectorCertificateError")
        assert b"".join(seen.connections) == b""

    @in_a_loop
    async def test_tls_with_a_server_that_does_not_speak_it(self) -> None:
        async with raw_server(answering(http(400))) as seen:
            outcome = await sent_to(seen.base_url.replace("http:", "https:"), connect_timeout=1)
        assert isinstance(outcome, Unavailable)
        assert seen.requests == 0

    @in_a_loop
    async def test_a_connection_that_closed_after_it_was_taken(self) -> None:
        """Built by hand, since the moment lasts one turn of the loop: the transport is gone, the writer is not."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as deadline:
            departure = Departure(b"{}", may_leave=lambda: True, deadline=deadline, seconds=1)
            with pytest.raises(NotLeaving):
                await departure.write_with_length(StreamWriter(ResponseHandler(loop), loop), 2)
        assert not departure.was_asked
        assert not departure.has_left

    @in_a_loop
    async def test_an_answer_to_a_question_not_asked_is_not_taken_for_ours(self) -> None:
        forged = http(201, b'{"id": "01FORGED00000000000000000A"}')

        async def forgetful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(http(200, b'{"sender_allowed": true}'))
            await asyncio.sleep(0.05)
            writer.write(forged)
            await silence(reader, writer)

        async with raw_server(forgetful) as seen, client_of(seen.base_url) as client:
            assert await client.profile(CODE, key=KEY) == Profile(True, ())
            await asyncio.sleep(0.1)
            outcome = await sent_by(client)
        assert isinstance(outcome, Unavailable)
        assert seen.requests == 1


class TestMayLeave:
    @in_a_loop
    async def test_no_on_a_new_connection_withholds_with_no_byte_sent(self) -> None:
        async with raw_server(silence) as seen, client_of(seen.base_url) as client:
            assert await client.send(MESSAGE, key=KEY, may_leave=lambda: False) == Withheld()
            await asyncio.sleep(0.05)
        assert seen.connections == [b""]

    @in_a_loop
    async def test_no_on_a_connection_used_before_withholds_and_the_next_send_works(self) -> None:
        async with raw_server(answering(CREATED)) as seen, client_of(seen.base_url) as client:
            assert await sent_by(client) == Accepted(ULID)
            assert await client.send(MESSAGE, key=KEY, may_leave=lambda: False) == Withheld()
            assert await sent_by(client) == Accepted(ULID)
        assert seen.requests == 2

    @in_a_loop
    async def test_is_asked_once_and_only_when_the_connection_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[int] = []

        async with raw_server(answering(CREATED)) as seen, client_of(seen.base_url) as client:

            def may_leave() -> bool:
                asked.append(len(seen.connections))
                return True

            for _ in range(2):
                assert await client.send(MESSAGE, key=KEY, may_leave=may_leave) == Accepted(ULID)
        assert asked == [1, 1]

    @in_a_loop
    async def test_is_asked_after_the_wait_for_a_turn(
        self,
    ) -> None:
        order: list[str] = []

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                await asyncio.sleep(0.05)
                order.append("answered")
                writer.write(CREATED)

        async with raw_server(slow) as seen, client_of(seen.base_url, connections=1) as client:

            def may_leave() -> bool:
                order.append("asked")
                return True

            await asyncio.gather(*(client.send(MESSAGE, key=KEY, may_leave=may_leave) for _ in range(3)))
        assert order == ["asked", "answered"] * 3

    @in_a_loop
    async def test_is_not_asked_when_there_is_no_connection(self) -> None:
        async with client_of("http://127.0.0.1:9/api/v1") as client:
            outcome = await client.send(MESSAGE, key=KEY, may_leave=lambda: pytest.fail("asked"))
        assert isinstance(outcome, Unavailable)

    @in_a_loop
    async def test_a_question_that_fails_sends_nothing_and_is_told(self) -> None:
        def broken() -> bool:
            raise LookupError("the clock is gone")

        async with raw_server(silence) as seen, client_of(seen.base_url) as client:
            with pytest.raises(RuntimeError, match="nothing was sent"):
                await client.send(MESSAGE, key=KEY, may_leave=broken)
            await asyncio.sleep(0.05)
        assert seen.connections == [b""]


class TestTime:
    @in_a_loop
    async def test_connecting_is_not_counted_in_the_time_of_the_send(self, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve = socket.getaddrinfo

        def slowly(host: str, *args: object, **kwargs: object) -> object:
            time.sleep(0.3)
            return resolve("127.0.0.1", *args, **kwargs)  # type: ignore[arg-type]

        async with raw_server(answering(CREATED)) as seen:
            monkeypatch.setattr(socket, "getaddrinfo", slowly)
            outcome = await sent_to(seen.base_url.replace("127.0.0.1", "io.test"), send_timeout=0.2)
        assert outcome == Accepted(ULID)

    @in_a_loop
    async def test_the_time_of_a_send_begins_when_it_may_leave(self) -> None:
        async with raw_server(silence) as seen:
            began = time.monotonic()
            assert await sent_to(seen.base_url, send_timeout=0.2) == OutcomeUnknown("no answer: TimeoutError")
            assert 0.15 < time.monotonic() - began < 2


class TestNoSecondPost:
    @in_a_loop
    async def test_a_send_on_a_connection_that_the_server_closes_is_made_once_and_is_a_doubt(self) -> None:
        async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(CREATED)
            await read_request(reader)  # closed on receipt of the second one

        async with raw_server(twice) as seen, client_of(seen.base_url) as client:
            assert await sent_by(client) == Accepted(ULID)
            assert isinstance(await sent_by(client), OutcomeUnknown)
            await asyncio.sleep(0.05)
            assert seen.requests == 2
            assert len(seen.connections) == 1

    @in_a_loop
    async def test_a_connection_that_closed_while_it_waited_is_not_used(self) -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(CREATED)

        async with raw_server(once) as seen, client_of(seen.base_url) as client:
            for _ in range(3):
                assert await sent_by(client) == Accepted(ULID)
                await asyncio.sleep(0.02)
        assert len(seen.connections) == 3


class TestProxy:
    @in_a_loop
    async def test_the_environment_is_not_asked_for_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with StandIn() as io:
            async with raw_server(answering(http(502))) as proxy:
                monkeypatch.setenv("http_proxy", proxy.base_url)
                monkeypatch.setenv("HTTP_PROXY", proxy.base_url)
                monkeypatch.setenv("no_proxy", "")
                assert isinstance(await sent_to(io.base_url), Accepted)
            assert proxy.connections == []

    @in_a_loop
    async def test_unless_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with raw_server(answering(CREATED)) as proxy:
            monkeypatch.setenv("http_proxy", proxy.base_url)
            monkeypatch.setenv("no_proxy", "")
            assert await sent_to("http://io.test/api/v1", trust_env=True) == Accepted(ULID)
        assert proxy.connections[0].startswith(b"POST http://io.test/api/v1/messages HTTP/1.1")
