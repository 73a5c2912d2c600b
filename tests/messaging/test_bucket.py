"""The rule: in no window of IO's are there more tokens than it grants, and of what it grants nearly all is used.

A clock of the test's own, so that minutes take no time. The same histories are played to the arithmetic in Python and
to the script in Redis, which have to agree token by token.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messaging import pacing_database, pacing_redis
from messaging.bucket import COUNTED_MS, LATE_AFTER_SECONDS, WINDOW_SECONDS, Bucket, Demand, Use, depth, limit
from messaging.pacing_redis import SINCE, SLOT_MS, RedisPacer
from messaging.tokens import Spare

RATES = st.sampled_from([0.1, 0.7, 1.0, 3.0, 10.0, 21.3, 30.0, 200.0])
BEGIN = 1_800_000_000_000
LONG_AGO = 3_600_000

# One thing that happens in a history: its name, and how much of it.
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 300)),
    st.tuples(st.just("wait"), st.integers(300, 7_000)),
    st.tuples(st.sampled_from([*Use]), st.integers(1, 400)),
    st.tuples(st.sampled_from([*Use]), st.just(100_000)),
    st.tuples(st.just("give back"), st.integers(1, 30)),
    st.tuples(st.just("leave late"), st.integers(1, 30)),
)
LOSSES = st.tuples(st.sampled_from(["emptied", "restarted"]), st.just(0))


class InPython:
    def __init__(self, slot_ms: int = SLOT_MS) -> None:
        self.now = BEGIN
        self.bucket = Bucket(slot_ms)

    def take(self, demand: Demand) -> int:
        return self.bucket.take(demand, now=self.now)

    def give_back(self, count: int, *, age_ms: int) -> None:
        self.bucket.give_back(count, now=self.now, age_ms=age_ms)

    def fill(self, rate: float) -> None:
        self.bucket.tokens = depth(rate)


class InRedis:
    """The real script in a real Redis, which is told the time."""

    ACCOUNT = 7

    def __init__(self, client: "redis.Redis", *, known_for_long: bool) -> None:
        self.client = client
        self.now = BEGIN
        self.client.flushdb()
        self.pace = RedisPacer(client)
        if known_for_long:
            self.client.hset(SINCE, mapping={"run": self.run_id(), "since": 0})

    def run_id(self) -> Any:
        return self.client.info("server")["run_id"]

    def tell_the_time(self) -> None:
        self.client.delete("clock")
        self.client.rpush("clock", self.now // 1000, self.now % 1000 * 1000)

    def take(self, demand: Demand) -> int:
        self.tell_the_time()
        return self.pace._take({self.ACCOUNT: demand})[self.ACCOUNT]

    def give_back(self, count: int, *, age_ms: int) -> None:
        self.tell_the_time()
        self.pace._give_back({self.ACCOUNT: Spare(count, age_ms)})

    def fill(self, rate: float) -> None:
        self.client.hset(pacing_redis.name(self.ACCOUNT), "tokens", str(depth(rate)))

    def emptied(self) -> None:
        self.client.flushdb()

    def restarted(self) -> None:
        """With everything that it knew some time ago."""
        self.client.hset(SINCE, "run", "another")


class History:
    """What was really granted, and when, whatever the bucket believes."""

    def __init__(self) -> None:
        self.grants: list[list[int]] = []

    def add(self, at: int, count: int) -> None:
        if count:
            self.grants.append([at, count])

    def drop_newest(self, count: int) -> int:
        left = count
        while left and self.grants:
            fewer = min(left, self.grants[-1][1])
            self.grants[-1][1] -= fewer
            left -= fewer
            if not self.grants[-1][1]:
                self.grants.pop()
        return count - left

    def most_in_a_window(self) -> int:
        most, inside, held = 0, deque[list[int]](), 0
        for at, count in self.grants:
            inside.append([at, count])
            held += count
            while inside[0][0] <= at - COUNTED_MS:
                held -= inside.popleft()[1]
            most = max(most, held)
        return most


def play(bucket: Any, steps: list[tuple[Any, int]], *, rate: float) -> tuple[list[int], History]:
    """The tokens given, take by take, and what is true of them."""
    history, answers, in_hand, taken_at = History(), [], 0, bucket.now
    for what, much in steps:
        if what == "wait":
            bucket.now += much
        elif what == "give back":
            count = min(much, in_hand)
            in_hand = 0
            bucket.give_back(count, age_ms=bucket.now - taken_at)
            history.drop_newest(count)
        elif what == "leave late":
            late = min(much, in_hand)
            in_hand = 0
            told = Demand(0, rate, Use.SENDING_WHILE_POLLS_WAIT, late=late, late_age_ms=bucket.now - taken_at)
            answers.append(bucket.take(told))
            if bucket.now - taken_at < COUNTED_MS:
                # Older ones may be too many already when they leave: see the callers below.
                history.add(bucket.now, history.drop_newest(late))
        elif isinstance(what, Use):
            in_hand, taken_at = bucket.take(Demand(much, rate, what)), bucket.now
            answers.append(in_hand)
            history.add(bucket.now, in_hand)
        else:
            in_hand = 0
            getattr(bucket, what)()
    return answers, history


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis"]:
    monkeypatch.setattr(pacing_redis, "CLOCK", "redis.call('LRANGE', 'clock', 0, 1)")
    with redis.Redis.from_url(redis_url) as made:
        yield made


class TestInPython:
    @given(rate=RATES, steps=st.lists(STEPS, max_size=80))
    @settings(max_examples=300, deadline=None)
    def test_no_history_puts_more_into_a_window_than_io_grants(self, rate: float, steps: list[tuple[Any, int]]) -> None:
        _, history = play(InPython(), steps, rate=rate)
        assert history.most_in_a_window() <= limit(rate) <= rate * WINDOW_SECONDS + 1

    def test_an_idle_account_bursts_once_and_then_the_window_holds_back(self) -> None:
        bucket = long_idle(30)
        given = [(bucket.now, bucket.take(all_of(30))) for bucket.now in range(bucket.now, bucket.now + 12_000, 50)]
        assert given[0][1] == depth(30) == 15
        history = History()
        for at, count in given:
            history.add(at, count)
        assert history.most_in_a_window() == 150
        # The burst is paid back before the window moves past it.
        assert max(after - before for before, after in pairwise(at for at, count in given if count)) >= 400

    def test_a_clock_set_back_a_little_is_waited_for(self) -> None:
        bucket = long_idle(30)
        assert bucket.take(all_of(30)) == 15
        bucket.now -= 900
        assert bucket.take(all_of(30)) == 0
        bucket.now += 1000
        assert bucket.take(all_of(30)) == 2

    def test_a_clock_set_back_by_hours_stops_it_for_one_window(self) -> None:
        bucket = long_idle(30)
        assert bucket.take(all_of(30)) == 15
        bucket.now -= LONG_AGO
        began = bucket.now
        while not bucket.take(all_of(30)):
            bucket.now += 50
        assert WINDOW_SECONDS * 1000 <= bucket.now - began <= WINDOW_SECONDS * 1000 + 100

    def test_a_window_is_remembered_in_few_entries(self) -> None:
        bucket = long_idle(10_000)
        for _ in range(6_000):
            bucket.now += 1
            bucket.take(Demand(5, 10_000, Use.SENDING))
        assert len(bucket.bucket.grants) <= COUNTED_MS / SLOT_MS + 1

    def test_what_was_laid_aside_has_its_place_in_the_window(self) -> None:
        """Or the polls would wait for the window where sending has filled it."""
        bucket = long_idle(30)
        sent = 0
        for _ in range(100):
            sent += bucket.take(Demand(1000, 30, Use.SENDING_WHILE_POLLS_WAIT))
            bucket.now += 50
        polled = bucket.take(Demand(1000, 30, Use.POLLS_WHILE_SENDING_WAITS))
        assert polled >= 0.1 * (sent + polled) - 1
        assert sent + polled <= 150

    def test_a_full_bucket_that_the_window_holds_is_not_for_the_polls(self) -> None:
        bucket = long_idle(30)
        while sum(count for _, count in bucket.bucket.grants) < 150:
            bucket.take(all_of(30))
            bucket.now += 50
        # Sending waits for tokens after all, though the bucket is full; the window has moved on a little.
        bucket.bucket.tokens, bucket.bucket.grants[0][1] = depth(30), bucket.bucket.grants[0][1] - 5
        assert bucket.take(Demand(5, 30, Use.POLLS_WHILE_SENDING_WAITS)) == 0


@pytest.mark.redis
@pytest.mark.django_db
class TestInRedis:
    @given(rate=RATES, steps=st.lists(STEPS, max_size=60))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_the_script_gives_what_the_arithmetic_gives(
        self, client: "redis.Redis", rate: float, steps: list[tuple[Any, int]]
    ) -> None:
        in_redis, history = play(InRedis(client, known_for_long=True), steps, rate=rate)
        in_python, _ = play(InPython(), steps, rate=rate)
        assert in_redis == in_python
        assert history.most_in_a_window() <= limit(rate)

    @given(rate=RATES, steps=st.lists(st.one_of(STEPS, STEPS, STEPS, LOSSES), max_size=60))
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_history_of_losses_puts_more_into_a_window_than_io_grants(
        self, client: "redis.Redis", rate: float, steps: list[tuple[Any, int]]
    ) -> None:
        _, history = play(InRedis(client, known_for_long=False), steps, rate=rate)
        assert history.most_in_a_window() <= limit(rate)

    @pytest.mark.parametrize("loss", ["emptied", "restarted"])
    def test_lost_in_the_middle_it_slows_for_half_a_second_and_goes_on(self, loss: str, client: "redis.Redis") -> None:
        bucket = InRedis(client, known_for_long=True)
        history, after = History(), 0
        for step in range(400):
            if step == 200:
                getattr(bucket, loss)()
            given = bucket.take(all_of(30))
            history.add(bucket.now, given)
            after += given if step >= 200 else 0
            bucket.now += 50
        assert history.most_in_a_window() <= 150
        assert 0.9 * 300 - depth(30) <= after <= 300

    def test_lost_it_has_no_burst_for_one_window(self, client: "redis.Redis") -> None:
        bucket = InRedis(client, known_for_long=True)
        bucket.take(all_of(30))
        bucket.emptied()
        bucket.take(all_of(30))
        bucket.now += 1000
        # Of a second's 30, half a second's may have been spent just before.
        assert bucket.take(all_of(30)) <= 15
        bucket.now += 6000
        assert bucket.take(all_of(30)) == 15

    def test_what_it_keeps_has_an_end(self, client: "redis.Redis") -> None:
        bucket = InRedis(client, known_for_long=True)
        bucket.take(all_of(30))
        bucket.now += 1000
        bucket.take(all_of(30))
        for key in (pacing_redis.name(bucket.ACCOUNT), f"{pacing_redis.name(bucket.ACCOUNT)}:grants"):
            remaining: Any = client.pttl(key)
            assert 0 < remaining <= 60_000


# --- Tokens kept, called on late, given back ---------------------------------------------------------------------------

LATE_AFTER_MS = round(LATE_AFTER_SECONDS * 1000)
WINDOW_MS = round(WINDOW_SECONDS * 1000)


@dataclass
class Call:
    taken_at: int
    left_at: int
    told_at: int | None = None

    @property
    def is_late(self) -> bool:
        return self.left_at - self.taken_at > LATE_AFTER_MS


@dataclass
class Caller:
    """Somebody with tokens in hand (the instants of their taking), and late calls not told yet."""

    in_hand: list[int] = field(default_factory=list)
    untold: list[Call] = field(default_factory=list)


class Callers:
    """Two who share a bucket, as sending and the polls do, and do with their tokens what they like, when they like.

    The bucket is full whenever they ask: what the window does not hold back nothing does.
    """

    def __init__(self, bucket: Any, *, rate: float, slot_ms: int) -> None:
        self.bucket = bucket
        self.rate = rate
        # A token older than this may have left the window.
        self.old_ms = COUNTED_MS - slot_ms
        self.callers = Caller(), Caller()
        self.calls: list[Call] = []
        self.answers: list[int] = []
        # A bucket seen for the first time begins empty.
        bucket.take(Demand(0, rate, Use.SENDING))

    def play(self, steps: list[tuple[str, int, int]]) -> None:
        for what, who, much in steps:
            if what == "wait":
                self.bucket.now += much
            elif what == "send":
                for _ in range(much):
                    self.take(self.callers[who], 100_000)
                    self.leave(self.callers[who], 100_000)
                    self.bucket.now += 40
            else:
                getattr(self, what)(self.callers[who], much)

    def take(self, caller: Caller, want: int) -> None:
        """Tells in the same breath what left late."""
        now, late = self.bucket.now, caller.untold
        age = now - min((call.taken_at for call in late), default=now)
        self.bucket.fill(self.rate)
        given = self.bucket.take(Demand(want, self.rate, Use.SENDING, late=len(late), late_age_ms=age))
        for call in late:
            call.told_at = now
        caller.untold = []
        if given:
            assert self.known() + given <= limit(self.rate)
        caller.in_hand += [now] * given
        self.answers.append(given)

    def known(self) -> int:
        """The calls of IO's window, and those that may still become some; but not what is old and was not told."""
        now, others = self.bucket.now, sum((caller.untold for caller in self.callers), start=list[Call]())
        in_hand = sum((caller.in_hand for caller in self.callers), start=[call.taken_at for call in others])
        left = [call for call in self.calls if call.left_at > now - WINDOW_MS and call not in others]
        return len(left) + sum(taken_at > now - self.old_ms for taken_at in in_hand)

    def leave(self, caller: Caller, count: int) -> None:
        leaving, caller.in_hand = caller.in_hand[:count], caller.in_hand[count:]
        calls = [Call(taken_at, self.bucket.now) for taken_at in leaving]
        self.calls += calls
        caller.untold += [call for call in calls if call.is_late]

    def give_back(self, caller: Caller, count: int) -> None:
        back, caller.in_hand = caller.in_hand[-count:], caller.in_hand[:-count]
        if back:
            self.bucket.give_back(len(back), age_ms=self.bucket.now - min(back))

    def most_in_a_window(self) -> int:
        """Of IO's, at their leaving; without those whose tokens were old before it was told that they had left."""
        in_time = [
            call.left_at
            for call in self.calls
            if not call.is_late or (call.told_at or self.bucket.now) - call.taken_at < self.old_ms
        ]
        return max((sum(at - WINDOW_MS < each <= at for each in in_time) for at in set(in_time)), default=0)


WHO = st.integers(0, 1)
CALLERS_STEPS = st.one_of(
    st.tuples(st.just("wait"), WHO, st.integers(0, 300)),
    st.tuples(st.just("wait"), WHO, st.integers(4_000, 6_000)),
    st.tuples(st.just("send"), WHO, st.integers(1, 130)),
    st.tuples(st.just("take"), WHO, st.sampled_from([0, 1, 5, 100_000])),
    st.tuples(st.just("leave"), WHO, st.integers(1, 20)),
    st.tuples(st.just("give_back"), WHO, st.integers(1, 20)),
)


class TestCallers:
    @given(
        rate=st.sampled_from([0.7, 3.0, 10.0, 30.0]),
        slot_ms=st.sampled_from([pacing_redis.SLOT_MS, pacing_database.SLOT_MS]),
        steps=st.lists(CALLERS_STEPS, max_size=40),
    )
    @settings(max_examples=150, deadline=None)
    def test_no_more_leave_in_a_window_than_io_grants(
        self, rate: float, slot_ms: int, steps: list[tuple[str, int, int]]
    ) -> None:
        callers = Callers(long_idle(rate, slot_ms=slot_ms), rate=rate, slot_ms=slot_ms)
        callers.play(steps)
        assert callers.most_in_a_window() <= limit(rate)

    @pytest.mark.redis
    @pytest.mark.django_db
    @given(rate=st.sampled_from([0.7, 10.0, 30.0]), steps=st.lists(CALLERS_STEPS, max_size=25))
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_nor_with_the_script_which_agrees(
        self, client: "redis.Redis", rate: float, steps: list[tuple[str, int, int]]
    ) -> None:
        in_redis = Callers(InRedis(client, known_for_long=True), rate=rate, slot_ms=SLOT_MS)
        in_redis.play(steps)
        in_python = Callers(InPython(), rate=rate, slot_ms=SLOT_MS)
        in_python.play(steps)
        assert in_redis.answers == in_python.answers
        assert in_redis.most_in_a_window() <= limit(rate)

    def test_tokens_kept_through_a_stall_count_when_they_are_used_at_last(self) -> None:
        """The window has forgotten them; but IO sees their calls now."""
        callers = Callers(long_idle(30), rate=30, slot_ms=SLOT_MS)
        sender = callers.callers[0]
        callers.take(sender, 15)
        callers.bucket.now += 600
        callers.take(sender, 15)
        callers.bucket.now += 10_000
        callers.leave(sender, 30)
        began = callers.bucket.now
        callers.play([("send", 0, 130)])
        assert len(callers.calls) == sum(call.left_at >= began for call in callers.calls)
        assert sum(call.left_at < began + WINDOW_MS for call in callers.calls) <= 150

    def test_tokens_older_than_the_window_take_nothing_out_of_it(self) -> None:
        bucket = long_idle(30)
        assert bucket.take(all_of(30)) == 15
        bucket.now += 6_000
        assert bucket.take(all_of(30)) == 15
        bucket.give_back(15, age_ms=6_000)
        assert bucket.take(all_of(30)) == 0
        assert [count for _, count in bucket.bucket.grants] == [15]

    def test_what_others_took_meanwhile_stays_in_the_window(self) -> None:
        bucket = long_idle(30)
        bucket.take(Demand(5, 30, Use.SENDING))
        bucket.now += 300
        bucket.take(Demand(3, 30, Use.POLLS))
        bucket.give_back(5, age_ms=300)
        assert bucket.bucket.grants == [[bucket.now, 3]]


# --- How much of the rate is used ------------------------------------------------------------------------------------


def all_of(rate: float) -> Demand:
    return Demand(100_000, rate, Use.SENDING)


def long_idle(rate: float, *, slot_ms: int = SLOT_MS) -> InPython:
    bucket = InPython(slot_ms)
    bucket.take(all_of(rate))
    bucket.now += LONG_AGO
    return bucket


def used(bucket: Any, *, rate: float, seconds: int = 60, late_every: Callable[[], float] | None = None) -> float:
    """The part of the rate that a caller gets who looks every 50 ms, now and then 400 ms later than it would."""
    began = bucket.now
    stumble = began + late_every() if late_every else float("inf")
    taken = 0
    while bucket.now < began + seconds * 1000:
        taken += bucket.take(all_of(rate))
        bucket.now += 50
        if late_every and bucket.now >= stumble:
            bucket.now += 400
            stumble = bucket.now + late_every()
    return taken / (rate * seconds)


class TestUse:
    @pytest.mark.parametrize("rate", [10, 30, 50, 1000])
    def test_who_asks_for_all_gets_99_of_100_in_a_minute(self, rate: float) -> None:
        assert 0.99 <= used(long_idle(rate), rate=rate) <= 1

    @pytest.mark.parametrize("rate", [1, 10, 30, 1000])
    def test_in_the_long_run_the_slack_of_one_and_a_half_in_100_is_all_that_is_lost(self, rate: float) -> None:
        assert 0.984 <= used(long_idle(rate), rate=rate, seconds=1800) <= 0.99

    @pytest.mark.parametrize("seed", range(10))
    def test_looks_that_come_late_now_and_then_cost_little(self, seed: int) -> None:
        chance = random.Random(seed)
        assert used(long_idle(30), rate=30, late_every=lambda: chance.uniform(5_000, 15_000)) >= 0.97

    @pytest.mark.redis
    @pytest.mark.django_db
    def test_the_same_from_redis(self, client: "redis.Redis") -> None:
        bucket = InRedis(client, known_for_long=True)
        bucket.take(all_of(30))
        bucket.now += LONG_AGO
        assert 0.99 <= used(bucket, rate=30) <= 1

    def test_an_account_slowed_to_less_than_a_call_in_a_window_still_calls(self) -> None:
        assert 0.9 <= used(long_idle(0.1), rate=0.1, seconds=3600) <= 1.01


# --- As IO sees it -----------------------------------------------------------------------------------------------------


class Arrivals:
    """Calls as IO sees them: some milliseconds after their token, now and then stuck between taking and leaving."""

    def __init__(self, seed: int, *, rate: float) -> None:
        self.chance = random.Random(seed)
        self.rate = rate
        self.at: list[float] = []

    def send(self, bucket: InPython, *, seconds: int) -> None:
        late, clock, stuck_at = 0, float(bucket.now), bucket.now + self.chance.uniform(1_000, 10_000)
        asked_at = bucket.now
        end = clock + seconds * 1000
        while clock < end:
            bucket.now = int(clock)
            age = bucket.now - asked_at
            given, asked_at = bucket.take(Demand(1000, self.rate, Use.SENDING, late=late, late_age_ms=age)), bucket.now
            left = clock + 2 + (self.chance.expovariate(1 / 8) if given else 0)
            if left >= stuck_at:
                left += self.chance.uniform(50, 400)
                stuck_at = left + self.chance.uniform(5_000, 20_000)
            late = given if left - clock > LATE_AFTER_SECONDS * 1000 else 0
            self.at += [left + self.chance.expovariate(1 / 5) for _ in range(given)]
            clock = left + self.chance.uniform(5, 50)
        self.at.sort()

    def refused_sliding(self) -> int:
        """How many a gateway refuses that lets 5 × rate through in any five seconds."""
        inside, refused = deque[float](), 0
        for at in self.at:
            while inside and inside[0] <= at - WINDOW_SECONDS * 1000:
                inside.popleft()
            if len(inside) >= WINDOW_SECONDS * self.rate:
                refused += 1
            else:
                inside.append(at)
        return refused

    def refused_fixed(self, *, phase: int) -> int:
        """Likewise, counting anew every five seconds."""
        counts: dict[int, int] = {}
        for at in self.at:
            window = int((at + phase) // (WINDOW_SECONDS * 1000))
            counts[window] = counts.get(window, 0) + 1
        return sum(max(0, count - round(WINDOW_SECONDS * self.rate)) for count in counts.values())


class TestAsIOSees:
    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize("rate", [10, 30, 50])
    def test_a_minute_of_sending_after_an_idle_hour_meets_no_429(self, rate: float, seed: int) -> None:
        arrivals = Arrivals(seed, rate=rate)
        arrivals.send(long_idle(rate), seconds=60)
        assert len(arrivals.at) >= 0.97 * 60 * rate
        assert arrivals.refused_sliding() == 0
        assert [arrivals.refused_fixed(phase=phase) for phase in range(0, 5_000, 250)] == [0] * 20
