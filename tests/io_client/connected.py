"""What the tests of the client start from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from io_client.client import IOClient
from io_client.outcomes import SendOutcome
from io_client.payloads import NewMessage
from tests.support.raw_server import http

KEY: Final = "0123456789abcdef"
CODE: Final = "RSSMRA80A01H501U"
ULID: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
MESSAGE: Final = NewMessage(fiscal_code=CODE, subject="Avviso di prova", markdown="Testo di prova. " * 6)
CREATED: Final = http(201, b'{"id": "%s"}' % ULID.encode())


@asynccontextmanager
async def client_of(base_url: str, **options: Any) -> AsyncIterator[IOClient]:
    client = IOClient(base_url, **options)
    try:
        yield client
    finally:
        await client.close()


async def sent_by(client: IOClient, message: NewMessage = MESSAGE) -> SendOutcome:
    """One send that may leave."""
    return await client.send(message, key=KEY, may_leave=lambda: True)


async def sent_to(base_url: str, **options: Any) -> SendOutcome:
    """One send that may leave, by a client of its own."""
    async with client_of(base_url, **options) as client:
        return await sent_by(client)
