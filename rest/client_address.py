"""From where a request comes. Only what our own servers saw counts; what a client says of itself is never asked."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address

# Over a Unix socket, say: all who come that way count as one.
UNKNOWN = "::"


def peer_address(request: HttpRequest) -> Address | None:
    """Of whoever opened the connection, be it a proxy; None over a Unix socket."""
    return _parsed(request.META.get("REMOTE_ADDR", ""))


def client_address(request: HttpRequest) -> Address | None:
    """Of whoever called the proxy in front of us (TRUST_PROXY), or of the peer where there is none.

    Of several addresses in X-Forwarded-For the last one counts: our proxy wrote it, the others came from outside.
    """
    if settings.TRUST_PROXY:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2]
        return _parsed(forwarded) or peer_address(request)
    return peer_address(request)


def origin_of(request: HttpRequest) -> str:
    """What failures are counted by: the client's address, or its /64 network, since IPv6 gives a house that many."""
    address = client_address(request)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address or UNKNOWN)


def _parsed(text: str) -> Address | None:
    """Also `203.0.113.7:4711` and `[2001:db8::1]:4711`, as some proxies write them."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
