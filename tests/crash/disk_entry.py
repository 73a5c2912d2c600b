"""Runs PostgreSQL on a small disk of its own, which can be filled to the last byte and freed again.

    disk_entry.py --try FOLDER                          status 0 where this machine lets us have such a disk
    disk_entry.py FOLDER MEGABYTES USER GROUP COMMAND   USER and GROUP are the numbers that the command runs as

The disk is a tmpfs that only this process and its children see (a mount namespace): Linux, as root, or as anybody where
unprivileged user namespaces are allowed. The command's data, `FOLDER/data`, is copied onto it. While `FOLDER/fill` exists
the disk is full, and `FOLDER/is_full` says that it is. A server that ends by itself is started again, as a supervisor
would. SIGINT ends both. Needs nothing but the standard library: it runs before there is anything else.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000
RECURSIVE, PRIVATE = 0x4000, 0x40000
LOOK_EVERY_SECONDS = 0.05
START_AGAIN_AFTER_SECONDS = 0.5
STOP_WITHIN_SECONDS = 10

libc = ctypes.CDLL(None, use_errno=True)


def checked(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount_disk(folder: Path, *, megabytes: int) -> None:
    """Raises OSError where the machine does not let us."""
    if not hasattr(libc, "unshare"):
        raise OSError("no namespaces on this system")
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        checked(libc.unshare(NEW_MOUNTS), "unshare")
    else:
        checked(libc.unshare(NEW_USERS | NEW_MOUNTS), "unshare")
        # We stay who we are: PostgreSQL refuses to run as root, be it only root of a namespace.
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    checked(libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None), "make mounts private")
    options = f"size={megabytes}m,mode=755".encode()
    checked(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options), "mount")


class Filler:
    """A file that takes all the room there is."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._path = disk / "filler"

    def fill(self) -> None:
        """Called again and again: whatever the server gives up is taken too."""
        handle = os.open(self._path, os.O_CREAT | os.O_WRONLY)
        try:
            room = os.statvfs(self._disk)
            if free := room.f_bavail * room.f_frsize:
                os.posix_fallocate(handle, os.fstat(handle).st_size, free)
        except OSError:
            pass  # The server was faster to some of it: the rest at the next look.
        finally:
            os.close(handle)

    def free(self) -> None:
        self._path.unlink(missing_ok=True)


class Server:
    def __init__(self, command: list[str], *, user: int, group: int) -> None:
        self._command = command
        # As root we start it as somebody else; as anybody else, as ourselves.
        self._identity: dict[str, Any] = {"user": user, "group": group, "extra_groups": ()} if os.geteuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at = 0.0

    def look(self) -> None:
        """Start it, also again."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            self._start_at = time.monotonic() + START_AGAIN_AFTER_SECONDS
        if self._process is None and time.monotonic() >= self._start_at:
            self._process = subprocess.Popen(self._command, **self._identity)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run(folder: Path, *, megabytes: int, user: int, group: int, command: list[str]) -> None:
    disk, data = folder / "disk", folder / "data"
    disk.mkdir()
    mount_disk(disk, megabytes=megabytes)
    moved = disk / "data"
    shutil.copytree(data, moved, symlinks=True)
    if os.geteuid() == 0:
        for path in (disk, moved, *moved.rglob("*")):
            os.chown(path, user, group, follow_symlinks=False)
    server = Server([str(moved) if word == str(data) else word for word in command], user=user, group=group)
    filler, is_full = Filler(disk), folder / "is_full"
    try:
        while True:
            if (folder / "fill").exists():
                filler.fill()
                is_full.touch()
            elif is_full.exists():
                filler.free()
                is_full.unlink()
            server.look()
            time.sleep(LOOK_EVERY_SECONDS)
    finally:
        filler.free()
        server.stop()


def stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str]) -> int:
    if words[0] == "--try":
        try:
            mount_disk(Path(words[1]), megabytes=1)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0
    # A process that a shell puts in the background is born deaf to SIGINT.
    signal.signal(signal.SIGINT, stop)
    try:
        run(Path(words[0]), megabytes=int(words[1]), user=int(words[2]), group=int(words[3]), command=words[4:])
    except KeyboardInterrupt:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
