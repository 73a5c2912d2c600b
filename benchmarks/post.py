"""How fast single messages come in: POST /messages over loopback, durable, every check on, against a bare DRF view.

Both are served in turn by the same server with the same settings: granian, two processes of four threads, as `make web`
starts it. The bare view (`benchmarks.bare`) looks the same key up, reads and validates the same body and makes one INSERT
into a table without indexes. The clients share the machine, keep their connections, and check that all is created.

    --profile   where the time of one POST goes, in this process and without a server
"""

import cProfile
import json
import socket
import statistics
import threading
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks import ground, profiling
from tests.support import services

POSTS = 3_000
CLIENTS = 16
WEB_PROCESSES, THREADS = 2, 4
MUST, AIM = 0.50, 0.61
APPLICATIONS = {"ours": "govio_portal.wsgi:application", "bare": "benchmarks.bare:application"}


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--profile", action="store_true", help="instead: where the time of one POST goes")
        parser.add_argument("--posts", type=int, default=0, help=f"in a round, instead of {POSTS:,}")

    options = ground.options(arguments, __doc__, add=add)
    posts = options.posts or (300 if options.quick else POSTS)
    # What limits how often a consumer may ask is not what is measured.
    with ground.ground(variables={"API_RATE_LIMIT": "0"}) as place:
        instance, key = _instance_and_key()
        if options.profile:
            report = ground.Report("POST", f"{posts} messages one after the other, in this process")
            _profile(report, instance, key, posts=posts)
            report.conditions()
            return
        report = ground.Report(
            "POST", f"{posts:,} messages a round from {CLIENTS} clients, {options.rounds} rounds each"
        )
        _make_bare_table()
        rates: dict[str, list[float]] = {name: [] for name in APPLICATIONS}
        spent: dict[str, list[float]] = {name: [] for name in APPLICATIONS}
        with _serving("ours", place) as ours, _serving("bare", place) as bare:
            programs = {"ours": _Program(ours, instance, key), "bare": _Program(bare, instance, key)}
            for program in programs.values():
                # The first use of everything (connections, imports, compiled templates) belongs to no round.
                program.post(CLIENTS * 12)
            for _ in range(options.rounds):
                for name, program in programs.items():
                    ground.empty()
                    before = sum(ground.seconds_of_cpu().values())
                    rates[name].append(program.post(posts))
                    spent[name].append((sum(ground.seconds_of_cpu().values()) - before) * 1_000 / posts)
        ratios = [mine / limit for mine, limit in zip(rates["ours"], rates["bare"], strict=True)]
        for name, values in rates.items():
            report.line(
                f"{name}: {ground.spread(values, ',.0f')} messages/s;"
                f" CPU of all processes, clients included: {ground.spread(spent[name])} ms each"
            )
        judged = ground.verdict(statistics.median(ratios), must=MUST, aim=AIM)
        report.line(f"ratio: {ground.spread(ratios)}  {judged}")
        report.conditions(web_processes=WEB_PROCESSES, threads_each=THREADS)


@contextmanager
def _serving(name: str, place: ground.Ground) -> Iterator[int]:
    """The port of a server of that application."""
    port = services.free_port()
    folder = place.folder / name
    folder.mkdir()
    command = [
        *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(WEB_PROCESSES), "--blocking-threads", str(THREADS), "--no-ws", APPLICATIONS[name]),
    ]
    with ground.programs(command, folder=folder):
        ground.wait_until(lambda: _listens(port), seconds=90, what=f"the first answer of the server ({name})")
        yield port


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


class _Program:
    """An integrator's, as lean as Python lets it be: what the clients take, the servers lack."""

    def __init__(self, port: int, instance: int, key: str) -> None:
        self._port, self._instance = port, instance
        self._headers = f"Host: localhost\r\nGovHub-Consumer-Principal: {key}\r\nContent-Type: application/json\r\n"

    def post(self, count: int) -> float:
        """Messages a second, from the first request to the last answer."""
        waiting = iter([self._request(number) for number in range(count)])
        lock = threading.Lock()
        faults: list[bytes] = []

        def run() -> None:
            with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not faults:
                    with lock:
                        request = next(waiting, None)
                    if request is None:
                        break
                    connection.sendall(request)
                    answer = _answer(connection)
                    if not answer.startswith(b"HTTP/1.1 201 "):
                        faults.append(answer)

        threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
        since = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - since
        if faults:
            raise RuntimeError(f"not every message was created: {faults[0][:600]!r}")
        return count / elapsed

    def _request(self, number: int) -> bytes:
        body = json.dumps(_message(number)).encode()
        address = f"/api/v1/messages?service_instance={self._instance}&idempotency_key={uuid.uuid4()}"
        head = f"POST {address} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _answer(connection: socket.socket) -> bytes:
    """One whole answer; both servers say how long it is."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    marker = b"content-length: "
    length = int(head.lower().partition(marker)[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError("the server has closed the connection")
    return received


def _message(number: int) -> dict[str, object]:
    """A payment with a due date and one placeholder, to 1,000 people in turn."""
    return {
        "taxcode": f"RSSMRA80A01H{number % 1000:03d}U",
        "payment": {"amount": 62.12, "notice_number": f"3000125486{number:08d}", "payee_taxcode": "10000000001"},
        "email": "name@example.it",
        "due_date": "2090-07-07T21:59:00Z",
        "placeholders": [{"name": "cie", "value": f"CA{number:06d}AA"}],
    }


def _instance_and_key() -> tuple[int, str]:
    from registry.models import Role
    from tests import factories

    instance = factories.service_instance()
    person = factories.user()
    factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(instance.service,))
    return instance.pk, factories.consumer_key(factories.consumer(user=person))


def _make_bare_table() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bare_message (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
            " service_instance bigint NOT NULL, sender bigint NOT NULL, taxcode varchar(16) NOT NULL,"
            " status varchar(32) NOT NULL, subject varchar(255) NOT NULL, markdown text NOT NULL, amount_cents bigint,"
            " notice_number varchar(18) NOT NULL, email varchar(255) NOT NULL, created_at timestamptz NOT NULL,"
            " scheduled_at timestamptz NOT NULL, due_date timestamptz)"
        )


def _profile(report: ground.Report, instance: int, key: str, *, posts: int) -> None:
    from django.test import Client

    client = Client()

    def post(number: int) -> None:
        address = f"/api/v1/messages?service_instance={instance}&idempotency_key={uuid.uuid4()}"
        answer = client.post(
            address,
            json.dumps(_message(number)),
            content_type="application/json",
            headers={"GovHub-Consumer-Principal": key, "Host": "localhost"},
        )
        assert answer.status_code == 201, answer.content

    for number in range(20):
        post(number)
    with profiling.Statements().counted() as statements:
        since = time.perf_counter()
        with profiling.processor_time(report, messages=posts):
            for number in range(posts):
                post(number)
        elapsed = time.perf_counter() - since
    report.line(f"{1000 * elapsed / posts:.2f} ms each")
    profiling.print_statements(report, statements, messages=posts, elapsed=elapsed)
    profile = cProfile.Profile()
    profile.enable()
    for number in range(posts):
        post(number)
    profile.disable()
    print(profiling.functions(profile))
    print(profiling.functions(profile, by="cumulative"))
