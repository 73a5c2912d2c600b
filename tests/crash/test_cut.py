"""The database or Redis goes away in the middle: what IO answered is kept in memory, and nothing is lost or doubled."""

from functools import partial
from urllib.parse import urlsplit, urlunsplit

import redis

from messaging.checkpoints import NAMES
from messaging.states import Delivery
from tests.crash.relay import Relay
from tests.crash.scenarios import on_a_stage
from tests.crash.stage import Stage
from tests.crash.waiting import wait_for
from tests.support.io_stand_in import Canned

# Passed once: a slice serves all there is.
ONCE = {"lane_taken"}


@on_a_stage(at=(*NAMES, "in_transaction"))
def test_a_cut_connection_to_the_database_leaves_no_doubt(stage: Stage, checkpoint: str) -> None:
    stage.post(20)
    stage.start(at=checkpoint, passing=1 if checkpoint in ONCE else 2, do="cut")

    stage.wait_until_ended()

    stage.assert_nothing_lost_or_doubled()


def fewer_wait(stage: Stage, *, than: int) -> bool:
    return len(stage.in_state(Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED)) < than


@on_a_stage()
def test_connections_cut_again_and_again_leave_no_doubt(stage: Stage) -> None:
    stage.post(40, rate=40)
    stage.start("beat")
    worker = stage.start("worker")
    wait_for(stage.leaving, "the first leave")

    cuts = 0
    while waiting := len(stage.in_state(Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED)):
        cuts += stage.cut_connections(worker)
        wait_for(partial(fewer_wait, stage, than=waiting), "it goes on after a cut")
    stage.wait_until_ended()

    assert cuts > 3
    stage.assert_nothing_lost_or_doubled()


@on_a_stage()
def test_redis_emptied_and_restarted_leaves_no_doubt(stage: Stage) -> None:
    """Wake-ups and tokens are lost; what there is to do is in the database."""
    server = urlsplit(stage.redis_url)
    relay = Relay(server.hostname or "127.0.0.1", server.port or 6379)
    through = urlunsplit(
        server._replace(netloc=f"{server.netloc.rpartition('@')[0]}@127.0.0.1:{relay.port}".removeprefix("@"))
    )
    stage.io.answer("send", Canned(201, delay=0.3))
    stage.post(40, rate=40)
    for run in ("beat", "worker"):
        stage.start(run, redis_url=through)
    stage.wait_until_sending(1)

    with redis.Redis.from_url(stage.redis_url) as client:
        client.flushdb()
    stage.wait_until_sending(1)
    relay.cut()
    with redis.Redis.from_url(stage.redis_url) as client:
        client.flushdb()
    wait_for(lambda: not stage.leaving(), "what was under way is recorded without Redis")
    waiting = stage.in_state(Delivery.SCHEDULED, Delivery.RECIPIENT_ALLOWED)
    assert waiting
    relay.restore()
    stage.wait_until_ended()
    relay.cut()

    stage.assert_nothing_lost_or_doubled()
