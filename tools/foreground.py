"""Runs one long-lived command on behalf of `make`, so that Ctrl-C ends it in peace and with its own exit status.

    python tools/foreground.py command [argument ...]

GNU make that receives the interrupt of a Ctrl-C always reports an error, however well its child ended. A terminal
sends that interrupt to the processes it has in the foreground: where there is a terminal, the command becomes the
foreground and make is not told. Where there is none (CI, a supervisor), the command stays in make's process group and
receives what the group receives. In both cases the command is ended when make ends or is being interrupted alone, so
that no server is left behind holding its port.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Seconds between two looks at make; and how many looks the command gets to end by itself once make is ending,
# because the same interrupt has usually reached it too.
LOOK_EVERY = 0.5
LOOKS_OF_PATIENCE = 6


@contextlib.contextmanager
def controlling_terminal() -> Iterator[int | None]:
    """The terminal whose foreground we are, or None without a terminal or in the background of one."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield None
        return
    try:
        yield terminal if os.tcgetpgrp(terminal) == os.getpgrp() else None
    finally:
        os.close(terminal)


def make_is_ending(make: int) -> bool:
    """Whether make died, or is in its handler of a signal and only waits for us (Linux tells, others do not)."""
    if os.getppid() != make:
        return True
    process = Path(f"/proc/{make}")
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        status = (process / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    sets = dict(line.split(":\t", 1) for line in status.splitlines() if line.startswith("Sig"))
    handled = int(sets.get("SigCgt", "0"), 16) | int(sets.get("SigIgn", "0"), 16)
    # make catches this signal all its life and gives it up once it is handling one.
    return name in {"make", "gmake"} and not handled >> (signal.SIGINT - 1) & 1


def give_terminal(terminal: int | None, *, holder: int, to: int) -> None:
    """Hands the foreground on, if the holder has it (the shell may have taken it back: Ctrl-Z, then `bg`)."""
    if terminal is None:
        return
    # The terminal may be gone already (a closed window); then there is nothing to give.
    with contextlib.suppress(OSError):
        if os.tcgetpgrp(terminal) == holder:
            os.tcsetpgrp(terminal, to)


def run(command: list[str], terminal: int | None) -> int:
    """Runs the command to its end; its status as `subprocess` tells it (negative: ended by that signal)."""
    make, ours = os.getppid(), os.getpgrp()
    received: list[int] = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What was started with nohup stays deaf to the end of its terminal.
        if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT:
            signal.signal(number, lambda number, _: received.append(number))
    # Without a terminal an interrupt goes to the whole group and the command has its own copy.
    not_forwarded: set[int] = {signal.SIGINT} if terminal is None else set()

    child = subprocess.Popen(command, process_group=None if terminal is None else 0)
    # Whoever sets the foreground from the background is stopped unless it ignores this signal.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    give_terminal(terminal, holder=ours, to=child.pid)
    looks_left = LOOKS_OF_PATIENCE
    try:
        while True:
            if select.select([reader], [], [], LOOK_EVERY)[0]:
                os.read(reader, 512)
            while received:
                if (asked := received.pop(0)) not in not_forwarded:
                    child.send_signal(asked)
            ended, status = os.waitpid(child.pid, os.WNOHANG | (os.WUNTRACED if terminal is not None else 0))
            if ended and os.WIFSTOPPED(status):
                # Ctrl-Z: stop the rest of the job with it, and go on together when the shell says so.
                give_terminal(terminal, holder=child.pid, to=ours)
                os.killpg(ours, signal.SIGSTOP)
                give_terminal(terminal, holder=ours, to=child.pid)
                os.killpg(child.pid, signal.SIGCONT)
            elif ended:
                return os.waitstatus_to_exitcode(status)
            elif looks_left and make_is_ending(make):
                looks_left -= 1
                if not looks_left:
                    child.send_signal(signal.SIGTERM)
    finally:
        give_terminal(terminal, holder=child.pid, to=ours)


def main() -> int:
    with controlling_terminal() as terminal:
        status = run(sys.argv[1:], terminal)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
