"""What surrounds every page: who one is, where one can go, in which language."""

import re

import pytest
from django.urls import get_resolver

from messaging.models import ServiceInstance
from messaging.states import EXPLANATION, Delivery
from registry.models import Role
from tests import factories
from tests.portal.test_decisions import suspended
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db

HELP = ["guide", "states", "accessibility", "privacy"]


def menu(visitor: Visitor) -> list[str]:
    return [link.text for link in visitor.page.one("nav", class_="menu-wide").all("a")]


def test_the_menu_offers_what_the_person_may_open(cast: factories.Cast) -> None:
    visitor = Visitor(cast.viewer)
    visitor.get("messages")
    assert menu(visitor) == ["Messaggi", "Da decidere"]


def test_whoever_configures_finds_the_io_services_and_how_many_stopped(cast: factories.Cast) -> None:
    visitor = Visitor(cast.configurator)
    visitor.follow(visitor.get("home", expect=302))
    assert menu(visitor)[0] == "Servizi IO"
    suspended(cast.instance.io_service)
    visitor.get("io_services")
    assert menu(visitor)[0] == "Servizi IO1"


@pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver", "configurator", "administrator"])
def test_every_role_lands_on_a_page_it_may_open(cast: factories.Cast, role: str) -> None:
    visitor = Visitor(getattr(cast, role))
    visitor.follow(visitor.get("home", expect=302))


def test_platform_staff_find_the_back_office() -> None:
    staff = factories.user(is_staff=True)
    factories.grant(staff, Role.VIEWER, all_organizations=True, all_services=True)
    visitor = Visitor(staff)
    visitor.get("messages")
    assert menu(visitor)[-1] == "Amministrazione della piattaforma"


def test_the_menu_counts_the_doubts_of_this_person_only(cast: factories.Cast, elsewhere: ServiceInstance) -> None:
    factories.message_in(Delivery.UNCERTAIN, instance=cast.instance)
    factories.message_in(Delivery.UNCERTAIN, instance=elsewhere)
    visitor = Visitor(cast.viewer)
    visitor.get("messages")
    assert menu(visitor) == ["Messaggi", "Da decidere1"]


def test_the_menu_exists_for_small_screens_without_scripts(sender: Visitor) -> None:
    sender.get("messages")
    narrow = sender.page.one("details", class_="menu-narrow")
    assert [link.text for link in narrow.all("a")] == menu(sender)


def test_without_any_role_the_first_page_says_what_is_missing() -> None:
    visitor = Visitor(factories.user())
    visitor.get("home", expect=403)
    assert "Consultazione" in visitor.main.text
    assert "personale della piattaforma" in visitor.main.text
    assert "Esci" in visitor.actions


def test_names_the_ente_or_how_many(cast: factories.Cast, sender: Visitor) -> None:
    sender.get("messages")
    assert sender.page.one(class_="ente").text == cast.instance.organization.legal_name
    everywhere = factories.user()
    factories.grant(everywhere, Role.VIEWER, all_organizations=True, all_services=True)
    visitor = Visitor(everywhere)
    visitor.get("messages")
    assert visitor.page.one(class_="ente").text == "2 enti"


@pytest.mark.parametrize("is_sandbox", [True, False])
def test_says_when_nothing_reaches_a_citizen(sender: Visitor, settings: object, is_sandbox: bool) -> None:
    settings.IO_IS_SANDBOX = is_sandbox  # type: ignore[attr-defined]
    sender.get("messages")
    assert [tag.text for tag in sender.page.all(class_="environment")] == (["Ambiente di prova"] if is_sandbox else [])


@pytest.mark.parametrize("page", HELP)
def test_help_is_open_to_everybody(page: str, db: None) -> None:
    visitor = Visitor()
    visitor.get(page)
    links = [link.text for link in visitor.page.one("footer").all("a")]
    assert links == ["Guida", "Stati dei messaggi", "Dichiarazione di accessibilità", "Informativa privacy"]


def test_every_state_is_explained_in_the_help() -> None:
    visitor = Visitor()
    visitor.get("states")
    for state in Delivery:
        assert str(state.label) in visitor.main.text
        assert str(EXPLANATION[state]) in visitor.main.text


def test_the_statement_and_the_notice_of_the_ente_are_linked_when_known(settings: object) -> None:
    settings.ACCESSIBILITY_STATEMENT_URL = "https://form.agid.gov.it/view/esempio"  # type: ignore[attr-defined]
    settings.PRIVACY_NOTICE_URL = "https://comune.example.it/privacy"  # type: ignore[attr-defined]
    visitor = Visitor()
    visitor.get("accessibility")
    assert visitor.main.all("a", href="https://form.agid.gov.it/view/esempio")
    visitor.get("privacy")
    assert visitor.main.all("a", href="https://comune.example.it/privacy")


def test_the_language_can_be_changed_and_stays(db: None) -> None:
    visitor = Visitor()
    visitor.get("login")
    assert visitor.page.one("html").attributes["lang"] == "it"
    visitor.post("set_language", data={"language": "en", "next": "/accesso/"})
    visitor.get("login")
    assert visitor.page.one("html").attributes["lang"] == "en"
    assert visitor.page.one("footer").one("button").text == "Italiano"


def test_pages_forbid_what_they_do_not_need(sender: Visitor) -> None:
    policy = sender.get("messages")["Content-Security-Policy"]
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
    ):
        assert part in policy
    assert "unsafe" not in policy


def test_pages_with_data_are_kept_by_nobody(sender: Visitor) -> None:
    response = sender.get("messages")
    assert response["Cache-Control"] == "private, no-store"
    assert "HX-Request" in response["Vary"]


def test_htmx_may_neither_evaluate_nor_remember(sender: Visitor) -> None:
    import json

    sender.get("messages")
    config = json.loads(sender.page.one("meta", name="htmx-config").attributes["content"])
    assert config["allowEval"] is False
    assert config["historyCacheSize"] == 0


def test_no_address_of_the_portal_takes_a_fiscal_code() -> None:
    routes = get_resolver("portal.urls").url_patterns
    assert len(routes) > 20
    for pattern in routes:
        for name, converter in pattern.pattern.converters.items():
            assert not re.fullmatch(converter.regex, "RSSMRA80A01H501U"), name
