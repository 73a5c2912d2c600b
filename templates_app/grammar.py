"""The closed grammar of templates: `${name}`, `${name.form}`, `${name_form}`, and `$${` for a literal `${`. Nothing else.

GovIO hands the text to a template engine that can run commands; here a text is cut into pieces in one pass, and each
name is looked up in a table made from the declarations.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from templates_app.italian import currency
from templates_app.placeholders import DOTTED_FORMS, FORMS, Declaration, Form, PlaceholderType

_TOKEN: Final = re.compile(
    r"(?P<literal>\$\$\{)"
    r"|\$\{[ \t]*+(?P<name>[A-Za-z_][A-Za-z0-9_]*+)(?:\.(?P<form>[A-Za-z_][A-Za-z0-9_]*+))?[ \t]*+\}"
    r"|(?P<broken>\$\{[^}\n]{0,80}+\}?)",
    re.ASCII,
)
# Forms of the message's own amount: the bare name is the number of cents, as in GovIO, where templates in use expect it.
_CENTS_FORMS: Final[Mapping[str, Form]] = {"": str, "currency": currency}


@dataclass(frozen=True, slots=True)
class Hole:
    """`${name}` or `${name.form}` as written; `start` is its offset in the text."""

    name: str
    form: str | None
    start: int

    @property
    def written(self) -> str:
        return "${" + (self.name if self.form is None else f"{self.name}.{self.form}") + "}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A `${` that opens no valid hole; `source` is what follows, cut short."""

    source: str
    start: int


Piece = str | Hole | Broken


def pieces_of(source: str) -> list[Piece]:
    """The text in order; neighbouring literals are joined. Linear in the text."""
    pieces: list[Piece] = []
    literal = ""
    end = 0
    for found in _TOKEN.finditer(source):
        literal += source[end : found.start()]
        end = found.end()
        if found["literal"]:
            literal += "${"
            continue
        if literal:
            pieces.append(literal)
            literal = ""
        if found["name"]:
            pieces.append(Hole(found["name"], found["form"], found.start()))
        else:
            pieces.append(Broken(found["broken"], found.start()))
    literal += source[end:]
    if literal:
        pieces.append(literal)
    return pieces


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a text may show: a declared placeholder, or a fact of the message itself (`fixed`)."""

    declaration: Declaration
    fixed: bool

    @property
    def name(self) -> str:
        return self.declaration.name

    @property
    def forms(self) -> Mapping[str, Form]:
        if self.fixed and self.declaration.type is PlaceholderType.AMOUNT:
            return _CENTS_FORMS
        return FORMS[self.declaration.type]


def _fixed(name: str, kind: PlaceholderType) -> Item:
    return Item(Declaration(name=name, type=kind, mandatory=False), fixed=True)


# GovIO's fixed items. Their values come from the message, never from a placeholder of the same name: otherwise a payment
# template could be satisfied, and sent, without a payment.
_ALWAYS: Final = (_fixed("taxcode", PlaceholderType.STRING), _fixed("expedition_date", PlaceholderType.DATETIME))
_WITH_DUE_DATE: Final = (_fixed("due_date", PlaceholderType.DATETIME),)
_WITH_PAYMENT: Final = (
    _fixed("notice_number", PlaceholderType.STRING),
    _fixed("amount", PlaceholderType.AMOUNT),
    _fixed("invalid_after_due_date", PlaceholderType.BOOLEAN),
    _fixed("payee", PlaceholderType.STRING),
)
RESERVED: Final = frozenset(item.name for item in _ALWAYS + _WITH_DUE_DATE + _WITH_PAYMENT)

# Each way to spell one of them in a text, the form joined to the name.
_FACTS: Final = RESERVED | {
    f"{item.name}_{form}" for item in _ALWAYS + _WITH_DUE_DATE + _WITH_PAYMENT for form in item.forms if form
}


def items_of(declarations: Iterable[Declaration], *, has_payment: bool, has_due_date: bool) -> dict[str, Item]:
    """Every item of a template by name. A declaration with a reserved name counts for nothing."""
    items = {
        declaration.name: Item(declaration, fixed=False)
        for declaration in declarations
        if declaration.name not in RESERVED
    }
    fixed = _ALWAYS + (_WITH_DUE_DATE if has_due_date else ()) + (_WITH_PAYMENT if has_payment else ())
    return items | {item.name: item for item in fixed}


class LookupFault(StrEnum):
    UNKNOWN_NAME = "unknown_name"
    # A fact of the message, in a template without payment or due date.
    FACT_ABSENT = "fact_not_in_template"
    UNKNOWN_FORM = "unknown_form"


class Dictionary:
    """What each spelling of a template means. A declared name wins over a name plus form."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        self._items = items
        self._spelled = {f"{item.name}_{form}": (item, form) for item in items.values() for form in item.forms if form}

    def look_up(self, hole: Hole) -> tuple[Item, str] | LookupFault:
        if hole.form is not None:
            item = self._items.get(hole.name)
            if item is None:
                return _absent(hole)
            form = DOTTED_FORMS.get(hole.form)
            return (item, form) if form in item.forms and form is not None else LookupFault.UNKNOWN_FORM
        if hole.name in self._items:
            return self._items[hole.name], ""
        return self._spelled.get(hole.name) or _absent(hole)


def _absent(hole: Hole) -> LookupFault:
    """No placeholder can ever be what is spelled like a fact."""
    is_fact = hole.name in (_FACTS if hole.form is None else RESERVED)
    return LookupFault.FACT_ABSENT if is_fact else LookupFault.UNKNOWN_NAME


def two_readings(items: Mapping[str, Item]) -> dict[str, list[str]]:
    """Spelling -> names of the items that could be meant by it, wherever there are several."""
    readings: dict[str, set[str]] = {}
    for item in items.values():
        for form in item.forms:
            readings.setdefault(f"{item.name}_{form}" if form else item.name, set()).add(item.name)
    return {spelling: sorted(names) for spelling, names in readings.items() if len(names) > 1}
