"""A database whose disk fills up: a real one where the machine lets us have a disk of our own, else one that is played."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

import psycopg

from tests.crash import disk_entry
from tests.support import services

# Holds 10,000 messages with their histories several times over; filled, it takes so much of the machine's memory.
MEGABYTES = 600
IDENTITY = ("user", "group")


class Disk(Protocol):
    """`is_real` tells whether the server meets ENOSPC itself, or only our statements an error that says so."""

    is_real: bool

    def fill(self) -> None: ...

    def free(self) -> None: ...


def can_be_real() -> bool:
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, disk_entry.__file__, "--try", folder]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0


class SmallDiskPostgreSQL(services.PostgreSQL):
    """PostgreSQL with data and write-ahead log on a small disk. Full, it refuses statements, or stops and recovers."""

    name = "PostgreSQL on a small disk"
    is_real = True

    def _prepare(self, folder: Path) -> list[str]:
        command = super()._prepare(folder)
        # As root we start as root, which alone may mount, and the server runs as whoever it was prepared for.
        user, group = (self._identity.get(name, own) for name, own in zip(IDENTITY, _ourselves(), strict=True))
        self._identity = {}
        words = [sys.executable, disk_entry.__file__, str(folder), str(MEGABYTES), str(user), str(group)]
        # The log shall neither eat the small disk nor have room to live on for long when it is full.
        return [*words, *command, "-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB"]

    def fill(self) -> None:
        self._told().touch()

    def free(self) -> None:
        self._told().unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        return self._told().with_name("is_full").exists()

    def _told(self) -> Path:
        assert self._folder is not None, "the server does not run"
        return self._folder / "fill"


def _ourselves() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


_REFUSE = """
CREATE OR REPLACE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$
"""
_TABLES = ("messaging_message", "messaging_messageevent")


class PlayedDisk:
    """Every writing statement on these tables fails with the error that PostgreSQL gives when a disk is full."""

    is_real = False

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def fill(self) -> None:
        trigger = "CREATE OR REPLACE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON {} EXECUTE FUNCTION disk_is_full()"
        self._execute(_REFUSE, *(trigger.format(table) for table in _TABLES))

    def free(self) -> None:
        self._execute(*(f"DROP TRIGGER IF EXISTS disk_is_full ON {table}" for table in _TABLES))

    def _execute(self, *statements: str) -> None:
        """Waits its turn for the tables, in steps: whoever queues behind us must not wait for somebody who sleeps."""
        with psycopg.connect(self._database_url, autocommit=True, options="-c lock_timeout=500ms") as own:
            for statement in statements:
                while True:
                    try:
                        own.execute(statement.encode())
                    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                        time.sleep(0.1)
                    else:
                        break
