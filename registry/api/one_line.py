"""Text that is what it looks like: on one line, and without characters that nobody sees."""

import unicodedata
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

# Controls, formats (writing direction, zero width, soft hyphens), ends of line and paragraph: with them a name can be
# made to look like another.
UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})


class OneLineValidator(RegexValidator):
    """Its pattern is what the OpenAPI document says, and refuses some of what is refused here."""

    def __call__(self, value: Any) -> None:
        if any(unicodedata.category(sign) in UNSEEN for sign in str(value)):
            raise ValidationError(self.message, code=self.code, params={"value": value})


def one_line(code: str) -> OneLineValidator:
    sentence = _("Il testo sta su una riga sola, senza caratteri di controllo né invisibili.")
    return OneLineValidator(r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", sentence, code)
