"""Tests that mostly wait, played several at a time. Each has a stage of its own; pytest sees ordinary tests.

    @on_a_stage()
    def test_a_rule(stage: Stage) -> None: ...

    @on_a_stage(at=NAMES)
    def test_a_rule_at_every_checkpoint(stage: Stage, checkpoint: str) -> None: ...

Serially these tests would take ten minutes, nearly all of it waiting for leases to end.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash import waiting

if TYPE_CHECKING:
    from tests.crash.stage import Theatre

# Each has two to five processes, which wait more than they work.
AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Scenario:
    play: Callable[..., None]
    checkpoint: str | None = None
    on_small_disk: bool = False


Endings = Mapping[Scenario, "Future[None]"]
Test = Callable[[Scenario, Endings], None]


def on_a_stage(
    *, at: Iterable[str] | None = None, on_small_disk: bool = False
) -> Callable[[Callable[..., None]], Test]:
    """Makes a test of a scenario, or one for each of these checkpoints; where asked, on a disk that can be filled."""

    def decorate(play: Callable[..., None]) -> Test:
        scenarios = [Scenario(play, checkpoint, on_small_disk) for checkpoint in ([None] if at is None else at)]

        @pytest.mark.postgresql
        @pytest.mark.redis
        @pytest.mark.parametrize("scenario", scenarios, ids=lambda scenario: scenario.checkpoint or "once")
        def test(scenario: Scenario, endings: Endings) -> None:
            endings[scenario].result()

        # Not functools.wraps, through which pytest would see the scenario's own parameters.
        test.__name__, test.__doc__ = play.__name__, play.__doc__
        return test

    return decorate


def chosen(items: Iterable[pytest.Item]) -> list[Scenario]:
    """Those of the selected tests, in their order."""
    parameters = (getattr(item, "callspec", None) for item in items)
    return [each.params["scenario"] for each in parameters if each is not None and "scenario" in each.params]


@contextmanager
def played(theatre: "Theatre", scenarios: Iterable[Scenario]) -> Iterator[Endings]:
    """What a scenario asserts comes out of its `result()`."""

    def play(scenario: Scenario) -> None:
        arguments: list[Any] = [] if scenario.checkpoint is None else [scenario.checkpoint]
        with theatre.stage_on_small_disk() if scenario.on_small_disk else theatre.stage() as stage:
            scenario.play(stage, *arguments)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            yield {scenario: pool.submit(play, scenario) for scenario in scenarios}
        finally:
            # Interrupted, or done: whoever still waits may stop.
            waiting.is_over.set()
            pool.shutdown(cancel_futures=True)
