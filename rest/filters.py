"""Filters of lists: django-filter, with the strictness and the error shape of the API."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import django_filters  # type: ignore[import-untyped]
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from rest.query import QueryReader, plain

MAX_ID = 2**63 - 1
# RFC 3339. A space where the offset's sign should be is a plus that the client did not encode.
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)([Zz]|[+\- ]\d{2}:\d{2})", re.ASCII
)


class FilterSet(django_filters.FilterSet):  # type: ignore[misc]  # django-filter ships no types
    """Gathers its faults into a reader, beside those of paging, so that one answer names them all."""

    def check(self, reader: QueryReader) -> None:
        for name in self.base_filters:
            before = len(reader.errors)
            reader.text(name)
            if len(reader.errors) == before:
                for text in self.errors.get(name, ()):
                    reader.refuse(name, code="invalid", detail=str(text))


class MomentField(forms.Field):
    """An instant with its offset, as RFC 3339 writes it."""

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        # What does not even look like a moment reads as one that does not exist.
        parts = _MOMENT.fullmatch(value)
        day, hour, offset = parts.groups() if parts else ("", "", "")
        try:
            # In UTC at once: what has no instant there, at the ends of the calendar, would stumble in the database.
            return datetime.fromisoformat(f"{day}T{hour}{offset.replace(' ', '+').upper()}").astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError(
                _("Serve data, ora e fuso, ad esempio 2025-07-07T00:08:33Z o 2025-07-07T02:08:33+02:00.")
            ) from None


class MomentFilter(django_filters.Filter):  # type: ignore[misc]  # as above
    field_class = MomentField


class IdField(forms.IntegerField):
    def __init__(self, **options: Any) -> None:
        # None is 0, and GovIO's contract lets one ask for it: the answer is an empty list.
        super().__init__(min_value=0, max_value=MAX_ID, **options)


class IdFilter(django_filters.Filter):  # type: ignore[misc]  # as above
    field_class = IdField


class WordField(forms.Field):
    """One of some words, however spelled (`rest.query.plain`). The value is what the word stands for."""

    def __init__(self, *, words: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.words = words
        self._plain = {plain(word): value for word, value in words.items()}

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        word = plain(value)
        if word not in self._plain:
            known = ", ".join(sorted(self.words))
            raise ValidationError(_("Valore non previsto; quelli ammessi: %(choices)s."), params={"choices": known})
        return self._plain[word]


class WordFilter(django_filters.Filter):  # type: ignore[misc]  # as above
    """Keeps the rows whose field is among the values that the word stands for."""

    field_class = WordField

    def filter(self, queryset: Any, value: Iterable[Any] | None) -> Any:
        return queryset if value is None else queryset.filter(**{f"{self.field_name}__in": value})


def words(reader: QueryReader, name: str, *, known: Iterable[str]) -> frozenset[str]:
    """A repeatable or comma-separated parameter such as `embed`; its words however spelled (`rest.query.plain`)."""
    spelled = {plain(word): word for word in known}
    asked = {plain(word) for value in reader.query.getlist(name) for word in value.split(",") if word.strip()}
    if not asked <= spelled.keys():
        detail = _("Valore non previsto; quelli ammessi: %(choices)s.") % {"choices": ", ".join(spelled.values())}
        reader.refuse(name, code="unknown_value", detail=detail)
    return frozenset(spelled[word] for word in asked & spelled.keys())
