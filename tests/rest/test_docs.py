"""The page of the OpenAPI document: for anybody, from here alone, under the same policy as every page."""

import re
from urllib.parse import urljoin

import pytest
from django.test import Client

PAGE = "/api/v1/docs/"


@pytest.mark.parametrize("path", [PAGE, "/api/v1/docs"])
def test_is_there_for_anybody(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/html")


def test_takes_everything_from_here_and_runs_nothing_inline(client: Client) -> None:
    answer = client.get(PAGE)
    html = answer.content.decode()
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in f"{policy};"
    assert "unsafe" not in policy
    assert "<style" not in html
    assert " style=" not in html
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    for address in re.findall(r"(?:src|href)=\"([^\"]+)\"", html):
        assert urljoin(f"http://testserver{PAGE}", address).startswith("http://testserver/")
        found = client.get(address)
        assert found.status_code == 200
        assert b"".join(found)  # a file is closed by whoever reads it to its end


def test_says_where_the_document_is(client: Client) -> None:
    found = re.search(r"data-address=\"([^\"]+)\"", client.get(PAGE).content.decode())
    assert found is not None
    assert client.get(found[1]).json()["openapi"].startswith("3.1")


def test_refuses_other_methods_as_the_api_does(client: Client) -> None:
    answer = client.post(PAGE)
    assert answer.status_code == 405
    assert answer["Content-Type"] == "application/problem+json"


def test_the_guide_of_the_portal_leads_to_it(client: Client) -> None:
    assert 'href="/api/v1/docs"' in client.get("/aiuto/").content.decode()
