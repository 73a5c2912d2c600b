"""The product as a person starts it: a process of its own, watched through what it prints and serves."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 90.0

# Of the environment of the tests, only what a shell would give.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all different, since they are held together while choosing."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def environment(**variables: str) -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | variables


def run_command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """One `manage.py` command to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Product:
    """`manage.py serve`, started with these variables; used as a context manager it is ended with Ctrl-C."""

    def __init__(self, *, data_dir: Path, **variables: str) -> None:
        self.port, self.sandbox_port = free_ports(2)
        self._variables = environment(
            DATA_DIR=str(data_dir), PORT=str(self.port), SANDBOX_PORT=str(self.sandbox_port), **variables
        )
        self._process: subprocess.Popen[str] | None = None
        self.printed = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.printed += line
            if line.startswith("Ctrl-C"):
                return self
        self._process.stdout.close()
        raise AssertionError(f"it ended with {self._process.wait()}:\n{self.printed}")

    def __exit__(self, *exc_info: object) -> None:
        self.interrupt()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as Ctrl-C in a terminal does, all processes of the group at once; the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            self.printed += self._process.stdout.read()
            self._process.stdout.close()
        return self._process.wait(timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        """kill -9 of the process alone, as the system does when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def line(self, start: str) -> str:
        """The rest of the line that starts so."""
        found = re.search(rf"^{re.escape(start)}: (.*)$", self.printed, re.MULTILINE)
        assert found, f"no line {start!r} in:\n{self.printed}"
        return found.group(1)

    def call(
        self, method: str, url: str, *, key: str = "", body: Mapping[str, Any] | bytes | None = None
    ) -> tuple[int, Any]:
        """Status and parsed body of one request."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, method=method, data=data)  # noqa: S310  (loopback)
        request.add_header("Content-Type", "application/json")
        if key:
            request.add_header("GovHub-Consumer-Principal", key)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  (loopback)
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


def wait_until(condition: Any, *, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of the condition; fails when it stays false."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError("the condition did not come true in time")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
