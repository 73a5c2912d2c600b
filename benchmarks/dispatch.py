"""How fast messages leave: profile and send, every check and durability on, one process, no rate limit to speak of.

The limit it is compared to is the client alone, making the same two calls for each message at the same concurrency,
against the same stand-in, in the same run.

    --profile   also where the time goes: statements, processes, threads, functions of the two threads
    --workers   instead: 1, 2 and 3 real worker processes over six accounts, until the cores are full
"""

import asyncio
import cProfile
import os
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from benchmarks import ground, profiling
from benchmarks.stand_in import ANSWERED_AFTER

MESSAGES = 6_000
CONCURRENCY = 100
LONGEST_ROUND_SECONDS = 60
MUST, AIM = 0.60, 0.75
# GovIO sends a chunk of ten at a time, profile and submission of a chunk in turn, and writes to its database after
# each: 10 / (Tp + Tm + 2d) messages a second, d being 20 ms at best.
GOVIO_CHUNK = 10
GOVIO_DATABASE_SECONDS = 0.02
ACCOUNTS_OF_WORKERS = 6
# Of several workers a round is longer: the second or so in which they share the accounts out belongs to it.
TIMES_AS_MANY_OF_WORKERS = 4


def main(arguments: Sequence[str]) -> None:
    def add(parser: ArgumentParser) -> None:
        parser.add_argument("--profile", action="store_true", help="print where the time goes")
        parser.add_argument("--workers", action="store_true", help="several real worker processes instead of one")
        parser.add_argument("--messages", type=int, default=0, help=f"in a round, instead of {MESSAGES}")

    options = ground.options(arguments, __doc__, add=add)
    messages = options.messages or (1_000 if options.quick else MESSAGES)
    with ground.ground() as place:
        if options.workers:
            _workers(place, messages=messages * TIMES_AS_MANY_OF_WORKERS, rounds=options.rounds)
            return
        report = ground.Report("Dispatch", f"{messages} messages a round, {options.rounds} rounds, IO answers in 20 ms")
        raw = asyncio.run(ground.raw_calls(place.io.url, connections=4 * CONCURRENCY))
        report.line(f"the stand-in alone, asked by a raw client: {raw:,.0f} calls/s")
        ground.instances()
        # The first use of everything (connections, imports, scripts of Redis) belongs to no round.
        _bare_client(place.io.url, messages=200)
        _product(place.io, messages=200)
        bare, ours = [], []
        for _ in range(options.rounds):
            bare.append(_bare_client(place.io.url, messages=messages))
            ours.append(_product(place.io, messages=messages))
        ratios = [product / limit for product, limit in zip(ours, bare, strict=True)]
        govio = govio_ceiling(ANSWERED_AFTER)
        report.line(
            f"client alone, two calls a message, {CONCURRENCY} at a time: {ground.spread(bare, ',.0f')} messages/s"
        )
        report.line(f"product, one worker process: {ground.spread(ours, ',.0f')} messages/s")
        judged = ground.verdict(statistics.median(ratios), must=MUST, aim=AIM)
        report.line(f"ratio: {ground.spread(ratios)}  {judged}")
        times = statistics.median(ours) / govio
        report.line(
            f"GovIO at this latency, by its formula: at most {govio:,.0f} messages/s (ours is {times:.1f} times that)"
        )
        report.conditions()
        if options.profile:
            _profile(place.io, report, messages=messages)


def govio_ceiling(call_seconds: float) -> float:
    return GOVIO_CHUNK / (2 * call_seconds + 2 * GOVIO_DATABASE_SECONDS)


def _bare_client(url: str, *, messages: int) -> float:
    """Messages per second of the client alone."""
    from io_client.client import IOClient
    from io_client.payloads import NewMessage

    letter = NewMessage(fiscal_code="RSSMRA80A01H501U", subject="Scadenza CIE n. CA000000AA", markdown="x" * 120)

    async def run() -> float:
        client = IOClient(url, connections=CONCURRENCY)
        left = iter(range(messages))

        async def one() -> None:
            for _ in left:
                await client.profile(letter.fiscal_code, key="key")
                await client.send(letter, key="key", may_leave=lambda: True)

        since = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(CONCURRENCY)))
        elapsed = time.perf_counter() - since
        await client.close()
        return messages / elapsed

    return asyncio.run(run())


def _product(io: ground.IO, *, messages: int) -> float:
    """Messages per second from due rows to recorded outcomes."""
    before = io.counts()
    _fill(messages)
    elapsed = _dispatch_all()
    _check(io, before, messages=messages)
    return messages / elapsed


def _fill(messages: int) -> None:
    from messaging.models import ServiceInstance

    ground.empty()
    ground.fill(ServiceInstance.objects.get(), messages)


def _dispatch_all() -> float:
    from messaging.dispatching import dispatch
    from messaging.models import Message
    from messaging.states import WAITING, Delivery

    since = time.perf_counter()
    while Message.objects.filter(delivery_state__in=[*WAITING, Delivery.SENDING]).exists():
        if time.perf_counter() - since > LONGEST_ROUND_SECONDS:
            raise TimeoutError("some messages did not leave")
        dispatch()
    return time.perf_counter() - since


def _check(io: ground.IO, before: dict[str, int], *, messages: int) -> None:
    from messaging.models import Message
    from messaging.states import Delivery

    sent = Message.objects.filter(delivery_state=Delivery.SENT).count()
    assert sent == messages, f"{sent} of {messages} were sent"
    after = io.counts()
    for call in ("profile", "send"):
        assert after[call] - before[call] == messages, f"{after[call] - before[call]} calls {call} for {messages}"


def _profile(io: ground.IO, report: ground.Report, *, messages: int) -> None:
    """Each kind of measurement in a round of its own, so that none shows in another."""
    from messaging.engine import engine

    _fill(messages)
    statements = profiling.Statements()
    with statements.counted(), profiling.processor_time(report, messages=messages):
        elapsed = _dispatch_all()
    report.line(f"that round: {messages / elapsed:,.0f} messages/s")
    profiling.print_statements(report, statements, messages=messages, elapsed=elapsed)

    async def begin(profile: cProfile.Profile) -> None:
        profile.enable()

    async def end(profile: cProfile.Profile) -> None:
        profile.disable()

    _fill(messages)
    profile = cProfile.Profile()
    engine().ask(begin(profile))
    elapsed = _dispatch_all()
    engine().ask(end(profile))
    print(f"\nThe loop's thread, {messages / elapsed:,.0f} messages/s while profiled\n{profiling.functions(profile)}")
    _fill(messages)
    profile = cProfile.Profile()
    profile.enable()
    elapsed = _dispatch_all()
    profile.disable()
    print(
        f"\nThe dispatching thread, {messages / elapsed:,.0f} messages/s while profiled\n{profiling.functions(profile)}"
    )
    print(f"\nThe same with what it calls\n{profiling.functions(profile, by='cumtime', count=40)}")


def _workers(place: ground.Ground, *, messages: int, rounds: int) -> None:
    report = ground.Report(
        "Dispatch by several workers",
        f"{messages} messages a round over {ACCOUNTS_OF_WORKERS} accounts, {rounds} rounds, IO answers in 20 ms",
    )
    ways = ground.instances(accounts=ACCOUNTS_OF_WORKERS)
    rows = []
    alone = 0.0
    for count in (1, 2, 3):
        with ground.product("beat", *["worker"] * count, folder=place.folder):
            # Until every process is up: each of them takes part in sending some.
            ground.send_all(place.io, ways, 50, seconds=60)
            time.sleep(3)
            cpu, rates, since = ground.seconds_of_cpu(), [], time.perf_counter()
            for _ in range(rounds):
                elapsed = ground.send_all(place.io, ways, messages // len(ways), seconds=60)
                rates.append(messages // len(ways) * len(ways) / elapsed)
            after, whole = ground.seconds_of_cpu(), time.perf_counter() - since
        alone = alone or statistics.median(rates)
        cores = {name: (after[name] - cpu.get(name, 0.0)) / whole for name in after}
        busy = ", ".join(
            f"{name} {share:.2f}" for name, share in sorted(cores.items(), key=lambda c: -c[1]) if share > 0.02
        )
        rows.append([count, ground.spread(rates, ",.0f"), f"{statistics.median(rates) / alone:.2f}", busy])
    report.table(["workers", "messages/s", "times one", "cores busy, filling included"], rows)
    report.line(f"cores: {os.cpu_count()}")
    report.conditions()
