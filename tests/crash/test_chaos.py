"""The long crash test in small: the same rounds, with fewer messages and fewer blows, from seeds that do not change.

`make bench-crash` plays it with 10,000 messages and everything at once (docs/crash-tests.md).
"""

from collections.abc import Sequence

from tests.crash.chaos.rounds import Report, Round
from tests.crash.scenarios import on_a_stage
from tests.crash.stage import Stage
from tests.support import services


def play(stage: Stage, *, seed: int, deck: Sequence[str], beats: int = 1) -> Report:
    """A round with a Redis of its own; asserts that it kept every promise."""
    redis = services.Redis()
    with redis.running():
        report = Round(stage, redis, seed=seed, messages=300, deck=deck, outage_seconds=6, beats=beats).play()
    assert report.is_good, "\n".join([report.line(), *report.complaints()])
    assert report.messages == 300
    assert report.done.keys() == set(deck)
    return report


@on_a_stage()
def test_processes_killed_stopped_and_out_of_time_lose_and_double_nothing(stage: Stage) -> None:
    report = play(stage, seed=5, deck=("kill", "kill_all", "sleep", "clock"), beats=2)

    assert report.excused


@on_a_stage(on_small_disk=True)
def test_connections_cut_redis_emptied_and_a_full_disk_leave_no_doubt(stage: Stage) -> None:
    report = play(stage, seed=4, deck=("cut_database", "cut_redis", "empty_redis", "fill_disk"))

    assert report.verdict.doubts == 0


@on_a_stage()
def test_an_io_that_takes_and_does_not_answer_leaves_in_doubt_only_what_it_had(stage: Stage) -> None:
    deck = ("io_late", "io_silent", "io_resets", "io_refuses_after_accepting", "io_away")
    report = play(stage, seed=7, deck=deck)

    assert report.verdict.withheld


@on_a_stage()
def test_workers_replaced_one_after_the_other_under_load_leave_no_doubt(stage: Stage) -> None:
    report = play(stage, seed=1, deck=("roll",))

    assert report.verdict.ever_in_doubt == 0
