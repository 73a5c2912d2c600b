"""Every page, in every state that it knows, wide and narrow: no barrier that axe can find, no sideways scrolling."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from messaging.models import EventKind
from messaging.moving import record
from messaging.states import Delivery, WaitingReason
from registry.models import Role
from sealed.boxes import Sealed
from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import DESKTOP, NARROWEST, PHONE, OpenDesk
from tests.journeys.desk import FORM, Desk
from tests.portal.test_decisions import suspended

pytestmark = pytest.mark.django_db(transaction=True)

WIDTHS = [DESKTOP, PHONE]


def inspect(desk: Desk, where: str, problems: list[str]) -> None:
    """Everything at once, so that one run tells all there is to mend."""
    # A press has gone to the next page, which may still be without its style.
    desk.page.wait_for_load_state("load")
    problems += [f"{where}: {found}" for found in desk.barriers()]
    problems += [f"{where}: too small: {found}" for found in desk.small_targets()]
    if desk.overflow() > 0:
        problems.append(f"{where}: {desk.overflow()} px too wide")
    problems += [f"{where}: console: {complaint}" for complaint in desk.complaints]
    desk.complaints.clear()


def posted(words: str) -> Callable[[Desk], None]:
    return lambda desk: desk.press(words)


@pytest.fixture
def full(cast: factories.Cast) -> dict[str, int]:
    """A message in every state with a history, a draft half written, a draft complete; and all that can be wrong is wrong."""
    at = timezone.now()
    rows = {}
    for state in Delivery:
        row = factories.message_in(
            state,
            instance=cast.instance,
            sender=cast.viewer,
            due_date=at + timedelta(days=20),
            content={"amount_cents": 14550, "notice_number": "300012548634478200"},
        )
        record([row.pk], kind=EventKind.COMPOSED, at=at, state=Delivery.SCHEDULED, by=cast.viewer)
        record([row.pk], kind=EventKind.REFUSED, at=at, state=state, data={"status": 400, "title": "Invalid"})
        record([row.pk], kind=EventKind.CANCELLED, at=at, by=cast.sender, data={"reason": "Numero sbagliato"})
        rows[state.value] = row.pk
    half = factories.message_in(
        Delivery.DRAFT, instance=cast.instance, taxcode="", content={"draft_form": {"importo": "boh"}}
    )
    rows["draft"] = half.pk
    aside = factories.message(
        instance=cast.instance, waiting_reason=WaitingReason.SET_ASIDE, status_detail="Forbidden: " + "x" * 200
    )
    rows["aside"] = aside.pk
    complete = factories.message_in(
        Delivery.DRAFT, instance=cast.instance, content={"draft_form": {**FORM, "scadenza_data": "2020-01-01"}}
    )
    rows["complete"] = complete.pk
    cast.instance.io_service.secondary_key = Sealed.close("the-other-key")
    suspended(cast.instance.io_service)
    lane = cast.instance.io_service.io_account.lane
    lane.opened_at = at
    lane.save()
    for role in (Role.APPROVER, Role.CONFIGURATOR):
        factories.grant(
            cast.sender, role, organizations=(cast.instance.organization,), services=(cast.instance.service,)
        )
    return rows


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_that_are_empty_or_open_to_all(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, width: int
) -> None:
    desk = open_desk(live_server.url, width=width)
    problems: list[str] = []
    for path in ("/accesso/", "/aiuto/", "/aiuto/stati/", "/accessibilita/", "/privacy/"):
        desk.open(path)
        inspect(desk, path, problems)
    desk.open("/accesso/")
    desk.press("Accedi")
    inspect(desk, "/accesso/ refused", problems)
    desk.sign_in(cast.sender.principal, PASSWORD)
    for path in (
        "/messaggi/",
        "/messaggi/?titolo=zzz",
        "/messaggi/?creato_dal=boh",
        "/messaggi/?gruppo=boh",
        "/messaggi/?prima=1",
        "/uscita/",
        "/messaggi/incerti/",
        "/messaggi/nuovo/",
    ):
        desk.open(path)
        inspect(desk, path, problems)
    assert problems == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_lists_and_every_state_of_a_message(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, full: dict[str, int], width: int
) -> None:
    desk = open_desk(live_server.url, width=width)
    desk.sign_in(cast.sender.principal, PASSWORD)
    problems: list[str] = []
    paths = ["/messaggi/", "/messaggi/?gruppo=to-fix&titolo=cie&creato_dal=2020-01-01", "/messaggi/incerti/"]
    for path in [*paths, *(f"/messaggi/{pk}/" for pk in full.values())]:
        desk.open(path)
        inspect(desk, path, problems)
    desk.open(f"/messaggi/{full['processed']}/")
    desk.page.locator(".timeline summary").first.click()
    desk.press("Mostra per intero")
    desk.page.wait_for_selector("#destinatario .code")
    inspect(desk, "details open", problems)
    assert problems == []


@pytest.mark.parametrize("width", WIDTHS)
def test_writing_and_every_question_valid_and_refused(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, full: dict[str, int], width: int
) -> None:
    desk = open_desk(live_server.url, width=width)
    desk.sign_in(cast.sender.principal, PASSWORD)
    problems: list[str] = []
    draft, complete = full["draft"], full["complete"]
    pages: list[tuple[str, str]] = [
        (f"/messaggi/nuovo/{draft}/contenuto/", "Continua"),
        (f"/messaggi/nuovo/{complete}/contenuto/", ""),
        (f"/messaggi/nuovo/{complete}/servizio/", ""),
        (f"/messaggi/nuovo/{complete}/conferma/", "Invia 1 messaggio"),
        (f"/messaggi/{full['scheduled']}/annulla/", ""),
        (f"/messaggi/{full['uncertain']}/arrivato/", "Segna come arrivato"),
        (f"/messaggi/{full['uncertain']}/invia-di-nuovo/", "Invia di nuovo 1 messaggio"),
        (f"/messaggi/{full['aside']}/rimetti-in-coda/", ""),
        (f"/messaggi/{full['pending_approval']}/approvazione/", ""),
        ("/servizi-io/", ""),
        ("/stato/", ""),
        (f"/servizi-io/{cast.instance.io_service_id}/", ""),
        (f"/servizi-io/{cast.instance.io_service_id}/chiavi/primaria/", "Prova e salva"),
        (f"/servizi-io/{cast.instance.io_service_id}/chiave-in-uso/", ""),
        (f"/servizi-io/{cast.instance.io_service_id}/riprendi/", ""),
    ]
    for path, button in pages:
        desk.open(path)
        inspect(desk, path, problems)
        if button:
            desk.press(button)
            assert desk.page.title().startswith("Errore:"), path
            inspect(desk, f"{path} refused", problems)
    desk.open(f"/messaggi/{full['pending_approval']}/approvazione/")
    desk.page.get_by_text("Non va bene: rimandalo indietro").click()
    desk.press("Non approvare")
    inspect(desk, "approval refused without a reason", problems)
    assert problems == []


def test_a_fragment_swapped_in_is_as_good_as_the_page(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, full: dict[str, int]
) -> None:
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    problems: list[str] = []
    desk.open(f"/messaggi/nuovo/{full['complete']}/contenuto/")
    with desk.page.expect_response("**/anteprima/"):
        desk.page.get_by_label("Cie").fill("")
    desk.page.wait_for_function("document.querySelector('#riassunto').textContent !== ''")
    inspect(desk, "preview", problems)
    assert problems == []


def test_the_small_menu_open(live_server: Any, open_desk: OpenDesk, cast: factories.Cast) -> None:
    desk = open_desk(live_server.url, width=PHONE)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.page.get_by_text("Menu", exact=True).click()
    problems: list[str] = []
    inspect(desk, "menu", problems)
    assert problems == []
    desk.page.keyboard.press("Escape")
    assert not desk.page.get_by_role("navigation", name="Principale").is_visible()


def test_at_320_pixels_nothing_scrolls_sideways(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, full: dict[str, int]
) -> None:
    desk = open_desk(live_server.url, width=NARROWEST)
    desk.sign_in(cast.sender.principal, PASSWORD)
    for path in (
        "/messaggi/",
        "/messaggi/incerti/",
        "/aiuto/stati/",
        f"/messaggi/{full['bad_request']}/",
        f"/messaggi/{full['aside']}/",
        "/messaggi/nuovo/",
        f"/messaggi/nuovo/{full['complete']}/contenuto/",
        f"/messaggi/nuovo/{full['complete']}/conferma/",
        f"/messaggi/{full['uncertain']}/invia-di-nuovo/",
        f"/messaggi/{full['pending_approval']}/approvazione/",
        "/servizi-io/",
        f"/servizi-io/{cast.instance.io_service_id}/",
        f"/servizi-io/{cast.instance.io_service_id}/chiavi/secondaria/",
        f"/servizi-io/{cast.instance.io_service_id}/riprendi/",
    ):
        desk.open(path)
        assert desk.overflow() <= 0, path


def test_the_skip_link_comes_first_and_leads_to_the_content(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast
) -> None:
    desk = open_desk(live_server.url)
    desk.sign_in(cast.sender.principal, PASSWORD)
    desk.page.keyboard.press("Tab")
    focused = desk.page.evaluate("document.activeElement.textContent")
    assert focused == "Vai al contenuto"
    desk.page.keyboard.press("Enter")
    desk.page.keyboard.press("Tab")
    assert desk.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_axe_really_looks(live_server: Any, open_desk: OpenDesk, cast: factories.Cast) -> None:
    desk = open_desk(live_server.url)
    desk.open("/accesso/")
    desk.page.evaluate("document.querySelector('label').remove(); document.querySelector('h1').remove()")
    assert len(desk.barriers()) >= 2
