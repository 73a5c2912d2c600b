"""`python -m tests.crash.chaos`: the long crash test, on servers of its own. `make bench-crash` runs it.

    ROUNDS=1         how many rounds
    MESSAGES=10000   how many messages leave in each
    SEED=...         of the first round, the next ones count on from it; unset, one is drawn, and printed
    DECK=kill,sleep  only these disturbances (see `plan.LASTING`); unset, all of them
    PLAN=1           print what each round is going to do
    KEEP=folder      where the logs of broken rounds go; unset, a folder of the system's temporary files

Status 1 where a round broke a promise.
"""

import os
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.small_disk import SmallDiskPostgreSQL, can_be_real
from tests.support import environment, services

if TYPE_CHECKING:
    from tests.crash.chaos.rounds import Report

MESSAGES = 10_000


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


@contextmanager
def servers() -> Iterator[tuple[services.PostgreSQL, services.Redis]]:
    database = SmallDiskPostgreSQL() if can_be_real() else services.PostgreSQL()
    redis = services.Redis()
    try:
        database.start()
        redis.start()
        yield database, redis
    finally:
        redis.stop()
        database.stop()


def main() -> int:
    rounds, messages = int(os.environ.get("ROUNDS") or 1), int(os.environ.get("MESSAGES") or MESSAGES)
    seed = int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    with servers() as (database, redis), tempfile.TemporaryDirectory(prefix="govio-chaos-") as folder:
        environment.enter(os.environ, data_dir=Path(folder), database_url=database.url, redis_url=redis.url)
        import django

        django.setup()
        say(f"{rounds} rounds of {messages} messages, SEED={seed}; {platform.platform()}, {os.cpu_count()} cores")
        if not isinstance(database, SmallDiskPostgreSQL):
            say("no small disk can be had on this machine: a full one is played, by errors that the tables give")
        since = time.monotonic()
        reports = list(played(database, redis, Path(folder), range(seed, seed + rounds), messages=messages))
    summarise(reports, time.monotonic() - since)
    return 0 if all(report.is_good for report in reports) else 1


def played(
    database: services.PostgreSQL, redis: services.Redis, folder: Path, seeds: range, *, messages: int
) -> Iterator["Report"]:
    from tests.crash.chaos.plan import EVERYTHING, plan
    from tests.crash.chaos.rounds import Round
    from tests.crash.stage import Theatre

    deck = os.environ["DECK"].split(",") if os.environ.get("DECK") else EVERYTHING
    server = database if isinstance(database, SmallDiskPostgreSQL) else None
    with Theatre(database_url=database.url, redis_url=redis.url, folder=folder, server=server) as theatre:
        for seed in seeds:
            with theatre.stage() as stage:
                game = Round(stage, redis, seed=seed, messages=messages, deck=deck)
                if os.environ.get("PLAN"):
                    for step in plan(seed, deck=game.deck, outage_seconds=game.outage_seconds):
                        say(f"    {step}")
                report = game.play()
                say(report.line())
                if not report.is_good:
                    for complaint in report.complaints():
                        say(f"    {complaint}")
                    say(f"    logs: {kept(stage.folder, seed)}")
            yield report


def kept(logs: Path, seed: int) -> Path:
    folder = Path(os.environ.get("KEEP") or tempfile.mkdtemp(prefix="govio-chaos-broken-")) / str(seed)
    shutil.copytree(logs, folder, dirs_exist_ok=True)
    return folder


def summarise(reports: list["Report"], seconds: float) -> None:
    done: Counter[str] = sum((report.done for report in reports), Counter())
    say(f"\n{len(reports)} rounds, {sum(report.messages for report in reports)} messages, {seconds:.0f} s")
    for kind, count in sorted(done.items()):
        say(f"  {kind:<28} {count:6}")
    for words, count in (
        ("lost", sum(report.count("lost") for report in reports)),
        ("doubled", sum(report.count("doubled") for report in reports)),
        ("lying", sum(report.count("lying") for report in reports)),
        ("in doubt", sum(report.verdict.doubts for report in reports)),
        ("of these IO gave no answer to", sum(report.verdict.withheld for report in reports)),
        ("might be in doubt", sum(report.excused for report in reports)),
        ("rounds that broke a promise", sum(not report.is_good for report in reports)),
    ):
        say(f"  {words:<28} {count:6}")


if __name__ == "__main__":
    sys.exit(main())
