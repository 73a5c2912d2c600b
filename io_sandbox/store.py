"""What IO remembers: citizens who received something, their messages, and a line for every POST received."""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from io_sandbox.stories import STORIES, Plot, plot_of

_SCHEMA: Final = """
BEGIN;
CREATE TABLE IF NOT EXISTS citizen (
    id TEXT PRIMARY KEY,  -- opaque, for addresses of pages
    fiscal_code TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS message (
    io_id TEXT PRIMARY KEY,
    citizen TEXT NOT NULL REFERENCES citizen (id),
    service_id TEXT NOT NULL,
    sender TEXT NOT NULL,  -- JSON: names as they were when it was sent
    feature_level TEXT NOT NULL,
    time_to_live INTEGER NOT NULL,
    content TEXT NOT NULL,  -- JSON
    accepted_at REAL NOT NULL,  -- seconds since 1970
    opened_at REAL,
    paid_at REAL
);
CREATE INDEX IF NOT EXISTS message_by_citizen ON message (citizen, accepted_at);
CREATE TABLE IF NOT EXISTS received (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    service_id TEXT NOT NULL,
    fiscal_code TEXT NOT NULL,
    subject TEXT NOT NULL,
    status INTEGER NOT NULL,  -- what was answered, or was going to be
    io_id TEXT  -- when the message was accepted, whatever was answered
);
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Citizen:
    id: str
    fiscal_code: str
    messages: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Sender:
    organization: str
    organization_fiscal_code: str
    service: str


@dataclass(frozen=True, slots=True)
class Message:
    """An accepted message. Times in seconds since 1970; `content` as IO keeps it."""

    io_id: str
    citizen: str
    fiscal_code: str
    service_id: str
    sender: Sender
    feature_level: str
    time_to_live: int
    content: Mapping[str, Any]
    accepted_at: float
    opened_at: float | None
    paid_at: float | None

    def status(self, *, at: float, accepted_for: float) -> str:
        """IO's word for where the message stands: it is processed a while after it was accepted."""
        if at - self.accepted_at < accepted_for:
            return "ACCEPTED"
        return _ENDINGS.get(plot_of(self.fiscal_code), "PROCESSED")


# How a message ends that does not end in the inbox. IO takes messages for anybody, and looks at the person later.
_ENDINGS: Final[Mapping[Plot | None, str]] = {
    Plot.NOT_ON_IO: "REJECTED",
    Plot.DISABLED: "REJECTED",
    Plot.REJECTED: "REJECTED",
    Plot.FAILED: "FAILED",
}
_WITHOUT_INBOX: Final = tuple(story.fiscal_code for story in STORIES if story.plot in _ENDINGS)

_MESSAGES: Final = "SELECT message.*, citizen.fiscal_code FROM message JOIN citizen ON citizen.id = message.citizen "


class Store:
    """One SQLite file. Calls are short and made from the event loop itself: this is IO for one machine."""

    def __init__(self, path: Path) -> None:
        """Opens the file, making it (and its folder) when it is not there. Raises sqlite3.Error or OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # Enough to survive our own end, however sudden; only a power cut could lose the last moments.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def accept(self, message: Message) -> None:
        """Keeps a message whose `citizen` is still empty: the citizen is found by fiscal code, or made."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(
                "INSERT INTO citizen (id, fiscal_code) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (secrets.token_urlsafe(9), message.fiscal_code),
            )
            self._db.execute(
                "INSERT INTO message (io_id, citizen, service_id, sender, feature_level, time_to_live, content, accepted_at)"
                " SELECT ?, id, ?, ?, ?, ?, ?, ? FROM citizen WHERE fiscal_code = ?",
                (
                    message.io_id,
                    message.service_id,
                    json.dumps(
                        [message.sender.organization, message.sender.organization_fiscal_code, message.sender.service]
                    ),
                    message.feature_level,
                    message.time_to_live,
                    json.dumps(message.content),
                    message.accepted_at,
                    message.fiscal_code,
                ),
            )
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def note_received(
        self, *, at: float, service_id: str, fiscal_code: str, subject: str, status: int, io_id: str | None
    ) -> None:
        """A line for a POST of a message, whatever its outcome."""
        self._db.execute(
            "INSERT INTO received (at, service_id, fiscal_code, subject, status, io_id) VALUES (?, ?, ?, ?, ?, ?)",
            (at, service_id, fiscal_code, subject, status, io_id),
        )

    def received(self) -> list[dict[str, Any]]:
        """Every POST of a message, oldest first."""
        rows = self._db.execute(
            "SELECT at, service_id, fiscal_code, subject, status, io_id FROM received ORDER BY number"
        )
        return [dict(row) for row in rows]

    def message(self, io_id: str) -> Message | None:
        row = self._db.execute(_MESSAGES + "WHERE io_id = ?", (io_id,)).fetchone()
        return _message(row) if row else None

    def messages_of(self, citizen: str) -> list[Message]:
        """Newest first."""
        rows = self._db.execute(_MESSAGES + "WHERE citizen = ? ORDER BY accepted_at DESC, io_id DESC", (citizen,))
        return [_message(row) for row in rows]

    def citizen(self, citizen_id: str) -> Citizen | None:
        row = self._db.execute("SELECT id, fiscal_code FROM citizen WHERE id = ?", (citizen_id,)).fetchone()
        return Citizen(row["id"], row["fiscal_code"]) if row else None

    def citizens(self, *, accepted_by: float, limit: int) -> list[Citizen]:
        """Who has something in the inbox that was accepted up to then (seconds since 1970), the latest first."""
        rows = self._db.execute(
            "SELECT citizen.id, fiscal_code, count(*) AS messages, sum(opened_at IS NULL) AS unread"
            " FROM citizen JOIN message ON message.citizen = citizen.id"
            " WHERE accepted_at <= ? AND fiscal_code NOT IN (SELECT value FROM json_each(?))"
            " GROUP BY citizen.id ORDER BY max(accepted_at) DESC, citizen.id LIMIT ?",
            (accepted_by, json.dumps(_WITHOUT_INBOX), limit),
        )
        return [Citizen(row["id"], row["fiscal_code"], row["messages"], row["unread"]) for row in rows]

    def open_message(self, io_id: str, *, at: float) -> None:
        self._db.execute("UPDATE message SET opened_at = ? WHERE io_id = ? AND opened_at IS NULL", (at, io_id))

    def pay_message(self, io_id: str, *, at: float) -> None:
        self._db.execute("UPDATE message SET paid_at = ? WHERE io_id = ? AND paid_at IS NULL", (at, io_id))


def _message(row: sqlite3.Row) -> Message:
    return Message(
        io_id=row["io_id"],
        citizen=row["citizen"],
        fiscal_code=row["fiscal_code"],
        service_id=row["service_id"],
        sender=Sender(*json.loads(row["sender"])),
        feature_level=row["feature_level"],
        time_to_live=row["time_to_live"],
        content=json.loads(row["content"]),
        accepted_at=row["accepted_at"],
        opened_at=row["opened_at"],
        paid_at=row["paid_at"],
    )
