"""The processes of a round, and the supervisor that starts again whatever ended."""

import time
from collections.abc import Callable
from random import Random

from tests.crash.processes import Process

# As systemd does by default, and more.
START_AGAIN_AFTER_SECONDS = 0.3


class Post:
    """A place for a process: at most one is there at a time."""

    def __init__(self, run: str, start: Callable[[str], Process]) -> None:
        self.run = run
        self._start = start
        self.process = start(run)
        # Dead by our hand: it comes back when whoever killed it says so.
        self.is_vacant = False
        self._start_at: float | None = None

    def kill(self) -> None:
        self.is_vacant = True
        self.process.kill()

    def fill(self) -> None:
        self.process = self._start(self.run)
        self.is_vacant = False

    def replace(self) -> Process:
        """The new one is there already when the old one, returned, is asked to end."""
        old = self.process
        self.fill()
        return old

    def look(self) -> bool:
        """Start it again where it ended by itself; whether it just did."""
        if self.is_vacant or not self.process.has_ended:
            return False
        if self._start_at is None:
            self._start_at = time.monotonic() + START_AGAIN_AFTER_SECONDS
            return True
        if time.monotonic() >= self._start_at:
            self._start_at = None
            self.fill()
        return False


class Crew:
    """Two workers, and beats."""

    def __init__(self, start: Callable[[str], Process], *, beats: int, workers: int = 2) -> None:
        self.beats = [Post("beat", start) for _ in range(beats)]
        self.workers = [Post("worker", start) for _ in range(workers)]
        # Ended without being told to: a supervisor hides it, so we count it.
        self.ended_by_themselves: list[str] = []

    @property
    def posts(self) -> list[Post]:
        return [*self.beats, *self.workers]

    def look(self) -> None:
        self.ended_by_themselves += [post.process.name for post in self.posts if post.look()]

    def worker(self, number: int) -> Post:
        return self.workers[number % len(self.workers)]

    def names(self, *, share: float, random: Random) -> list[str]:
        """Of the workers whose connections are cut: all, or some and at least one."""
        names = [post.process.name for post in self.workers]
        return names if share == 1 else random.sample(names, max(1, round(share * len(names))))
