"""`python -m io_sandbox --config FILE.json [--host 127.0.0.1] [--port 8001]`: runs until told to stop."""

import argparse
import asyncio
import errno
import signal
import socket
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from aiohttp import web

from io_sandbox.application import build
from io_sandbox.config import Config, ConfigError, read
from io_sandbox.store import Store


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with 0 when told to stop, with 1 and one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m io_sandbox", description="IO, played over HTTP for trials.")
    parser.add_argument("--config", required=True, type=Path, help="JSON file; see io_sandbox/README.md")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; anything but loopback shows it to your network"
    )
    parser.add_argument("--port", default=8001, type=int, help="0 lets the system choose")
    parser.add_argument(
        "--while-stdin-is-open",
        action="store_true",
        help="end when standard input closes, so that a parent that is killed leaves nothing behind",
    )
    given = parser.parse_args(arguments)
    try:
        config = read(given.config)
    except ConfigError as error:
        _fail(str(error))
    try:
        store = Store(config.data)
    except (OSError, sqlite3.Error) as error:
        _fail(f"cannot open {config.data}: {error}")
    try:
        asyncio.run(
            _serve(config, store, host=given.host, port=given.port, while_stdin_is_open=given.while_stdin_is_open)
        )
    finally:
        store.close()


async def _serve(config: Config, store: Store, *, host: str, port: int, while_stdin_is_open: bool) -> None:
    # No access log: the path of a status holds a fiscal code.
    runner = web.AppRunner(build(config, store), access_log=None, shutdown_timeout=1, handler_cancellation=False)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        _fail(_why_not_listening(error, host=host, port=port))
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    if while_stdin_is_open:
        await _watch_stdin(stopped)
    address = runner.addresses[0]
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    sys.stdout.write(f"Sandbox: http://{shown}:{address[1]}\n")
    sys.stdout.flush()
    await stopped.wait()
    await runner.cleanup()


async def _watch_stdin(stopped: asyncio.Event) -> None:
    """Sets the event when standard input comes to its end, which is when whoever holds the other end is gone."""

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stopped.set()

    await asyncio.get_running_loop().connect_read_pipe(Watch, sys.stdin)


def _why_not_listening(error: Exception, *, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"{host} is not an address of this machine."
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: choose another with --port, or stop what is using it."
    return f"cannot listen on {host}, port {port}: {error}."


def _fail(sentence: str) -> NoReturn:
    sys.stderr.write(f"Sandbox: {sentence}\n")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
