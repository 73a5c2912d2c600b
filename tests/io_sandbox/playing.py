"""A sandbox inside the test's own loop, and what one says to it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp.test_utils import BaseTestServer, TestServer

from io_sandbox.application import build
from io_sandbox.config import parse
from io_sandbox.store import Store

KEY: Final = "primary-of-the-first"
OTHER_KEY: Final = "primary-of-the-second"
CODE: Final = "RSSMRA85A01H501Z"
TEXT: Final = "Testo di prova, lungo quanto basta. " * 3
FIRST: Final = {
    "service_id": "01J0000000000000000000CIE0",
    "name": "Carta d'identità elettronica",
    "organization_name": "Comune di Vallechiara",
    "organization_fiscal_code": "01234567890",
    "primary_key": KEY,
    "secondary_key": "secondary-of-the-first",
    "max_allowed_payment_amount": 1_000_000,
    "premium": True,
}
SECOND: Final = FIRST | {
    "service_id": "01J0000000000000000000TAR1",
    "primary_key": OTHER_KEY,
    "secondary_key": "secondary-of-the-second",
    "max_allowed_payment_amount": 0,
    "premium": False,
    "authorized_recipients": [CODE],
}


def settings(**changes: Any) -> dict[str, Any]:
    """The content of a configuration file."""
    speeds = {"accepted_for": changes.pop("accepted_for", 0), "silence": 0.3, "slow_answer": 0.3, "throttle": 1}
    return {"services": [FIRST, SECOND], "speeds": speeds} | changes


def send_body(*, fiscal_code: str | None = CODE, **changes: Any) -> dict[str, Any]:
    """The body of a send; what is not a field of the message itself goes into its content."""
    top = {"fiscal_code": fiscal_code} if fiscal_code else {}
    for name in ("feature_level_type", "time_to_live", "default_addresses"):
        if name in changes:
            top[name] = changes.pop(name)
    return top | {"content": {"subject": "Avviso di prova", "markdown": TEXT} | changes}


class Playing:
    def __init__(self, server: BaseTestServer, session: aiohttp.ClientSession) -> None:
        self.base_url = str(server.make_url("/api/v1"))
        self._server = server
        self._session = session

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str = KEY
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and parsed JSON of a call to the services API."""
        headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self._session.request(method, self.base_url + path, headers=headers, **data) as answer:
            return answer.status, answer.headers, await answer.json(content_type=None)

    async def sent(self, body: Any = None, *, key: str = KEY) -> str:
        """The id of a message that is accepted."""
        status, _, answer = await self.call("POST", "/messages", body or send_body(), key=key)
        assert status == 201, answer
        return str(answer["id"])

    async def page(self, path: str, *, method: str = "GET", status: int = 200) -> str:
        async with self._session.request(method, self._server.make_url(path)) as answer:
            assert answer.status == status
            return await answer.text()

    async def headers_of(self, path: str) -> Mapping[str, str]:
        async with self._session.get(self._server.make_url(path)) as answer:
            return answer.headers

    async def json(self, path: str) -> Any:
        async with self._session.get(self._server.make_url(path)) as answer:
            return await answer.json()


@asynccontextmanager
async def sandbox(folder: Path, *, clock: Callable[[], float] | None = None, **changes: Any) -> AsyncIterator[Playing]:
    """A sandbox whose messages are processed at once, unless `accepted_for` says otherwise."""
    config = parse(settings(**changes), folder=folder)
    store = Store(config.data)
    application = build(config, store, clock=clock) if clock else build(config, store)
    try:
        async with TestServer(application) as server, aiohttp.ClientSession() as session:
            yield Playing(server, session)
    finally:
        store.close()
