"""The pages as a citizen (or a curious developer) opens them, and what tests ask of the sandbox."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from io_sandbox import pages
from io_sandbox.gateway import PREFIX
from io_sandbox.store import Message, Store

_STATIC: Final = Path(__file__).parent / "static"
_CITIZENS_SHOWN: Final = 200
_CSP: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Inbox:
    def __init__(self, store: Store, *, accepted_for: float, clock: Callable[[], float] = time.time) -> None:
        """`accepted_for`: seconds before an accepted message is in the inbox."""
        self._store = store
        self._accepted_for = accepted_for
        self._clock = clock

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self.home),
            web.get("/inbox/{citizen}", self.inbox),
            web.get("/inbox/{citizen}/{message}", self.message),
            web.post("/inbox/{citizen}/{message}/paga", self.pay),
            web.get("/sandbox/received", self.received),
            web.get("/healthz", self.health),
            web.static("/static", _STATIC),
        ]

    async def home(self, request: web.Request) -> web.Response:
        citizens = self._store.citizens(accepted_by=self._clock() - self._accepted_for, limit=_CITIZENS_SHOWN + 1)
        return _html(pages.home(citizens[:_CITIZENS_SHOWN], is_cut=len(citizens) > _CITIZENS_SHOWN))

    async def inbox(self, request: web.Request) -> web.Response:
        citizen = self._store.citizen(request.match_info["citizen"])
        if citizen is None:
            raise web.HTTPNotFound
        messages = [message for message in self._store.messages_of(citizen.id) if self._is_delivered(message)]
        is_refreshing = "aggiorna" in request.query
        return _html(pages.inbox(citizen, messages, now=self._clock(), is_refreshing=is_refreshing))

    async def message(self, request: web.Request) -> web.Response:
        message = self._wanted(request)
        self._store.open_message(message.io_id, at=self._clock())
        return _html(pages.message(message, now=self._clock()))

    async def pay(self, request: web.Request) -> web.Response:
        message = self._wanted(request)
        if "payment_data" in message.content:
            self._store.pay_message(message.io_id, at=self._clock())
        raise web.HTTPSeeOther(f"/inbox/{message.citizen}/{message.io_id}")

    async def received(self, request: web.Request) -> web.Response:
        """Every POST of a message that reached IO's functions, and counts: per person, and per person and subject.

        `accepted` counts messages that IO kept, whatever it answered: it is what a citizen would see.
        """
        messages = self._store.received()
        persons: dict[str, Counter[str]] = {}
        subjects: dict[tuple[str, str], Counter[str]] = {}
        for line in messages:
            counts = {"received": 1, "accepted": int(line["io_id"] is not None)}
            persons.setdefault(line["fiscal_code"], Counter()).update(counts)
            subjects.setdefault((line["fiscal_code"], line["subject"]), Counter()).update(counts)
        return web.json_response(
            {
                "received": len(messages),
                "accepted": sum(line["io_id"] is not None for line in messages),
                "by_fiscal_code": persons,
                "by_subject": [
                    {"fiscal_code": fiscal_code, "subject": subject, **counts}
                    for (fiscal_code, subject), counts in subjects.items()
                ],
                "messages": messages,
            }
        )

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    def _is_delivered(self, message: Message) -> bool:
        return message.status(at=self._clock(), accepted_for=self._accepted_for) == "PROCESSED"

    def _wanted(self, request: web.Request) -> Message:
        message = self._store.message(request.match_info["message"])
        if message is None or message.citizen != request.match_info["citizen"] or not self._is_delivered(message):
            raise web.HTTPNotFound
        return message


@web.middleware
async def not_found_as_a_page(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        if request.path.startswith(PREFIX):
            raise
        return _html(pages.not_found(), status=404)


def _html(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)
