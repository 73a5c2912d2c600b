"""The one validator: what a message may be, whether it comes from a POST, in bulk, from the form or from a CSV.

Pure: input and rules in, a message or every error out. 400 or 422 is the caller's arithmetic over `Severity`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.utils.translation import gettext as _
from stdnum.it import codicefiscale

from io_client.payloads import FISCAL_CODE, ORGANIZATION_CODE
from messaging.money import AmountUnit
from messaging.reading_members import missing, warn_of_unknown
from messaging.reading_payment import PaymentInput, read_payment
from messaging.reading_placeholders import PlaceholderInput, read_placeholders
from registry.opening_hours import ALWAYS_OPEN, OpeningHours, next_opening
from templates_app.findings import Finding, Findings, Severity
from templates_app.placeholders import FORBIDDEN
from templates_app.rendering import FixedValues, Rendered, RenderingErrors, TemplateText, check_values, render
from templates_app.rome_time import UnreadableTime, read_instant

__all__ = ["PaymentInput", "SendingRules", "ValidMessage", "Verdict", "validate"]

MAX_EMAIL: Final = 255

# `idempotency_key` belongs to whoever asks, and travels in the body in bulk.
_FIELDS: Final = frozenset(
    {"taxcode", "payment", "email", "scheduled_expedition_date", "due_date", "placeholders", "idempotency_key"}
)
# One @, a local part and a domain with a dot. IO ignores the address, so a finer sieve would only refuse real ones.
_EMAIL: Final = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_][\w-]{0,61}[^\W_]")


@dataclass(frozen=True, slots=True)
class SendingRules:
    """What depends on whom one sends through. The cap is IO's `max_allowed_payment_amount`; None where unknown."""

    text: TemplateText
    amount_unit: AmountUnit
    payment_cap_cents: int | None = None
    # The ente's: what is due when it is closed leaves at its next opening.
    hours: OpeningHours = ALWAYS_OPEN


@dataclass(frozen=True, slots=True)
class ValidMessage:
    """A message that may be stored: moments in UTC, text rendered. `expires_at` is None when nothing can expire."""

    taxcode: str = field(repr=False)
    email: str | None = field(repr=False)
    scheduled_at: datetime
    due_date: datetime | None
    expires_at: datetime | None
    payment: PaymentInput | None = field(repr=False)
    values: dict[str, str] = field(repr=False)
    subject: str = field(repr=False)
    markdown: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Either a message or errors, never both; warnings in any case. Findings are in the order of the fields."""

    message: ValidMessage | None
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    @property
    def is_malformed(self) -> bool:
        return any(error.severity is Severity.MALFORMED for error in self.errors)


def validate(data: object, *, rules: SendingRules, at: datetime) -> Verdict:
    """Judges one message. `data` is parsed JSON, integers as int and other numbers as Decimal; `at` is now, aware.

    Optional members may be null. Members that nobody knows are ignored, with a warning.
    """
    findings = Findings()
    message = None
    if isinstance(data, dict):
        message = _message(data, rules=rules, at=at, findings=findings)
    else:
        findings.malformed("type", "", _('Il messaggio è un oggetto JSON: {"taxcode": ...}.'))
    return Verdict(message=message, errors=tuple(findings.errors), warnings=tuple(findings.warnings))


def _message(data: dict[str, object], *, rules: SendingRules, at: datetime, findings: Findings) -> ValidMessage | None:
    """Each part is read whatever the others are, so that every fault is told at once."""
    warn_of_unknown(data, known=_FIELDS, findings=findings)
    taxcode = _taxcode(data.get("taxcode"), findings)
    payment = _payment(data.get("payment"), rules=rules, findings=findings)
    scheduled_at = _moment(data.get("scheduled_expedition_date"), "/scheduled_expedition_date", findings)
    if scheduled_at is None or scheduled_at < at:
        # As in GovIO, absent or past means now; nobody is told, because everybody means it.
        scheduled_at = at
    due_date = _moment(data.get("due_date"), "/due_date", findings)
    if due_date is not None:
        _check_due_date(due_date, rules=rules, payment=payment, scheduled_at=scheduled_at, at=at, findings=findings)
    elif data.get("due_date") in (None, ""):
        _check_absent_due_date(rules=rules, payment=payment, findings=findings)
    facts_are_known = not findings.errors
    email = _email(data.get("email"), findings)
    declared = {declaration.name for declaration in rules.text.declarations}
    placeholders = read_placeholders(data.get("placeholders"), declared=declared, findings=findings)
    if taxcode is None or not facts_are_known:
        _add(check_values(rules.text, values=placeholders.values), placeholders=placeholders, findings=findings)
        return None
    fixed = FixedValues(
        taxcode=taxcode,
        expedition_date=scheduled_at,
        due_date=due_date,
        notice_number=payment.notice_number if payment else None,
        amount_cents=payment.amount_cents if payment else None,
        invalid_after_due_date=payment.invalid_after_due_date if payment else None,
        payee=payment.payee_taxcode if payment else None,
    )
    rendered = _rendered(rules.text, placeholders, fixed=fixed, findings=findings)
    if rendered is None or findings.errors:
        return None
    return ValidMessage(
        taxcode=taxcode,
        email=email,
        scheduled_at=scheduled_at,
        due_date=due_date,
        expires_at=due_date if due_date is not None and due_date > at else None,
        payment=payment,
        values=placeholders.values,
        subject=rendered.subject,
        markdown=rendered.markdown,
    )


def _taxcode(value: object, findings: Findings) -> str | None:
    if value is None:
        missing("/taxcode", findings=findings)
        return None
    if not isinstance(value, str):
        findings.malformed("type", "/taxcode", _("Il codice fiscale è una stringa: scrivilo fra virgolette."))
        return None
    if not FISCAL_CODE.fullmatch(value):
        findings.malformed("taxcode_invalid", "/taxcode", _taxcode_cure(value))
        return None
    if codicefiscale.calc_check_digit(value[:15]) != value[15]:
        detail = _("Il carattere di controllo del codice fiscale non torna: verifica che il codice sia giusto.")
        findings.warn("taxcode_check_character", "/taxcode", detail)
    return value


def _taxcode_cure(value: str) -> str:
    if FISCAL_CODE.fullmatch(value.strip().upper()):
        return _("Il codice fiscale va scritto in maiuscolo e senza spazi.")
    if ORGANIZATION_CODE.fullmatch(value):
        return _("Serve il codice fiscale di una persona, di 16 caratteri: IO non scrive alle organizzazioni.")
    return _("Non è un codice fiscale di 16 caratteri.")


def _payment(value: object, *, rules: SendingRules, findings: Findings) -> PaymentInput | None:
    if value is None:
        if rules.text.has_payment:
            detail = _("Il modello è di un avviso di pagamento: aggiungi payment con amount e notice_number.")
            findings.impossible("payment_required", "/payment", detail)
        return None
    payment = read_payment(value, unit=rules.amount_unit, cap_cents=rules.payment_cap_cents, findings=findings)
    if payment is not None and not rules.text.has_payment:
        detail = _("Il modello non prevede un avviso di pagamento: il messaggio parte con l'avviso lo stesso.")
        findings.warn("payment_unexpected", "/payment", detail)
    return payment


def _email(value: object, findings: Findings) -> str | None:
    # Forms send an empty text for what was left empty.
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        findings.malformed("type", "/email", _("L'indirizzo e-mail è una stringa."))
        return None
    if len(value) > MAX_EMAIL or not _EMAIL.fullmatch(value) or FORBIDDEN.search(value):
        detail = _("Non è un indirizzo e-mail di al massimo 255 caratteri: correggilo, o toglilo.")
        findings.malformed("email_invalid", "/email", detail)
        return None
    return value


def _moment(value: object, pointer: str, findings: Findings) -> datetime | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        findings.malformed("type", pointer, _('La data è una stringa ISO 8601, come "2026-12-31T23:59:00+01:00".'))
        return None
    try:
        return read_instant(value)
    except UnreadableTime as unreadable:
        findings.malformed(unreadable.fault.value, pointer, unreadable.fault.cure)
        return None


def _check_due_date(
    due_date: datetime,
    *,
    rules: SendingRules,
    payment: PaymentInput | None,
    scheduled_at: datetime,
    at: datetime,
    findings: Findings,
) -> None:
    if not rules.text.has_due_date:
        detail = _("Il modello non prevede una scadenza: il messaggio parte con la scadenza lo stesso.")
        findings.warn("due_date_unexpected", "/due_date", detail)
    if due_date <= at:
        detail = _("La scadenza è già passata.")
        if payment is not None and payment.invalid_after_due_date:
            detail = _("La scadenza è già passata e l'avviso non è valido dopo la scadenza: non si potrà pagare.")
        findings.warn("due_date_past", "/due_date", detail)
    elif due_date <= scheduled_at:
        detail = _("La scadenza arriva prima della spedizione: il messaggio scadrà senza partire.")
        findings.warn("due_date_before_expedition", "/due_date", detail)
    elif (opening := next_opening(rules.hours, scheduled_at)) is None or due_date <= opening:
        # Past its due date a waiting message is not sent any more, and closed it only waits.
        detail = _(
            "La scadenza arriva prima che riapra l'orario di invio dell'ente: il messaggio scadrà senza partire."
        )
        findings.warn("due_date_before_opening", "/due_date", detail)


def _check_absent_due_date(*, rules: SendingRules, payment: PaymentInput | None, findings: Findings) -> None:
    if rules.text.has_due_date:
        findings.impossible("due_date_required", "/due_date", _("Il modello ha una scadenza: aggiungi due_date."))
    elif payment is not None and payment.invalid_after_due_date:
        detail = _("L'avviso non è valido dopo la scadenza, ma la scadenza manca: aggiungi due_date.")
        findings.impossible("due_date_required_by_notice", "/due_date", detail)


def _rendered(
    text: TemplateText, placeholders: PlaceholderInput, *, fixed: FixedValues, findings: Findings
) -> Rendered | None:
    try:
        rendered = render(text, values=placeholders.values, fixed=fixed)
    except RenderingErrors as impossible:
        _add(impossible.findings, placeholders=placeholders, findings=findings)
        return None
    for name in rendered.blanks:
        detail = _("Il testo mostra %(name)s, che non ha un valore: al suo posto non c'è nulla.") % {"name": name}
        findings.warn(
            "placeholder_blank", placeholders.places.get(name, _FACT_PLACES.get(name, "/placeholders")), detail
        )
    return rendered


# Facts of the message as the renderer names them -> where they stand in the JSON.
_FACT_PLACES: Final = {
    "taxcode": "/taxcode",
    "expedition_date": "/scheduled_expedition_date",
    "due_date": "/due_date",
    "notice_number": "/payment/notice_number",
    "amount": "/payment/amount",
    "invalid_after_due_date": "/payment/invalid_after_due_date",
    "payee": "/payment/payee_taxcode",
}


def _add(rendering: Iterable[Finding], *, placeholders: PlaceholderInput, findings: Findings) -> None:
    """The renderer points into its own arguments; here its pointers become those of the JSON received."""
    for finding in rendering:
        kind, _slash, name = finding.pointer[1:].partition("/")
        if kind == "values":
            if name in placeholders.refused and name not in placeholders.places:
                continue
            place = placeholders.places.get(name, "/placeholders")
        else:
            place = _FACT_PLACES[name] if kind == "fixed" else ""
        findings.impossible(finding.code, place, finding.detail)
