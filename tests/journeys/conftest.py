"""A real browser before the portal served for real, with IO played on loopback."""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from tests.journeys.desk import Desk
from tests.support.io_stand_in import StandIn

if TYPE_CHECKING:
    from messaging.models import ServiceInstance
    from tests import factories

# Playwright keeps an event loop in this thread, where Django then refuses its ORM; tests use both, one after the other.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

DESKTOP, PHONE, NARROWEST = 1280, 390, 320
OpenDesk = Callable[..., Desk]


@pytest.fixture(scope="session")
def browser(browser_executable: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without its sandbox only where the kernel grants none: as root, in a container.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=browser_executable, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def open_desk(browser: Browser) -> Iterator[OpenDesk]:
    """`open_desk(base_url, width=..., scripts=...)`: a fresh browser profile, which reaches this machine alone."""
    contexts: list[BrowserContext] = []

    def stay_here(route: Route) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "http://localhost:", "data:")):
            route.continue_()
        else:
            route.abort()

    def open_(base_url: str, *, width: int = DESKTOP, scripts: bool = True) -> Desk:
        context = browser.new_context(
            base_url=base_url,
            viewport={"width": width, "height": 900},
            locale="it-IT",
            timezone_id="Europe/Rome",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(15_000)
        context.route("**", stay_here)
        contexts.append(context)
        page: Page = context.new_page()
        return Desk(page, has_scripts=scripts)

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def io(settings: object) -> Iterator[StandIn]:
    """IO, played on loopback; the verbs called by the test talk to it."""
    from messaging.engine import close_engines

    with StandIn() as stand_in:
        settings.IO_API_BASE_URL = stand_in.base_url  # type: ignore[attr-defined]
        settings.IO_SEND_TIMEOUT = 1.0  # type: ignore[attr-defined]
        settings.IO_FIRST_POLLS = [0.0, 60.0]  # type: ignore[attr-defined]
        yield stand_in
        close_engines()


@pytest.fixture
def instance(transactional_db: None) -> "ServiceInstance":
    from tests import factories

    return factories.service_instance()


@pytest.fixture
def cast(instance: "ServiceInstance") -> "factories.Cast":
    from tests import factories

    return factories.Cast.of(instance, stranger_on=factories.service_instance())
