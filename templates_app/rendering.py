"""One renderer for preview, API, form and CSV: a template's text and values in, the exact subject and body out.

Pure and fast: the template is compiled once (`templates_app.compiling`), after which a message is a handful of joins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.utils.translation import gettext as _

from io_client.payloads import MARKDOWN_LENGTH, SUBJECT_LENGTH, utf16_length
from templates_app import front_matter
from templates_app.compiling import Compiled, TemplateText, compile_template, with_plain_line_ends
from templates_app.escaping import flat
from templates_app.findings import Finding, Severity
from templates_app.grammar import Item
from templates_app.placeholders import InvalidValue, Value, read_value
from templates_app.rome_time import UnreadableTime, to_rome

__all__ = ["FixedValues", "Rendered", "RenderingErrors", "TemplateText", "check_values", "render"]


@dataclass(frozen=True, slots=True)
class FixedValues:
    """What a text may show of the message itself. Aware datetimes; the amount in euro cents."""

    taxcode: str = field(repr=False)
    expedition_date: datetime
    due_date: datetime | None = None
    notice_number: str | None = None
    amount_cents: int | None = None
    invalid_after_due_date: bool | None = None
    payee: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the citizen gets. `blanks`: the optional items that the text shows and that had no value."""

    subject: str = field(repr=False)
    markdown: str = field(repr=False)
    blanks: tuple[str, ...] = ()


class RenderingErrors(ValueError):
    """The text cannot be made; `findings` are all the reasons, all IMPOSSIBLE.

    Pointers are into what `render` was given: `/values/<name>`, `/fixed/<name>`, `/subject`, `/body`.
    """

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(", ".join(finding.code for finding in findings))
        self.findings = tuple(findings)


def render(text: TemplateText, *, values: Mapping[str, str], fixed: FixedValues) -> Rendered:
    """Subject and body of one message, or RenderingErrors with every reason why not.

    Values are texts as received. Names that the template does not declare are ignored; the message's own facts
    (`due_date`, `amount`...) always come from `fixed`.
    """
    compiled = compile_template(text)
    findings = [fault.as_finding() for fault in compiled.faults]
    shown: list[str] = []
    blanks: list[str] = []
    for use in compiled.uses:
        try:
            value = _fact(use.item, fixed) if use.item.fixed else _placeholder(use.item, values)
        except InvalidValue as invalid:
            findings.append(_finding(invalid.code, _pointer(use.item), invalid.detail))
            continue
        if value is None:
            if use.forms:
                blanks.append(use.item.name)
            shown.extend([""] * len(use.forms))
        else:
            shown.extend([form(value) for form in use.forms])
    if findings:
        raise RenderingErrors(findings)
    subject = "".join([piece if isinstance(piece, str) else flat(shown[piece]) for piece in compiled.subject])
    markdown = _markdown(compiled, shown)
    findings = _misfits(compiled, subject, markdown)
    if findings:
        raise RenderingErrors(findings)
    return Rendered(subject=subject, markdown=markdown, blanks=tuple(blanks))


def check_values(text: TemplateText, *, values: Mapping[str, str]) -> list[Finding]:
    """What is wrong with the placeholders' values alone, for a message whose own facts are not known."""
    findings = []
    for use in compile_template(text).uses:
        if not use.item.fixed:
            try:
                _placeholder(use.item, values)
            except InvalidValue as invalid:
                findings.append(_finding(invalid.code, _pointer(use.item), invalid.detail))
    return findings


def _placeholder(item: Item, values: Mapping[str, str]) -> Value | None:
    """None for an optional placeholder without a value. A mandatory one must not be blank. Raises InvalidValue."""
    name = item.declaration.name
    text = values.get(name)
    if text is not None and text.strip():
        return read_value(item.declaration, text)
    if not item.declaration.mandatory:
        return None
    if text is None:
        raise InvalidValue("placeholder_missing", _("Manca il valore del segnaposto %(name)s.") % {"name": name})
    raise InvalidValue("placeholder_empty", _("Il valore del segnaposto %(name)s è vuoto.") % {"name": name})


_FACTS: Final[Mapping[str, Callable[[FixedValues], Value | None]]] = {
    "taxcode": lambda fixed: fixed.taxcode,
    "expedition_date": lambda fixed: to_rome(fixed.expedition_date),
    "due_date": lambda fixed: None if fixed.due_date is None else to_rome(fixed.due_date),
    "notice_number": lambda fixed: fixed.notice_number,
    "amount": lambda fixed: fixed.amount_cents,
    # As in GovIO, not said means no.
    "invalid_after_due_date": lambda fixed: bool(fixed.invalid_after_due_date),
    "payee": lambda fixed: fixed.payee,
}
_REQUIRED_FACTS: Final = frozenset({"due_date", "notice_number", "amount"})


def _fact(item: Item, fixed: FixedValues) -> Value | None:
    name = item.declaration.name
    try:
        fact = _FACTS[name](fixed)
    except UnreadableTime as unreadable:
        raise InvalidValue(unreadable.fault.value, unreadable.fault.cure) from None
    if fact is None and name in _REQUIRED_FACTS:
        raise InvalidValue("fact_missing", _("Il testo mostra %(name)s, che il messaggio non ha.") % {"name": name})
    return fact


def _markdown(compiled: Compiled, shown: list[str]) -> str:
    parts: list[str] = []
    findings: list[Finding] = []
    for piece in compiled.body:
        if isinstance(piece, str):
            parts.append(piece)
            continue
        value = shown[piece.index]
        if piece.escape is None:
            parts.append(with_plain_line_ends(value))
        elif value := flat(value):
            try:
                parts.append(piece.escape(value))
            except InvalidValue as invalid:
                findings.append(_finding(invalid.code, _pointer(piece.item), invalid.detail))
    if findings:
        raise RenderingErrors(findings)
    return "".join(parts)


def _misfits(compiled: Compiled, subject: str, markdown: str) -> list[Finding]:
    """What can be wrong only with the finished text."""
    findings = []
    length = utf16_length(subject)
    if not SUBJECT_LENGTH[0] <= length <= SUBJECT_LENGTH[1]:
        detail = _("Il titolo composto è lungo %(length)s caratteri: deve averne da 10 a 120.") % {"length": length}
        findings.append(_finding("subject_length", "/subject", detail))
    length = utf16_length(markdown)
    if not MARKDOWN_LENGTH[0] <= length <= MARKDOWN_LENGTH[1]:
        detail = _("Il testo composto è lungo %(length)s caratteri: deve averne da 80 a 10.000.") % {"length": length}
        findings.append(_finding("body_length", "/body", detail))
    if not compiled.has_front_matter and front_matter.find(markdown) is not None:
        # Only Markdown values, or dashes met across a hole's border, can get here; the app would take text for buttons.
        detail = _("I valori aprono un blocco --- che l'app toglierebbe dal testo: togli i trattini.")
        findings.append(_finding("front_matter_injected", "/body", detail))
    return findings


def _pointer(item: Item) -> str:
    return f"/{'fixed' if item.fixed else 'values'}/{item.declaration.name}"


def _finding(code: str, pointer: str, detail: str) -> Finding:
    return Finding(code=code, pointer=pointer, detail=detail, severity=Severity.IMPOSSIBLE)
