"""HTML built from templates, in which every value is escaped unless it is markup already."""

from collections.abc import Iterable
from html import escape
from typing import Final


class Markup(str):
    """HTML that is ready; only this module and `reading` make any from outside text."""

    __slots__ = ()


NOTHING: Final = Markup("")


def fill(template: str, **values: object) -> Markup:
    """The template with its `{names}` filled in. None stands for nothing."""
    return Markup(template.format_map({name: _safe(value) for name, value in values.items()}))


def join(pieces: Iterable[Markup]) -> Markup:
    return Markup("".join(pieces))


def _safe(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    return Markup(escape("" if value is None else str(value), quote=True))
