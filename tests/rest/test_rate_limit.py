"""The arithmetic of the limit: exact where each request is counted, nearly so where a process takes a tenth at a time."""

import threading

import pytest

from rest.counts import Counts, CountsAway, Window
from rest.rate_limit import MAX_TALLIES, RateLimit, Standing

NOW = 1_800_000_000.25
LIMIT = 50


class Kept(Counts):
    """Counters in memory that tell how often they were asked, and that can go away."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[tuple[str, int], int] = {}
        self.asked = 0
        self.is_there = True
        self._lock = threading.Lock()

    def add(self, name: str, window: Window, by: int) -> int:
        self.asked += 1
        if not self.is_there:
            raise CountsAway
        with self._lock:
            self.counts[name, window.ends_at] = self.counts.get((name, window.ends_at), 0) + by
            return self.counts[name, window.ends_at]

    def read(self, name: str, window: Window) -> int:
        return self.counts.get((name, window.ends_at), 0)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def counting_each(kept: Kept, limit: int = LIMIT) -> RateLimit:
    """As with Redis."""
    return RateLimit(kept, limit, held_unasked=0, block=1)


def in_tenths(kept: Kept, limit: int = LIMIT) -> RateLimit:
    """As in the database."""
    return RateLimit(kept, limit, held_unasked=limit // 10, block=max(1, limit // 10))


def admitted(limit: RateLimit, tries: int, *, now: float = NOW, name: str = "one") -> int:
    return sum(not limit.take(name, now=now).is_over for _ in range(tries))


@pytest.mark.parametrize("make", [counting_each, in_tenths])
@pytest.mark.parametrize("limit", [1, 3, 10, 19, 50, 101])
class TestOneProcess:
    def test_admits_exactly_the_limit(self, make: type, limit: int, kept: Kept) -> None:
        assert admitted(make(kept, limit), limit * 3) == limit

    def test_tells_what_is_left(self, make: type, limit: int, kept: Kept) -> None:
        counted = make(kept, limit)
        for left in reversed(range(limit)):
            assert counted.take("one", now=NOW) == Standing(limit, left, 1)
        assert counted.take("one", now=NOW) == Standing(limit, 0, 1, is_over=True)

    def test_begins_anew_with_the_second(self, make: type, limit: int, kept: Kept) -> None:
        counted = make(kept, limit)
        admitted(counted, limit * 2)
        assert admitted(counted, limit * 2, now=NOW + 0.8) == limit

    def test_keeps_callers_apart(self, make: type, limit: int, kept: Kept) -> None:
        counted = make(kept, limit)
        admitted(counted, limit * 2)
        assert admitted(counted, limit * 2, name="other") == limit

    def test_that_counts_alone_admits_as_much(self, make: type, limit: int, kept: Kept) -> None:
        kept.is_there = False
        assert admitted(make(kept, limit), limit * 3) == limit

    def test_that_is_over_asks_nobody_again(self, make: type, limit: int, kept: Kept) -> None:
        counted = make(kept, limit)
        admitted(counted, limit + 1)
        before = kept.asked
        admitted(counted, 20)
        assert kept.asked == before


class TestSeveralProcesses:
    def test_counting_each_admit_together_exactly_the_limit(self, kept: Kept) -> None:
        processes = [counting_each(kept) for _ in range(4)]
        assert sum(admitted(processes[turn % 4], 1) for turn in range(200)) == LIMIT

    def test_in_tenths_admit_at_most_a_tenth_more_for_each_other_process(self, kept: Kept) -> None:
        processes = [in_tenths(kept) for _ in range(4)]
        assert LIMIT <= sum(admitted(processes[turn % 4], 1) for turn in range(400)) <= LIMIT + 3 * 5

    def test_tell_what_is_left_for_all_of_them(self, kept: Kept) -> None:
        one, other = counting_each(kept), counting_each(kept)
        admitted(one, 30)
        assert other.take("one", now=NOW).remaining == LIMIT - 31


class TestInTenths:
    def test_a_slow_caller_costs_nothing(self, kept: Kept) -> None:
        assert admitted(in_tenths(kept), 5) == 5
        assert kept.asked == 0

    def test_a_fast_one_costs_a_statement_in_five_requests(self, kept: Kept) -> None:
        admitted(in_tenths(kept), 50)
        assert kept.asked == 9

    def test_what_was_admitted_unasked_is_told_afterwards(self, kept: Kept) -> None:
        admitted(in_tenths(kept), 6)
        assert list(kept.counts.values()) == [10]


def test_what_could_not_be_told_is_told_when_the_counter_is_back(kept: Kept) -> None:
    counted = counting_each(kept)
    kept.is_there = False
    admitted(counted, 10)
    kept.is_there = True
    admitted(counted, 1)
    assert list(kept.counts.values()) == [11]


@pytest.mark.parametrize("make", [counting_each, in_tenths])
def test_many_threads_admit_exactly_the_limit(make: type, kept: Kept) -> None:
    counted = make(kept)
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(admitted(counted, 50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(numbers) == LIMIT


def test_callers_of_another_time_are_forgotten(kept: Kept) -> None:
    counted = in_tenths(kept)
    for number in range(MAX_TALLIES + 5):
        counted.take(f"caller {number}", now=NOW + number % 2)
    assert len(counted._tallies) <= MAX_TALLIES
