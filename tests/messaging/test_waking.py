"""Wake-ups: a help that may be lost, late or doubled, and never in anybody's way."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.signals import worker_shutting_down
from django.db import transaction
from kombu.exceptions import OperationalError

from messaging import dispatching, polling, tasks, waking
from messaging.engine import stopping
from messaging.states import Delivery
from messaging.waking import nudge, nudge_on_commit
from tests import factories
from tests.messaging.lifecycle import AGO, fresh


class Broker:
    """The outside of a nudge: what was asked of it, and whether it is there."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.tried = 0
        self.is_away = False
        # A nudge of an earlier test may still be on its way, on a thread of its own.
        self._strangers = set(threading.enumerate())

    def send_task(self, name: str, **options: Any) -> None:
        if threading.current_thread() in self._strangers:
            return
        self.tried += 1
        if self.is_away:
            raise OperationalError("nobody there")
        self.asked.append((name, options))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(waking, "current_app", made)
    monkeypatch.setattr(waking, "_nudgers", {})
    monkeypatch.setattr(waking, "_LEAVE_ALONE_SECONDS", 0.01)
    return made


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.01)
    return False


class TestNudge:
    def test_asks_for_a_dispatch_that_does_not_outlive_its_use(self, broker: Broker) -> None:
        nudge()
        assert eventually(lambda: len(broker.asked) == 1)
        name, options = broker.asked[0]
        assert name == "messaging.dispatch"
        assert options["expires"] > 0
        assert options["ignore_result"] is True
        assert not {"countdown", "eta"} & options.keys()

    def test_a_burst_needs_few(self, broker: Broker) -> None:
        for _ in range(500):
            nudge()
        assert eventually(lambda: len(broker.asked) >= 1)
        time.sleep(0.05)
        assert len(broker.asked) <= 2

    def test_the_last_of_a_burst_is_not_lost(self, broker: Broker) -> None:
        nudge()
        assert eventually(lambda: len(broker.asked) == 1)
        nudge()
        assert eventually(lambda: len(broker.asked) == 2)

    def test_a_broker_that_is_away_disturbs_nobody(self, broker: Broker) -> None:
        broker.is_away = True
        nudge()
        assert eventually(lambda: broker.tried >= 1)
        broker.is_away = False
        nudge()
        assert eventually(lambda: len(broker.asked) >= 1)

    def test_a_broker_that_hangs_keeps_nobody_waiting(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        monkeypatch.setattr(broker, "send_task", lambda *args, **kwargs: released.wait(5))
        began = time.monotonic()
        for _ in range(3):
            nudge()
        assert time.monotonic() - began < 1
        released.set()

    @pytest.mark.django_db(transaction=True)
    def test_waits_for_the_commit(self, broker: Broker) -> None:
        with transaction.atomic():
            nudge_on_commit()
            time.sleep(0.05)
            assert broker.asked == []
        assert eventually(lambda: len(broker.asked) == 1)

    @pytest.mark.django_db(transaction=True)
    def test_what_was_rolled_back_wakes_nobody(self, broker: Broker) -> None:
        with transaction.atomic():
            nudge_on_commit()
            transaction.set_rollback(True)
        time.sleep(0.05)
        assert broker.asked == []


@pytest.mark.django_db
class TestTasks:
    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Which verbs ran."""
        ran: list[str] = []
        monkeypatch.setattr(dispatching, "dispatch", lambda: ran.append("dispatch"))
        monkeypatch.setattr(polling, "poll", lambda: ran.append("poll"))
        return ran

    def test_each_wakes_its_verb(self, served: list[str]) -> None:
        tasks.dispatch()
        tasks.poll()
        assert served == ["dispatch", "poll"]

    @pytest.mark.parametrize("name", ["dispatch", "poll"])
    def test_where_every_place_is_taken_it_leaves_at_once(
        self, name: str, served: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        places = threading.BoundedSemaphore(1)
        places.acquire()
        monkeypatch.setattr(tasks, f"_{name}_places", places)
        getattr(tasks, name)()
        assert served == []

    @pytest.mark.parametrize("name", ["dispatch", "poll"])
    def test_a_place_is_given_back_even_after_a_failure(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails() -> None:
            raise OSError

        places = threading.BoundedSemaphore(1)
        monkeypatch.setattr(tasks, f"_{name}_places", places)
        monkeypatch.setattr({"dispatch": dispatching, "poll": polling}[name], name, fails)
        for _ in range(2):
            with pytest.raises(OSError):
                getattr(tasks, name)()
        assert places.acquire(blocking=False)

    def test_sending_and_polling_together_never_fill_the_pool(self, settings: Any) -> None:
        def free(places: threading.BoundedSemaphore) -> int:
            taken = 0
            while places.acquire(blocking=False):
                taken += 1
            for _ in range(taken):
                places.release()
            return taken

        assert free(tasks._dispatch_places) <= settings.WORKER_THREADS // 2
        assert free(tasks._dispatch_places) + free(tasks._poll_places) < settings.WORKER_THREADS

    @pytest.mark.django_db
    def test_the_sweep_shows_doubts_and_ends_what_is_over(self) -> None:
        lost = factories.message_in(Delivery.SENDING, lease_until=datetime.now(UTC) - AGO)
        over = factories.message(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        tasks.sweep()
        assert fresh(lost).delivery_state == Delivery.UNCERTAIN
        assert fresh(over).delivery_state == Delivery.EXPIRED

    def test_asked_to_end_a_worker_begins_nothing_new(self) -> None:
        try:
            worker_shutting_down.send(sender="worker")
            assert stopping.is_set()
        finally:
            stopping.clear()
