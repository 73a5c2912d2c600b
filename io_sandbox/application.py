"""The sandbox put together."""

import time
from collections.abc import Callable

from aiohttp import web

from io_sandbox import gateway
from io_sandbox.api import ServicesAPI
from io_sandbox.config import Config
from io_sandbox.inbox import Inbox, not_found_as_a_page
from io_sandbox.store import Store


def build(config: Config, store: Store, *, clock: Callable[[], float] = time.time) -> web.Application:
    """The clock gives seconds since 1970; how long answers take is real time all the same."""
    application = web.Application(middlewares=[gateway.middleware(config), not_found_as_a_page])
    application.add_routes(ServicesAPI(config, store, clock=clock).routes())
    application.add_routes(Inbox(store, accepted_for=config.speeds.accepted_for, clock=clock).routes())
    return application
