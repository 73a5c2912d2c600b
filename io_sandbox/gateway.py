"""The gateway before IO's functions: paths, keys, and how many calls an account may make."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from io_sandbox.answering import from_gateway, throttled
from io_sandbox.config import Config, Limit, Service

PREFIX: Final = "/api/v1"
KEY_HEADER: Final = "Ocp-Apim-Subscription-Key"
CALLER: Final = web.RequestKey("caller", Service)


class Window:
    """A fixed window of calls, as the gateway counts them for the whole account."""

    def __init__(self, limit: Limit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._began = clock()
        self._calls = 0

    def wait(self) -> float:
        """Counts a call; seconds to wait when it is one too many, 0 when it may pass."""
        now = self._clock()
        if now - self._began >= self._limit.seconds:
            self._began, self._calls = now, 0
        self._calls += 1
        return 0.0 if self._calls <= self._limit.calls else self._limit.seconds - (now - self._began)

    @property
    def remaining(self) -> int:
        return max(0, self._limit.calls - self._calls)


def middleware(config: Config, *, clock: Callable[[], float] = time.monotonic) -> Middleware:
    """Order as on IO: the path, the key, the rate. What is outside the prefix passes untouched."""
    by_key: Mapping[str, Service] = {
        key: service for service in config.services for key in (service.primary_key, service.secondary_key)
    }
    window = Window(config.account_limit, clock=clock) if config.account_limit else None

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(f"{PREFIX}/"):
            return await handler(request)
        if request.match_info.http_exception is not None:
            return from_gateway(404, "Resource not found")
        key = request.headers.get(KEY_HEADER, "")
        caller = by_key.get(key)
        if caller is None:
            return from_gateway(401, _WRONG_KEY if key else _NO_KEY, headers={"WWW-Authenticate": _CHALLENGE})
        if window is not None and (pause := window.wait()):
            return throttled(pause)
        request[CALLER] = caller
        response = await handler(request)
        if window is not None and not response.prepared:
            response.headers["x-rate-limit-remaining"] = str(window.remaining)
        return response

    return guard


_NO_KEY: Final = (
    "Access denied due to missing subscription key. "
    "Make sure to include subscription key when making requests to an API."
)
_WRONG_KEY: Final = (
    "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
)
_CHALLENGE: Final = f'AzureApiManagementKey realm="sandbox",name="{KEY_HEADER}",type="header"'
