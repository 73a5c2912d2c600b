"""How much of one account's pace is used, and whether IO's gateway ever has to say 429.

One account of 30 calls a second, one worker process; the stand-in enforces what IO is believed to: 150 calls in 5 s.

    --windows sliding|fixed   how the gateway counts
    --intruder                instead: somebody else uses 10 of the 30 for a while; how we slow down, and come back
"""

import statistics
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from benchmarks import ground

CALLS_PER_SECOND = 30
GATEWAY_SECONDS = 5.0
WINDOW_SECONDS = 20
WARM_SECONDS = 5
MUST, AIM = 0.97, 0.99
INTRUDER_RATE = 10.0
# Alone, with the intruder, alone again; in seconds.
PHASES = (15, 45, 60)


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--windows", choices=["sliding", "fixed"], default="sliding")
        parser.add_argument("--intruder", action="store_true", help="somebody else uses a third of the pace")

    options = ground.options(arguments, __doc__, add=add)
    window = 6 if options.quick else WINDOW_SECONDS
    phases = (6, 12, 12) if options.quick else PHASES
    lasting = sum(phases) if options.intruder else options.rounds * window + WARM_SECONDS
    with ground.ground() as place:
        gateway = f"{options.windows} windows of {GATEWAY_SECONDS:.0f} s"
        report = ground.Report(
            "Pace" if not options.intruder else "Pace with an intruder",
            f"one account of {CALLS_PER_SECOND} calls/s, gateway with {gateway}, {lasting} s",
        )
        calls = int(CALLS_PER_SECOND * GATEWAY_SECONDS)
        place.io.ask("gateway", windows=options.windows, calls=calls, seconds=GATEWAY_SECONDS)
        way = ground.instances(rate=CALLS_PER_SECOND)[0]
        ground.fill(way, (lasting + 10) * CALLS_PER_SECOND // 2)
        with ground.working(place):
            began = ground.first_call(place.io)
            if options.intruder:
                time.sleep(max(0.0, began + phases[0] - time.time()))
                place.io.ask("intruder", rate=INTRUDER_RATE)
                time.sleep(max(0.0, began + phases[0] + phases[1] - time.time()))
                place.io.ask("intruder", rate=0)
            time.sleep(max(0.0, began + lasting + 0.5 - time.time()))
            arrivals = place.io.arrivals()
        if options.intruder:
            _print_intruder(report, arrivals, began=began, phases=phases)
        else:
            _print(report, arrivals, began=began, window=window, rounds=options.rounds)
        report.conditions()


def _print(
    report: ground.Report, arrivals: Sequence[ground.Arrival], *, began: float, window: int, rounds: int
) -> None:
    shares = []
    for number in range(rounds):
        begin = began + WARM_SECONDS + number * window
        made = sum(begin <= arrival.at < begin + window for arrival in arrivals)
        shares.append(made / (CALLS_PER_SECOND * window))
    judged = ground.verdict(statistics.median(shares), must=MUST, aim=AIM)
    report.line(f"calls made of those allowed, in windows of {window} s: {ground.spread(shares, '.3f')}  {judged}")
    first = min(arrival.at for arrival in arrivals)
    late = sum(arrival.status == 429 and arrival.at > first + 1 for arrival in arrivals)
    early = sum(arrival.status == 429 for arrival in arrivals) - late
    report.line(f"429 after the first second: {late}  {ground.verdict(late, must=0, is_ceiling=True)}; in it: {early}")
    most = _most_within([arrival.at for arrival in arrivals], GATEWAY_SECONDS)
    report.line(f"most calls in any {GATEWAY_SECONDS:.0f} s: {most} of {CALLS_PER_SECOND * GATEWAY_SECONDS:.0f}")


def _most_within(instants: Sequence[float], seconds: float) -> int:
    ordered, first, most = sorted(instants), 0, 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def _print_intruder(
    report: ground.Report, arrivals: Sequence[ground.Arrival], *, began: float, phases: tuple[int, int, int]
) -> None:
    step = 5
    names = ("alone", f"with {INTRUDER_RATE:.0f} of another", "alone again")
    ends = (phases[0], phases[0] + phases[1], sum(phases))
    rows, back = [], None
    for second in range(0, sum(phases), step):
        begin = began + second
        seen = [arrival for arrival in arrivals if begin <= arrival.at < begin + step]
        refused = sum(arrival.status == 429 for arrival in seen)
        phase = next(name for name, end in zip(names, ends, strict=True) if second < end)
        rate = (len(seen) - refused) / step
        rows.append([f"{second} s", f"{rate:.1f}", refused, phase])
        if second >= ends[1] and rate >= 0.95 * CALLS_PER_SECOND and back is None:
            back = second + step - ends[1]
    report.table(["from", "calls/s taken", "429", "gateway used"], rows)
    for name, begin, end in zip(names, (0, *ends), ends, strict=False):
        # The first seconds of a phase are the change itself.
        settled = [arrival for arrival in arrivals if began + begin + step <= arrival.at < began + end]
        taken = sum(arrival.status != 429 for arrival in settled) / max(1, end - begin - step)
        left = CALLS_PER_SECOND - (INTRUDER_RATE if begin == ends[0] else 0)
        refused = len(settled) - sum(arrival.status != 429 for arrival in settled)
        report.line(
            f"{name}: {taken:.1f} calls/s taken, {taken / left:.2f} of the {left:.0f} left to us; {refused} refused"
        )
    report.line("back at 95 % of the pace " + (f"within {back} s" if back is not None else "not within this run"))
