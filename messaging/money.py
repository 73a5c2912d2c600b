"""Amounts as integrators and operators write them, read exactly into euro cents.

The consumer's declared unit alone decides what a number means: 62 may be sixty-two euro or sixty-two cents, and no
look of the number may settle it.
"""

import re
from decimal import Decimal
from typing import Final, Literal

from django.utils.translation import gettext as _

from io_client.payloads import AMOUNT
from templates_app.italian import currency

AmountUnit = Literal["euro", "cents"]

_CENT: Final = Decimal("0.01")
_TYPED: Final = re.compile(r"([0-9]{1,10})(?:[.,]([0-9]{1,2}))?", re.ASCII)
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:[. '][0-9]{3})+(?:,[0-9]{1,2})?", re.ASCII)


class UnreadableAmount(ValueError):
    """Not an amount; `code` for programs, `detail` with the cure for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


def cents_of(number: object, *, unit: AmountUnit) -> int:
    """Euro cents of a JSON number (int, or an exact Decimal); raises UnreadableAmount. Booleans are not numbers."""
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise UnreadableAmount("type", _("L'importo è un numero: scrivilo senza virgolette."))
    if isinstance(number, Decimal) and not number.is_finite():
        raise UnreadableAmount("type", _("L'importo è un numero finito."))
    cents = _from_cents(number) if unit == "cents" else _from_euro(number)
    lowest, highest = AMOUNT
    if cents is None or not lowest <= cents <= highest:
        detail = _("L'importo va da %(lowest)s a %(highest)s euro; questo utente scrive gli importi in %(unit)s.")
        raise UnreadableAmount(
            "amount_out_of_range",
            detail % {"lowest": "0,01", "highest": "99.999.999,99", "unit": unit_name(unit)},
        )
    return cents


def typed_cents(text: str) -> int:
    """Euro cents of an amount in euro typed by a person (`145,50`, `145.5`, `€ 145`); raises UnreadableAmount."""
    typed = text.strip().removeprefix("€").removesuffix("€").strip()
    if _GROUPED.fullmatch(typed):
        raise UnreadableAmount(
            "amount_grouped",
            _("Scrivi l'importo senza separatore delle migliaia, come 1234,50: il punto vale come virgola."),
        )
    found = _TYPED.fullmatch(typed)
    if found is None:
        raise UnreadableAmount(
            "amount_invalid", _("Scrivi l'importo in euro con al massimo due decimali, come 145,50.")
        )
    cents = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
    lowest, highest = AMOUNT
    if not lowest <= cents <= highest:
        raise UnreadableAmount("amount_out_of_range", _("L'importo va da 0,01 a 99.999.999,99 euro."))
    return cents


def both_readings(number: int | Decimal, *, unit: AmountUnit) -> str:
    """`100 letto in euro vale 100,00 €; in centesimi varrebbe 1,00 €`: so that a factor of 100 is seen at once."""
    here = {
        "number": f"{number:f}" if isinstance(number, Decimal) else number,
        "unit": unit_name(unit),
        "amount": currency(cents_of(number, unit=unit)),
    }
    other: AmountUnit = "cents" if unit == "euro" else "euro"
    sentence = _("%(number)s letto in %(unit)s vale %(amount)s") % here
    try:
        elsewhere = currency(cents_of(number, unit=other))
    except UnreadableAmount:
        return sentence + _("; in %(unit)s non sarebbe un importo valido") % {"unit": unit_name(other)}
    return sentence + _("; in %(unit)s varrebbe %(amount)s") % {"unit": unit_name(other), "amount": elsewhere}


def unit_name(unit: AmountUnit) -> str:
    return _("euro") if unit == "euro" else _("centesimi")


def _from_cents(number: int | Decimal) -> int:
    if isinstance(number, Decimal):
        # 62.0 is refused too: a decimal point in a number of cents is a sign of euro, and a guess costs a factor of 100.
        raise UnreadableAmount(
            "amount_not_in_cents",
            _("Questo utente scrive gli importi in centesimi: serve un intero, 6212 per 62,12 euro."),
        )
    return number


def _from_euro(number: int | Decimal) -> int | None:
    """None when far out of range, before any arithmetic on a hostile exponent."""
    euro = Decimal(number)
    if not _CENT <= abs(euro) <= AMOUNT[1]:
        return None
    rounded = euro.quantize(_CENT)
    # The comparison is exact: 62.120 is 62.12, while 62.123 is not.
    if rounded != euro:
        raise UnreadableAmount(
            "amount_too_precise",
            _("Questo utente scrive gli importi in euro: servono al massimo due decimali, come 62.12."),
        )
    return int(rounded.scaleb(2))
