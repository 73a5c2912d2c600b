"""What reading costs, however many messages there are: lists, their filters and counts, one message; as the API answers.

The same requests are made with 5,000 and with 5,000,000 messages, in this process and without a server: authentication,
statements and rendering are what is measured. Half of all messages belong to one ente, fifty to another one, the rest to
two hundred; two years of them, most delivered, some refused, the last ones still to be sent.

    --plans   the plans of the statements of every request, as PostgreSQL tells them (EXPLAIN (ANALYZE, BUFFERS))
"""

import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks import ground

if TYPE_CHECKING:
    from messaging.models import ServiceInstance
    from registry.models import User

SMALL, LARGE = 5_000, 5_000_000
QUICK_LARGE = 50_000
REPEATED, QUICK_REPEATED = 40, 6
OTHERS = 200
FEW = 50
YEARS = 2
# Of the time with 5,000, and in milliseconds.
MUST, AIM, MUST_P95 = 1.5, 1.2, 150.0
_NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose key is shown; what each asks for is of theirs."""

    name: str
    key: str
    service: str
    organization: str


@dataclass(slots=True)
class Times:
    """Of one request, by the number of messages: milliseconds of each repetition of each round."""

    by_size: dict[int, list[list[float]]] = field(default_factory=dict)

    def share(self, size: int, share: float) -> float:
        """The median of the rounds."""
        return statistics.median(ground.percentile(times, share) for times in self.by_size[size])

    def p95(self, size: int) -> float:
        return self.share(size, 0.95)


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--messages", type=int, default=0, help=f"instead of {LARGE:,}")
        parser.add_argument("--plans", action="store_true", help="print whole plans")

    options = ground.options(arguments, __doc__, add=add)
    large = options.messages or (QUICK_LARGE if options.quick else LARGE)
    repeated = QUICK_REPEATED if options.quick else REPEATED
    with ground.ground(variables={"API_RATE_LIMIT": "0"}):
        report = ground.Report(
            "Lists", f"{SMALL:,} and {large:,} messages, each request {repeated} times, {options.rounds} rounds"
        )
        ways = ground.instances(services_each=OTHERS + 2)
        readers = _readers(ways)
        times: dict[tuple[str, str], Times] = {}
        for size in (SMALL, large):
            since = time.perf_counter()
            _fill(ways, size)
            report.line(f"{size:,} messages made in {time.perf_counter() - since:.0f} s")
            for reader in readers:
                for name, query in _requests(reader).items():
                    measured = times.setdefault((reader.name, name), Times())
                    measured.by_size[size] = _measure(reader, query, repeated=repeated, rounds=options.rounds)
                    if options.plans and size == large:
                        _print_plans(reader, name, query)
        _tell(report, times, large=large)
        report.conditions()


def _tell(report: ground.Report, times: dict[tuple[str, str], Times], *, large: int) -> None:
    rows = []
    for (who, what), measured in times.items():
        small_p95, large_p95 = measured.p95(SMALL), measured.p95(large)
        medians = [measured.share(size, 0.5) for size in (SMALL, large)]
        rows.append(
            [
                who,
                what.ljust(28),
                *(f"{median:.1f}" for median in medians),
                f"{small_p95:.1f}",
                f"{large_p95:.1f}",
                f"{large_p95 / small_p95:.2f}",
            ]
        )
    report.table(["reader", "request", "p50 few, ms", "p50 many", "p95 few", "p95 many", "times"], rows)
    worst = max(measured.p95(large) / measured.p95(SMALL) for measured in times.values())
    slowest = max(measured.p95(large) for measured in times.values())
    report.line(f"worst: {worst:.2f} times  {ground.verdict(worst, must=MUST, aim=AIM, is_ceiling=True)}")
    report.line(f"slowest: p95 {slowest:.1f} ms  {ground.verdict(slowest, must=MUST_P95, is_ceiling=True)}")


def _readers(ways: "Sequence[ServiceInstance]") -> list[Reader]:
    from registry.models import Role
    from tests import factories

    def reader(name: str, person: "User", way: "ServiceInstance") -> Reader:
        key = factories.consumer_key(factories.consumer(user=person))
        return Reader(name, key, way.service.service_name, way.organization.legal_name)

    made = []
    for name, way in (("most", ways[0]), ("few", ways[1])):
        person = factories.user()
        factories.grant(person, Role.APPROVER, organizations=(way.organization,), services=(way.service,))
        made.append(reader(name, person, way))
    person = factories.user()
    factories.grant(person, Role.APPROVER, all_organizations=True, all_services=True)
    made.append(reader("all", person, ways[0]))
    some = factories.user()
    factories.grant(some, Role.APPROVER, organizations=tuple(way.organization for way in ways[2:40]), all_services=True)
    made.append(reader("some", some, ways[2]))
    return made


def _requests(reader: Reader) -> dict[str, Callable[[int], str]]:
    """Each by the number of its repetition, so that not the same page is read again and again."""

    def date(moment: datetime) -> str:
        return moment.isoformat().replace("+00:00", "Z")

    year_ago = _NOW - timedelta(days=365)
    words = reader.service.split()[-1]
    return {
        "newest": lambda number: "?embed=sender,service-instance",
        "by date": lambda number: "?sort=scheduled_expedition_date",
        "page 40": lambda number: f"?limit=100&offset={4_000 - 100 * (number % 5)}",
        "status processed": lambda number: "?status=processed",
        "status scheduled": lambda number: "?status=scheduled",
        "status bad_request": lambda number: "?status=bad_request",
        "status uncertain": lambda number: "?status=uncertain",
        "status failed, none": lambda number: "?status=failed",
        "recipient": lambda number: f"?tax_code={_taxcode(number)}",
        "recipient, 1 letter": lambda number: f"?tax_code={_taxcode(number)[:1]}",
        "recipient, 6 letters": lambda number: f"?tax_code={_taxcode(number)[:6]}",
        "last week": lambda number: f"?scheduled_expedition_date_from={date(_NOW - timedelta(days=7))}",
        "a day a year ago": lambda number: (
            f"?scheduled_expedition_date_from={date(year_ago - timedelta(days=number))}"
            f"&scheduled_expedition_date_to={date(year_ago - timedelta(days=number - 1))}"
        ),
        "a month a year ago": lambda number: (
            f"?scheduled_expedition_date_from={date(year_ago - timedelta(days=number + 30))}"
            f"&scheduled_expedition_date_to={date(year_ago - timedelta(days=number))}"
        ),
        "sent last week": lambda number: f"?expedition_date_from={date(_NOW - timedelta(days=7))}",
        "refused last month": lambda number: (
            f"?status=bad_request&scheduled_expedition_date_from={date(_NOW - timedelta(days=30))}"
        ),
        "service by name": lambda number: f"?service_q={words}",
        "ente by name": lambda number: f"?organization_q={reader.organization[-6:].replace(' ', '+')}",
        "one": lambda number: f"/{_id_of(reader, number)}",
    }


_ids: dict[tuple[str, str], list[int]] = {}


def _id_of(reader: Reader, number: int) -> int:
    found = _ids.setdefault((reader.name, reader.key), [])
    if not found:
        found += [item["id"] for item in _get(reader.key, "?limit=50").json()["items"]]
    return found[number % len(found)]


def _get(key: str, query: str) -> Any:
    from django.test import Client

    headers = {"GovHub-Consumer-Principal": key, "Host": "localhost"}
    answer = Client().get(f"/api/v1/messages{query}", headers=headers)
    assert answer.status_code == 200, (query, answer.content)
    return answer


def _measure(reader: Reader, query: Callable[[int], str], *, repeated: int, rounds: int) -> list[list[float]]:
    """Milliseconds of each of each round."""
    for number in range(3):
        _get(reader.key, query(number))
    return [[_milliseconds(reader.key, query(number)) for number in range(repeated)] for _ in range(rounds)]


def _milliseconds(key: str, query: str) -> float:
    since = time.perf_counter()
    _get(key, query)
    return 1000 * (time.perf_counter() - since)


def _taxcode(number: int) -> str:
    """As `_fill` writes it: letters from all over the alphabet."""
    name = "".join(chr(65 + number // 20**place % 20) for place in range(3)) + chr(65 + number % 19) * 3
    return f"{name}80A{number % 28 + 1:02d}H{number * 7 % 1000:03d}U"


def _print_plans(reader: Reader, name: str, query: Callable[[int], str]) -> None:
    from django.db import connection

    seen: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        if "messaging_message" in sql:
            seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        _get(reader.key, query(0))
    with connection.cursor() as cursor:
        for sql, params in seen:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {sql}", params)
            print(f"\n[{reader.name}: {name}]", *(line for (line,) in cursor.fetchall()), sep="\n")


# What a message is like is a matter of its number: spread evenly over states, dates and people, each at its own pace.
# The last hundredth is still to be sent.
_MESSAGES = """
INSERT INTO messaging_message (
    id, service_instance_id, sender_id, taxcode, feature_level, delivery_state, reading_state, payment_state, status_detail,
    io_status, created_at, updated_at, scheduled_at, expedition_date, appio_message_id, is_taken_as_arrived, io_account_id,
    priority, not_before, waiting_reason, retries, refusals, is_resent_by_rule, polls
)
SELECT n, CASE WHEN n %% %(sparse)s = 0 THEN %(few)s WHEN n %% 2 = 0 THEN %(most)s
    ELSE (%(others)s::bigint[])[1 + n / 2 %% %(count)s] END,
    %(sender)s,
    chr(65 + person %% 20) || chr(65 + person / 20 %% 20) || chr(65 + person / 400 %% 20) || repeat(chr(65 + person %% 19), 3)
        || '80A' || lpad((person %% 28 + 1)::text, 2, '0') || 'H' || lpad((person * 7 %% 1000)::text, 3, '0') || 'U',
    'STANDARD', state, 'unknown', 'unknown', '', '', created, created, scheduled,
    CASE WHEN state IN ('processed', 'sent', 'rejected') THEN scheduled END,
    CASE WHEN state IN ('processed', 'sent', 'rejected') THEN '01' || n ELSE '' END, false, %(account)s, 2, scheduled, '',
    0, 0, false, 0
FROM (
    SELECT n, n %% greatest(%(total)s / 10, 500) AS person, created,
        created + CASE WHEN n %% 10 = 0 THEN n %% 72 ELSE 0 END * interval '1 hour' AS scheduled,
        CASE WHEN n > %(total)s * 0.99 THEN 'scheduled' WHEN n %% 1663 = 0 AND n > %(total)s * 0.9 THEN 'uncertain'
            WHEN n %% 23 = 0 THEN 'profile_not_exists' WHEN n %% 47 = 0 THEN 'sender_not_allowed'
            WHEN n %% 101 = 0 THEN 'bad_request' WHEN n %% 197 = 0 THEN 'rejected' WHEN n %% 307 = 0 THEN 'cancelled'
            WHEN n > %(total)s * 0.98 THEN 'sent' ELSE 'processed' END AS state
    FROM generate_series(1, %(total)s) AS n,
        LATERAL (SELECT %(now)s::timestamptz - (%(total)s - n) * (%(span)s::interval / %(total)s)) AS at(created)
) AS each
"""
_CONTENTS = """
INSERT INTO messaging_messagecontent (
    message_id, version_id, subject, markdown, values, notice_number, invalid_after_due_date, payee_taxcode, email, warnings
)
SELECT id, %s, 'Scadenza CIE n. CA' || id, repeat('x', 120), '{}', '', false, '', '', '[]' FROM messaging_message
"""


def _fill(ways: "Sequence[ServiceInstance]", total: int) -> None:
    """By the database itself, with the indexes made afterwards."""
    from django.db import connection, transaction

    from registry.models import User

    ground.empty()
    _ids.clear()
    sender = User.objects.first()
    assert sender is not None
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messaging_message' AND indexname !~ 'pkey$'"
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        facts: dict[str, Any] = {
            "total": total,
            "sparse": max(total // FEW, 1),
            "most": ways[0].pk,
            "few": ways[1].pk,
            "others": [way.pk for way in ways[2:]],
            "count": len(ways) - 2,
            "sender": sender.pk,
            "account": ways[0].io_service.io_account_id,
            "now": _NOW,
            "span": timedelta(days=365 * YEARS),
        }
        cursor.execute(_MESSAGES, facts)
        cursor.execute(_CONTENTS, [ways[0].template.current_version_id])
        for _, definition in indexes:
            cursor.execute(definition)
    with connection.cursor() as cursor:
        # What autovacuum and the checkpointer do within minutes.
        cursor.execute("VACUUM (ANALYZE) messaging_message, messaging_messagecontent")
        cursor.execute("CHECKPOINT")
