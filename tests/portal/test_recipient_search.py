"""Finding the messages of one citizen without writing the fiscal code anywhere."""

import logging

import pytest

from portal import searches
from tests import factories
from tests.factories.messages import CODES
from tests.portal.test_message_list import chips, shown
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db


def search(visitor: Visitor, code: str) -> str:
    response = visitor.post("search_recipient", data={"codice_fiscale": code})
    return str(response["Location"])


def test_finds_the_messages_of_one_person(cast: factories.Cast, sender: Visitor) -> None:
    wanted = factories.message(instance=cast.instance, taxcode=CODES[1])
    factories.message(instance=cast.instance, taxcode=CODES[0])

    url = search(sender, f" {CODES[1].lower()} ")

    sender.open(url)
    assert shown(sender) == [wanted.pk]
    assert chips(sender) == ["Destinatario: VRDLGU••••••205A"]


def test_the_code_is_in_no_address_page_title_or_log(
    cast: factories.Cast, sender: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    factories.message(instance=cast.instance, taxcode=CODES[1])
    with caplog.at_level(logging.DEBUG):
        url = search(sender, CODES[1])
        sender.open(url)
    assert CODES[1] not in url
    assert CODES[1] not in caplog.text
    assert CODES[1] not in sender.page.text


def test_the_search_of_another_session_finds_nothing_and_says_so(cast: factories.Cast, sender: Visitor) -> None:
    factories.message(instance=cast.instance, taxcode=CODES[1])
    url = search(sender, CODES[1])
    other = Visitor(cast.viewer)
    other.open(url)
    assert shown(other) == []
    assert chips(other) == ["Ricerca scaduta: ripetila"]


def test_a_stranger_searches_in_vain(cast: factories.Cast) -> None:
    factories.message(instance=cast.instance, taxcode=CODES[1])
    stranger = Visitor(cast.stranger)
    stranger.open(search(stranger, CODES[1]))
    assert shown(stranger) == []


@pytest.mark.parametrize("code", ["", "RSSMRA80A01", "01234567890", "RSSMRA80A01H501U0"])
def test_what_is_no_code_is_refused_beside_its_field(cast: factories.Cast, sender: Visitor, code: str) -> None:
    sender.post("search_recipient", data={"codice_fiscale": code}, expect=422)
    field = sender.main.one("input", name="codice_fiscale")
    assert field.attributes["aria-invalid"] == "true"
    assert "id_codice_fiscale_error" in field.attributes["aria-describedby"]


def test_only_the_last_searches_are_kept() -> None:
    session: dict[str, object] = {}
    ids = [searches.remember(session, str(number)) for number in range(searches.KEPT + 3)]
    assert [searches.recall(session, one) is not None for one in ids] == [False] * 3 + [True] * searches.KEPT
