"""What choosing the next messages costs, however long the queue is: taking lanes, finding the streams, choosing 100 rows.

One account with ten streams and 100, 10,000 and 1,000,000 due rows; then a tenth of them has just left, whose dead
entries are still in the index; then the rest waits behind suspended IO services and another service of the account has
100 rows due.

    --plans   the plans of the last two cases, as PostgreSQL tells them (EXPLAIN (ANALYZE, BUFFERS))
"""

import statistics
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks import ground

if TYPE_CHECKING:
    from messaging.models import ServiceInstance

STREAMS = 10
BACKLOGS = (100, 10_000, 1_000_000)
QUICK_BACKLOGS = (100, 10_000)
GROUP = 100
REPEATED = 40
LANES = 64
# Of the cost with 100 rows: a queue is an index, whose height grows a little.
MUST = 2.0

Statement = tuple[str, Any]


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--plans", action="store_true", help="print whole plans")

    options = ground.options(arguments, __doc__, add=add)
    with ground.ground():
        report = ground.Report(
            "Claim", f"one account, {STREAMS} streams; medians of {REPEATED} calls, {options.rounds} rounds"
        )
        ways = ground.instances(services_each=STREAMS + 1)
        costs: dict[str, dict[str, list[float]]] = {}
        for backlog in QUICK_BACKLOGS if options.quick else BACKLOGS:
            _fill(ways[:STREAMS], backlog)
            costs[f"{backlog:,} due"] = _measure(rounds=options.rounds)
        plans = [("all due", _plans())]
        _let_leave(backlog // 10)
        costs[f"{backlog // 10:,} just left"] = _measure(rounds=options.rounds)
        _suspend(ways[:STREAMS])
        ground.fill(ways[-1], 100, with_content=False)
        _settle()
        costs["suspended, 100 others due"] = _measure(rounds=options.rounds)
        plans.append(("suspended", _plans()))
        just_left = costs[f"{backlog // 10:,} just left"]
        first, *others = (cost for cost in costs.values() if cost is not just_left)
        rows = [[case, *(ground.spread(values) for values in cost.values())] for case, cost in costs.items()]
        report.table(["queue", *(f"{step}, ms" for step in first)], rows)
        # Taking lanes is this reading, a few statements on lanes, and a commit, which costs what the disk does.
        for step, values in list(first.items())[2:]:
            worst = max(statistics.median(cost[step]) for cost in others) / statistics.median(values)
            judged = ground.verdict(worst, must=MUST, is_ceiling=True)
            before_vacuum = statistics.median(just_left[step]) / statistics.median(values)
            report.line(
                f"{step}, the dearest against {BACKLOGS[0]} rows: {worst:.2f} times  {judged};"
                f" after many left, before a vacuum: {before_vacuum:.2f} times"
            )
        for case, statements in plans:
            for plan in statements:
                if options.plans:
                    print(f"\n[{case}]", *plan, sep="\n")
                else:
                    buffers = next((line.strip() for line in plan if "Buffers" in line), "")
                    report.line(f"[{case}] {plan[0].strip()[:60]} | {buffers} | {plan[-1].strip()}")
        report.conditions()


def _fill(ways: "Sequence[ServiceInstance]", backlog: int) -> None:
    ground.empty()
    for way in ways:
        ground.fill(way, backlog // len(ways), with_content=False)
    _settle()


def _settle() -> None:
    """What autovacuum and the checkpointer do within minutes: measured is the queue, not the disk after filling it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) messaging_message")
        cursor.execute("CHECKPOINT")


def _let_leave(count: int) -> None:
    """From the front of every stream; what they leave in the index is not cleaned up before the measure."""
    from messaging.models import Message
    from messaging.states import Delivery

    front = Message.objects.order_by("not_before", "id").values("pk")[:count]
    Message.objects.filter(pk__in=front).update(delivery_state=Delivery.SENT)


def _suspend(ways: "Sequence[ServiceInstance]") -> None:
    from messaging.models import IOService, SuspensionReason

    IOService.objects.filter(service_instances__in=ways).update(
        suspended_at=datetime.now(UTC), suspended_reason=SuspensionReason.KEY_REFUSED
    )


def _commit() -> None:
    """The least that taking a lane can cost: one row written, and the disk waited for."""
    from django.db.models import F

    from registry.models import Lane

    Lane.objects.update(tokens=F("tokens"))


def _take_lanes() -> Callable[[], None]:
    """Takes them; what gives them back afterwards is not measured."""
    from messaging import lanes

    holder = uuid.uuid4()
    taken = lanes.take_lanes(holder=holder, limit=LANES)
    assert taken, "no lane had anything due"
    return lambda: lanes.leave_lanes([lane.io_account for lane in taken], holder=holder)


def _find_streams() -> Any:
    from messaging.claiming import streams_due
    from registry.models import Lane

    return streams_due(list(Lane.objects.values_list("pk", flat=True)))


def _choose(streams: Any) -> None:
    from messaging.claiming import Turns, Wanted, choose

    accounts = {stream.io_account for stream in streams}
    chosen = choose(streams, wanted={account: Wanted(GROUP) for account in accounts}, turns=Turns())
    assert len(chosen) == min(GROUP, len(chosen)) > 0, "nothing was chosen"


def _measure(*, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each step, the median of each round."""
    steps: dict[str, list[float]] = {"a commit": [], "lanes": [], "streams": [], f"{GROUP} rows": []}
    for _ in range(rounds):
        commits, lanes, found, chosen = [], [], [], []
        for _ in range(REPEATED):
            since = time.perf_counter()
            _commit()
            commits.append(time.perf_counter() - since)
            since = time.perf_counter()
            give_back = _take_lanes()
            lanes.append(time.perf_counter() - since)
            give_back()
            since = time.perf_counter()
            streams = _find_streams()
            found.append(time.perf_counter() - since)
            since = time.perf_counter()
            _choose(streams)
            chosen.append(time.perf_counter() - since)
        for values, taken in zip(steps.values(), (commits, lanes, found, chosen), strict=True):
            values.append(1000 * statistics.median(taken))
    return steps


def _plans() -> list[list[str]]:
    """Of each statement that reads the queue, the lines that PostgreSQL explains it in."""
    from django.db import connection

    seen: list[Statement] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        if "messaging_message" in sql and (sql, params) not in seen:
            seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        _choose(_find_streams())
    plans = []
    with connection.cursor() as cursor:
        for sql, params in seen:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {sql}", params)
            plans.append([line for (line,) in cursor.fetchall()])
    return plans
