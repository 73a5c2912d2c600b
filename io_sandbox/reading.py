"""What the citizen reads: body, buttons, dates and amounts, as near to the app as a web page should go."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import nh3
import yaml
from markdown_it import MarkdownIt

from io_sandbox.markup import Markup

_ROME: Final = ZoneInfo("Europe/Rome")
_MONTHS: Final = (
    *("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno"),
    *("luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"),
)
_TAGS: Final = {
    *("p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "a", "blockquote", "hr"),
    *("h2", "h3", "h4", "h5", "h6"),
}
_SCHEMES: Final = {"http", "https", "mailto", "tel", "sms"}

# What the guide lists; the app has no renderer for tables and strikethrough, and shows HTML as text.
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).disable("image")

# As the app finds the block: it looks when the first line holds a marker, and takes the first block there is.
_FIRST_LINE: Final = re.compile(r"= yaml =|---")
_FRONT_MATTER: Final = re.compile(r"^(= yaml =|---)$([\s\S]*?)^(?:\1|\.\.\.)\s*$\n?", re.MULTILINE)
_HANDLED_LINK: Final = "iohandledlink://"


@dataclass(frozen=True, slots=True)
class Button:
    """A call to action; `href` is empty when the app would not know how to open it."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Body:
    """`is_hidden`: the front matter cannot be read, and the app covers the whole body with a warning."""

    html: Markup
    buttons: tuple[Button, ...]
    is_hidden: bool


def read(markdown: str) -> Body:
    block = _FRONT_MATTER.search(markdown) if _FIRST_LINE.search(markdown.partition("\n")[0]) else None
    if block is None:
        return Body(_html(markdown), (), is_hidden=False)
    rest = markdown[: block.start()] + markdown[block.end() :]
    try:
        front_matter = yaml.safe_load(block[2])
    except (yaml.YAMLError, ValueError, RecursionError):
        return Body(_html(markdown), (), is_hidden=True)
    return Body(_html(rest), _buttons(front_matter), is_hidden=False)


def moment(at: float | datetime) -> str:
    """`31 dicembre 2026 alle ore 23:59`, in Rome."""
    rome = _in_rome(at)
    return f"{day(at)} alle ore {rome:%H:%M}"


def day(at: float | datetime) -> str:
    rome = _in_rome(at)
    return f"{rome.day} {_MONTHS[rome.month - 1]} {rome.year}"


def short_day(at: float, *, now: float) -> str:
    """As lists show it: the hour today, else the date."""
    rome = _in_rome(at)
    return f"{rome:%H:%M}" if rome.date() == _in_rome(now).date() else f"{rome:%d/%m/%Y}"


def euro(cents: int) -> str:
    """`1.234,50 €`."""
    whole, rest = divmod(cents, 100)
    return f"{whole:,}".replace(",", ".") + f",{rest:02}\N{NO-BREAK SPACE}€"


def in_fours(number: str) -> str:
    """Digits in groups of four, as notices print them."""
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))


def _html(markdown: str) -> Markup:
    tokens = _MARKDOWN.parse(markdown)
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    highest = min((int(token.tag[1:]) for token in headings), default=1)
    for token in headings:
        # The page's one h1 is the title of the message; the body's headings follow it without a gap.
        token.tag = f"h{min(int(token.tag[1:]) - highest + 2, 6)}"
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
    )
    return Markup(clean)


def _buttons(front_matter: object) -> tuple[Button, ...]:
    """At most two; without the first the app shows none."""
    italian = front_matter.get("it") if isinstance(front_matter, dict) else None
    found: list[Button] = []
    for name in ("cta_1", "cta_2"):
        cta = italian.get(name) if isinstance(italian, dict) else None
        text, action = (cta.get("text"), cta.get("action")) if isinstance(cta, dict) else (None, None)
        if isinstance(text, str) and isinstance(action, str):
            found.append(Button(text, _href(action)))
        elif not found:
            break
    return tuple(found)


def _href(action: str) -> str:
    target = action.removeprefix(_HANDLED_LINK)
    scheme = target.partition(":")[0].lower()
    return target if target != action and scheme in _SCHEMES else ""


def _in_rome(at: float | datetime) -> datetime:
    return (at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)).astimezone(_ROME)
