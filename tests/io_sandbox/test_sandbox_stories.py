"""The people with a story: who they are, and what our own client makes of each."""

import asyncio
from pathlib import Path
from typing import Self

import pytest
from stdnum.it import codicefiscale

from io_client.client import IOClient
from io_client.outcomes import (
    Accepted,
    Cause,
    MessageStatus,
    OutcomeUnknown,
    Profile,
    ProfileOutcome,
    Refused,
    SendOutcome,
    Throttled,
)
from io_client.payloads import NewMessage
from io_sandbox.stories import STORIES, Plot
from tests.io_sandbox.playing import KEY, TEXT, Playing, sandbox
from tests.support.looping import in_a_loop

CODES = {story.plot: story.fiscal_code for story in STORIES}
README = Path(__file__).parents[2] / "io_sandbox" / "README.md"


class Asking:
    """Our client before a sandbox."""

    def __init__(self, io: Playing, *, send_timeout: float = 5) -> None:
        self.client = IOClient(io.base_url, send_timeout=send_timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.client.close()

    async def profile(self, plot: Plot) -> ProfileOutcome:
        return await self.client.profile(CODES[plot], key=KEY)

    async def send(self, plot: Plot) -> SendOutcome:
        message = NewMessage(fiscal_code=CODES[plot], subject="Avviso di prova", markdown=TEXT)
        return await self.client.send(message, key=KEY, may_leave=lambda: True)


class TestTable:
    def test_every_plot_has_one_person(self) -> None:
        assert sorted(CODES, key=str) == sorted(Plot, key=str)
        assert len({story.fiscal_code for story in STORIES}) == len(STORIES)

    @pytest.mark.parametrize("code", CODES.values())
    def test_codes_are_valid_and_obviously_invented(self, code: str) -> None:
        assert codicefiscale.validate(code) == code
        assert code[6:15] == "00A01Z999"

    def test_the_readme_has_the_same_table(self) -> None:
        text = README.read_text(encoding="utf-8")
        rows = [line for line in text.splitlines() if "00A01Z999" in line]
        assert rows == [f"| `{story.fiscal_code}` | {story.name} | {story.happens} |" for story in STORIES]


class TestWhatHappens:
    @in_a_loop
    async def test_not_on_io(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io, Asking(io) as asking:
            refused = await asking.profile(Plot.NOT_ON_IO)
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.NOT_FOUND

    @in_a_loop
    async def test_service_disabled(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io, Asking(io) as asking:
            assert await asking.profile(Plot.DISABLED) == Profile(False, ("it_IT",))

    @in_a_loop
    async def test_recipient_forbidden(self, tmp_path: Path) -> None:
        async with sandbox(tmp_path) as io, Asking(io) as asking:
            outcomes = [await asking.profile(Plot.FORBIDDEN), await asking.send(Plot.FORBIDDEN)]
        assert [outcome.cause for outcome in outcomes if isinstance(outcome, Refused)] == [Cause.RECIPIENT] * 2

    @pytest.mark.parametrize(
        ("plot", "status"),
        [
            (Plot.REJECTED, "REJECTED"),
            (Plot.FAILED, "FAILED"),
            (Plot.NOT_ON_IO, "REJECTED"),
            (Plot.DISABLED, "REJECTED"),
            (Plot.SLOW, "PROCESSED"),
        ],
    )
    @in_a_loop
    async def test_accepted_and_then(self, tmp_path: Path, plot: Plot, status: str) -> None:
        async with sandbox(tmp_path) as io, Asking(io) as asking:
            sent = await asking.send(plot)
            assert isinstance(sent, Accepted)
            assert sent.io_id is not None
            outcome = await asking.client.status(CODES[plot], sent.io_id, key=KEY)
        assert outcome == MessageStatus(status, None, None)

    @in_a_loop
    async def test_throttled_three_times_and_again_after_a_while(self, tmp_path: Path) -> None:
        now = 1_800_000_000.0
        async with sandbox(tmp_path, clock=lambda: now) as io, Asking(io) as asking:
            first = [await asking.profile(Plot.THROTTLED) for _ in range(2)]
            second = await asking.send(Plot.THROTTLED)
            then = [await asking.profile(Plot.THROTTLED), await asking.send(Plot.THROTTLED)]
            now += 31
            again = await asking.profile(Plot.THROTTLED)
        assert first == [Throttled(1.0)] * 2
        assert second == again == Throttled(1.0)
        assert then[0] == Profile(True, ("it_IT",))
        assert isinstance(then[1], Accepted)

    @pytest.mark.parametrize(
        ("plot", "reason", "arrives"),
        [
            (Plot.SILENT, "TimeoutError", 1),
            (Plot.CUT, "ServerDisconnectedError", 1),
            (Plot.ERROR, "HTTP 500", 0),
            (Plot.ERROR_AFTER, "HTTP 500", 1),
            (Plot.SLOW, "TimeoutError", 1),
        ],
    )
    @in_a_loop
    async def test_doubts(self, tmp_path: Path, plot: Plot, reason: str, arrives: int) -> None:
        async with sandbox(tmp_path) as io, Asking(io, send_timeout=0.1) as asking:
            assert isinstance(await asking.profile(plot), Profile)
            outcome = await asking.send(plot)
            seen = await io.json("/sandbox/received")
            await asyncio.sleep(0.3)  # the silent answer ends with the sandbox still up
        assert isinstance(outcome, OutcomeUnknown)
        assert reason in outcome.reason
        assert seen["by_fiscal_code"][CODES[plot]] == {"received": 1, "accepted": arrives}
