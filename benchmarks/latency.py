"""How punctual messages leave when there is room: from the date they are scheduled for to their send at the stand-in.

One worker and one beat that have nothing else to do, messages spread over the next ten seconds.
"""

import statistics
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from benchmarks import ground

A_SECOND = 50
LASTING_SECONDS = 10
AHEAD_SECONDS = 2
MUST = 5.0


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--rate", type=int, default=A_SECOND, help=f"messages a second, instead of {A_SECOND}")

    options = ground.options(arguments, __doc__, add=add)
    count = options.rate * LASTING_SECONDS
    with ground.ground() as place:
        report = ground.Report(
            "Punctuality",
            f"{count} messages scheduled over the next {LASTING_SECONDS} s, {options.rounds} rounds, one worker process",
        )
        way = ground.instances()[0]
        every: list[float] = []
        slowest = []
        with ground.working(place):
            ground.send_all(place.io, [way], 10, seconds=60)
            for _ in range(options.rounds):
                place.io.arrivals()
                delays = _round(place.io, count, every=1 / options.rate)
                every += delays
                slowest.append(ground.percentile(delays, 0.95))
        judged = ground.verdict(max(every), must=MUST, is_ceiling=True)
        report.line(f"sent after its date: {ground.delays(every)}  {judged}")
        report.line(
            f"p95 of each round: {ground.spread(slowest, '.3f')} s, median {statistics.median(every):.3f} s of all"
        )
        report.conditions()


def _round(io: ground.IO, count: int, *, every: float) -> list[float]:
    from messaging.models import ServiceInstance
    from messaging.states import Priority

    ground.empty()
    begin = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)
    before = io.counts()["send"]
    ground.fill(
        ServiceInstance.objects.get(),
        count,
        every_seconds=every,
        scheduled_at=begin,
        not_before=begin,
        priority=Priority.SCHEDULED,
    )
    time.sleep(max(0.0, begin.timestamp() + count * every - time.time()))
    ground.wait_until(lambda: io.counts()["send"] - before >= count, seconds=30, what="sending all of them")
    dates = {number: begin.timestamp() + (number - 1) * every for number in range(1, count + 1)}
    delays = [arrival.at - dates[arrival.number] for arrival in io.arrivals() if arrival.number]
    assert len(delays) == count, f"{len(delays)} of {count} sends arrived"
    assert min(delays) >= 0, "a message left before its date"
    return delays
