"""No log line of ours carries a fiscal code, a key or an invitation, whatever a library decided to print."""

import logging
import re

# Fiscal codes of people, anywhere in a line (URLs of refused requests included), in any case; also right after a character
# that is written as an escape, whose last letter is no part of a word.
_FISCAL_CODE = re.compile(
    r"(?:(?<![A-Z0-9])|(?<=\\[nrt])|(?<=\\u[0-9A-F]{4})|(?<=%[0-9A-F]{2}))[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z](?![A-Z0-9])",
    re.IGNORECASE,
)
# The `tax_code` filter of GovIO's API also takes the beginning of a code.
_TAX_CODE_FILTER = re.compile(r"(tax_code=)[^&\s\"']+", re.IGNORECASE)
_CONSUMER_KEY = re.compile(r"giop_[A-Za-z0-9_\-]{8,}")
# A link that lets its bearer choose a password; Django logs the address of a page that breaks.
_INVITATION = re.compile(r"(/invito/[^/\s\"']+/)[^/\s\"']+", re.IGNORECASE)


def redact(text: str) -> str:
    text = _FISCAL_CODE.sub("[codice fiscale]", text)
    text = _TAX_CODE_FILTER.sub(r"\1[…]", text)
    text = _INVITATION.sub(r"\1[…]", text)
    return _CONSUMER_KEY.sub("[chiave]", text)


class RedactingFilter(logging.Filter):
    """Cleans the message and its arguments before any handler formats them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        return True


class RedactingFormatter(logging.Formatter):
    """Cleans tracebacks too, which are only text after formatting."""

    def formatException(self, ei: object) -> str:  # noqa: N802 (the name is logging's)
        return redact(super().formatException(ei))  # type: ignore[arg-type]  # logging's own alias is private

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  (likewise)
        return redact(super().formatStack(stack_info))
