"""Error pages stand alone and say what happened, whether anything was sent, what to do."""

from typing import Any

import pytest
from django.test import RequestFactory

from portal.views import errors
from tests.portal.html_page import check_page
from tests.portal.visitor import address

REQUEST = RequestFactory().get("/")
PAGES = {
    400: lambda: errors.bad_request(REQUEST, ValueError()),
    403: lambda: errors.forbidden(REQUEST, ValueError()),
    404: lambda: errors.not_found(REQUEST, ValueError()),
    500: lambda: errors.server_error(REQUEST),
}


@pytest.mark.parametrize("status", sorted(PAGES))
def test_each_is_a_whole_page_without_scripts_or_database(status: int) -> None:
    # No `db` fixture: a query would fail the test.
    response: Any = PAGES[status]()
    assert response.status_code == status
    page = check_page(response.content.decode())
    assert not page.all("script")
    links = {link.text: link.attributes["href"] for link in page.one("main").all("a")}
    assert links == {"Vai all’inizio": "/", "Guida": address("guide"), "Esci": address("logout")}


def test_after_a_fault_of_ours_says_that_confirming_again_doubles_nothing() -> None:
    page = check_page(PAGES[500]().content.decode())
    assert "non crea un secondo messaggio" in page.one("main").text


def test_a_form_left_open_too_long_says_that_nothing_was_sent() -> None:
    page = check_page(errors.stale_form(REQUEST, "CSRF token missing").content.decode())
    assert "Non abbiamo inviato nulla." in page.one("main").text
