"""Enti and services: entering one in the register, and changing what it says of itself."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import translation

from registry.auditing import note
from registry.models import Organization, Service, User

_UNIQUE: dict[type[Organization | Service], tuple[str, ...]] = {
    Organization: ("tax_code", "legal_name"),
    Service: ("service_name",),
}


class Taken(Exception):
    """Another ente, or service, has these values already; `fields` names all of them."""

    def __init__(self, *fields: str) -> None:
        super().__init__(*fields)
        self.fields = fields


def register(row: Organization | Service, *, by: User) -> None:
    """Store a new one. Its values must be sound; raises Taken."""
    _save(row, by=by)


def change(row: Organization | Service, values: Mapping[str, Any], *, by: User) -> None:
    """Set these fields of a row that the caller has locked; what is as before leaves no line. Raises Taken."""
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    if not changed:
        return
    for name in changed:
        setattr(row, name, values[name])
    _save(row, *changed, by=by)


def _save(row: Organization | Service, *changed: str, by: User) -> None:
    """All of a new row, or its `changed` fields alone: others may be changing elsewhere at this moment."""
    _check_unique(row)
    try:
        with transaction.atomic():
            if changed:
                row.save(update_fields=changed)
            else:
                row.save(force_insert=True)
            note(row, *_names(row, changed), by=by, created=not changed)
    except IntegrityError:
        # Somebody was quicker by an instant.
        _check_unique(row)
        raise


def _check_unique(row: Organization | Service) -> None:
    others: QuerySet[Any] = type(row).objects.exclude(pk=row.pk)
    taken = [name for name in _UNIQUE[type(row)] if others.filter(**{name: getattr(row, name)}).exists()]
    if taken:
        raise Taken(*taken)


def _names(row: Organization | Service, fields: tuple[str, ...]) -> list[str]:
    """As the back office writes them in its own lines: in the language of the sources."""
    with translation.override(None):
        return [str(row._meta.get_field(name).verbose_name) for name in fields]  # type: ignore[union-attr]  # columns all
