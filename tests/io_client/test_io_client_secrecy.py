"""No key, no fiscal code and no text of a message in a log, a repr or an exception."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable

import pytest

from io_client.client import IOClient
from io_client.payloads import NewMessage
from tests.support.io_stand_in import Canned, Fault, StandIn
from tests.support.raw_server import answering, http, raw_server, silence

KEY = "s3cr3t-key-0123456789"
CODE = "RSSMRA80A01H501U"
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
MESSAGE = NewMessage(fiscal_code=CODE, subject="Oggetto riservato", markdown="Corpo riservato. " * 6)
SECRETS = (KEY, CODE, "riservato")


async def every_call(base_url: str) -> list[object]:
    client = IOClient(base_url, connect_timeout=0.3, send_timeout=0.1, read_timeout=0.1)
    try:
        return [
            client,
            await client.profile(CODE, key=KEY),
            await client.status(CODE, ULID, key=KEY),
            await client.send(MESSAGE, key=KEY, may_leave=lambda: True),
            await client.send(MESSAGE, key=KEY, may_leave=lambda: False),
        ]
    finally:
        await client.close()


def shown_by(run: Callable[[], Awaitable[list[object]]], caplog: pytest.LogCaptureFixture) -> str:
    """Everything said while running, with every logger at its most talkative and asyncio in debug mode."""
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "aiohttp.internal", "io_client"):
        caplog.set_level(logging.DEBUG, logger=name)

    async def main() -> list[object]:
        asyncio.get_running_loop().slow_callback_duration = 0.0  # so that every step is logged
        return await run()

    values = asyncio.run(main(), debug=True)
    gc.collect()
    assert "asyncio" in {record.name for record in caplog.records}
    return caplog.text + repr(values)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "never"])
def test_connections_that_break(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    with StandIn() as io:
        for call in ("profile", "status", "send"):
            io.answer(call, Canned(fault=fault))
        shown = shown_by(lambda: every_call(io.base_url), caplog)
    assert not any(secret in shown for secret in SECRETS)


def test_connections_that_are_not_made(caplog: pytest.LogCaptureFixture) -> None:
    shown = shown_by(lambda: every_call("http://127.0.0.1:9/api/v1"), caplog)
    assert not any(secret in shown for secret in SECRETS)


def test_connections_that_take_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[object]:
        async with raw_server(silence) as seen:
            return await every_call(seen.base_url.replace("http:", "https:"))

    shown = shown_by(run, caplog)
    assert not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize("content", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno"])
def test_answers_that_cannot_be_read(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[object]:
        async with raw_server(answering(content)) as seen:
            return await every_call(seen.base_url)

    shown = shown_by(run, caplog)
    assert not any(secret in shown for secret in SECRETS)


def test_answers_that_repeat_what_we_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[object]:
        body = f'{{"title": "Bad {CODE}", "detail": "key {KEY} for {CODE.lower()}"}}'.encode()
        async with raw_server(answering(http(400, body, f"Set-Cookie: c={CODE}"))) as seen:
            return await every_call(seen.base_url)

    shown = shown_by(run, caplog)
    assert not any(secret in shown or secret.lower() in shown for secret in SECRETS)


def test_a_question_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> bool:
        raise OSError(5, "disk")

    async def run() -> list[object]:
        async with raw_server(silence) as seen:
            client = IOClient(seen.base_url)
            try:
                with pytest.raises(RuntimeError) as caught:
                    await client.send(MESSAGE, key=KEY, may_leave=broken)
            finally:
                await client.close()
            return [caught.value, caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]

    shown = shown_by(run, caplog)
    assert not any(secret in shown for secret in SECRETS)


def test_a_session_left_open(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    async def run() -> list[object]:
        with StandIn() as io:
            client = IOClient(io.base_url)
            await client.profile(CODE, key=KEY)
            return [await client.status(CODE, ULID, key=KEY)]

    with pytest.warns(ResourceWarning):
        shown = shown_by(run, caplog)
    assert not any(secret in shown + str([str(w.message) for w in recwarn]) for secret in SECRETS)
