"""Many slow accounts on one worker process: of the calls that their pace allows, how many are made.

50 accounts of 10 calls a second, all with a backlog, while requests without an answer are swept and messages of one
more account, which sends nothing, are asked about. Rounds are windows of one run, once it is steady.

    --embedded   `manage.py serve` alone (SQLite, broker in memory, default threads) instead of a worker, beat,
                 PostgreSQL and Redis
"""

import statistics
import time
import uuid
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks import ground
from tests.support import services

if TYPE_CHECKING:
    from messaging.models import ServiceInstance

ACCOUNTS = 50
CALLS_PER_SECOND = 10
WINDOW_SECONDS = 20
# Buckets start empty and processes have to begin.
WARM_SECONDS = 5
# Profile and send; what is asked about it later comes on top.
CALLS_OF_A_MESSAGE = 2
MUST, AIM = 0.95, 0.98
# One request without an answer and one question are due every second, on an account that sends nothing.
QUIET = "quiet"
# Where the real ones are made, processes begin to run this much before the first of them is due.
BEGIN_SECONDS = 8


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--embedded", action="store_true", help="manage.py serve alone")

    options = ground.options(arguments, __doc__, add=add)
    window = 5 if options.quick else WINDOW_SECONDS
    lasting = WARM_SECONDS + options.rounds * window
    polls = {"IO_FIRST_POLLS": "5,10,30,60,300,1800,7200"}
    with ground.ground(is_embedded=options.embedded, variables=polls) as place:
        how = "one process (manage.py serve), SQLite" if options.embedded else "one worker process, PostgreSQL, Redis"
        report = ground.Report(
            "Accounts",
            f"{ACCOUNTS} of {CALLS_PER_SECOND} calls/s, {how}, {options.rounds} windows of {window} s",
        )
        each = (lasting + 10) * CALLS_PER_SECOND // CALLS_OF_A_MESSAGE
        for way in ground.instances(accounts=ACCOUNTS, rate=CALLS_PER_SECOND):
            ground.fill(way, each)
        quiet = ground.instances(rate=CALLS_PER_SECOND, key=QUIET)[0]
        due = _quiet_work(quiet, seconds=lasting)
        place.io.ask("record")
        with _running(place, is_embedded=options.embedded):
            since = ground.first_call(place.io) + WARM_SECONDS
            time.sleep(max(0.0, since + options.rounds * window + 1 - time.time()))
            arrivals = place.io.arrivals()
        _print(report, arrivals, since=since, window=window, rounds=options.rounds)
        _print_quiet(report, arrivals, due=due, since=since - WARM_SECONDS, until=since + options.rounds * window)
        report.conditions()


@contextmanager
def _running(place: ground.Ground, *, is_embedded: bool) -> Iterator[None]:
    if not is_embedded:
        with ground.product("beat", "worker", folder=place.folder):
            yield
        return
    with ground.product("serve", folder=place.folder, PORT=str(services.free_port()), DEMO="0"):
        yield


def _quiet_work(quiet: "ServiceInstance", *, seconds: int) -> list[datetime]:
    """Dates, a second apart, at each of which one lease ends and one question is due."""
    from messaging.models import Message
    from messaging.states import Delivery
    from tests import factories

    begin = datetime.now(UTC) + timedelta(seconds=BEGIN_SECONDS)
    dates = [begin + timedelta(seconds=second) for second in range(seconds + BEGIN_SECONDS)]
    for at in dates:
        attempt: dict[str, Any] = {"attempt_id": uuid.uuid4(), "marked_at": at, "io_service": quiet.io_service}
        factories.message(instance=quiet, delivery_state=Delivery.SENDING, lease_until=at, **attempt)
        factories.message(
            instance=quiet,
            delivery_state=Delivery.SENT,
            expedition_date=at,
            appio_message_id="01" + uuid.uuid4().hex[:24].upper(),
            next_poll_at=at,
            **attempt,
        )
    assert Message.objects.filter(next_poll_at__isnull=False).count() == len(dates)
    return dates


def _print(
    report: ground.Report, arrivals: Sequence[ground.Arrival], *, since: float, window: int, rounds: int
) -> None:
    allowed = CALLS_PER_SECOND * window
    totals, lowest, highest, statuses = [], [], [], []
    for number in range(rounds):
        begin = since + number * window
        made: Counter[str] = Counter()
        asked = 0
        for arrival in arrivals:
            if begin <= arrival.at < begin + window and arrival.key != QUIET:
                made[arrival.key] += 1
                asked += arrival.call == "status"
        shares = [made[f"key-{account}"] / allowed for account in range(1, ACCOUNTS + 1)]
        totals.append(sum(shares) / ACCOUNTS)
        lowest.append(min(shares))
        highest.append(max(shares))
        statuses.append(asked / max(1, made.total()))
    judged = ground.verdict(statistics.median(totals), must=MUST, aim=AIM)
    report.line(f"calls made of those allowed, all accounts: {ground.spread(totals, '.3f')}  {judged}")
    report.line(f"the slowest account of each window: {ground.spread(lowest, '.3f')}")
    report.line(f"the fastest: {ground.spread(highest, '.3f')}")
    report.line(
        f"of these calls, questions about messages sent: {ground.spread(statuses, '.3f')} (at least 0.1 is theirs)"
    )


def _print_quiet(
    report: ground.Report, arrivals: Sequence[ground.Arrival], *, due: Sequence[datetime], since: float, until: float
) -> None:
    from messaging.models import EventKind, Message

    dates = [at.timestamp() for at in due if since < at.timestamp() < until - 5]
    asked = [arrival.at for arrival in arrivals if arrival.key == QUIET and arrival.call == "status"]
    # One message each and the longest-waiting first, so the calls come in the order of the dates.
    every = dict(zip((at.timestamp() for at in due), asked, strict=False))
    polled = [every[at] - at for at in dates if at in every]
    report.line(f"asked about a message of an account with calls to spare, after it was due: {ground.delays(polled)}")
    swept = []
    for message in Message.objects.filter(marked_at__in=due, lease_until=None).prefetch_related("events"):
        ended = [event.at for event in message.events.all() if event.kind == EventKind.OUTCOME_UNKNOWN]
        assert message.marked_at is not None
        if ended and since < message.marked_at.timestamp() < until - 5:
            swept.append((ended[0] - message.marked_at).total_seconds())
    report.line(f"shown in doubt after its lease ended: {ground.delays(swept)} of {len(dates)}")
