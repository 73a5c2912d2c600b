"""A worker killed with -9, at every point where it matters: nothing is lost, nothing is doubled, doubt is visible."""

from messaging.checkpoints import NAMES
from tests.crash.scenarios import on_a_stage
from tests.crash.stage import Stage

# Passed once: a slice serves all there is.
ONCE = {"lane_taken"}
# Here the process surely holds rows that it marked: a kill must leave doubts, or the test proves nothing.
WITH_MARKED_ROWS = {"marked", "before_request", "send_answered", "before_record"}


@on_a_stage(at=(*NAMES, "in_transaction"))
def test_a_fresh_worker_finishes_what_a_killed_one_left(stage: Stage, checkpoint: str) -> None:
    stage.post(20)
    victim = stage.start(at=checkpoint, passing=1 if checkpoint in ONCE else 2, do="kill")
    victim.wait_until_killed()
    stage.wait_until_disconnected(victim)
    leaving = stage.leaving()
    assert leaving or checkpoint not in WITH_MARKED_ROWS

    stage.start()
    stage.wait_until_ended()

    assert stage.doubts() == leaving
    stage.assert_nothing_lost_or_doubled(doubts=leaving)


@on_a_stage(at=("rows_chosen", "before_request", "before_record"))
def test_so_does_a_worker_of_celery(stage: Stage, checkpoint: str) -> None:
    stage.post(20)
    stage.start("beat")
    victim = stage.start("worker", at=checkpoint, passing=2, do="kill")
    victim.wait_until_killed()
    stage.wait_until_disconnected(victim)
    leaving = stage.leaving()

    stage.start("worker")
    stage.wait_until_ended()

    assert stage.doubts() == leaving
    stage.assert_nothing_lost_or_doubled(doubts=leaving)


@on_a_stage(at=("rows_chosen", "marked", "before_request", "before_record", "recorded"))
def test_a_fault_of_our_own_loses_and_doubles_nothing(stage: Stage, checkpoint: str) -> None:
    """The process lives on, and what the fault made it forget ends in doubt: at most what was under way."""
    stage.post(20)
    stage.start(at=checkpoint, passing=2, do="raise")

    stage.wait_until_ended()

    doubts = stage.doubts()
    assert len(doubts) <= 10
    stage.assert_nothing_lost_or_doubled(doubts=doubts)


@on_a_stage()
def test_worker_after_worker_dies_and_no_message_pays_twice(stage: Stage) -> None:
    """Each is killed in the middle of what the one before it left."""
    stage.post(60, rate=100)
    leaving: set[int] = set()
    for checkpoint in ("before_request", "recorded", "marked", "before_record"):
        victim = stage.start(at=checkpoint, passing=2, do="kill")
        victim.wait_until_killed()
        stage.wait_until_disconnected(victim)
        leaving |= stage.leaving()

    stage.start()
    stage.wait_until_ended()

    assert stage.doubts() == leaving
    stage.assert_nothing_lost_or_doubled(doubts=leaving)
