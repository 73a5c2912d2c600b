"""How fast messages come in by the thousand: POST /messages/bulk over loopback, durable, every check on.

Two granian processes as `make web` starts them, PostgreSQL and Redis share the machine with the clients, which post
calls made beforehand and check that every item of every answer was created.
"""

import http.client
import json
import statistics
import threading
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Sequence

from benchmarks import ground
from tests.support import services

ITEMS = 1_000
CALLS = 16
CLIENTS = (2, 4)
WEB_PROCESSES = 2
MUST, AIM = 2_000, 4_000


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--calls", type=int, default=0, help=f"of {ITEMS} messages in a round, instead of {CALLS}")
        parser.add_argument("--clients", type=int, default=0, help="at the same time, instead of 2 and then 4")

    options = ground.options(arguments, __doc__, add=add)
    calls = options.calls or (4 if options.quick else CALLS)
    with ground.ground() as place:
        address, key = _address_and_key()
        port = services.free_port()
        report = ground.Report(
            "Bulk POST",
            f"{calls} calls of {ITEMS} messages a round, {options.rounds} rounds for each number of clients",
        )
        with ground.product("web", folder=place.folder, PORT=str(port), WEB_WORKERS=str(WEB_PROCESSES)):
            ground.wait_until(lambda: _answers(port), seconds=90, what="the first answer of the web processes")
            program = _Program(port, address, key)
            # The first use of everything (connections, imports, compiled templates) belongs to no round.
            program.post(_bodies(16, items=100), items=100, clients=4)
            for clients in (options.clients,) if options.clients else CLIENTS:
                rates, spent = [], []
                for _ in range(options.rounds):
                    ground.empty()
                    bodies = _bodies(calls, items=ITEMS)
                    before = sum(ground.seconds_of_cpu().values())
                    rates.append(program.post(bodies, items=ITEMS, clients=clients))
                    spent.append((sum(ground.seconds_of_cpu().values()) - before) * 1_000 / calls)
                judged = ground.verdict(statistics.median(rates), must=MUST, aim=AIM)
                report.line(f"{clients} clients: {ground.spread(rates, ',.0f')} messages/s created  {judged}")
                # What neighbours take from us does not count here.
                report.line(f"  CPU of all processes, clients included: {ground.spread(spent, '.0f')} ms a call")
        report.conditions(web_processes=WEB_PROCESSES, bytes_a_message=len(_bodies(1, items=ITEMS)[0]) // ITEMS)


class _Program:
    """An integrator's. A connection for each call: those that stay open may all belong to one of the processes."""

    def __init__(self, port: int, address: str, key: str) -> None:
        self._port, self._address = port, address
        self._headers = {"GovHub-Consumer-Principal": key, "Content-Type": "application/json"}

    def post(self, bodies: Sequence[bytes], *, items: int, clients: int) -> float:
        """Messages a second from the first request to the last answer."""
        waiting = iter(bodies)
        lock = threading.Lock()
        faults: list[str] = []

        def run() -> None:
            while True:
                with lock:
                    body = next(waiting, None)
                if body is None:
                    break
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
                connection.request("POST", self._address, body, self._headers)
                answer = connection.getresponse()
                told = answer.read()
                connection.close()
                if answer.status != 200 or told.count(b'"result":"created"') != items:
                    faults.append(f"{answer.status} {told[:300]!r}")
                    break

        threads = [threading.Thread(target=run) for _ in range(clients)]
        since = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - since
        if faults:
            raise RuntimeError(f"not every message was created: {faults[0]}")
        return len(bodies) * items / elapsed


def _address_and_key() -> tuple[str, str]:
    from registry.models import Role
    from tests import factories

    instance = factories.service_instance()
    person = factories.user()
    factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(instance.service,))
    key = factories.consumer_key(factories.consumer(user=person))
    return f"/api/v1/messages/bulk?service_instance={instance.pk}", key


def _bodies(count: int, *, items: int) -> list[bytes]:
    return [json.dumps({"items": [_message(number) for number in range(items)]}).encode() for _ in range(count)]


def _message(number: int) -> dict[str, object]:
    """A payment with a due date and one placeholder, to 1,000 people in turn."""
    return {
        "idempotency_key": str(uuid.uuid4()),
        "taxcode": f"RSSMRA80A01H{number % 1000:03d}U",
        "payment": {"amount": 62.12, "notice_number": f"3000125486{number:08d}", "payee_taxcode": "10000000001"},
        "email": "name@example.it",
        "due_date": "2090-07-07T21:59:00Z",
        "placeholders": [{"name": "cie", "value": f"CA{number:06d}AA"}],
    }


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
