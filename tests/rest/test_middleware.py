"""HEAD is answered with the headers of GET, whatever the server would do with a body."""

from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from rest.middleware import head_without_body


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"twelve bytes", headers={"Content-Length": "12"})


def test_head_has_the_length_of_get_and_no_body() -> None:
    response = head_without_body(page)(RequestFactory().head("/"))
    assert (response.content, response["Content-Length"]) == (b"", "12")


def test_other_methods_keep_their_body() -> None:
    assert head_without_body(page)(RequestFactory().get("/")).content == b"twelve bytes"
