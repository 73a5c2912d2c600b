"""Fields of serializers that take what JSON says and nothing like it: "true" is not true, 1 is not "1".

DRF's own are made for forms too, and convert.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from rest.filters import MAX_ID, MomentField

_Any = Any

MAX_VALUES = 1_000


class TextField(serializers.CharField):
    """A string, with its spaces at the ends cut off. Null means blank, as an absent member does."""

    default_error_messages = {
        "invalid": _("Serve una stringa."),
        "blank": _("Il campo non può essere vuoto."),
        "max_length": _("Il testo è troppo lungo: al massimo {max_length} caratteri."),
        "min_length": _("Il testo è troppo corto: almeno {min_length} caratteri."),
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class YesNoField(serializers.BooleanField):
    """true or false."""

    default_error_messages = {"invalid": _("Serve true o false.")}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class WholeNumberField(serializers.IntegerField):
    default_error_messages = {
        "invalid": _("Serve un numero intero."),
        "max_value": _("Al massimo {max_value}."),
        "min_value": _("Almeno {min_value}."),
    }

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class IdentifierField(WholeNumberField):
    """The id of a row. Whether there is such a row, and whether the caller may know, is for the verb to tell (422)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"min_value": 1, "max_value": MAX_ID, **options})


class WordField(serializers.ChoiceField):
    """One of some words, in any case."""

    default_error_messages = {"invalid_choice": _("Valore non previsto; quelli ammessi: {choices}.")}

    def __init__(self, words: Iterable[str], **options: Any) -> None:
        super().__init__([(word, word) for word in words], **options)

    def to_internal_value(self, data: Any) -> str:
        known = {str(word).lower(): str(word) for word in self.choices}
        if not isinstance(data, str) or data.lower() not in known:
            self.fail("invalid_choice", choices=", ".join(known.values()))
        return known[data.lower()]


class ManyField(serializers.ListField):
    """A list of values of `child`: at most 1,000, or `max_length`.

    Its length is looked at before its values: each fault weighs more than the value that it is about.
    """

    default_error_messages = {
        "not_a_list": _("Serve un elenco."),
        "empty": _("Serve almeno un elemento."),
        "max_length": _("Al massimo {max_length} elementi."),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": MAX_VALUES, **options})

    def to_internal_value(self, data: Any) -> list[Any]:
        assert self.max_length is not None
        if isinstance(data, list) and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class InstantField(serializers.DateTimeField):
    """A date and time with its offset (RFC 3339); in UTC from here on."""

    default_error_messages = {
        "invalid": _("Serve data, ora e fuso, ad esempio 2025-07-07T00:08:33Z o 2025-07-07T02:08:33+02:00."),
    }

    def to_internal_value(self, value: Any) -> datetime:
        try:
            read = MomentField().to_python(value) if isinstance(value, str) else None
        except DjangoValidationError:
            read = None
        if read is None:
            self.fail("invalid")
        assert read is not None
        return read.astimezone(UTC)
