"""How long a single message waits while a batch of 100,000 of the same account is being sent, and one of another account.

Composed as the API and the portal do, one of each about every half second; the delay is from the moment it is stored
(when the API answers) to its send at the stand-in, the profile call before it included.

    --limited   with an account of 30 calls/s: how many calls of the batch still come before it
"""

import statistics
import time
from argparse import ArgumentParser
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from benchmarks import ground
from benchmarks.stand_in import DIGITS

if TYPE_CHECKING:
    from messaging.models import ServiceInstance
    from registry.models import User

BACKLOG = 100_000
LIMITED_BACKLOG_SECONDS = 180
CALLS_PER_SECOND = 30
EVERY_SECONDS = 0.5
ROUND_SECONDS = 12
WARM_SECONDS = 3
MUST, AIM = 2.0, 1.0
# Numbers of the single messages, apart from the batch's.
SAME, OTHER = 900_000, 800_000


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--limited", action="store_true", help=f"{CALLS_PER_SECOND} calls/s")
        parser.add_argument("--backlog", type=int, default=0, help=f"messages, instead of {BACKLOG}")

    options = ground.options(arguments, __doc__, add=add)
    backlog = options.backlog or (10_000 if options.quick else BACKLOG)
    rate = CALLS_PER_SECOND if options.limited else ground.UNLIMITED
    seconds = 5 if options.quick else ROUND_SECONDS
    with ground.ground() as place:
        pace = f"{CALLS_PER_SECOND} calls/s" if options.limited else "no limit to speak of"
        report = ground.Report(
            "Fairness", f"single messages during a batch of {backlog:,}, {pace}, {options.rounds} rounds of {seconds} s"
        )
        same, other = ground.instances(accounts=2, rate=rate)
        ground.fill(same, backlog)
        with ground.working(place):
            time.sleep(max(0.0, ground.first_call(place.io) + WARM_SECONDS - time.time()))
            composed = _compose(same, other, rounds=options.rounds, seconds=seconds)
            # Whoever is late gets this long to come in.
            time.sleep(5)
            arrivals = place.io.arrivals()
        batch_calls = sum(a.key == "key-1" for a in arrivals if composed[0][1] < a.at < composed[-1][1])
        report.line(f"the batch meanwhile: {batch_calls / (composed[-1][1] - composed[0][1]):,.0f} calls/s")
        _print(report, composed, arrivals, is_limited=options.limited)
        report.conditions()


def _compose(
    same: "ServiceInstance", other: "ServiceInstance", *, rounds: int, seconds: int
) -> list[tuple[int, float, int]]:
    """(number, when, round) of each."""
    from registry.models import User

    by = User.objects.earliest("pk")
    composed = []
    for number in range(int(rounds * seconds / EVERY_SECONDS)):
        turn = int(number * EVERY_SECONDS / seconds)
        for way, first in ((same, SAME), (other, OTHER)):
            _compose_one(way, by, number=first + number)
            composed.append((first + number, time.time(), turn))
        time.sleep(max(0.0, composed[0][1] + (number + 1) * EVERY_SECONDS - time.time()))
    return composed


def _compose_one(way: "ServiceInstance", by: "User", *, number: int) -> None:
    from messaging.composing import compose

    now = datetime.now(UTC)
    data = {
        "taxcode": "RSSMRA80A01H501U",
        "due_date": (now + timedelta(days=30)).isoformat(),
        "payment": {"amount": 100, "notice_number": "300012548634478200", "payee_taxcode": "01234567890"},
        "placeholders": [{"name": "cie", "value": f"CA{number:0{DIGITS}d}AA"}],
    }
    compose(data, instance=way, by=by, amount_unit="cents", at=now)


def _print(
    report: ground.Report,
    composed: Sequence[tuple[int, float, int]],
    arrivals: Sequence[ground.Arrival],
    *,
    is_limited: bool,
) -> None:
    left = {arrival.number: arrival for arrival in arrivals if arrival.number}
    lost = [number for number, _, _ in composed if number not in left]
    if lost:
        report.line(f"{len(lost)} of {len(composed)} had not left within 5 s of the end: their delays are not counted")
    for first, whose in ((SAME, "the same account"), (OTHER, "another account")):
        own = [(left[n].at - at, turn) for n, at, turn in composed if n in left and first <= n < first + 100_000]
        delays = [delay for delay, _ in own]
        p95 = [
            ground.percentile([delay for delay, each in own if each == turn], 0.95)
            for turn in sorted({turn for _, turn in own})
        ]
        judged = ""
        if not is_limited:
            judged = "  " + ground.verdict(statistics.median(p95), must=MUST, aim=AIM, is_ceiling=True)
        report.line(f"of {whose}: {ground.delays(delays)}")
        report.line(f"    p95 of each round: {ground.spread(p95, '.3f')} s{judged}")
    instants = sorted(arrival.at for arrival in arrivals if arrival.key == "key-1")
    # Its own profile call, between the two, is not somebody else's.
    between = [
        bisect_left(instants, left[n].at) - bisect_left(instants, at) - 1
        for n, at, _ in composed
        if n in left and n >= SAME
    ]
    p50, p95_calls = ground.percentile(between, 0.5), ground.percentile(between, 0.95)
    report.line(
        f"calls of the batch between composing and sending: p50 {p50:.0f}, p95 {p95_calls:.0f}, max {max(between)}"
    )
