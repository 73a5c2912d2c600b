"""Checks on what people write: of a template before it is saved, and of a finished text before it is sent.

Codes such as T2 or B7 are the ids of the authoring rules; codes in words are the grammar's own.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from django.utils.translation import gettext as _

from templates_app.body_rules import body_findings
from templates_app.button_rules import button_findings
from templates_app.compiling import Compiled, Slot, TemplateText, compile_template, with_plain_line_ends
from templates_app.date_rules import PaymentFacts, date_findings
from templates_app.escaping import Place
from templates_app.findings import Finding, Severity
from templates_app.grammar import RESERVED, items_of, two_readings
from templates_app.patterns import PatternError, compile_pattern
from templates_app.placeholders import MAX_NAME, NAME, Declaration, InvalidValue, PlaceholderType, read_value
from templates_app.rendering import FixedValues, RenderingErrors, render
from templates_app.title_rules import title_findings

# Rules that stop an operator (level E). Over the API nothing of this is asked: GovIO sends such messages.
BLOCKING: Final = frozenset({"T1", "T2", "T7", "B1", "B2", "B3", "B7", "C1", "C2", "C3", "D1", "P1", "P4"})
MAX_SUBJECT: Final = 255
MAX_BODY: Final = 20_000

# Any believable message, to see the text with everything in its place.
_SPECIMEN: Final = FixedValues(
    taxcode="RSSMRA80A01H501U",
    expedition_date=datetime(2027, 1, 12, 8, 0, tzinfo=UTC),
    due_date=datetime(2027, 2, 28, 22, 59, 59, tzinfo=UTC),
    notice_number="300000000000000001",
    amount_cents=14_550,
    invalid_after_due_date=True,
    payee="01199250158",
)


def check_template(text: TemplateText) -> list[Finding]:
    """Everything wrong (IMPOSSIBLE: do not save) or doubtful (WARNING) with a template, shown with its examples.

    Pointers: `/subject`, `/body`, `/declarations/<index>/<field>`.
    """
    findings = [*_sizes(text), *_declarations(text)]
    if any(finding.code == "too_long" for finding in findings):
        return findings
    compiled = compile_template(text)
    findings += [fault.as_finding() for fault in compiled.faults]
    findings += _uses(text, compiled)
    if any(finding.severity is not Severity.WARNING for finding in findings):
        return findings
    return findings + _with_examples(text)


def lint_message(
    subject: str,
    markdown: str,
    *,
    due_date: datetime | None = None,
    payment: PaymentFacts | None = None,
    at: datetime,
    names: Iterable[str] = (),
) -> list[Finding]:
    """The authoring rules that a finished text breaks, all as warnings; `BLOCKING` says which stop an operator.

    `at` is when it would leave; `names` are the ente's and the service's (rule T5).
    """
    return [
        *title_findings(subject, names=names),
        *button_findings(with_plain_line_ends(markdown)),
        *body_findings(with_plain_line_ends(markdown)),
        *date_findings(due_date, payment=payment, at=at),
    ]


def _sizes(text: TemplateText) -> list[Finding]:
    findings = []
    for pointer, source, limit in (("/subject", text.subject, MAX_SUBJECT), ("/body", text.body, MAX_BODY)):
        if len(source) > limit:
            detail = _("Il testo del modello supera %(limit)s caratteri.") % {"limit": limit}
            findings.append(_error("too_long", pointer, detail))
    return findings


def _declarations(text: TemplateText) -> list[Finding]:
    findings = []
    seen: set[str] = set()
    for index, declaration in enumerate(text.declarations):
        place = f"/declarations/{index}"
        if declaration.name in seen:
            findings.append(_error("name_repeated", f"{place}/name", _("Il segnaposto è dichiarato due volte.")))
        seen.add(declaration.name)
        findings += check_declaration(declaration, place=place)
    # Reserved names count even where this template has no payment or due date: it may have them tomorrow.
    everything = items_of(text.declarations, has_payment=True, has_due_date=True)
    for spelling, names in two_readings(everything).items():
        detail = _("${%(spelling)s} si potrebbe leggere in più modi (%(names)s): cambia nome a un segnaposto.")
        culprit = next(index for index, one in enumerate(text.declarations) if one.name in names)
        findings.append(
            _error(
                "two_readings",
                f"/declarations/{culprit}/name",
                detail % {"spelling": spelling, "names": ", ".join(names)},
            )
        )
    return findings


def check_declaration(declaration: Declaration, *, place: str = "") -> list[Finding]:
    """What is wrong with a placeholder by itself; `place` is put before the pointers."""
    findings = []
    if len(declaration.name) > MAX_NAME or not NAME.fullmatch(declaration.name):
        detail = _("Il nome è fatto di lettere senza accento, cifre e _, e non comincia con una cifra.")
        findings.append(_error("name_invalid", f"{place}/name", detail))
    elif declaration.name in RESERVED:
        detail = _("Il nome è riservato a un dato del messaggio, che si può già usare nel testo: scegline un altro.")
        findings.append(_error("name_reserved", f"{place}/name", detail))
    findings += _pattern(declaration, place=place)
    if declaration.type is PlaceholderType.CHOICE and not declaration.choices:
        findings.append(_error("choices_missing", f"{place}/choices", _("Elenca i valori ammessi.")))
    if not findings:
        findings += _example(declaration, place=place)
    return findings


def _pattern(declaration: Declaration, *, place: str) -> list[Finding]:
    if not declaration.pattern:
        return []
    if declaration.type is not PlaceholderType.STRING:
        detail = _("L'espressione regolare vale solo per i segnaposto di tipo string: qui è ignorata.")
        return [_warning("pattern_ignored", f"{place}/pattern", detail)]
    try:
        compile_pattern(declaration.pattern)
    except PatternError as error:
        return [_error("pattern_invalid", f"{place}/pattern", str(error))]
    return []


def _example(declaration: Declaration, *, place: str) -> list[Finding]:
    if not declaration.example.strip():
        detail = _("Manca un esempio: senza, il modello non si può mostrare né misurare.")
        return [_warning("example_missing", f"{place}/example", detail)]
    try:
        read_value(declaration, declaration.example)
    except InvalidValue as invalid:
        # GovIO's clients declare such placeholders; values are checked all the same, message by message.
        detail = _("L'esempio non va bene come valore. %(reason)s") % {"reason": invalid.detail}
        return [_warning("example_invalid", f"{place}/example", detail)]
    return []


def _uses(text: TemplateText, compiled: Compiled) -> list[Finding]:
    findings = []
    places = {declaration.name: f"/declarations/{index}" for index, declaration in enumerate(text.declarations)}
    for use in compiled.uses:
        declaration = use.item.declaration
        if use.item.fixed:
            continue
        if not use.forms:
            detail = _("Il testo non usa questo segnaposto.")
            findings.append(_warning("placeholder_unused", f"{places[declaration.name]}/name", detail))
        elif not declaration.mandatory:
            detail = _("Il testo usa sempre questo segnaposto, che è facoltativo: senza valore resta un vuoto.")
            findings.append(_warning("optional_always_used", f"{places[declaration.name]}/mandatory", detail))
    slots = [piece for piece in compiled.body if isinstance(piece, Slot)]
    if any(slot.spot.place is Place.YAML_PLAIN for slot in slots):
        detail = _("Un segnaposto in un pulsante va fra virgolette doppie, altrimenti certi valori lo fanno sparire.")
        findings.append(_error("C2", "/body", detail))
    fixed_amount = any(use.item.fixed and use.item.name == "amount" and str in use.forms for use in compiled.uses)
    if fixed_amount:
        detail = _("${amount} mostra i centesimi, come in GovIO: per l'importo in euro scrivi ${amount.currency}.")
        findings.append(_warning("amount_in_cents", "/body", detail))
    if "<#" in text.body + text.subject:
        detail = _("Le direttive di FreeMarker (<#...>) non ci sono: il cittadino le leggerebbe come testo.")
        findings.append(_error("freemarker_directive", "/body", detail))
    return findings


def _with_examples(text: TemplateText) -> list[Finding]:
    """The authoring rules on the text as the examples make it; only when every mandatory placeholder has a good one."""
    examples = {
        declaration.name: declaration.example
        for declaration in text.declarations
        if not any(finding.pointer == "/example" for finding in _example(declaration, place=""))
    }
    if any(declaration.mandatory and declaration.name not in examples for declaration in text.declarations):
        return []
    findings = _title_facts(text)
    try:
        rendered = render(text, values=examples, fixed=_SPECIMEN)
    except RenderingErrors as errors:
        codes = {"subject_length": "T1", "body_length": "B1"}
        return findings + [
            _error(codes.get(finding.code, finding.code), _template_pointer(text, finding.pointer), finding.detail)
            for finding in errors.findings
        ]
    known = {finding.code for finding in findings}
    for finding in lint_message(rendered.subject, rendered.markdown, at=_SPECIMEN.expedition_date):
        if finding.code in BLOCKING:
            if finding.code not in known:
                findings.append(_error(finding.code, finding.pointer, finding.detail))
        else:
            findings.append(finding)
    return findings


def _title_facts(text: TemplateText) -> list[Finding]:
    compiled = compile_template(TemplateText(text.subject, "", text.declarations, text.has_payment, text.has_due_date))
    if not any(use.item.fixed and use.item.name in {"taxcode", "notice_number"} and use.forms for use in compiled.uses):
        return []
    detail = _("Il titolo si legge nella notifica e nell'e-mail: niente codice fiscale né codice avviso.")
    return [_error("T2", "/subject", detail)]


def _template_pointer(text: TemplateText, pointer: str) -> str:
    kind, _slash, name = pointer[1:].partition("/")
    if kind == "values":
        index = next(index for index, declaration in enumerate(text.declarations) if declaration.name == name)
        return f"/declarations/{index}/example"
    return "/body" if kind == "fixed" else pointer


def _error(code: str, pointer: str, detail: str) -> Finding:
    return Finding(code=code, pointer=pointer, detail=detail, severity=Severity.IMPOSSIBLE)


def _warning(code: str, pointer: str, detail: str) -> Finding:
    return Finding(code=code, pointer=pointer, detail=detail, severity=Severity.WARNING)
