"""IO takes a message and never answers: the doubt is visible, and a person settles it."""

from typing import Any

import pytest
from playwright.sync_api import expect

from messaging.dispatching import dispatch
from messaging.states import Delivery
from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import OpenDesk
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def doubtful(cast: factories.Cast, io: StandIn) -> Any:
    """A message that IO took without answering."""
    row = factories.message(instance=cast.instance)
    io.answer("send", Canned(fault="reset_after"), times=1)
    dispatch()
    row.refresh_from_db()
    assert row.delivery_state == Delivery.UNCERTAIN
    return row


def test_found_from_the_list_and_settled_as_arrived(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, doubtful: Any
) -> None:
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    assert "1 messaggio ha un esito incerto" in desk.text
    desk.press("Decidi")
    desk.press("È arrivato")
    desk.page.get_by_label("Come lo sai?").fill("Il cittadino lo ha letto")
    desk.press("Segna come arrivato")
    expect(desk.page.locator("#avanzamento .tag")).to_have_text("Dato per arrivato")
    assert "Il cittadino lo ha letto" in desk.text
    dispatch()
    doubtful.refresh_from_db()
    assert doubtful.is_taken_as_arrived
    assert desk.complaints == []


def test_sent_again_only_by_someone_who_says_to_know(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, doubtful: Any, io: StandIn
) -> None:
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.open(f"/messaggi/{doubtful.pk}/invia-di-nuovo/")
    desk.page.get_by_label("Perché lo invii di nuovo?").fill("Non risulta nel back office")
    desk.press("Invia di nuovo 1 messaggio")
    assert desk.page.title().startswith("Errore:")
    desk.page.get_by_label("So che il cittadino potrebbe riceverlo due volte").check()
    desk.press("Invia di nuovo 1 messaggio")
    expect(desk.page.locator("#avanzamento .tag")).to_have_text("Pianificato")
    dispatch()
    expect(desk.page.locator("#avanzamento .tag")).to_have_text("Preso in carico da IO")
    assert len(io.accepted) == 2
    assert desk.complaints == []
