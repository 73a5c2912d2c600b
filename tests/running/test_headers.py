"""What our servers make of headers that decide who is calling: as the portal's doors expect it, on both of them."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from waitress.server import create_server

from govio_portal.management.commands import serve
from tests.running import echo
from tests.running.product import ROOT, environment, free_ports, listens, wait_until

PRINCIPAL = "HTTP_GOVHUB_CONSUMER_PRINCIPAL"


def ask(port: int, *lines: str) -> dict[str, str]:
    """What reached the application of a request with these header lines, sent as they are."""
    request = "\r\n".join(("GET / HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    told: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return told


@pytest.fixture(scope="module")
def granian() -> Iterator[int]:
    """As `make web` runs it."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-ws"]
    process = subprocess.Popen(
        [*command, "--blocking-threads", "1", "tests.running.echo:app"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: listens(port))
    yield port
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(params=[True, False], ids=["behind a proxy", "alone"])
def waitress(request: pytest.FixtureRequest, settings: Any) -> Iterator[int]:
    """With the options of `make run`."""
    settings.TRUST_PROXY = request.param
    server = create_server(echo.app, host="127.0.0.1", port=0, threads=1, **serve._proxy_options())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield int(server.effective_port)
    server.close()
    thread.join(timeout=10)


class TestGranian:
    def test_joins_a_header_that_comes_twice(self, granian: int) -> None:
        told = ask(granian, "GovHub-Consumer-Principal: mario", "GovHub-Consumer-Principal: admin")
        assert [name.strip() for name in told[PRINCIPAL].split(",")] == ["mario", "admin"]

    def test_keeps_the_peer_apart_from_what_is_said_of_it(self, granian: int) -> None:
        told = ask(granian, "X-Forwarded-For: 10.9.9.9", "X-Forwarded-For: 10.8.8.8")
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        assert told["HTTP_X_FORWARDED_FOR"].rpartition(",")[2].strip() == "10.8.8.8"

    def test_takes_an_underscore_for_a_hyphen_so_the_server_in_front_must_drop_such_names(self, granian: int) -> None:
        """If this fails granian has become stricter, and the warnings in docs/ can go."""
        told = ask(granian, "GovHub-Consumer-Principal: mario", "GovHub_Consumer_Principal: admin")
        assert told[PRINCIPAL] == "admin"


class TestWaitress:
    def test_joins_a_header_that_comes_twice(self, waitress: int) -> None:
        told = ask(waitress, "GovHub-Consumer-Principal: mario", "GovHub-Consumer-Principal: admin")
        assert [name.strip() for name in told[PRINCIPAL].split(",")] == ["mario", "admin"]

    def test_drops_names_with_underscores(self, waitress: int) -> None:
        told = ask(waitress, "GovHub-Consumer-Principal: mario", "GovHub_Consumer_Principal: admin")
        assert told[PRINCIPAL] == "mario"
        assert PRINCIPAL not in ask(waitress, "GovHub_Consumer_Principal: admin")

    def test_keeps_the_peer_apart_from_what_is_said_of_it(self, waitress: int, settings: Any) -> None:
        told = ask(waitress, "X-Forwarded-For: 10.9.9.9", "X-Forwarded-For: 10.8.8.8")
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        said = told.get("HTTP_X_FORWARDED_FOR", "")
        assert said.rpartition(",")[2].strip() == ("10.8.8.8" if settings.TRUST_PROXY else "")
