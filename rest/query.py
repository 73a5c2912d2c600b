"""Reads query parameters and gathers every fault, so that one answer names them all."""

import re
from collections.abc import Mapping
from typing import TypeVar
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from rest.errors import ErrorItem, Text, pointer

_Choice = TypeVar("_Choice")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
NOT_A_UUID = _("Serve un UUID, ad esempio 9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11.")


def read_uuid(text: str) -> UUID | None:
    """As everybody writes it, with hyphens; None for any other spelling."""
    return UUID(text) if _UUID.fullmatch(text) else None


def plain(word: str) -> str:
    """A word of a parameter as GovIO compares them: in any case, hyphens and underscores left out."""
    return word.strip().lower().replace("-", "").replace("_", "")


class QueryReader:
    """One request's parameters. A faulty one reads as its default and leaves an entry in `errors`.

    An empty value counts as absent; a parameter given twice is a fault, since readers disagree on which one counts.
    """

    def __init__(self, query: QueryDict) -> None:
        self.query = query
        self.errors: list[ErrorItem] = []

    def text(self, name: str, *, required: bool = False) -> str | None:
        values = self.query.getlist(name)
        if len(values) > 1:
            self.refuse(name, code="repeated", detail=_("Il parametro è ripetuto: indicalo una volta sola."))
            return None
        if not values or not values[0]:
            if required:
                self.refuse(name, code="required", detail=_("Il parametro è obbligatorio."))
            return None
        return values[0]

    def integer(self, name: str, *, minimum: int, maximum: int, required: bool = False) -> int | None:
        value = self.text(name, required=required)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or not minimum <= int(value) <= maximum:
            detail = _("Serve un numero intero fra %(minimum)s e %(maximum)s.")
            self.refuse(name, code="out_of_range", detail=detail % {"minimum": minimum, "maximum": maximum})
            return None
        return int(value)

    def uuid(self, name: str, *, required: bool = False) -> UUID | None:
        value = self.text(name, required=required)
        if value is None:
            return None
        read = read_uuid(value)
        if read is None:
            self.refuse(name, code="not_a_uuid", detail=NOT_A_UUID)
        return read

    def choice(self, name: str, *, choices: Mapping[str, _Choice], default: _Choice) -> _Choice:
        """The value that `choices` gives for the word, however it is spelled (`plain`)."""
        value = self.text(name)
        if value is None:
            return default
        known = {plain(word): choice for word, choice in choices.items()}
        if plain(value) not in known:
            detail = _("Valore non previsto; quelli ammessi: %(choices)s.") % {"choices": ", ".join(choices)}
            self.refuse(name, code="unknown_value", detail=detail)
            return default
        return known[plain(value)]

    def refuse(self, name: str, *, code: str, detail: Text) -> None:
        self.errors.append(ErrorItem(code, pointer(name), detail, "query"))
