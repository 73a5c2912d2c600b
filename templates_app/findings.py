"""What is wrong, or merely odd, with a template or a message, as a value that API, form and CSV each show their own way."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding does to the input that caused it."""

    # The input is not what the schema describes: types, required members, patterns, bounds (API: 400).
    MALFORMED = "malformed"
    # Well formed, but it cannot become a message: template, rendering or the clock say no (API: 422).
    IMPOSSIBLE = "impossible"
    # Accepted, and somebody should know (API: 201 with `warnings`; portal: shown, to be confirmed).
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """A stable `code` for programs, a JSON Pointer (RFC 6901) to the culprit, a sentence with the cure for people.

    The detail never repeats a fiscal code or a placeholder's value: findings end up in logs and error reports.
    """

    code: str
    pointer: str
    detail: str
    severity: Severity


class Findings:
    """Collects what a reader finds on its way, errors and warnings apart, in the order met."""

    def __init__(self) -> None:
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []

    def malformed(self, code: str, pointer: str, detail: str) -> None:
        self.errors.append(Finding(code=code, pointer=pointer, detail=detail, severity=Severity.MALFORMED))

    def impossible(self, code: str, pointer: str, detail: str) -> None:
        self.errors.append(Finding(code=code, pointer=pointer, detail=detail, severity=Severity.IMPOSSIBLE))

    def warn(self, code: str, pointer: str, detail: str) -> None:
        self.warnings.append(Finding(code=code, pointer=pointer, detail=detail, severity=Severity.WARNING))
