"""How a log line looks: text for people, or one JSON object a line for machines. Nothing goes out unredacted.

Only the fields named here are written: what libraries attach to their records (a request, a task's arguments) may hold
anybody's data, and stays out.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from govio_portal.redaction import RedactingFormatter, redact
from messaging.logs import Fields

FORMATS = ("text", "json")
# In the order of their declaration, which is that of the line.
_FIELDS = tuple(Fields.__annotations__)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the line carries besides its sentence: numbers as they are, everything else as redacted text."""
    return {name: _clean(record.__dict__[name]) for name in _FIELDS if record.__dict__.get(name) is not None}


def _clean(value: Any) -> Any:
    match value:
        case bool() | int() | float():
            return value
        case dict():
            return {redact(str(name)): _clean(each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(each) for each in value]
        case _:
            return redact(str(value))


class TextFormatter(RedactingFormatter):
    """The sentence, then `io_account=3 outcomes=accepted:99,unknown:1`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name is logging's)
        line = redact(super().formatMessage(record))
        fields = "".join(f" {name}={_in_text(value)}" for name, value in fields_of(record).items())
        return line + fields


def _in_text(value: Any) -> str:
    match value:
        case dict():
            return ",".join(f"{name}:{each}" for name, each in value.items())
        case list():
            return ",".join(str(each) for each in value)
        case str() if " " in value:
            return f'"{value}"'
        case _:
            return str(value)


class JsonFormatter(RedactingFormatter):
    """`{"time": …, "level": …, "logger": …, "message": …}`, then the fields; a traceback in `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": redact(record.name),
            "message": redact(record.getMessage()),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False)
