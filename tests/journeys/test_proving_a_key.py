"""Trying a key with a browser's own clicks: the button rests while IO is asked, so that nobody asks twice."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import OpenDesk
from tests.support.io_stand_in import Canned, StandIn

PRESSED_TWICE = """async (button) => {
    button.click();
    await new Promise((go) => setTimeout(go, 100));
    button.click();
    return button.disabled;
}"""

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_button_rests_until_io_has_answered(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, io: StandIn
) -> None:
    io.answer("profile", Canned(200, delay=2.0))
    desk = open_desk(live_server.url)
    page = desk.page
    page.goto("/accesso/")
    page.get_by_label("Nome utente").fill(cast.configurator.principal)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Accedi").click()
    page.wait_for_load_state()
    page.goto(f"/servizi-io/{cast.instance.io_service_id}/")
    button = page.get_by_role("button", name="Prova la chiave primaria")
    # Pressed from within: from outside, looking would wait for the page that comes.
    assert button.evaluate(PRESSED_TWICE)
    page.get_by_text("Chiave primaria: Valida").wait_for()
    expect(button).to_be_enabled()
    page.go_back()
    expect(button).to_be_enabled()
    assert io.count("profile") == 1
    assert desk.complaints == []
