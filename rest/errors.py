"""What can be wrong with a request, as a value: the currency between parsing, validating and `rest.problems`."""

from dataclasses import dataclass
from typing import Literal

from django.utils.functional import Promise

Text = str | Promise

# Of the faults of one request so many are told: nobody mends more at a time, and an answer must not outgrow its request.
MAX_ERRORS = 50
Location = Literal["body", "query", "path", "header"]


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One fault: a stable `code` for programs, a JSON Pointer to the culprit, a sentence with the cure for people.

    `location` says what the pointer points into; None where the fault is in no single place.
    """

    code: str
    pointer: str
    detail: Text
    location: Location | None = "body"

    def as_json(self) -> dict[str, str]:
        shown = {"code": self.code, "pointer": self.pointer, "detail": str(self.detail)}
        if self.location is not None:
            shown["in"] = self.location
        return shown


def pointer(*steps: str | int) -> str:
    """The JSON Pointer (RFC 6901) of `steps`; what a hostile key may hold is made safe to print and kept short."""
    return "".join("/" + _printable(str(step)).replace("~", "~0").replace("/", "~1") for step in steps)


def _printable(step: str) -> str:
    whole = step[:64].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in whole)
