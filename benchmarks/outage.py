"""What an outage of IO at full rate leaves in doubt: no more than the messages marked when it began.

The outage is short, since doubts can only arise while the breaker still lets messages leave, at its begin; what probes
do in ten minutes of it is a matter of their backoff.

    --mood 503|silent|cut   IO answers 503, or answers nothing, or resets its connections and refuses new ones
"""

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence

from benchmarks import ground

MESSAGES = 6_000
FULL_RATE_AFTER_SENT = 1_000
OUTAGE_SECONDS = 6
MUST, AIM = 300, 0
SEND_TIMEOUT_SECONDS = 3


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--mood", choices=["503", "silent", "cut"], default="503")

    options = ground.options(arguments, __doc__, add=add)
    seconds = 4 if options.quick else OUTAGE_SECONDS
    words = {"503": "answers 503", "silent": "answers nothing", "cut": "resets and refuses connections"}[options.mood]
    timeouts = {
        name: str(SEND_TIMEOUT_SECONDS) for name in ("IO_SEND_TIMEOUT", "IO_READ_TIMEOUT", "IO_CONNECT_TIMEOUT")
    }
    with ground.ground(variables=timeouts) as place:
        report = ground.Report("Outage", f"IO {words} for {seconds} s at full rate, {options.rounds} rounds")
        ground.instances()
        marked, doubts, back = [], [], []
        with ground.working(place):
            for _ in range(options.rounds):
                one = _round(place.io, mood=options.mood, seconds=seconds)
                marked.append(one[0])
                doubts.append(one[1])
                back.append(one[2])
        report.line(f"being sent when it began: {ground.spread(marked, '.0f')}")
        worst = max(doubts)
        judged = ground.verdict(worst, must=MUST, aim=AIM, is_ceiling=True)
        report.line(f"in doubt afterwards: {ground.spread(doubts, '.0f')}  {judged}")
        more = sum(doubt > mark for doubt, mark in zip(doubts, marked, strict=True))
        report.line(f"rounds with more doubts than were being sent: {more}")
        report.line(f"all others sent after IO was back: {ground.spread(back, '.1f')} s; none twice")
        report.conditions(send_timeout=f"{SEND_TIMEOUT_SECONDS} s")


def _round(io: ground.IO, *, mood: str, seconds: int) -> tuple[int, int, float]:
    """(being sent when it began, in doubt in the end, seconds until the rest was sent)"""
    from messaging.models import Message, ServiceInstance
    from messaging.states import Delivery
    from registry.models import Lane

    ground.empty()
    # Each round begins with an account that is well.
    Lane.objects.update(
        opened_at=None, probe_at=None, is_half_open=False, failures_in_row=0, send_failures_in_row=0, probes_failed=0
    )
    io.arrivals()
    before = io.counts()["send"]
    ground.fill(ServiceInstance.objects.get(), MESSAGES)
    ground.wait_until(
        lambda: io.counts()["send"] - before >= FULL_RATE_AFTER_SENT, seconds=60, every=0.02, what="the full rate"
    )
    sending = Message.objects.filter(delivery_state=Delivery.SENDING)
    counted = sending.count()
    io.ask("mood", **{"is": mood})
    # Whichever is more: the instant itself lies between the two.
    marked = max(counted, sending.count())
    time.sleep(seconds)
    io.ask("mood", **{"is": "well"})
    since = time.perf_counter()
    done = Message.objects.filter(delivery_state__in=[Delivery.SENT, Delivery.UNCERTAIN])
    ground.wait_until(lambda: done.count() == MESSAGES, seconds=90, every=0.2, what="sending the rest")
    took = Counter(arrival.number for arrival in io.arrivals() if arrival.call == "send" and arrival.status == 201)
    twice = [number for number, times in took.items() if times > 1]
    assert not twice, f"{len(twice)} messages were taken twice"
    return marked, Message.objects.filter(delivery_state=Delivery.UNCERTAIN).count(), time.perf_counter() - since
