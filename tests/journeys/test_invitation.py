"""A new colleague's first minute: from the link they were handed to the list of messages, at a real browser."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from registry import inviting
from registry.models import Role
from tests import factories
from tests.journeys.conftest import NARROWEST, OpenDesk
from tests.journeys.desk import Desk

pytestmark = pytest.mark.django_db(transaction=True)

CHOSEN = "cavallo-batteria-graffetta"


def fill(desk: Desk, first: str, second: str) -> None:
    desk.page.get_by_label("Password", exact=True).fill(first)
    desk.page.get_by_label("Ripeti la password").fill(second)
    desk.press("Salva ed entra")


@pytest.mark.parametrize("scripts", [True, False])
def test_from_the_link_to_the_messages(
    live_server: Any, open_desk: OpenDesk, cast: factories.Cast, scripts: bool
) -> None:
    person = factories.user(created_by=cast.administrator)
    ente, service = cast.instance.organization, cast.instance.service
    factories.grant(person, Role.SENDER, organizations=(ente,), services=(service,))
    made = inviting.invite(person, by=cast.administrator, at=datetime.now(UTC))
    link = reverse("portal:invitation", args=[made.people, made.token])
    problems: list[str] = []
    desk = open_desk(live_server.url, width=NARROWEST, scripts=scripts)

    def look(where: str) -> None:
        found = [*desk.barriers(), *desk.small_targets()] if scripts else []
        problems.extend(f"{where}: {what}" for what in found)
        assert not scripts or desk.overflow() <= 0, where

    desk.open(link)
    assert desk.heading == "Scegli la password"
    assert made.token not in desk.page.url
    look("asked")

    fill(desk, CHOSEN, "un'altra")
    assert desk.page.title().startswith("Errore:")
    look("refused")

    fill(desk, CHOSEN, CHOSEN)
    desk.page.wait_for_url("**/messaggi/")
    assert "Password scelta" in desk.text

    again = open_desk(live_server.url, scripts=scripts)
    again.open(link)
    assert again.heading == "Questo invito non vale più"
    desk = again
    look("over")
    assert problems == []
