"""HAL: media types and links."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.test import Client

from rest.hal import utc_milliseconds

pytestmark = pytest.mark.urls("tests.rest.sample_urls")


class TestMediaType:
    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            ("*/*", "application/hal+json"),
            ("", "application/hal+json"),
            ("application/hal+json", "application/hal+json"),
            ("application/json", "application/json"),
            ("Application/JSON", "application/json"),
            ("application/json, */*;q=0.1", "application/json"),
            ("application/json;q=0.5, application/hal+json", "application/hal+json"),
            ("application/hal+json;q=0.5, application/json", "application/json"),
            ("application/hal+json;q=0, */*", "application/json"),
            ("text/html", "application/hal+json"),
            ("application/problem+json", "application/hal+json"),
            ("nonsense;q=x,,;", "application/hal+json"),
        ],
    )
    def test_follows_accept_and_is_hal_otherwise(self, client: Client, accept: str, expected: str) -> None:
        response = client.get("/api/v1/echo", headers={"accept": accept})
        assert response.status_code == 200
        assert response["Content-Type"] == expected

    def test_keeps_nulls_and_accents(self, client: Client) -> None:
        body = client.get("/api/v1/echo").content.decode()
        assert '"nothing":null' in body
        assert "è" in body

    def test_tells_caches_that_accept_counts(self, client: Client) -> None:
        assert "Accept" in client.get("/api/v1/echo")["Vary"]


class TestLinks:
    def link(self, client: Client, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        href: str = client.get("/api/v1/echo", headers=named).json()["links"]["href"]
        return href

    def test_are_absolute(self, client: Client) -> None:
        assert self.link(client) == "http://testserver/api/v1/messages/1"

    def test_ignore_forwarded_headers_of_strangers(self, client: Client, settings: Any) -> None:
        settings.USE_X_FORWARDED_HOST, settings.SECURE_PROXY_SSL_HEADER = False, None
        forged = {"x_forwarded_host": "evil.example", "x_forwarded_proto": "https", "x_forwarded_prefix": "/evil"}
        assert self.link(client, **forged) == "http://testserver/api/v1/messages/1"

    def test_are_right_behind_a_trusted_proxy(self, client: Client, settings: Any) -> None:
        settings.USE_X_FORWARDED_HOST = True
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        settings.ALLOWED_HOSTS = ["portale.example.it"]
        forwarded = {
            "x_forwarded_host": "portale.example.it",
            "x_forwarded_proto": "https",
            "x_forwarded_prefix": "/govio/",
        }
        assert self.link(client, **forwarded) == "https://portale.example.it/govio/api/v1/messages/1"

    @pytest.mark.parametrize("prefix", ["//evil.example", "/a/../b?x", "evil", "/a b", "https://evil", "/\u00e8"])
    def test_ignore_a_prefix_that_is_no_path(self, client: Client, settings: Any, prefix: str) -> None:
        settings.USE_X_FORWARDED_HOST = True
        assert self.link(client, x_forwarded_prefix=prefix) == "http://testserver/api/v1/messages/1"


class TestDates:
    def test_leave_in_utc_with_milliseconds(self) -> None:
        rome = datetime(2025, 7, 7, 2, 8, 33, 513999, tzinfo=timezone(timedelta(hours=2)))
        assert utc_milliseconds(rome) == "2025-07-07T00:08:33.513Z"
        assert utc_milliseconds(datetime(2025, 1, 1, tzinfo=UTC)) == "2025-01-01T00:00:00.000Z"
