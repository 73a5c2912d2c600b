"""IO for the tests of the lifecycle: a stand-in on loopback, and an engine that talks to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.io_stand_in import StandIn


@pytest.fixture
def io(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """IO, played on loopback; the process's engine calls it."""
    from messaging import dispatching, draining  # pytest may read this file before Django is set up
    from messaging.engine import close_engines, stopping

    # Only how often the slice looks up from waiting: it saves each test a few tenths of a second.
    monkeypatch.setattr(dispatching, "LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(dispatching, "GATHER_SECONDS", 0.002)
    with StandIn() as stand_in:
        settings.IO_API_BASE_URL = stand_in.base_url
        settings.IO_CONNECT_TIMEOUT = 2.0
        settings.IO_SEND_TIMEOUT = 5.0
        settings.IO_READ_TIMEOUT = 5.0
        yield stand_in
        draining.finish()
        close_engines()
        stopping.clear()
