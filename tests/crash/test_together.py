"""More workers and beats than needed, workers replaced under load, and an IO that misbehaves towards real processes."""

from messaging.states import Delivery
from registry.models import Lane
from tests.crash.scenarios import on_a_stage
from tests.crash.stage import Stage
from tests.crash.waiting import wait_for
from tests.support.io_stand_in import Canned


@on_a_stage()
def test_doubled_workers_and_doubled_beats_send_each_message_once(stage: Stage) -> None:
    for _ in range(3):
        stage.post(20)
    for run in ("beat", "beat", "worker", "worker"):
        stage.start(run)

    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()


@on_a_stage()
def test_workers_that_respect_no_lane_send_each_message_once(stage: Stage) -> None:
    """Lanes only avoid waste: what makes a message leave once is the mark."""
    stage.post(60)
    for _ in range(3):
        stage.start(has_lanes=False)

    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()


@on_a_stage()
def test_a_worker_asked_to_end_under_load_leaves_no_doubt(stage: Stage) -> None:
    """As a rolling restart does it: the next one comes while the old one finishes what is under way."""
    stage.io.answer("send", Canned(201, delay=0.3))
    stage.post(60, rate=100)
    stage.start("beat")
    old = stage.start("worker")
    stage.wait_until_sending(5)

    stage.start("worker")
    old.terminate()
    assert old.wait_for_end() == 0
    assert not stage.doubts()
    stage.wait_until_in({Delivery.PROCESSED})

    stage.assert_nothing_lost_or_doubled()


@on_a_stage()
def test_what_io_leaves_unanswered_is_in_doubt_and_never_sent_again(stage: Stage) -> None:
    messages = stage.post(12)
    answers = (Canned(fault="reset_after"), Canned(fault="never"), Canned(status=500))
    doubtful = dict(zip(messages[::4], answers, strict=True))
    for message, answer in doubtful.items():
        stage.io.answer("send", answer, fiscal_code=stage.taxcodes[message])
    stage.start("beat")
    stage.start("worker")

    stage.wait_until_ended()

    assert stage.doubts() == doubtful.keys()
    assert [stage.received(message) for message in doubtful] == [1, 1, 1]
    stage.assert_nothing_lost_or_doubled(doubts=doubtful)


@on_a_stage()
def test_following_goes_on_after_an_outage_that_left_nothing_to_send(stage: Stage) -> None:
    """The breaker is open, and no message is left that could find out that IO is back."""
    messages = stage.post(4)
    followed, *doubtful = messages
    stage.io.answer("status", Canned(status=500), fiscal_code=stage.taxcodes[followed])
    for message in doubtful:
        stage.io.answer("send", Canned(status=500), fiscal_code=stage.taxcodes[message])
    stage.start("beat")
    stage.start("worker")
    stage.wait_until_in({Delivery.UNCERTAIN}, doubtful)
    stage.wait_until_in({Delivery.SENT}, [followed])
    wait_for(lambda: Lane.objects.get().opened_at is not None, "the breaker opens")

    stage.io.answer("status", Canned(200), fiscal_code=stage.taxcodes[followed])
    stage.wait_until_ended()

    stage.assert_nothing_lost_or_doubled(doubts=doubtful)


@on_a_stage()
def test_io_going_away_leaves_in_doubt_only_what_it_had_not_answered(stage: Stage) -> None:
    stage.io.answer("send", Canned(201, delay=0.5))
    messages = stage.post(40, rate=60)
    stage.start("beat")
    stage.start("worker")
    wait_for(lambda: stage.io.count("send") >= 3, "IO is asked to take the first")

    stage.io.stop()
    received = {message for message in messages if stage.received(message)}
    wait_for(lambda: not stage.leaving(), "every request under way is known to have failed, or in doubt")
    doubts = stage.doubts()
    assert doubts
    assert doubts <= received
    assert stage.in_state(Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED)
    stage.io.start()
    stage.wait_until_ended()

    assert stage.doubts() == doubts
    stage.assert_nothing_lost_or_doubled(doubts=doubts)
