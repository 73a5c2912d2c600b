"""An operator writes one message, sees it as the citizen will, confirms it, and watches it arrive."""

from typing import Any

import pytest
from playwright.sync_api import expect

from messaging.dispatching import dispatch
from messaging.models import Message
from messaging.polling import poll
from messaging.states import Delivery
from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import PHONE, OpenDesk
from tests.journeys.desk import FORM
from tests.support.io_stand_in import StandIn

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("width", [1280, PHONE])
def test_written_previewed_confirmed_and_followed_to_delivery(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, io: StandIn, width: int
) -> None:
    desk = open_desk(live_server.url, width=width)
    page = desk.page
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.press("Nuovo messaggio")
    desk.press("Continua")

    page.get_by_label("Codice fiscale del destinatario").fill("rssmra80a01h501u")
    page.get_by_label("Cie").fill("ca12345aa")
    phone = page.locator("#anteprima .phone")
    expect(phone).to_contain_text("Scadenza CIE n. CA12345AA")
    expect(page.locator("#anteprima")).not_to_contain_text("esempio per: Cie")
    expect(page.get_by_label("Cie")).to_be_focused()
    page.get_by_label("Data di scadenza").fill("2099-12-31")
    page.get_by_label("Codice avviso").fill("3000 1254 8634 4782 00")
    page.get_by_label("Importo in euro").fill("145,50")
    expect(phone).to_contain_text("145,50")
    expect(page.get_by_label("Data di spedizione")).to_be_hidden()
    page.get_by_label("A una data e un’ora").check()
    expect(page.get_by_label("Data di spedizione")).to_be_visible()
    page.get_by_label("Appena possibile").check()
    desk.press("Continua")

    assert desk.heading == "Controlla e conferma"
    desk.press("Invia 1 messaggio")

    expect(page.get_by_role("main")).to_contain_text("Messaggio confermato: parte adesso.")
    assert page.title() == f"Messaggio {Message.objects.get().pk} · GovIO Portal"
    state = page.locator("#avanzamento .tag")
    expect(state).to_have_text("Pianificato")
    dispatch()
    expect(state).to_have_text("Preso in carico da IO")
    assert [taken.subject for taken in io.accepted] == ["Scadenza CIE n. CA12345AA"]
    poll()
    expect(state).to_have_text("Consegnato")
    assert "hx-get" not in page.locator("#avanzamento").evaluate("one => one.outerHTML")
    assert desk.complaints == []


def test_a_double_click_sends_once(live_server: Any, open_desk: OpenDesk, cast: factories.Cast, io: StandIn) -> None:
    draft = factories.message_in(Delivery.DRAFT, instance=cast.instance, taxcode="", content={"draft_form": FORM})
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.open(f"/messaggi/nuovo/{draft.pk}/conferma/")
    desk.page.get_by_role("button", name="Invia 1 messaggio").dblclick()
    desk.page.wait_for_url(f"**/messaggi/{draft.pk}/")
    assert Message.objects.count() == 1
    dispatch()
    assert len(io.accepted) == 1


def test_mistakes_are_announced_and_each_leads_to_its_field(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast
) -> None:
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.press("Nuovo messaggio")
    desk.press("Continua")
    desk.press("Continua")
    summary = desk.page.locator(".error-summary")
    expect(summary).to_be_focused()
    assert desk.page.title().startswith("Errore:")
    summary.get_by_role("link").nth(1).click()
    expect(desk.page.get_by_label("Cie")).to_be_focused()
    assert desk.complaints == []


def test_filters_narrow_the_list_and_the_back_button_undoes_them(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast
) -> None:
    factories.message(instance=cast.instance, content={"subject": "Avviso TARI 2026"})
    factories.message(instance=cast.instance)
    desk = open_desk(live_server.url)
    page = desk.page
    desk.sign_in(cast.sender.principal, PASSWORD)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_label("Titolo contiene").fill("tari")
    page.get_by_label("Titolo contiene").press("Tab")
    expect(rows).to_have_count(1)
    assert "titolo=tari" in page.url
    page.go_back()
    expect(rows).to_have_count(2)
    assert "titolo" not in page.url


def test_the_code_is_shown_in_place_and_the_look_recorded(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast
) -> None:
    row = factories.message(instance=cast.instance)
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.open(f"/messaggi/{row.pk}/")
    assert row.taxcode not in desk.text
    desk.press("Mostra per intero")
    expect(desk.page.locator("#destinatario")).to_contain_text(row.taxcode)
    assert row.events.count() == 1
    assert desk.complaints == []


def test_signed_out_meanwhile_the_page_goes_to_sign_in_as_a_whole(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast
) -> None:
    row = factories.message(instance=cast.instance)
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.open(f"/messaggi/{row.pk}/")
    desk.page.context.clear_cookies()
    desk.page.wait_for_url(f"**/accesso/?next=%2Fmessaggi%2F{row.pk}%2F")
    assert desk.heading == "Accedi"
