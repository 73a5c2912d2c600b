"""A process of the product under test: started, stopped, continued, killed, and watched while it happens."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.crash.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


class Process:
    """One `tests.crash.worker_entry`. `name` is also how its connections are called in the database."""

    def __init__(self, name: str, *, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.worker_entry"],
                cwd=ROOT,
                env={**environment, "CRASH_READY": str(_flag(log))},
                # Held open by us alone: when we die, it ends.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._is_stopped = False

    @property
    def is_at_work(self) -> bool:
        """A worker that listens for tasks."""
        return _flag(self.log).exists()

    def wait_until_stopped(self) -> None:
        """By SIGSTOP, its own doing."""
        wait_for(lambda: self._look() or self._is_stopped, f"{self.name} stops")
        assert self._is_stopped, f"{self.name} ended with {self._process.returncode} instead of stopping"

    def wait_until_killed(self) -> None:
        assert self.wait_for_end() == -signal.SIGKILL, f"{self.name} ended by itself"

    def wait_for_end(self) -> int:
        """Its exit status; minus the signal that killed it."""
        wait_for(self._look, f"{self.name} ends")
        assert self._process.returncode is not None
        return self._process.returncode

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._is_stopped = False
        self._process.send_signal(signal.SIGCONT)

    def set_clock_off(self, seconds: float) -> None:
        """Its wall clock, from now on; ahead when positive."""
        assert self._process.stdin is not None
        # Killed in the meantime, it has no clock any more.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(f"clock {seconds}\n".encode())
            self._process.stdin.flush()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        if not self._look():
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    @property
    def has_ended(self) -> bool:
        return self._look()

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def _look(self) -> bool:
        """Whether it has ended. Popen does not tell when a child stops, so the system is asked here, in its place."""
        if self._process.returncode is None:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                self._is_stopped = True
            elif pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode is not None


def _flag(log: Path) -> Path:
    return log.with_suffix(".ready")
