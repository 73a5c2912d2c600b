"""The process's one loop and connection pool: it outlives tasks, counts its calls, and is replaced when it dies."""

import threading
import time
from typing import Any

import pytest

from io_client.outcomes import Profile
from messaging import engine as module
from messaging.engine import Engine, EngineDead, engine
from tests.support.io_stand_in import Canned, StandIn

CODE = "RSSMRA80A01H501U"


def test_is_one_for_all_tasks_of_the_process(io: StandIn) -> None:
    assert engine() is engine()


def test_is_another_for_another_io(io: StandIn, settings: Any) -> None:
    first = engine()
    settings.IO_API_BASE_URL = "http://127.0.0.1:9/api/v1"
    assert engine() is not first


def test_calls_and_hands_over_the_answer(io: StandIn) -> None:
    answers: list[Any] = []
    arrived = threading.Event()

    def then(answer: Any) -> None:
        answers.append(answer)
        arrived.set()

    engine().start(engine().client.profile(CODE, key="key"), then=then)
    assert arrived.wait(5)
    assert answers == [Profile(True, ("it_IT",))]


def test_hands_over_a_fault_of_ours_instead_of_swallowing_it(io: StandIn) -> None:
    answers: list[Any] = []
    arrived = threading.Event()

    async def fails() -> None:
        raise ZeroDivisionError

    def then(answer: Any) -> None:
        answers.append(answer)
        arrived.set()

    engine().start(fails(), then=then)
    assert arrived.wait(5)
    assert isinstance(answers[0], ZeroDivisionError)


def test_waits_for_one_call_where_a_person_is_waiting(io: StandIn) -> None:
    assert engine().ask(engine().client.profile(CODE, key="key")) == Profile(True, ("it_IT",))


def test_a_person_waits_no_longer_than_was_said_and_the_call_ends(io: StandIn) -> None:
    io.answer("profile", Canned(delay=30))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        engine().ask(engine().client.profile(CODE, key="key"), within=0.2)
    assert time.monotonic() - begun < 2


def test_a_person_waits_no_longer_even_for_a_loop_that_stands_still(io: StandIn) -> None:
    go_on = threading.Event()
    motor = engine()
    motor._loop.call_soon_threadsafe(go_on.wait, 10)
    with pytest.raises(TimeoutError):
        motor.ask(motor.client.profile(CODE, key="key"), within=0.1)
    go_on.set()


def test_knows_how_many_calls_may_begin_without_waiting(io: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 2)
    io.answer("profile", Canned(delay=0.2))
    motor = engine()
    done = threading.Semaphore(0)
    assert motor.free() == 2
    for left in (1, 0):
        motor.start(motor.client.profile(CODE, key="key"), then=lambda answer: done.release())
        assert motor.free() == left
    for _ in range(2):
        assert done.acquire(timeout=5)
    assert motor.free() == 2


def test_one_whose_loop_has_ended_calls_nobody_and_is_replaced(io: StandIn) -> None:
    dead: Engine = engine()
    dead._loop.call_soon_threadsafe(dead._loop.stop)
    for _ in range(200):
        if not dead.is_alive:
            break
        time.sleep(0.01)
    with pytest.raises(EngineDead):
        dead.start(dead.client.profile(CODE, key="key"), then=lambda answer: None)
    assert dead.free() == 0
    assert engine() is not dead
    dead._loop.close()
