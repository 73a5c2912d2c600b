"""A worker stopped (SIGSTOP) past every lease while another carries on, then continued: it wakes up harmless."""

import time
from datetime import UTC, datetime

from messaging import settling
from messaging.checkpoints import NAMES
from messaging.models import EventKind
from messaging.states import Delivery
from tests import factories
from tests.crash.processes import Process
from tests.crash.scenarios import on_a_stage
from tests.crash.stage import LEASE_SECONDS, Stage
from tests.crash.waiting import wait_for

# Passed once: a slice serves all there is.
ONCE = {"lane_taken"}
# The message is marked, and its request has not left.
BEFORE_LEAVING = ("marked", "before_request")
# IO took the message, and the database does not know.
AFTER_ARRIVING = ("send_answered", "before_record")


def sleep_through_the_lease(stage: Stage, sleeper: Process, *, other: str = "loop") -> set[int]:
    """Wait for the stop, let another worker do the rest; the messages that the sleeper took to bed."""
    sleeper.wait_until_stopped()
    since = time.monotonic()
    leaving = stage.leaving()
    stage.start(other)
    stage.wait_until_in({Delivery.PROCESSED}, stage.taxcodes.keys() - leaving)
    # The doubt is visible, and no larger than it must be.
    stage.wait_until_in({Delivery.UNCERTAIN}, leaving)
    wait_for(lambda: time.monotonic() - since > LEASE_SECONDS, "a lease ends, also where nothing was marked")
    return leaving


def wake_up_and_finish(stage: Stage, sleeper: Process) -> None:
    """It goes on, among others, with new work; then it ends in order, which records all that it had under way."""
    sleeper.resume()
    stage.wait_until_in({Delivery.PROCESSED}, stage.post(5))
    sleeper.terminate()
    assert sleeper.wait_for_end() == 0


@on_a_stage(at=(*NAMES, "in_transaction"))
def test_a_stopped_worker_wakes_up_harmless(stage: Stage, checkpoint: str) -> None:
    stage.post(20)
    sleeper = stage.start(at=checkpoint, passing=1 if checkpoint in ONCE else 2, do="stop")
    sleep_through_the_lease(stage, sleeper)

    wake_up_and_finish(stage, sleeper)
    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()


@on_a_stage(at=("before_mark", "before_request", "before_record"))
def test_so_does_a_worker_of_celery(stage: Stage, checkpoint: str) -> None:
    stage.post(20)
    stage.start("beat")
    sleeper = stage.start("worker", at=checkpoint, passing=2, do="stop")
    sleep_through_the_lease(stage, sleeper, other="worker")

    wake_up_and_finish(stage, sleeper)
    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()


@on_a_stage(at=BEFORE_LEAVING)
def test_a_request_that_overslept_never_leaves_and_its_message_goes_again_without_anybody(
    stage: Stage, checkpoint: str
) -> None:
    (message,) = stage.post(1)
    sleeper = stage.start(at=checkpoint, do="stop")
    assert sleep_through_the_lease(stage, sleeper) == {message}
    assert stage.received(message) == 0

    sleeper.resume()
    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()
    late = stage.message(message).events.get(kind=EventKind.LATE_ANSWER)
    assert late.data["answer"] == EventKind.RELEASED


@on_a_stage(at=AFTER_ARRIVING)
def test_an_answer_that_overslept_settles_the_doubt(stage: Stage, checkpoint: str) -> None:
    (message,) = stage.post(1)
    sleeper = stage.start(at=checkpoint, do="stop")
    assert sleep_through_the_lease(stage, sleeper) == {message}
    assert stage.received(message) == 1

    sleeper.resume()
    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()
    late = stage.message(message).events.get(kind=EventKind.LATE_ANSWER)
    assert late.data == {"answer": EventKind.SENT, "io_id": stage.message(message).appio_message_id}


@on_a_stage(at=BEFORE_LEAVING)
def test_a_message_that_a_person_sent_again_meanwhile_leaves_once(stage: Stage, checkpoint: str) -> None:
    messages = stage.post(5)
    stage.start("beat")
    sleeper = stage.start("worker", at=checkpoint, do="stop")
    leaving = sleep_through_the_lease(stage, sleeper, other="worker")
    assert leaving
    for message in leaving:
        settling.settle_resend(
            stage.message(message), by=factories.user(), at=datetime.now(UTC), reason="Il cittadino non lo vede."
        )
    stage.wait_until_in({Delivery.PROCESSED}, leaving)
    assert [stage.received(message) for message in messages] == [1] * 5

    wake_up_and_finish(stage, sleeper)

    stage.assert_nothing_lost_or_doubled()


@on_a_stage()
def test_a_pause_longer_than_the_allowance_and_shorter_than_the_lease_leaves_no_doubt(stage: Stage) -> None:
    messages = stage.post(10)
    stage.start(at="before_request", do="sleep:1.5")

    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()
    assert any(EventKind.RELEASED in stage.events(message) for message in messages)
