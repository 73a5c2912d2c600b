"""Secrets of an installation that nobody configured: made once, kept in `DATA_DIR/secrets`, readable by the owner only.

Used by the embedded default alone. The real arrangement has several processes on several hosts, so there the
environment must give them (see `govio_portal.checks`).
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet


class DataDirUnusable(Exception):
    """DATA_DIR cannot be written; the message is one sentence for the person who started us."""


MAKERS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "SEALING_KEYS": lambda: Fernet.generate_key().decode(),
    "METRICS_TOKEN": lambda: secrets.token_urlsafe(32),
    "DEMO_KEY_EURO": lambda: "giop_" + secrets.token_urlsafe(32),
    "DEMO_KEY_CENTS": lambda: "giop_" + secrets.token_urlsafe(32),
    "DEMO_KEY_EVERYTHING": lambda: "giop_" + secrets.token_urlsafe(32),
    "DEMO_PASSWORD": lambda: secrets.token_urlsafe(9),
    "DEMO_IO_KEYS": lambda: ",".join(secrets.token_hex(16) for _ in range(4)),
}


def folder(data_dir: Path) -> Path:
    return data_dir / "secrets"


def read(data_dir: Path, name: str) -> str:
    """The stored secret, or an empty string where none was made."""
    try:
        return (folder(data_dir) / name).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise DataDirUnusable(f"The secret {folder(data_dir) / name} cannot be read: {error.strerror}.") from None


def ensure(data_dir: Path) -> None:
    """Make what is missing. Raises DataDirUnusable."""
    try:
        # The database holds citizens' data: no other user of this machine has any business here.
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder(data_dir).mkdir(mode=0o700, exist_ok=True)
        for name, make in MAKERS.items():
            path = folder(data_dir) / name
            if path.exists():
                continue
            # Whole or not at all: a start killed half-way must not leave an empty key behind.
            draft = path.with_name(f".{name}.{os.getpid()}")
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as stream:
                stream.write(make() + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            # Whoever comes second keeps the first one's: two starts at once must not seal with two keys.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
    except OSError as error:
        raise DataDirUnusable(
            f"The data folder {data_dir} cannot be written ({error.strerror}): "
            "make it writable, or choose another one with DATA_DIR."
        ) from None
