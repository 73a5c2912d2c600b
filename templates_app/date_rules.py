"""Authoring rules D and P that a finished message can break: due date and payment notice."""

from datetime import datetime, time
from typing import Protocol

from django.utils.translation import gettext as _

from io_client.payloads import NOTICE_NUMBER
from templates_app.findings import Finding, Severity
from templates_app.rome_time import to_rome


class PaymentFacts(Protocol):
    """What the rules ask of a payment."""

    @property
    def notice_number(self) -> str: ...
    @property
    def invalid_after_due_date(self) -> bool: ...


def date_findings(due_date: datetime | None, *, payment: PaymentFacts | None, at: datetime) -> list[Finding]:
    """Warnings; `due_date` and `at` are aware."""
    findings = []
    ends_with_due_date = payment is not None and payment.invalid_after_due_date
    if payment is not None and not NOTICE_NUMBER.fullmatch(payment.notice_number):
        detail = _("Il codice avviso ha 18 cifre, la prima da 0 a 3.")
        findings.append(_warning("P1", "/payment/notice_number", detail))
    if due_date is None:
        if ends_with_due_date:
            detail = _("L'avviso non è valido dopo la scadenza, ma la scadenza manca.")
            findings.append(_warning("P4", "/due_date", detail))
        return findings
    if due_date <= at:
        if ends_with_due_date:
            detail = _("La scadenza è già passata e l'avviso non è valido dopo la scadenza: non si potrà pagare.")
            findings.append(_warning("D1", "/due_date", detail))
        else:
            findings.append(_warning("D1_late", "/due_date", _("La scadenza è già passata.")))
    if to_rome(due_date).time() == time(0, 0):
        detail = _("La scadenza a mezzanotte cade all'inizio del giorno: per l'intera giornata usa le 23:59:59.")
        findings.append(_warning("D2", "/due_date", detail))
    return findings


def _warning(code: str, pointer: str, detail: str) -> Finding:
    return Finding(code=code, pointer=pointer, detail=detail, severity=Severity.WARNING)
