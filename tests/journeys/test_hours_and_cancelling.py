"""The pages of sending hours and of cancelling many: no barrier, no sideways scrolling, with a browser's own clicks."""

import os
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from messaging.models import Message
from messaging.states import Delivery
from registry.models import ClosureDay, Organization, SendingHoursChange
from tests import factories
from tests.factories.cast import PASSWORD
from tests.journeys.conftest import DESKTOP, NARROWEST, OpenDesk
from tests.journeys.desk import Desk
from tests.journeys.test_accessibility import inspect

pytestmark = pytest.mark.django_db(transaction=True)

WIDTHS = [DESKTOP, NARROWEST]


def shoot(desk: Desk, name: str, width: int) -> None:
    if folder := os.environ.get("SHOTS"):
        desk.page.screenshot(path=str(Path(folder) / f"hours-{name}-{width}.png"), full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_setting_the_hours_of_an_ente(live_server: Any, open_desk: OpenDesk, cast: factories.Cast, width: int) -> None:
    desk = open_desk(live_server.url, width=width)
    desk.sign_in(cast.administrator.principal, PASSWORD)
    ente = cast.instance.organization
    ClosureDay.objects.create(organization=ente, day=date(2026, 6, 24), is_yearly=True, name="San Giovanni")
    Organization.objects.filter(pk=ente.pk).update(observes_holidays=True)
    problems: list[str] = []
    desk.open("/enti/")
    inspect(desk, "hours", problems)
    desk.page.get_by_label("Solo in un orario").check()
    desk.page.get_by_label("Dalle").fill("08:00")
    desk.page.get_by_label("Alle", exact=True).fill("18:00")
    for day in ("sabato", "domenica"):
        desk.page.get_by_label(day).uncheck()
    # The preview follows without a press of any button.
    desk.page.get_by_text("lunedì–venerdì, dalle 8:00 alle 18:00").wait_for()
    inspect(desk, "hours, typed", problems)
    shoot(desk, "typed", width)
    desk.press("Aggiungi un altro giorno")
    inspect(desk, "hours, one row more", problems)
    desk.page.get_by_label("Dalle").fill("")
    desk.press("Salva l’orario")
    inspect(desk, "hours, refused", problems)
    shoot(desk, "refused", width)
    desk.page.get_by_label("Dalle").fill("08:00")
    desk.press("Salva l’orario")
    inspect(desk, "hours, saved", problems)
    shoot(desk, "saved", width)
    assert SendingHoursChange.objects.count() == 1
    ente.refresh_from_db()
    assert (ente.sends_from, ente.sending_days) == (time(8), 0b0011111)
    assert problems == []


@pytest.mark.parametrize("width", WIDTHS)
def test_cancelling_many(live_server: Any, open_desk: OpenDesk, cast: factories.Cast, width: int) -> None:
    Organization.objects.filter(pk=cast.instance.organization_id).update(sending_days=0b1000000, observes_holidays=True)
    for state in Delivery:
        factories.message_in(state, instance=cast.instance)
    rows = [factories.message(instance=cast.instance) for _ in range(60)]
    desk = open_desk(live_server.url, width=width)
    desk.sign_in(cast.sender.principal, PASSWORD)
    problems: list[str] = []
    desk.open("/messaggi/?stato=scheduled")
    inspect(desk, "list", problems)
    shoot(desk, "list", width)
    desk.page.get_by_role("button", name="Seleziona tutti in questa pagina").click()
    desk.press("Annulla i selezionati")
    inspect(desk, "question", problems)
    shoot(desk, "question", width)
    assert "Annullare 50 messaggi?" in desk.page.inner_text("h1")
    desk.open("/messaggi/?stato=scheduled")
    desk.press("Annulla tutti quelli che corrispondono ai filtri")
    Message.objects.filter(pk__in=[row.pk for row in rows[:3]]).update(delivery_state=Delivery.PROFILE_NOT_EXISTS)
    desk.page.get_by_role("button", name="Annulla 61 messaggi").click()
    inspect(desk, "account", problems)
    shoot(desk, "account", width)
    assert "Annullati 58 messaggi." in desk.page.inner_text("h1")
    desk.page.get_by_role("link", name="Vedi per quali era tardi").click()
    inspect(desk, "too late", problems)
    assert problems == []
