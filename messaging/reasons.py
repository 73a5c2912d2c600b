"""What people write when they say why: kept in the history of a message, where no citizen is named by their code."""

import re
from typing import Final

# Also as people write it, in groups, and in any case.
_FISCAL_CODE: Final = re.compile(
    r"(?<![A-Z0-9])[A-Z]{3}\s*[A-Z]{3}\s*[0-9LMNPQRSTUV]{2}\s*[ABCDEHLMPRST]\s*[0-9LMNPQRSTUV]{2}\s*"
    r"[A-Z]\s*[0-9LMNPQRSTUV]{3}\s*[A-Z](?![A-Z0-9])",
    re.ASCII | re.IGNORECASE,
)


def names_a_citizen(reason: str) -> bool:
    """Whether a fiscal code of a person is in the text."""
    return _FISCAL_CODE.search(reason) is not None
