"""How a value is written so that it shows as it is, wherever in the body the template's author put it.

Each hole of a body is classed once, when the template is compiled, by parsing the body with a private mark in every
hole and looking where the marks come out: running text, code, a link's address, its title, or the YAML of the buttons.
In running text only what would be Markdown *there* gets a backslash, so that ordinary values stay readable in the raw
text too (e-mail copies, our own lists). Bare web and e-mail addresses are left to be recognised as such.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import quote

from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token

from templates_app import front_matter
from templates_app.placeholders import InvalidValue

Escaper = Callable[[str], str]

_MARK: Final = re.compile("\ue000([0-9]+)\ue001")
_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
# Looked for from the first space before it only, so that a long run of spaces costs its length once.
_LINE_BREAK: Final = re.compile("(?<! ) *[\r\n\t\x85\u2028\u2029]\\s*")
# Only list marks, quotes, emphasis and the like stand before the hole: its value may open a block.
_OPENS_LINE: Final = re.compile(r"[\s>#*+\-0-9.)(_=~`|:\[\]xX\\]*")
_SCHEME: Final = re.compile(r"(?:https?://|mailto:|tel:|sms:|ioit://)", re.IGNORECASE)
_ACTION_SCHEME: Final = re.compile(
    r"(?:iohandledlink://(?:https?://|mailto:|tel:|sms:|copy:)|ioit://|iosso://)", re.IGNORECASE
)
_HANDLED_SCHEME: Final = re.compile(r"(?:https?://|mailto:|tel:|sms:|copy:)", re.IGNORECASE)
_YAML_LINE: Final = re.compile(r"\s*([A-Za-z_0-9]+)\s*:\s+(.*)", re.DOTALL)
_YAML_PLAIN: Final = re.compile(r"[^\W_][\w .,/()€-]*")


class Place(Enum):
    """Where a hole stands in the body."""

    TEXT = auto()
    CODE = auto()
    # The whole address of a link, or a part of one.
    ADDRESS = auto()
    ADDRESS_PART = auto()
    LINK_TITLE = auto()
    # In the YAML of the buttons: an `action` is an address too.
    YAML_DOUBLE_QUOTED = auto()
    YAML_SINGLE_QUOTED = auto()
    YAML_PLAIN = auto()
    YAML_ACTION = auto()
    YAML_ACTION_AFTER_SCHEME = auto()


@dataclass(frozen=True, slots=True)
class Spot:
    """A hole's place, and what surrounds it: `before` is the literal text of its line so far, `after` what follows it.

    Where another hole is the neighbour, the text ends (or begins) with its mark, since its value may be anything.
    """

    place: Place
    before: str
    after: str

    @property
    def opens_line(self) -> bool:
        return _OPENS_LINE.fullmatch(_MARK.sub("", self.before)) is not None


def flat(value: str) -> str:
    """The value on one line: each run of line ends and tabs becomes a space, none is left at the ends."""
    if value.isprintable():
        return value.strip(" ")
    return _LINE_BREAK.sub(" ", value).strip()


def spots_of(pieces: Sequence[str | None]) -> list[Spot]:
    """The spot of each hole; `pieces` is the body in order, None for a hole."""
    marked = ""
    starts: list[int] = []
    for piece in pieces:
        if piece is None:
            starts.append(len(marked))
            marked += f"\ue000{len(starts) - 1}\ue001"
        else:
            marked += piece.replace("\ue000", "\ufffd").replace("\ue001", "\ufffd")
    block = front_matter.find(marked)
    places = _places(front_matter.without(marked), count=len(starts))
    spots = []
    for index, start in enumerate(starts):
        before = marked[marked.rfind("\n", 0, start) + 1 : start]
        after = marked[start:].partition("\ue001")[2][:2]
        if block is not None and block.start <= start < block.end:
            place = _yaml_place(before)
        elif places[index] is Place.TEXT and before.endswith("<") and after.startswith(">"):
            place = Place.ADDRESS
        else:
            place = places[index]
        spots.append(Spot(place=place, before=before, after=after))
    return spots


def escaper_for(spot: Spot) -> Escaper:
    """What writes a flat value in that spot; it raises InvalidValue where the value cannot be written there."""
    if spot.place is Place.TEXT:
        return _text_escaper(spot)
    return _ESCAPERS[spot.place]


def _places(body: str, *, count: int) -> list[Place]:
    found = [Place.TEXT] * count

    def mark(text: str, place: Place) -> None:
        for index in _MARK.findall(text):
            found[int(index)] = place

    environment: dict[str, dict[str, dict[str, str]]] = {}
    tokens = _PROBE.parse(body, environment)
    for token in _flattened(tokens):
        for name, value in token.attrs.items():
            if name in {"href", "src"}:
                _mark_address(str(value), mark)
            elif name == "title":
                mark(str(value), Place.LINK_TITLE)
        if token.type in {"code_inline", "code_block", "fence"}:
            mark(token.content + token.info, Place.CODE)
    for reference in environment.get("references", {}).values():
        _mark_address(reference.get("href", ""), mark)
        mark(reference.get("title", ""), Place.LINK_TITLE)
    return found


def _mark_address(address: str, mark: Callable[[str, Place], None]) -> None:
    first = _MARK.match(address)
    mark(address, Place.ADDRESS_PART)
    if first is not None:
        mark(first.group(), Place.ADDRESS)


def _flattened(tokens: Sequence[Token]) -> list[Token]:
    flattened = []
    for token in tokens:
        flattened.append(token)
        flattened.extend(_flattened(token.children or ()))
    return flattened


def _probe() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # Addresses must come out as written, marks included, even those that a browser should not follow.
    markdown.normalizeLink = lambda url: url  # type: ignore[method-assign]
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]
    return markdown


_PROBE: Final = _probe()


def _yaml_place(before: str) -> Place:
    line = _YAML_LINE.fullmatch(before)
    if line is None:
        return Place.YAML_PLAIN
    key, value = line.groups()
    if key == "action":
        address = value.lstrip("\"'")
        if address == "":
            return Place.YAML_ACTION
        return Place.YAML_ACTION_AFTER_SCHEME if address == "iohandledlink://" else Place.ADDRESS_PART
    match value[:1]:
        case '"':
            return Place.YAML_DOUBLE_QUOTED
        case "'":
            return Place.YAML_SINGLE_QUOTED
        case _:
            return Place.YAML_PLAIN


def _text_escaper(spot: Spot) -> Escaper:
    neighbour_is_hole = spot.after.startswith("\ue000")
    dangers = [
        r"-{3,}|= yaml =",
        r"[`*\[\]<~|]",
        # A backslash is itself before a letter.
        r"\\(?=[!-/:-@\[-`{-~]|\Z)",
        # Inside a word an underscore is no emphasis.
        r"(?<!\w)_+|_+(?!\w)",
        r"&(?=\#?[A-Za-z0-9]{1,40};)",
        # A heading drops its closing #.
        r"(?<!\S)\#+\Z",
    ]
    if spot.opens_line:
        # Thematic breaks, table rulings, setext underlines, lists, headings, quotes.
        dangers.insert(0, r"\A(?:[-:\s]+\Z|=+\s*\Z|[-+](?=\s|\Z)|\#{1,6}(?=\s|\Z)|>|[0-9]{0,9}[.)](?=\s|\Z))")
    if neighbour_is_hole or re.match(r"[;#A-Za-z0-9]", spot.after):
        dangers.append(r"&(?=\#?[A-Za-z0-9]*\Z)")
    if neighbour_is_hole or spot.after.startswith("["):
        dangers.append(r"!\Z")
    if spot.before.endswith("]"):
        dangers.append(r"\A[(:]")
    if re.search(r"&\#?[A-Za-z0-9]*\Z", spot.before):
        dangers.append(r"\A\#?[A-Za-z0-9]*;")
    search = re.compile("|".join(dangers))
    backslashes = len(spot.before) - len(spot.before.rstrip("\\"))
    after_backslash = backslashes % 2 == 1

    def escape(value: str) -> str:
        escaped = search.sub(_with_backslashes, value)
        if after_backslash and _PUNCTUATION.match(escaped):
            # The author's backslash would swallow ours.
            return "\\" + escaped
        return escaped

    return escape


def _with_backslashes(found: re.Match[str]) -> str:
    return _PUNCTUATION.sub(r"\\\g<0>", found.group())


def _in_code(value: str) -> str:
    if "`" in value or "~~~" in value:
        raise InvalidValue(
            "value_not_for_code", _("Il valore contiene ` o ~~~, che nel testo in formato codice non si può scrivere.")
        )
    return value


def _address(value: str, *, scheme: re.Pattern[str] = _SCHEME) -> str:
    if not scheme.match(value):
        raise InvalidValue(
            "link_scheme", _("Il valore è usato come indirizzo di un link: deve cominciare con https://.")
        )
    return quote(value, safe=":/?#@!$&*+,;=%-._~")


def _yaml_plain(value: str) -> str:
    if not _YAML_PLAIN.fullmatch(value):
        raise InvalidValue(
            "value_not_for_button",
            _("Il valore non si può scrivere nel pulsante senza virgolette: aggiungile nel modello."),
        )
    return value


_ESCAPERS: Final[dict[Place, Escaper]] = {
    Place.CODE: _in_code,
    Place.ADDRESS: _address,
    Place.ADDRESS_PART: lambda value: quote(value, safe="/"),
    Place.LINK_TITLE: lambda value: _PUNCTUATION.sub(r"\\\g<0>", value),
    Place.YAML_DOUBLE_QUOTED: lambda value: value.replace("\\", "\\\\").replace('"', '\\"'),
    Place.YAML_SINGLE_QUOTED: lambda value: value.replace("'", "''"),
    Place.YAML_PLAIN: _yaml_plain,
    Place.YAML_ACTION: lambda value: _address(value, scheme=_ACTION_SCHEME),
    Place.YAML_ACTION_AFTER_SCHEME: lambda value: _address(value, scheme=_HANDLED_SCHEME),
}
