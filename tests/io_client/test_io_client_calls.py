"""The three calls over real sockets: what leaves, and what every kind of answer or silence comes to."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from io_client.client import IOClient
from io_client.outcomes import (
    Accepted,
    Cause,
    MessageStatus,
    OutcomeUnknown,
    Profile,
    Refused,
    Throttled,
    Unavailable,
)
from io_client.payloads import NewMessage
from tests.io_client.connected import CODE, CREATED, KEY, MESSAGE, ULID, client_of, sent_by, sent_to
from tests.support.io_stand_in import Canned, StandIn
from tests.support.looping import in_a_loop
from tests.support.raw_server import answering, http, raw_server, read_request, silence


@pytest.fixture
def io() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


class TestRequests:
    @in_a_loop
    async def test_a_profile_is_asked_by_post_so_that_no_code_is_in_the_address(self, io: StandIn) -> None:
        async with client_of(io.base_url + "/") as client:
            assert await client.profile(CODE, key=KEY) == Profile(True, ("it_IT",))
        (request,) = io.requests
        assert (request.method, request.path) == ("POST", "/api/v1/profiles")
        assert request.json == {"fiscal_code": CODE}
        assert request.headers["ocp-apim-subscription-key"] == KEY
        assert request.headers["content-type"] == "application/json; charset=utf-8"

    @in_a_loop
    async def test_a_message_is_sent_with_the_code_in_the_body(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            outcome = await sent_by(client)
        (request,), (taken,) = io.requests, io.accepted
        assert outcome == Accepted(taken.io_id)
        assert (request.method, request.path) == ("POST", "/api/v1/messages")
        assert request.json["fiscal_code"] == CODE
        assert request.json["content"] == {"subject": MESSAGE.subject, "markdown": MESSAGE.markdown}
        assert request.headers["ocp-apim-subscription-key"] == KEY
        assert request.headers["content-type"] == "application/json; charset=utf-8"

    @in_a_loop
    async def test_a_status_is_read_with_code_and_id(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            sent = await sent_by(client)
            assert isinstance(sent, Accepted)
            assert sent.io_id is not None
            assert await client.status(CODE, sent.io_id, key=KEY) == MessageStatus("PROCESSED", None, None)
            assert await client.status(CODE, ULID, key=KEY) == Refused(
                404, "Stand-in", "Programmed by the test.", Cause.NOT_FOUND
            )
        assert io.requests[1].path == f"/api/v1/messages/{CODE}/{sent.io_id}"
        assert io.requests[1].headers["ocp-apim-subscription-key"] == KEY

    @in_a_loop
    async def test_each_call_brings_its_own_key(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            await client.profile(CODE, key="first")
            await client.profile(CODE, key="second")
        assert [request.headers["ocp-apim-subscription-key"] for request in io.requests] == ["first", "second"]

    @in_a_loop
    async def test_the_answers_cookies_are_not_kept(self, io: StandIn) -> None:
        io.answer("profile", Canned(200, headers={"Set-Cookie": "session=1; Path=/"}))
        async with client_of(io.base_url) as client:
            await client.profile(CODE, key=KEY)
            await client.profile(CODE, key=KEY)
        assert "cookie" not in io.requests[1].headers

    @in_a_loop
    async def test_the_connection_is_used_again(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            for _ in range(3):
                await client.profile(CODE, key=KEY)
                await sent_by(client)
        assert io.connections == 1


class TestRefusedBeforeTheCall:
    @in_a_loop
    async def test_a_message_that_breaks_a_limit(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            outcome = await sent_by(client, NewMessage(fiscal_code=CODE, subject="Corto", markdown="Corto"))
        assert isinstance(outcome, Refused)
        assert (outcome.status, outcome.cause) == (0, Cause.CONTENT)
        assert "content.subject" in outcome.detail
        assert "content.markdown" in outcome.detail
        assert io.connections == 0

    @pytest.mark.parametrize("code", ["", "RSSMRA80A01H501", "../profiles", "RSSMRA80A01H501U\r\n"])
    @in_a_loop
    async def test_a_code_that_is_not_a_persons(self, code: str, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            outcomes = [await client.profile(code, key=KEY), await client.status(code, ULID, key=KEY)]
        assert [(o.status, o.cause) for o in outcomes if isinstance(o, Refused)] == [(0, Cause.CONTENT)] * 2
        assert io.connections == 0

    @pytest.mark.parametrize("io_id", ["", "..", "a/b", "a?b", "x" * 65])
    @in_a_loop
    async def test_an_id_that_is_not_ios(self, io_id: str, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            outcome = await client.status(CODE, io_id, key=KEY)
        assert isinstance(outcome, Refused)
        assert outcome.cause is Cause.CONTENT
        assert io.connections == 0

    @pytest.mark.parametrize("key", ["", "a\r\nX-Injected: 1", "chiave-è", "\x00"])
    @in_a_loop
    async def test_a_key_that_no_header_can_carry(self, key: str, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            outcomes = [
                await client.profile(CODE, key=key),
                await client.status(CODE, ULID, key=key),
                await client.send(MESSAGE, key=key, may_leave=lambda: True),
            ]
        assert [(o.status, o.cause) for o in outcomes if isinstance(o, Refused)] == [(0, Cause.KEY)] * 3
        assert io.connections == 0

    @pytest.mark.parametrize(
        "address",
        ["", "api.io.example", "ftp://host/api", "http://", "http://a:b@host", "http://h/?q=1", "http://h/#f"],
    )
    def test_an_address_that_is_not_one(self, address: str) -> None:
        with pytest.raises(ValueError, match="base_url"):
            IOClient(address)


class TestAnswers:
    @in_a_loop
    async def test_each_status_over_the_wire(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            io.answer("send", Canned(429, headers={"x-rate-limit-retry-after": "4"}))
            assert await sent_by(client) == Throttled(4.0)
            io.answer("send", Canned(500))
            assert await sent_by(client) == OutcomeUnknown("HTTP 500")
            io.answer("send", Canned(401))
            refused = await sent_by(client)
            assert isinstance(refused, Refused)
            assert refused.cause is Cause.KEY
            io.answer("profile", Canned(503))
            assert await client.profile(CODE, key=KEY) == Unavailable("HTTP 503")
            io.answer("status", Canned(500))
            assert await client.status(CODE, ULID, key=KEY) == Unavailable("HTTP 500")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @in_a_loop
    async def test_redirects_are_not_followed(self, status: int, io: StandIn) -> None:
        moved = Canned(status, headers={"Location": io.base_url + "/elsewhere"})
        for call in ("send", "profile", "status"):
            io.answer(call, moved)
        async with client_of(io.base_url) as client:
            assert await sent_by(client) == OutcomeUnknown(f"HTTP {status}")
            assert await client.profile(CODE, key=KEY) == Unavailable(f"HTTP {status}")
            assert await client.status(CODE, ULID, key=KEY) == Unavailable(f"HTTP {status}")
        assert [request.call for request in io.requests] == ["send", "profile", "status"]

    @pytest.mark.parametrize(
        "content",
        [
            http(204),
            http(200, b"<html>Benvenuto</html>", "Content-Type: text/html"),
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: zero\r\n\r\n",
            b"HTTP/1.1 201\x00Created\r\n\r\n",
            b"HTTP/9.9 201 Created\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"SSH-2.0-OpenSSH\r\n",
            b"\r\n\r\n",
        ],
    )
    @in_a_loop
    async def test_garbage_is_a_doubt_after_a_send_and_a_retry_after_a_read(self, content: bytes) -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(content)

        async with raw_server(once) as seen, client_of(seen.base_url) as client:
            assert isinstance(await sent_by(client), OutcomeUnknown)
            assert isinstance(await client.profile(CODE, key=KEY), Unavailable)
            assert isinstance(await client.status(CODE, ULID, key=KEY), Unavailable)

    @in_a_loop
    async def test_a_giant_body_is_not_read_whole(self) -> None:
        written = 0

        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            await read_request(reader)
            writer.write(b"HTTP/1.1 201 Created\r\nLocation: /api/v1/messages/X/%s\r\n\r\n" % ULID.encode())
            for _ in range(1000):
                writer.write(b" " * 65536)
                written += 65536
                await writer.drain()

        async with raw_server(endless) as seen:
            assert await sent_to(seen.base_url) == Accepted(ULID)
        assert written < 20_000_000

    @in_a_loop
    async def test_a_body_that_stops_half_way_leaves_the_status_standing(self) -> None:
        async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\nLocation: /m/%s\r\n\r\n{" % ULID.encode())

        async with raw_server(half) as seen:
            assert await sent_to(seen.base_url) == Accepted(ULID)

    @in_a_loop
    async def test_an_early_100_continue_is_not_the_answer(self) -> None:
        async with raw_server(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + CREATED)) as seen:
            assert await sent_to(seen.base_url) == Accepted(ULID)


class TestSilence:
    @in_a_loop
    async def test_no_answer_to_a_send_is_a_doubt(self) -> None:
        async with raw_server(silence) as seen:
            assert await sent_to(seen.base_url, send_timeout=0.1) == OutcomeUnknown("no answer: TimeoutError")
        assert seen.requests == 1

    @in_a_loop
    async def test_no_answer_to_a_read_is_asked_again(self) -> None:
        async with raw_server(silence) as seen, client_of(seen.base_url, read_timeout=0.1) as client:
            assert await client.profile(CODE, key=KEY) == Unavailable("no answer: TimeoutError")
            assert await client.status(CODE, ULID, key=KEY) == Unavailable("no answer: TimeoutError")

    @in_a_loop
    async def test_an_answer_that_trickles_ends_with_the_time(self) -> None:
        async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            for byte in b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 100:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        async with raw_server(trickle) as seen:
            assert await sent_to(seen.base_url, send_timeout=0.15) == OutcomeUnknown("no answer: TimeoutError")

    @in_a_loop
    async def test_a_connection_closed_after_the_request_is_a_doubt(self) -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)

        async with raw_server(hang_up) as seen, client_of(seen.base_url) as client:
            assert await sent_by(client) == OutcomeUnknown("no answer: ServerDisconnectedError")
            assert seen.requests == 1
            assert isinstance(await client.profile(CODE, key=KEY), Unavailable)

    @in_a_loop
    async def test_resets_are_doubts(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            io.answer("send", Canned(fault="reset_before"), times=1)
            assert isinstance(await sent_by(client), OutcomeUnknown)
            io.answer("send", Canned(fault="reset_after"), times=1)
            assert isinstance(await sent_by(client), OutcomeUnknown)
        assert (io.count("send"), len(io.accepted)) == (2, 1)

    @in_a_loop
    async def test_a_server_that_closes_before_reading_is_a_doubt_only_once_something_left(self) -> None:
        async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with raw_server(slam) as seen:
            # The connection was made and the request handed to the system: whether any of it arrived, nobody can say.
            assert isinstance(await sent_to(seen.base_url), OutcomeUnknown | Unavailable)


class TestLife:
    @in_a_loop
    async def test_a_cancelled_call_stays_cancelled(self) -> None:
        async with raw_server(silence) as seen, client_of(seen.base_url) as client:
            task = asyncio.create_task(client.profile(CODE, key=KEY))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    @in_a_loop
    async def test_waiting_for_a_turn_uses_up_no_timeout(self, io: StandIn) -> None:
        io.answer("send", Canned(201, delay=0.15))
        async with client_of(io.base_url, connections=1, connect_timeout=0.1, send_timeout=0.25) as client:
            outcomes = await asyncio.gather(*(sent_by(client) for _ in range(4)))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert io.connections == 1

    def test_a_client_is_made_without_a_loop_and_closed_without_a_session(self) -> None:
        asyncio.run(IOClient("https://api.io.example/api/v1").close())

    @in_a_loop
    async def test_no_call_after_closing(self, io: StandIn) -> None:
        async with client_of(io.base_url) as client:
            await client.profile(CODE, key=KEY)
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.profile(CODE, key=KEY)

    def test_no_call_from_another_loop(self, io: StandIn) -> None:
        client = IOClient(io.base_url)
        with asyncio.Runner() as first:
            first.run(client.profile(CODE, key=KEY))
            with asyncio.Runner() as second, pytest.raises(RuntimeError, match="loop"):
                second.run(client.profile(CODE, key=KEY))
            first.run(client.close())

    @in_a_loop
    async def test_due_date_and_payment_reach_io(self, io: StandIn) -> None:
        message = NewMessage(
            fiscal_code=CODE,
            subject=MESSAGE.subject,
            markdown=MESSAGE.markdown,
            due_date=datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC),
        )
        async with client_of(io.base_url) as client:
            await sent_by(client, message)
        assert io.requests[0].json["content"]["due_date"] == "2026-12-31T22:59:59Z"
