"""The `payment` of a message: amount in the consumer's unit, codes of digits as text or number."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from django.utils.translation import gettext as _

from io_client.payloads import NOTICE_NUMBER, ORGANIZATION_CODE
from messaging.money import AmountUnit, UnreadableAmount, both_readings, cents_of
from messaging.reading_members import missing, warn_of_unknown
from templates_app.findings import Findings
from templates_app.italian import currency

_FIELDS: Final = frozenset({"amount", "notice_number", "invalid_after_due_date", "payee_taxcode"})


@dataclass(frozen=True, slots=True)
class PaymentInput:
    amount_cents: int
    notice_number: str = field(repr=False)
    invalid_after_due_date: bool = False
    payee_taxcode: str | None = None


def read_payment(value: object, *, unit: AmountUnit, cap_cents: int | None, findings: Findings) -> PaymentInput | None:
    """The payment, or None with the reasons in `findings`. `cap_cents` is None where the service's cap is unknown."""
    if not isinstance(value, dict):
        findings.malformed("type", "/payment", _("Il pagamento è un oggetto con amount e notice_number."))
        return None
    warn_of_unknown(value, known=_FIELDS, findings=findings, steps=("payment",))
    amount_cents = _amount(value.get("amount"), unit=unit, cap_cents=cap_cents, findings=findings)
    notice_number = _notice_number(value.get("notice_number"), findings)
    invalid_after = value.get("invalid_after_due_date")
    if invalid_after is not None and not isinstance(invalid_after, bool):
        detail = _("Il valore è true o false, senza virgolette.")
        findings.malformed("type", "/payment/invalid_after_due_date", detail)
    payee_taxcode = _payee(value.get("payee_taxcode"), findings)
    if amount_cents is None or notice_number is None:
        return None
    return PaymentInput(
        amount_cents=amount_cents,
        notice_number=notice_number,
        invalid_after_due_date=invalid_after is True,
        payee_taxcode=payee_taxcode,
    )


def _amount(value: object, *, unit: AmountUnit, cap_cents: int | None, findings: Findings) -> int | None:
    pointer = "/payment/amount"
    if value is None:
        missing(pointer, findings=findings)
        return None
    try:
        cents = cents_of(value, unit=unit)
    except UnreadableAmount as unreadable:
        findings.malformed(unreadable.code, pointer, unreadable.detail)
        return None
    if cap_cents is not None and cents > cap_cents and isinstance(value, int | Decimal):
        detail = _(
            "%(readings)s. Il massimo del servizio su IO è %(cap)s: correggi l'importo o fai alzare il massimo."
        ) % {
            "readings": both_readings(value, unit=unit),
            "cap": currency(cap_cents),
        }
        findings.impossible("amount_above_cap", pointer, detail)
    return cents


def _notice_number(value: object, findings: Findings) -> str | None:
    pointer = "/payment/notice_number"
    if value is None:
        missing(pointer, findings=findings)
        return None
    number = _digits(value, pointer, findings)
    if number is None:
        return None
    if not NOTICE_NUMBER.fullmatch(number):
        detail = _("Il codice avviso ha 18 cifre, la prima da 0 a 3.")
        if isinstance(value, int) and len(number) < 18:
            detail = _("Il codice avviso ha 18 cifre: un numero JSON perde gli zeri iniziali, scrivilo fra virgolette.")
        findings.malformed("notice_number_invalid", pointer, detail)
        return None
    return number


def _payee(value: object, findings: Findings) -> str | None:
    pointer = "/payment/payee_taxcode"
    number = None if value in (None, "") else _digits(value, pointer, findings)
    if number is None:
        return None
    if not ORGANIZATION_CODE.fullmatch(number):
        detail = _("Il codice fiscale dell'ente creditore ha 11 cifre.")
        if isinstance(value, int) and len(number) < 11:
            detail = _("Il codice ha 11 cifre: un numero JSON perde gli zeri iniziali, scrivilo fra virgolette.")
        findings.malformed("payee_taxcode_invalid", pointer, detail)
        return None
    return number


def _digits(value: object, pointer: str, findings: Findings) -> str | None:
    """A code of digits, sent as text or, as GovIO's clients may, as an integer."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Decimal):
        detail = _("Un numero con la virgola o l'esponente perde le ultime cifre: scrivi il codice fra virgolette.")
        findings.malformed("digits_lost", pointer, detail)
    else:
        findings.malformed("type", pointer, _("Il codice è una stringa di cifre: scrivilo fra virgolette."))
    return None
