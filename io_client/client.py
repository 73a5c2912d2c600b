"""The three calls of IO's services API that we make. One session per client, one client per event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from io_client import outcomes
from io_client.answers import BODY_LIMIT, Answer
from io_client.departure import Departure
from io_client.outcomes import (
    Cause,
    OutcomeUnknown,
    ProfileOutcome,
    Refused,
    SendOutcome,
    StatusOutcome,
    Unavailable,
    Withheld,
)
from io_client.payloads import FISCAL_CODE, NewMessage, body_of, json_bytes, problems

# Seconds an idle connection is kept. Short, because a connection that the other side closes while we write on it
# leaves a doubt about the message; gateways keep theirs for a minute or more.
_KEEPALIVE: Final = 15.0
_KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
# What can go wrong below us. TimeoutError is ours and aiohttp's; OSError is the socket's.
_FAULTS: Final = (aiohttp.ClientError, OSError, TimeoutError)


class IOClient:
    """Calls to one IO (or a stand-in). Keys come with each call and are not kept.

    Made anywhere, at no cost; the session is made by the first call and belongs to the event loop that made it. Not
    for use from another loop. A call that is cancelled says nothing about its outcome: treat a cancelled send as
    OutcomeUnknown.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float = 5,
        send_timeout: float = 15,
        read_timeout: float = 15,
        trust_env: bool = False,
        connections: int = 100,
    ) -> None:
        """Timeouts in seconds: to connect (DNS, TCP and TLS together), for a send from the moment the request may
        leave, for a read in all. At most `connections` calls are under way; further ones wait for their turn, which
        no timeout counts. `trust_env` takes the proxy from the environment.
        """
        url = URL(base_url.rstrip("/"))
        if url.scheme not in {"http", "https"} or not url.host or url.query_string or url.fragment or url.user:
            raise ValueError("base_url must be http(s)://host[:port][/path], without user, query or fragment")
        self._base = str(url).rstrip("/")
        self._connect_timeout = connect_timeout
        self._send_timeout = send_timeout
        self._read_timeout = read_timeout
        self._trust_env = trust_env
        self._turns = asyncio.Semaphore(connections)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    async def profile(self, fiscal_code: str, *, key: str) -> ProfileOutcome:
        """Whether the service of this key may write to this person (POST /profiles, so no fiscal code in a URL)."""
        if (refusal := _refusal(fiscal_code, key=key)) is not None:
            return refusal
        answer = await self._read("POST", "/profiles", key=key, body=json_bytes({"fiscal_code": fiscal_code}))
        return answer if isinstance(answer, Unavailable) else outcomes.of_profile(answer)

    async def status(self, fiscal_code: str, io_id: str, *, key: str) -> StatusOutcome:
        """Where a message stands (GET /messages/{fiscal_code}/{id}); the key is of the service that sent it."""
        if (refusal := _refusal(fiscal_code, key=key)) is not None:
            return refusal
        if not outcomes.ID.fullmatch(io_id):
            return Refused(status=0, title="", detail="id: not an id of IO", cause=Cause.CONTENT)
        path = f"/messages/{quote(fiscal_code, safe='')}/{quote(io_id, safe='')}"
        answer = await self._read("GET", path, key=key)
        return answer if isinstance(answer, Unavailable) else outcomes.of_status(answer)

    async def send(self, message: NewMessage, *, key: str, may_leave: Callable[[], bool]) -> SendOutcome:
        """POST /messages. `may_leave` is asked once, after a connection is there and before any byte is written; it
        must be quick. If it raises, nothing was sent and RuntimeError comes out with the error as its cause.
        """
        if found := problems(message):
            return Refused(status=0, title="", detail="; ".join(found), cause=Cause.CONTENT)
        if (refusal := _refusal(message.fiscal_code, key=key)) is not None:
            return refusal
        answer: Answer | None = None
        fault: BaseException | None = None
        answered_before_leaving = False
        async with self._turn() as session:
            deadline = asyncio.timeout(None)
            departure = Departure(body_of(message), may_leave=may_leave, deadline=deadline, seconds=self._send_timeout)
            try:
                async with deadline, self._request(session, "POST", "/messages", key=key, body=departure) as response:
                    answered_before_leaving = not departure.has_left
                    # A status line is an answer even if its body never comes.
                    answer = _answer(response, key=key)
                    answer = _answer(response, content=await _content(response), key=key)
            except _FAULTS as error:
                fault = error
            finally:
                departure.has_ended()
        if departure.was_asked and departure.was_allowed is None:
            raise RuntimeError("may_leave failed, nothing was sent") from fault
        if departure.was_asked and not departure.was_allowed:
            return Withheld()
        if not departure.has_left:
            return Unavailable(_reason("not sent", fault))
        if answer is None or answered_before_leaving:
            return OutcomeUnknown(_reason("no answer", fault))
        return outcomes.of_send(answer)

    async def close(self) -> None:
        """Closes every connection. No call may follow; closing twice is harmless."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    async def _read(self, method: str, path: str, *, key: str, body: bytes | None = None) -> Answer | Unavailable:
        async with self._turn() as session:
            try:
                async with (
                    asyncio.timeout(self._read_timeout),
                    self._request(session, method, path, key=key, body=body) as response,
                ):
                    return _answer(response, content=await _content(response), key=key)
            except _FAULTS as error:
                return Unavailable(_reason("no answer", error))

    def _request(
        self, session: aiohttp.ClientSession, method: str, path: str, *, key: str, body: bytes | Departure | None = None
    ) -> "aiohttp.client._RequestContextManager":
        headers = {_KEY_HEADER: key}
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        # aiohttp repeats GET by itself on a connection found closed, and never POST; redirects are answers to us.
        url = URL(self._base + path, encoded=True)
        return session.request(method, url, data=body, headers=headers, allow_redirects=False)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with self._turns:
            yield self._open_session()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise RuntimeError("this IOClient is closed")
        loop = asyncio.get_running_loop()
        if self._session is None:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                # Turns are counted by us, before the timeouts start: waiting for one is no fault of IO's.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
                # Answers are short: compressing them would only let a small one grow in our memory.
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "GovIO-Portal"},
                trust_env=self._trust_env,
            )
        if loop is not self._loop:
            raise RuntimeError("this IOClient belongs to another event loop")
        return self._session


def _answer(response: aiohttp.ClientResponse, *, key: str, content: bytes = b"") -> Answer:
    return Answer(status=response.status, headers=response.headers, content=content, secret=key)


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """The body, or its first BODY_LIMIT bytes; a longer one is left unread and its connection is not used again."""
    pieces = []
    missing = BODY_LIMIT
    while missing and (piece := await response.content.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _refusal(fiscal_code: str, *, key: str) -> Refused | None:
    """Why the call cannot even be made; None when it can."""
    if not (key and key.isascii() and key.isprintable()):
        detail = "the key is empty or has characters that no HTTP header can carry"
        return Refused(status=0, title="", detail=detail, cause=Cause.KEY)
    if not FISCAL_CODE.fullmatch(fiscal_code):
        detail = "fiscal_code: not a natural person's fiscal code (16 characters, upper case)"
        return Refused(status=0, title="", detail=detail, cause=Cause.CONTENT)
    return None


def _reason(what: str, fault: BaseException | None) -> str:
    """The class of the fault and never its text, which may hold the URL and so the fiscal code."""
    return f"{what}: {type(fault).__name__}" if fault is not None else what
