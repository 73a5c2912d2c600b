"""Everything that matters works with scripts switched off."""

from typing import Any

import pytest

from messaging.dispatching import dispatch
from messaging.models import Message
from messaging.states import Delivery
from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import PHONE, OpenDesk
from tests.journeys.desk import FORM
from tests.support.io_stand_in import StandIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("width", [1280, PHONE])
def test_a_message_is_written_previewed_confirmed_and_followed(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, io: StandIn, width: int
) -> None:
    desk = open_desk(live_server.url, width=width, scripts=False)
    page = desk.page
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.press("Nuovo messaggio")
    desk.press("Continua")
    page.get_by_label("Codice fiscale del destinatario").fill(FORM["codice_fiscale"])
    page.get_by_label("Cie").fill(FORM["s_cie"])
    page.get_by_role("button", name="Aggiorna anteprima").last.click()
    assert "Scadenza CIE n. CA12345AA" in page.locator("#anteprima").inner_text()
    page.get_by_label("Data di scadenza").fill(FORM["scadenza_data"])
    page.get_by_label("Codice avviso").fill(FORM["codice_avviso"])
    page.get_by_label("Importo in euro").fill(FORM["importo"])
    assert page.get_by_label("Data di spedizione").is_visible(), "without scripts nothing is hidden"
    desk.press("Salva bozza")
    desk.press("Continua a scriverlo")
    assert page.get_by_label("Importo in euro").input_value() == FORM["importo"]
    desk.press("Continua")
    desk.press("Invia 1 messaggio")
    assert Message.objects.get().delivery_state == Delivery.SCHEDULED
    dispatch()
    desk.press("Aggiorna")
    assert "Preso in carico da IO" in desk.text
    assert len(io.accepted) == 1


def test_the_menu_of_small_screens_opens(live_server: Any, open_desk: OpenDesk, cast: factories.Cast) -> None:
    desk = open_desk(live_server.url, width=PHONE, scripts=False)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.page.get_by_text("Menu", exact=True).click()
    desk.page.get_by_role("navigation", name="Principale").get_by_role("link", name="Da decidere").click()
    assert desk.heading == "Da decidere"


def test_filters_and_search_work(live_server: Any, open_desk: OpenDesk, cast: factories.Cast) -> None:
    factories.message(instance=cast.instance, content={"subject": "Avviso TARI 2026"}, taxcode="VRDLGU75B02F205A")
    factories.message(instance=cast.instance)
    desk = open_desk(live_server.url, scripts=False)
    page = desk.page
    desk.sign_in(cast.sender.principal, PASSWORD)
    page.get_by_label("Titolo contiene").fill("tari")
    desk.press("Filtra")
    assert page.locator("tbody tr").count() == 1
    page.locator(".filter-chip").click()
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("textbox", name="Codice fiscale").fill("VRDLGU75B02F205A")
    desk.press("Cerca")
    assert page.locator("tbody tr").count() == 1
    assert "VRDLGU" not in page.url
