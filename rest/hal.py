"""HAL: the media types of the answers, and absolute links that are right behind a proxy."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.urls import get_script_prefix
from django.utils.functional import Promise
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.mediatypes import media_type_matches


class HALRenderer(BaseRenderer):
    """JSON as GovIO labels it. Nulls stay: a field without a value yet is there, and null."""

    media_type = "application/hal+json"
    format = "json"
    charset = None
    render_style = "text"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_as_json)
        return text.encode()


class PlainJSONRenderer(HALRenderer):
    """The same bytes for a client that asks for `application/json`."""

    media_type = "application/json"


def _as_json(value: object) -> str:
    match value:
        case datetime():
            return utc_milliseconds(value)
        case Promise():
            return str(value)
    raise TypeError(type(value).__name__)


def utc_milliseconds(moment: datetime) -> str:
    """`2025-07-07T00:08:33.513Z`: the only way a date and time leaves the API."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class LenientNegotiation(BaseContentNegotiation):
    """The media type asked for when it is one of ours; otherwise HAL, never 406, as GovIO's clients expect."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        if "*" in request.content_type.partition(";")[0]:
            # A range is what one may accept, not what one can send.
            return None
        for parser in parsers:
            if media_type_matches(parser.media_type, request.content_type):
                return parser  # type: ignore[no-any-return]
        return None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        accept = request.headers.get("Accept", "*/*")
        # `max` keeps the first of equals: HAL, which is listed first.
        chosen = max(renderers, key=lambda renderer: _preference(accept, renderer.media_type))
        return chosen, chosen.media_type


def _preference(accept: str, media_type: str) -> float:
    """The weight that an Accept header gives to `media_type`; the most specific range counts (RFC 9110, 12.5.1)."""
    exact, family = media_type, media_type.partition("/")[0] + "/*"
    weights: dict[str, float] = {}
    for entry in accept[:1000].split(","):
        media_range, _semicolon, parameters = entry.partition(";")
        weights[media_range.strip().lower()] = _weight(parameters)
    return next((weights[key] for key in (exact, family, "*/*") if key in weights), 0.0)


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _equals, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


@dataclass(frozen=True, slots=True)
class Links:
    """Absolute addresses as the caller sees them. `base` is what comes before the path, `root` the mount of the API."""

    base: str
    root: str

    @classmethod
    def of(cls, request: HttpRequest | Request) -> "Links":
        """Django reads X-Forwarded-Proto, -Host and -Port only when settings trust the proxy; we read -Prefix likewise."""
        base = request.build_absolute_uri("/").rstrip("/")
        if settings.USE_X_FORWARDED_HOST:
            base += _prefix(request.headers.get("X-Forwarded-Prefix", ""))
        return cls(base=base, root=f"{base}{get_script_prefix()}{settings.API_PREFIX.strip('/')}")

    def to(self, *steps: str | int) -> dict[str, str]:
        """A link object: `links.to("messages", 1)`."""
        return {"href": "/".join((self.root, *map(str, steps)))}

    def to_page(self, path: str, query: QueryDict) -> dict[str, str]:
        """A link to `path` (as in `request.path`) with `query`."""
        text = urlencode([(name, value) for name, values in query.lists() for value in values])
        return {"href": f"{self.base}{path}?{text}" if text else f"{self.base}{path}"}


_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def _prefix(forwarded: str) -> str:
    """The path that a trusted proxy cut off, as it says; anything that is not plainly a path is ignored."""
    prefix = forwarded.rstrip("/")
    return prefix if _PATH.fullmatch(prefix) else ""
