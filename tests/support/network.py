"""No test reaches beyond this machine: a connection or a name look-up that would is refused where it is made."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


class NetworkForbidden(RuntimeError):
    """Not an OSError on purpose: code that takes network faults in its stride must not take this one."""


def is_loopback(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def forbid(*, except_for: tuple[str, ...] = ()) -> None:
    """Refuses, for the rest of this process, what leaves the loopback, save the hosts of these addresses (URLs)."""
    hosts = {urlsplit(url).hostname for url in except_for}
    addresses = {info[4][0] for host in hosts if host for info in socket.getaddrinfo(host, None)}

    def refuse_unless_local(host: object) -> None:
        if not is_loopback(host) and host not in hosts and host not in addresses:
            raise NetworkForbidden(f"A test tried to reach {host!r}; tests may use this machine alone.")

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def guard(self: socket.socket, *args: Any) -> Any:
            # The address is the last argument of connect, connect_ex and sendto; a Unix socket has a path instead.
            if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(args[-1], tuple):
                refuse_unless_local(args[-1][0])
            return method(self, *args)

        return guard

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, guarded(getattr(socket.socket, name)))

    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_unless_local(host)
        return look_up(host, *args, **kwargs)

    socket.getaddrinfo = guarded_look_up
