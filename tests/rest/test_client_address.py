"""From where a request comes: what our own servers saw, never what a client says of itself."""

from typing import Any

import pytest
from django.test import RequestFactory

from rest.client_address import client_address, origin_of, peer_address

PROXY = "10.0.0.1"
FORWARDED = "198.51.100.7"


def request(peer: str = PROXY, forwarded: str | None = FORWARDED) -> Any:
    extra: dict[str, Any] = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return RequestFactory().get("/", REMOTE_ADDR=peer, **extra)


class TestWithoutAProxy:
    @pytest.fixture(autouse=True)
    def _direct(self, settings: Any) -> None:
        settings.TRUST_PROXY = False

    def test_is_the_peers(self) -> None:
        assert str(client_address(request(forwarded=None))) == PROXY

    def test_a_forwarded_address_is_not_even_read(self) -> None:
        assert str(client_address(request())) == PROXY


class TestBehindAProxy:
    @pytest.fixture(autouse=True)
    def _behind(self, settings: Any) -> None:
        settings.TRUST_PROXY = True

    def test_is_what_the_proxy_saw(self) -> None:
        assert str(client_address(request())) == FORWARDED

    def test_of_several_only_the_last_was_written_by_our_proxy(self) -> None:
        # Doubled headers reach us as one, joined by commas.
        assert str(client_address(request(forwarded=f"203.0.113.9, 127.0.0.1,{FORWARDED}"))) == FORWARDED

    @pytest.mark.parametrize(
        ("written", "address"),
        [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ],
    )
    def test_is_read_in_every_way_that_proxies_write_it(self, written: str, address: str) -> None:
        assert str(client_address(request(forwarded=written))) == address

    @pytest.mark.parametrize("written", ["", "unknown", "_hidden", "1.2.3", "198.51.100.7, ", "a:b:c", "[", "%"])
    def test_is_the_proxys_own_where_it_says_none(self, written: str) -> None:
        assert str(client_address(request(forwarded=written))) == PROXY

    def test_the_peer_stays_the_peer(self) -> None:
        assert str(peer_address(request())) == PROXY


class TestOrigin:
    @pytest.mark.parametrize(
        ("peer", "origin"),
        [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::"),
            ("", "::"),
            ("unix:", "::"),
        ],
    )
    def test_is_an_address_or_the_network_of_a_house(self, peer: str, origin: str) -> None:
        assert origin_of(request(peer, forwarded=None)) == origin
