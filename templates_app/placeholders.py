"""Placeholders: what may be declared, what a value must look like, and the forms in which a text may show it.

Names are ASCII letters, digits and `_`, not starting with a digit. GovIO stores any text as a name, but its engine could
only ever use names of this kind in `${...}`; accented letters, which it could, are left out because the same name would
be written in two ways (NFC, NFD) by different clients.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from django.utils.translation import gettext as _

from io_client.payloads import MARKDOWN_LENGTH
from templates_app.italian import (
    currency,
    decimal_amount,
    short_date,
    short_datetime,
    short_time,
    verbose_date,
    verbose_datetime,
)
from templates_app.patterns import MAX_VALUE, PatternError, compile_pattern
from templates_app.rome_time import UnreadableTime, read_date, read_instant_or_local, to_rome

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
MAX_NAME: Final = 255

# Control characters but tab and line ends, and halves of surrogate pairs: PostgreSQL, IO and JSON readers refuse them.
FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_EURO: Final = re.compile(r"([0-9]{1,8})[.,]([0-9]{2})", re.ASCII)


class PlaceholderType(StrEnum):
    STRING = "string"
    DATE = "date"
    DATETIME = "datetime"
    INTEGER = "integer"
    AMOUNT = "amount"
    BOOLEAN = "boolean"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One placeholder of a template.

    `pattern` restrains strings only (`templates_app.patterns`; the whole value must match; empty means any value).
    `is_markdown`: the value is inserted in the body as Markdown, instead of being shown as it is.
    """

    name: str
    type: PlaceholderType
    pattern: str = ""
    example: str = ""
    mandatory: bool = True
    is_markdown: bool = False
    choices: tuple[str, ...] = ()
    description: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a version of a template keeps it."""
        return {
            "name": self.name,
            "type": self.type.value,
            "pattern": self.pattern,
            "example": self.example,
            "mandatory": self.mandatory,
            "is_markdown": self.is_markdown,
            "choices": list(self.choices),
            "description": self.description,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Declaration":
        return cls(**{**stored, "type": PlaceholderType(stored["type"]), "choices": tuple(stored["choices"])})


class InvalidValue(ValueError):
    """A value does not suit its declaration; `detail` says how to write it and never repeats it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


# A value once read: text, a day, a moment in Rome time, euro cents, or a yes or no.
Value = str | date | datetime | int | bool
Form = Callable[[Any], str]

# Form -> how it is shown; "" is the bare name. GovIO's forms (`_upper`, `_verbose`...), for every type that it lacks too.
_TEXT_FORMS: Final[Mapping[str, Form]] = {"": str, "upper": str.upper, "lower": str.lower}
FORMS: Final[Mapping[PlaceholderType, Mapping[str, Form]]] = {
    PlaceholderType.STRING: _TEXT_FORMS,
    PlaceholderType.CHOICE: _TEXT_FORMS,
    PlaceholderType.INTEGER: {"": str},
    PlaceholderType.DATE: {"": short_date, "verbose": verbose_date},
    PlaceholderType.DATETIME: {
        "": short_datetime,
        "date": short_date,
        "time": short_time,
        "verbose": verbose_datetime,
        "date_verbose": verbose_date,
    },
    PlaceholderType.AMOUNT: {"": decimal_amount, "currency": currency},
    PlaceholderType.BOOLEAN: {
        "": lambda value: "true" if value else "false",
        "verbose": lambda value: "sì" if value else "no",
    },
}
# `${name.uppercase}` is the documented spelling, `${name_upper}` the one that GovIO's engine really took.
DOTTED_FORMS: Final[Mapping[str, str]] = {
    "uppercase": "upper",
    "lowercase": "lower",
    "date": "date",
    "time": "time",
    "verbose": "verbose",
    "date_verbose": "date_verbose",
    "currency": "currency",
}


def read_value(declaration: Declaration, text: str) -> Value:
    """The value that `text` (not blank) writes; raises InvalidValue."""
    if FORBIDDEN.search(text):
        raise InvalidValue("control_character", _("Il valore contiene un carattere di controllo: toglilo."))
    return _READERS[declaration.type](declaration, text)


def _read_string(declaration: Declaration, text: str) -> str:
    if len(text) > MARKDOWN_LENGTH[1]:
        raise InvalidValue("value_too_long", _("Il valore supera i 10.000 caratteri: nessun messaggio può contenerlo."))
    if declaration.pattern:
        _check_pattern(declaration, text)
    return text


def _check_pattern(declaration: Declaration, text: str) -> None:
    if len(text) > MAX_VALUE:
        raise InvalidValue(
            "value_too_long",
            _("Il valore supera i %(limit)s caratteri ammessi da un'espressione regolare.") % {"limit": MAX_VALUE},
        )
    try:
        pattern = compile_pattern(declaration.pattern)
    except PatternError:
        raise InvalidValue(
            "pattern_invalid", _("L'espressione regolare del segnaposto non è utilizzabile: va corretta nel modello.")
        ) from None
    if not pattern.matches(text):
        raise InvalidValue(
            "pattern_mismatch",
            _("Il valore non ha la forma richiesta: %(pattern)s.") % {"pattern": declaration.pattern},
        )


def _read_date(declaration: Declaration, text: str) -> date:
    day = read_date(text.strip())
    if day is None:
        raise InvalidValue("date_invalid", _("Non è una data: scrivila come 2026-12-31."))
    return day


def _read_datetime(declaration: Declaration, text: str) -> datetime:
    try:
        return to_rome(read_instant_or_local(text.strip()))
    except UnreadableTime as unreadable:
        raise InvalidValue(unreadable.fault.value, unreadable.fault.cure) from None


def _read_integer(declaration: Declaration, text: str) -> str:
    # Kept as written: a postal code is an integer to those who declare it, and its zeros matter.
    number = text.strip()
    if not _INTEGER.fullmatch(number):
        raise InvalidValue("integer_invalid", _("Non è un numero intero: usa solo cifre, al massimo 18."))
    return number


def _read_amount(declaration: Declaration, text: str) -> int:
    # Euro, always with the cents: a bare 14550 could be either, and a factor of 100 would reach the citizen.
    found = _EURO.fullmatch(text.strip())
    if found is None:
        raise InvalidValue(
            "amount_invalid",
            _("Non è un importo in euro: scrivilo con due decimali e senza separatore delle migliaia, come 1234,50."),
        )
    return int(found[1]) * 100 + int(found[2])


def _read_boolean(declaration: Declaration, text: str) -> bool:
    answer = text.strip().lower()
    if answer not in {"true", "false"}:
        raise InvalidValue("boolean_invalid", _("Il valore è un sì o un no: scrivi true o false."))
    return answer == "true"


def _read_choice(declaration: Declaration, text: str) -> str:
    if text not in declaration.choices:
        choices = ", ".join(declaration.choices)
        raise InvalidValue(
            "choice_invalid", _("Il valore non è fra quelli ammessi: %(choices)s.") % {"choices": choices}
        )
    return text


_READERS: Final[Mapping[PlaceholderType, Callable[[Declaration, str], Value]]] = {
    PlaceholderType.STRING: _read_string,
    PlaceholderType.DATE: _read_date,
    PlaceholderType.DATETIME: _read_datetime,
    PlaceholderType.INTEGER: _read_integer,
    PlaceholderType.AMOUNT: _read_amount,
    PlaceholderType.BOOLEAN: _read_boolean,
    PlaceholderType.CHOICE: _read_choice,
}
