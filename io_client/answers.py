"""IO's answer as it came over the wire, read without trusting it: sizes capped, texts cleaned, identities hidden."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Final
from urllib.parse import unquote, urlsplit

from io_client.payloads import FISCAL_CODE

# Bytes of an answer that we read. The longest honest one is a status, which repeats the message: 10,000 characters
# that JSON may write in six bytes each, and the title.
BODY_LIMIT: Final = 256 * 1024
TEXT_LIMIT: Final = 500  # characters kept of a title or a detail
LONGEST_PAUSE: Final = 3600.0  # seconds; a longer one asked by a 429 is more likely an error than a wish

_FISCAL_CODE_ANYWHERE: Final = re.compile(FISCAL_CODE.pattern, re.ASCII | re.IGNORECASE)
_SECONDS: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


class Answer:
    """Status, headers and body of one HTTP answer. `secret` is the key of the call, hidden wherever IO repeats it."""

    def __init__(self, *, status: int, headers: Mapping[str, str], content: bytes = b"", secret: str = "") -> None:
        """`headers` finds names whatever their case; `content` holds at most BODY_LIMIT bytes."""
        self.status = status
        self._headers = headers
        self._content = content
        self._secret = secret

    @cached_property
    def body(self) -> Mapping[str, object]:
        """The JSON object of the answer; empty when there is none, when it is cut, or when it is something else."""
        try:
            value = json.loads(self._content)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def is_from_gateway(self) -> bool:
        """The gateway in front of IO writes `{statusCode, message}`; IO's functions write problem JSON."""
        return "statusCode" in self.body and "title" not in self.body

    @property
    def title(self) -> str:
        return self._shown(self.body.get("message" if self.is_from_gateway else "title"))

    @property
    def detail(self) -> str:
        return self._shown(self.body.get("detail"))

    def text(self, name: str, *, pattern: re.Pattern[str]) -> str | None:
        """The field of the body when it is a text that the whole pattern matches, else None."""
        value = self.body.get(name)
        return value if isinstance(value, str) and pattern.fullmatch(value) else None

    def location_id(self, *, pattern: re.Pattern[str]) -> str | None:
        """The last segment of `Location` (`…/messages/{fiscal_code}/{id}`), which is the id of a created message."""
        try:
            path = urlsplit(self._headers.get("Location", "")).path
        except ValueError:
            return None
        segments = [unquote(segment) for segment in path.split("/") if segment]
        if not segments or not pattern.fullmatch(segments[-1]) or FISCAL_CODE.fullmatch(segments[-1]):
            return None
        return segments[-1]

    def retry_after(self, *, at: datetime | None = None) -> float | None:
        """Seconds to wait, from IO's own header or the standard one (seconds or a date); None when neither says."""
        for name in ("x-rate-limit-retry-after", "Retry-After"):
            seconds = _seconds(self._headers.get(name, ""), at=at or datetime.now(UTC))
            if seconds is not None:
                return min(max(seconds, 0.0), LONGEST_PAUSE)
        return None

    def _shown(self, value: object) -> str:
        """What operators may read of IO's words: no fiscal code, no key, nothing a database cannot store."""
        if not isinstance(value, str):
            return ""
        text = value.replace(self._secret, "***") if self._secret else value
        text = _FISCAL_CODE_ANYWHERE.sub("***", _CONTROLS.sub(" ", text)).strip()
        return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"


def _seconds(value: str, *, at: datetime) -> float | None:
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # The RFC's `-0000` gives a naive datetime that means UTC.
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - at).total_seconds()
