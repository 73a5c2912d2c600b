"""What will be disturbed, when and how badly: drawn from a seed, so that a round can be played again.

The seed repeats the schedule, not the moment of each commit: a fault that depends on one may need several rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.crash import worker_entry

# For workers that are hard-pressed: a starved stand-in must not look like an IO that does not answer.
SEND_TIMEOUT_SECONDS = 5.0
LEASE_SECONDS = worker_entry.ALLOWANCE_SECONDS + SEND_TIMEOUT_SECONDS + worker_entry.LEASE_MARGIN_SECONDS
CLOCK_OFF_SECONDS = 120.0

# How long each lasts (seconds from, to), one of several where there are several.
LASTING: dict[str, tuple[tuple[float, float], ...]] = {
    # kill -9 of one worker, of a beat, of all of them at once; until each is started again.
    "kill": ((0.1, 2.0),),
    "kill_beat": ((0.1, 1.0),),
    "kill_all": ((0.1, 2.0),),
    # SIGSTOP and SIGCONT of a worker: within what a request may take to leave, past it, past the lease of its rows.
    "sleep": ((0.2, 0.8), (1.2, 4.0), (LEASE_SECONDS + 0.5, LEASE_SECONDS + 3.0)),
    # The database server ends some or all connections, several times.
    "cut_database": ((0.5, 2.0),),
    # CLIENT KILL of some or all connections, several times.
    "cut_redis": ((0.5, 2.0),),
    # Redis stopped and started again, empty.
    "empty_redis": ((0.5, 4.0),),
    # The wall clock of a worker jumps by two minutes, and later back.
    "clock": ((1.0, 5.0),),
    # No space left on the database's disk; with sign -1 not even for what its log had laid out.
    "fill_disk": ((2.0, 6.0),),
    # IO takes messages and answers after our timeout, never, or with a reset; or resets before taking any.
    "io_late": ((1.5, 4.0),),
    "io_silent": ((1.5, 4.0),),
    "io_resets": ((1.5, 4.0),),
    "io_refuses_after_accepting": ((1.5, 4.0),),
    # Not a single call is answered, though every message is taken.
    "io_hangs": ((4.0, 8.0),),
    # Nobody listens where IO was: the outage, as long as the round says.
    "io_away": (),
    # SIGTERM to every worker, one after the other, each with its replacement: nothing else happens meanwhile.
    "roll": ((0.0, 0.0),),
}
ALONE = {"roll"}
LONG = {"io_away"}
# Several ways of the same thing, of which one at a time is possible.
WEATHER = {"io_late", "io_silent", "io_resets", "io_refuses_after_accepting", "io_hangs", "io_away"}
KILLS = {"kill", "kill_beat", "kill_all"}

EVERYTHING = (
    *("kill",) * 4,
    *("sleep",) * 4,
    *("cut_database", "empty_redis", "clock", "roll") * 2,
    *("kill_all", "kill_beat", "cut_redis", "fill_disk", "fill_disk"),
    *("io_late", "io_silent", "io_resets", "io_refuses_after_accepting", "io_hangs", "io_away"),
)


@dataclass(frozen=True, slots=True)
class Disturbance:
    kind: str
    seconds: float
    # Which worker, of however many there are.
    who: int
    # Between 0 and 1: of connections, or of IO's answers.
    share: float
    # For a clock: ahead or behind; see the list above.
    sign: int

    def __str__(self) -> str:
        return f"{self.kind}({self.seconds:.1f} s, {self.who}, {self.share:.2f}, {self.sign:+d})"


@dataclass(frozen=True, slots=True)
class Step:
    """A wave of messages; a moment later one disturbance, or two at once."""

    pause: float
    disturbances: tuple[Disturbance, ...]

    @property
    def is_alone(self) -> bool:
        return self.disturbances[0].kind in ALONE

    def __str__(self) -> str:
        return f"{self.pause:.2f} s later " + " + ".join(map(str, self.disturbances))


def plan(seed: int, *, deck: Sequence[str] = EVERYTHING, outage_seconds: float) -> list[Step]:
    """Each card of the deck once, in an order of the seed; a third of them together with a second one."""
    random = Random(seed)

    def drawn(kind: str) -> Disturbance:
        lasting = LASTING[kind] or ((outage_seconds, outage_seconds),)
        return Disturbance(
            kind,
            seconds=random.uniform(*random.choice(lasting)),
            who=random.randrange(100),
            share=random.choice((0.05, 0.3, 1.0)),
            sign=random.choice((-1, 1)),
        )

    cards = [*deck]
    random.shuffle(cards)

    def goes_with(kind: str) -> list[str]:
        group = next((group for group in (WEATHER, KILLS) if kind in group), {kind})
        return sorted(set(deck) - ALONE - LONG - group)

    steps = []
    for kind in cards:
        disturbances = [drawn(kind)]
        others = goes_with(kind)
        if others and kind not in ALONE and random.random() < 1 / 3:
            disturbances.append(drawn(random.choice(others)))
        steps.append(Step(random.uniform(0.0, 0.6), tuple(disturbances)))
    return steps
