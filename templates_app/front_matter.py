"""The YAML block at the head of a message's body, from which the IO app makes its buttons.

The app finds the block with the JavaScript package `front-matter`: it looks only when the first line holds `---` or
`= yaml =` *anywhere*, and then takes the first block between two such lines *wherever it is*. So a dash too many in the
first line can make a piece of the body vanish. `find` does as the app does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

_FIRST_LINE: Final = re.compile(r"= yaml =|---")
_BLOCK: Final = re.compile(r"^\ufeff?(= yaml =|---)$([\s\S]*?)^(?:\1|\.\.\.)\s*$\n?", re.MULTILINE)
# The two languages of the app's buttons; German, which the app also speaks, falls back to English.
LANGUAGES: Final = ("it", "en")
_MAX_YAML: Final = 6_000
_MAX_DEPTH: Final = 5


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """Where the block stands in the body (`start` to `end`) and the YAML in it."""

    start: int
    end: int
    source: str


@dataclass(frozen=True, slots=True)
class Button:
    """A call to action: the label, and what the app opens (`iohandledlink://https://...`)."""

    text: str
    action: str


class InvalidYAML(ValueError):
    """The app would hide the whole body, or could read the block otherwise than we do."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A YAML leaf. `is_text` is false for what the app reads as a number, a yes or no, or nothing."""

    value: str
    is_text: bool


Node = Scalar | list["Node"] | dict[str, "Node"]


def find(markdown: str) -> FrontMatter | None:
    """The block that the app would take out of the body, if any. Line ends must be `\\n`."""
    first_line = markdown.partition("\n")[0]
    if not _FIRST_LINE.search(first_line):
        return None
    block = _BLOCK.search(markdown)
    if block is None:
        return None
    return FrontMatter(start=block.start(), end=block.end(), source=block[2].strip())


def without(markdown: str) -> str:
    """The body as the app shows it, block removed."""
    block = find(markdown)
    return markdown if block is None else markdown[: block.start] + markdown[block.end :]


def read(source: str) -> Node | None:
    """The block's content; None when it is empty. Raises InvalidYAML.

    Built from the parser's events, so that there is no recursion on hostile nesting, no alias, no tag, no object.
    """
    if len(source) > _MAX_YAML:
        raise InvalidYAML
    try:
        return _build(yaml.parse(source, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError) as error:
        # Half of a surrogate pair reaches PyYAML's reader as a ValueError.
        raise InvalidYAML from error


def buttons_of(node: Node | None, *, language: str) -> list[Button]:
    """The buttons the app shows in `language`, first to last; those it would not show are left out."""
    languages = node if isinstance(node, dict) else {}
    ctas = languages.get(language)
    found = []
    for name in ("cta_1", "cta_2"):
        cta = ctas.get(name) if isinstance(ctas, dict) else None
        text, action = (cta.get("text"), cta.get("action")) if isinstance(cta, dict) else (None, None)
        if isinstance(text, Scalar) and isinstance(action, Scalar) and text.is_text and action.is_text:
            found.append(Button(text=text.value, action=action.value))
        elif name == "cta_1":
            # The first is required by the app's decoder: without it there is none.
            return []
    return found


def _build(events: Iterator[yaml.Event]) -> Node | None:
    root: Node | None = None
    open_nodes: list[list[Node] | dict[str, Node]] = []
    keys: list[str | None] = []
    for event in events:
        node: Node
        match event:
            case yaml.AliasEvent():
                raise InvalidYAML
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                open_nodes.pop()
                keys.pop()
                continue
            case yaml.ScalarEvent():
                node = Scalar(
                    value=event.value, is_text=event.style is not None or not _NOT_TEXT.fullmatch(event.value)
                )
            case yaml.MappingStartEvent():
                node = {}
            case yaml.SequenceStartEvent():
                node = []
            case yaml.DocumentStartEvent() if root is not None:
                raise InvalidYAML
            case _:
                continue
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise InvalidYAML
        if not open_nodes:
            root = node
        else:
            _attach(node, to=open_nodes[-1], keys=keys)
        if not isinstance(node, Scalar):
            open_nodes.append(node)
            keys.append(None)
            if len(open_nodes) > _MAX_DEPTH:
                raise InvalidYAML
    return root


def _attach(node: Node, *, to: list[Node] | dict[str, Node], keys: list[str | None]) -> None:
    if isinstance(to, list):
        to.append(node)
        return
    key = keys[-1]
    if key is None:
        # The app's parser refuses a repeated name, and a key that is no scalar has no meaning here.
        if not isinstance(node, Scalar) or node.value in to:
            raise InvalidYAML
        keys[-1] = node.value
    else:
        to[key] = node
        keys[-1] = None


# What YAML 1.2 (the app's js-yaml) does not read as text when unquoted: null, true, false, numbers, timestamps, nothing.
_NOT_TEXT: Final = re.compile(
    r"|~|null|Null|NULL|true|True|TRUE|false|False|FALSE"
    r"|[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[0-9][0-9_]*)"
    r"|[-+]?(?:[0-9][0-9_]*)?\.?[0-9_]+(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
)
