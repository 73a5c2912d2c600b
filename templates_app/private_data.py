"""Recognises in running text the codes that single out a person, where a title or an e-mail must not show them."""

import re
from collections.abc import Callable
from typing import Final

from django.utils.translation import gettext as _

from io_client.payloads import FISCAL_CODE

_FISCAL_CODE: Final = re.compile(rf"\b{FISCAL_CODE.pattern}\b", re.IGNORECASE | re.ASCII)
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.\w", re.ASCII)
_IBAN: Final = re.compile(r"\bIT ?[0-9]{2} ?[A-Z](?: ?[0-9]){10}(?: ?[0-9A-Z]){12}\b", re.IGNORECASE | re.ASCII)
# Italian plates use neither I, O, Q nor U; the number of an identity card (CA00000AA) has more digits and passes.
_PLATE: Final = re.compile(r"\b[A-HJ-NPR-TV-Z]{2} ?[0-9]{3} ?[A-HJ-NPR-TV-Z]{2}\b", re.ASCII)
_NOTICE: Final = re.compile(r"(?<![0-9])[0-3](?: ?[0-9]){17}(?![0-9])", re.ASCII)
# Landlines only when set apart by a separator: protocol numbers look like the rest of them.
_PHONE: Final = re.compile(
    r"(?<![\w/])(?:\+39[ .]?)?(?:3[0-9]{2}[ .-]?[0-9]{3}[ .-]?[0-9]{3,4}|0[1-9][0-9]{0,2}[ .-][0-9]{5,8})(?![\w/])",
    re.ASCII,
)


def codes_in(text: str) -> list[str]:
    """What kinds of code the text shows, in words; never the codes themselves."""
    kinds: list[tuple[re.Pattern[str], Callable[[], str]]] = [
        (_FISCAL_CODE, lambda: _("un codice fiscale")),
        (_EMAIL, lambda: _("un indirizzo e-mail")),
        (_IBAN, lambda: _("un IBAN")),
        (_PLATE, lambda: _("una targa")),
        (_NOTICE, lambda: _("un codice avviso")),
        (_PHONE, lambda: _("un numero di telefono")),
    ]
    return [name() for pattern, name in kinds if pattern.search(text)]
