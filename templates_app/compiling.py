"""A template cut into literals and slots, once for every equal text: what stays the same from message to message."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.utils.translation import gettext as _

from templates_app import front_matter
from templates_app.escaping import Escaper, Place, Spot, escaper_for, spots_of
from templates_app.findings import Finding, Severity
from templates_app.grammar import Broken, Dictionary, Hole, Item, LookupFault, items_of, pieces_of
from templates_app.placeholders import FORBIDDEN, Declaration, Form


@dataclass(frozen=True, slots=True)
class TemplateText:
    """One version of a template, without its database row. Hashable: compiled once for equal texts."""

    subject: str
    body: str
    declarations: tuple[Declaration, ...] = ()
    has_payment: bool = False
    has_due_date: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """An item to read for every message, and the forms in which the text shows it (none, if it is only declared)."""

    item: Item
    forms: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A hole of the body: which of the shown values fills it, and how it is written there (None: as Markdown)."""

    index: int
    escape: Escaper | None
    item: Item
    spot: Spot


@dataclass(frozen=True, slots=True)
class Fault:
    """A `${` that means nothing in this template. `pointer` is `/subject` or `/body`, `start` the offset there."""

    pointer: str
    piece: Hole | Broken
    reason: LookupFault | None

    def as_finding(self) -> Finding:
        """Words come last: what is compiled is kept, and the next reader may have another language."""
        code = "template_syntax" if self.reason is None else self.reason.value
        return Finding(code=code, pointer=self.pointer, detail=self._detail(), severity=Severity.IMPOSSIBLE)

    def _detail(self) -> str:
        if isinstance(self.piece, Broken):
            source = {"source": self.piece.source}
            if "?" in self.piece.source or "!" in self.piece.source:
                return (
                    _("%(source)s: le funzioni di FreeMarker non ci sono; usa le forme, come ${nome.uppercase}.")
                    % source
                )
            return (
                _("%(source)s: un segnaposto si scrive ${nome} o ${nome.forma}; per un ${ letterale scrivi $${.")
                % source
            )
        written = {"written": self.piece.written}
        if self.reason is LookupFault.UNKNOWN_FORM:
            return _("%(written)s: il segnaposto esiste, ma il suo tipo non ha questa forma.") % written
        if self.reason is LookupFault.FACT_ABSENT:
            return (
                _(
                    "%(written)s è un dato che i messaggi di questo modello non hanno: prevedi il pagamento o la scadenza."
                )
                % written
            )
        return _("%(written)s non è un segnaposto del modello: dichiaralo, o correggi il nome.") % written


@dataclass(frozen=True, slots=True)
class Compiled:
    """`subject` and `body` in order: literals, and indexes (or slots with an index) into the values shown.

    The values shown are the forms of every use, one after the other.
    """

    uses: tuple[Use, ...]
    subject: tuple[str | int, ...]
    body: tuple[str | Slot, ...]
    has_front_matter: bool
    faults: tuple[Fault, ...]


@lru_cache(maxsize=512)
def compile_template(text: TemplateText) -> Compiled:
    return _Compiler(text).compiled()


def with_plain_line_ends(source: str) -> str:
    """Every kind of line end as `\\n`: forms send `\\r\\n`, and the app's JavaScript knows two more."""
    if source.isprintable():
        return source
    for end in ("\r\n", "\r", "\x85", "\u2028", "\u2029"):
        source = source.replace(end, "\n")
    return source


class _Compiler:
    def __init__(self, text: TemplateText) -> None:
        self._text = text
        items = items_of(text.declarations, has_payment=text.has_payment, has_due_date=text.has_due_date)
        self._dictionary = Dictionary(items)
        # Every declared item is read, shown or not: GovIO asks for mandatory ones even when the text does not use them.
        self._forms: dict[Item, list[str]] = {item: [] for item in items.values()}
        self._faults: list[Fault] = []

    def compiled(self) -> Compiled:
        subject = self._resolved(_clean(self._text.subject).replace("\t", " ").replace("\n", " "), pointer="/subject")
        body = self._resolved(_clean(self._text.body), pointer="/body")
        uses = [(item, forms) for item, forms in self._forms.items() if forms or not item.fixed]
        numbers: dict[tuple[Item, str], int] = {}
        for item, forms in uses:
            for form in forms:
                numbers[item, form] = len(numbers)
        return Compiled(
            uses=tuple(Use(item=item, forms=tuple(item.forms[form] for form in forms)) for item, forms in uses),
            subject=tuple(piece if isinstance(piece, str) else numbers[piece] for piece in subject),
            body=tuple(_slots(body, numbers=numbers)),
            has_front_matter=front_matter.find(_filled(body)) is not None,
            faults=tuple(self._faults),
        )

    def _resolved(self, source: str, *, pointer: str) -> list[str | tuple[Item, str]]:
        """Literals, and for each hole the item and form it means; those that mean nothing become faults."""
        resolved: list[str | tuple[Item, str]] = []
        for piece in pieces_of(source):
            if isinstance(piece, str):
                resolved.append(piece)
                continue
            if isinstance(piece, Broken):
                self._faults.append(Fault(pointer=pointer, piece=piece, reason=None))
                continue
            use = self._dictionary.look_up(piece)
            if isinstance(use, LookupFault):
                self._faults.append(Fault(pointer=pointer, piece=piece, reason=use))
                continue
            item, form = use
            if form not in self._forms[item]:
                self._forms[item].append(form)
            resolved.append(use)
        return resolved


def _slots(body: list[str | tuple[Item, str]], *, numbers: Mapping[tuple[Item, str], int]) -> list[str | Slot]:
    spots = iter(spots_of([piece if isinstance(piece, str) else None for piece in body]))
    slots: list[str | Slot] = []
    for piece in body:
        if isinstance(piece, str):
            slots.append(piece)
            continue
        item, _form = piece
        spot = next(spots)
        as_markdown = item.declaration.is_markdown and spot.place is Place.TEXT
        escape = None if as_markdown else escaper_for(spot)
        slots.append(Slot(index=numbers[piece], escape=escape, item=item, spot=spot))
    return slots


def _clean(source: str) -> str:
    return FORBIDDEN.sub("", with_plain_line_ends(source))


def _filled(body: list[str | tuple[Item, str]]) -> str:
    return "".join(piece if isinstance(piece, str) else "x" for piece in body)
