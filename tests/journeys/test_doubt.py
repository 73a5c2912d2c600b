"""IO takes a message and never answers: the doubt is visible, and a person settles it."""

from typing import Any

import pytest
from playwright.sync_api import expect

from messaging.dispatching import dispatch
from messaging.models import OnDoubt
from messaging.states import Delivery
from registry.models import Role
from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import NARROWEST, OpenDesk
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
    # One alone has a page of its own.
    desk.page.get_by_role("checkbox").check()
    desk.press("Segna come arrivati")
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


@pytest.mark.parametrize("scripts", [True, False])
def test_many_at_once_on_a_narrow_screen_with_the_keyboard_alone(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, scripts: bool
) -> None:
    doubts = [factories.message_in(Delivery.UNCERTAIN, instance=cast.instance) for _ in range(3)]
    desk = open_desk(live_server.url, width=NARROWEST, scripts=scripts)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.open("/messaggi/incerti/")
    assert desk.overflow() == 0
    assert not scripts or desk.barriers() == []
    for box in desk.page.locator("input[name=messaggio]").all():
        box.focus()
        desk.page.keyboard.press("Space")
    desk.page.get_by_role("button", name="Invia di nuovo").focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("h1")).to_have_text("Inviare di nuovo 3 messaggi?")
    desk.page.wait_for_load_state("load")  # it may still be without its style
    assert desk.overflow() == 0
    assert not scripts or desk.barriers() == []
    desk.page.get_by_label("Perché li invii di nuovo?").fill("Non risultano su IO")
    desk.page.get_by_role("checkbox").focus()
    desk.page.keyboard.press("Space")
    desk.page.get_by_role("button", name="Invia di nuovo 3 messaggi").focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.get_by_role("main")).to_contain_text("3 messaggi rimessi in coda")
    for row in doubts:
        row.refresh_from_db()
        assert row.delivery_state == Delivery.SCHEDULED
    assert desk.complaints == []


def test_the_rule_of_a_service_instance_is_switched_on_knowing_what_it_means(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast
) -> None:
    desk = open_desk(live_server.url, width=NARROWEST)
    person = cast.configurator
    factories.grant(person, Role.VIEWER, organizations=(cast.instance.organization,), services=(cast.instance.service,))
    desk.sign_in(person.principal, PASSWORD)
    desk.open(f"/servizi-io/{cast.instance.io_service_id}/")
    desk.press("Decide una persona")
    assert desk.barriers() == []
    assert desk.overflow() == 0
    desk.press("Attiva il reinvio")
    assert desk.page.title().startswith("Errore:")
    desk.page.get_by_label("So che il cittadino può ricevere due volte lo stesso messaggio").check()
    desk.press("Attiva il reinvio")
    expect(desk.page.get_by_role("main")).to_contain_text("Esito incerto: reinvia da solo una volta, dopo 10 minuti")
    assert person.full_name in desk.text
    cast.instance.refresh_from_db()
    assert cast.instance.on_doubt == OnDoubt.RESEND
    assert desk.complaints == []
