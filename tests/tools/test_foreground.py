"""How `make run` ends: with real make, a real terminal, and a command that ends in peace when asked to."""

import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 20

# Writes what it receives; ends with status 0 on the first request, as `manage.py serve` does.
SERVER = """
    import os, signal, sys
    def end(number, frame):
        print("received", signal.Signals(number).name, flush=True)
        sys.exit(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    print("ready", os.getpid(), flush=True)
    while True:
        signal.pause()
"""


@pytest.fixture
def make_run(tmp_path: Path) -> list[str]:
    (tmp_path / "server.py").write_text(textwrap.dedent(SERVER))
    (tmp_path / "Makefile").write_text(
        f'run:\n\t@exec "{sys.executable}" -m tools.foreground "{sys.executable}" "{tmp_path / "server.py"}"\n'
    )
    return ["make", "--no-print-directory", "-f", str(tmp_path / "Makefile"), "run"]


class Started:
    """A `make run` with its output; `command` is the process that make runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: int) -> None:
        self.process = process
        self.output = output
        self.said = b""
        self.wait_for(lambda: b"ready" in self.said and self.said.endswith(b"\n"))
        self.command = int(self.said.split()[1])

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.said
            if select.select([self.output], [], [], 0.05)[0]:
                # A terminal whose last process ended says so with an error.
                with suppress(OSError):
                    self.said += os.read(self.output, 4096)

    def status(self) -> int:
        self.wait_for(lambda: self.process.poll() is not None)
        return int(self.process.returncode)

    def command_is_gone(self) -> bool:
        self.wait_for(lambda: not is_alive(self.command))
        return True


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended and whose parent has not asked yet answers like a living one.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.fixture
def in_terminal(make_run: list[str]) -> Iterator[tuple[Started, int]]:
    """`make run` in the foreground of a terminal of its own, and the keyboard of that terminal."""
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        # A session leader that opens a terminal gets it as its own, with itself in the foreground.
        [sys.executable, "-c", "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])", *make_run],
        cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    started = Started(process, keyboard)
    yield started, keyboard
    finish(started)
    os.close(keyboard)


@pytest.fixture
def without_terminal(make_run: list[str]) -> Iterator[Started]:
    process = subprocess.Popen(
        make_run, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )  # fmt: skip
    assert process.stdout is not None
    started = Started(process, process.stdout.fileno())
    yield started
    finish(started)
    process.stdout.close()


def finish(started: Started) -> None:
    for pid in (started.command, started.process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    started.process.wait()


class TestInATerminal:
    def test_ctrl_c_ends_make_with_status_zero(self, in_terminal: tuple[Started, int]) -> None:
        started, keyboard = in_terminal
        os.write(keyboard, b"\x03")
        assert started.status() == 0
        assert started.said.count(b"received SIGINT") == 1
        assert b"make:" not in started.said

    def test_an_interrupt_of_the_whole_group_reaches_the_command_once(self, in_terminal: tuple[Started, int]) -> None:
        started, _ = in_terminal
        os.killpg(started.process.pid, signal.SIGINT)
        started.status()
        assert started.said.count(b"received SIGINT") == 1

    def test_ctrl_z_stops_the_job_and_the_shell_continues_it(self, in_terminal: tuple[Started, int]) -> None:
        started, keyboard = in_terminal
        os.write(keyboard, b"\x1a")
        started.wait_for(lambda: is_stopped(started.process.pid) and is_stopped(started.command))
        os.killpg(started.process.pid, signal.SIGCONT)
        started.wait_for(lambda: not is_stopped(started.command))
        os.write(keyboard, b"\x03")
        assert started.status() == 0

    def test_a_killed_make_leaves_no_command_behind(self, in_terminal: tuple[Started, int]) -> None:
        started, _ = in_terminal
        os.kill(started.process.pid, signal.SIGKILL)
        assert started.command_is_gone()


class TestWithoutATerminal:
    def test_an_interrupt_of_the_whole_group_reaches_the_command_once(self, without_terminal: Started) -> None:
        os.killpg(without_terminal.process.pid, signal.SIGINT)
        without_terminal.status()
        assert without_terminal.said.count(b"received SIGINT") == 1
        assert b"received SIGTERM" not in without_terminal.said

    def test_a_termination_of_make_ends_the_command(self, without_terminal: Started) -> None:
        os.kill(without_terminal.process.pid, signal.SIGTERM)
        without_terminal.status()
        assert b"received SIGTERM" in without_terminal.said
        assert without_terminal.command_is_gone()

    def test_an_interrupt_of_make_alone_ends_the_command(self, without_terminal: Started) -> None:
        os.kill(without_terminal.process.pid, signal.SIGINT)
        without_terminal.status()
        assert without_terminal.command_is_gone()

    def test_a_killed_make_leaves_no_command_behind(self, without_terminal: Started) -> None:
        os.kill(without_terminal.process.pid, signal.SIGKILL)
        assert without_terminal.command_is_gone()

    def test_a_killed_group_ends_at_once(self, without_terminal: Started) -> None:
        os.killpg(without_terminal.process.pid, signal.SIGKILL)
        assert without_terminal.command_is_gone()
        assert b"received" not in without_terminal.said


def is_stopped(pid: int) -> bool:
    shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip().startswith("T")
