"""In and out."""

import pytest

from tests import factories
from tests.factories.cast import PASSWORD
from tests.portal.visitor import Visitor, address

pytestmark = pytest.mark.django_db


def sign_in(visitor: Visitor, name: str, password: str, *, expect: int, next_: str = "") -> object:
    return visitor.post("login", data={"username": name, "password": password, "next": next_}, expect=expect)


def test_leads_to_the_messages(cast: factories.Cast) -> None:
    visitor = Visitor()
    visitor.get("login")
    assert [field.attributes["autocomplete"] for field in visitor.main.all("input", class_="form-control")] == [
        "username",
        "current-password",
    ]

    response = sign_in(visitor, cast.sender.principal, PASSWORD, expect=302)

    assert response["Location"] == address("home")  # type: ignore[index]
    home = visitor.get("home", expect=302)
    assert home["Location"] == address("messages")


def test_goes_on_to_the_page_that_was_asked_for(cast: factories.Cast) -> None:
    visitor = Visitor()
    asked = visitor.get("uncertain", expect=302)
    assert asked["Location"] == f"{address('login')}?next={address('uncertain')}"

    response = sign_in(visitor, cast.sender.principal, PASSWORD, expect=302, next_=address("uncertain"))

    assert response["Location"] == address("uncertain")  # type: ignore[index]


def test_never_goes_on_to_another_host(cast: factories.Cast) -> None:
    response = sign_in(Visitor(), cast.sender.principal, PASSWORD, expect=302, next_="https://evil.example/")
    assert response["Location"] == address("home")  # type: ignore[index]


@pytest.mark.parametrize(("name", "password"), [("nobody", PASSWORD), ("", "wrong")])
def test_a_mistake_never_says_which_of_the_two_was_wrong(cast: factories.Cast, name: str, password: str) -> None:
    visitor = Visitor()
    sign_in(visitor, name or cast.sender.principal, password, expect=422)
    assert visitor.errors == ["Nome utente o password non corretti. Controlla maiuscole e minuscole e riprova."]
    assert visitor.title.startswith("Errore:")


def test_a_disabled_person_stays_outside() -> None:
    person = factories.user(is_active=False)
    visitor = Visitor()
    sign_in(visitor, person.principal, PASSWORD, expect=422)
    assert visitor.errors


def test_signing_out_needs_a_post(sender: Visitor) -> None:
    sender.get("logout")
    assert sender.main.one("form").attributes["action"] == address("logout")
    sender.get("messages")
    sender.post("logout", expect=302)
    sender.get("messages", expect=302)


def test_who_is_outside_already_has_nothing_to_sign_out_of(db: None) -> None:
    assert Visitor().get("logout", expect=302)["Location"] == address("login")


def test_a_fragment_sends_the_whole_page_to_sign_in(cast: factories.Cast) -> None:
    row = factories.message(instance=cast.instance)
    shown = f"http://testserver{address('message', row.pk)}"
    response = Visitor().get("progress", row.pk, expect=204, HX_Request="true", HX_Current_URL=shown)
    assert response["HX-Redirect"] == f"{address('login')}?next=%2Fmessaggi%2F{row.pk}%2F"
