"""What the addresses of people, grants and programs share: scopes, and refusals that name what is missing."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound

from registry.api.callers import Caller
from registry.models import Consumer, Scope, User
from rest import filters
from rest.errors import ErrorItem, Text, pointer
from rest.problems import Problem
from rest.writing import Faults

READS_PEOPLE = (Scope.ADMIN_READ, Scope.ADMIN_WRITE)
WRITES_PEOPLE = (Scope.ADMIN_WRITE,)

YES_OR_NO = {"true": (True,), "false": (False,)}


class YesNoFilter(filters.WordFilter):
    """`?enabled=true`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"words": YES_OR_NO, **options})


def visible_person(pk: int, *, caller: Caller, at: datetime) -> User:
    """Raises NotFound."""
    person = User.objects.visible_to(caller.user, at=at).filter(pk=pk).first()
    if person is None:
        raise NotFound
    return person


def visible_consumer(pk: int, *, caller: Caller, at: datetime) -> Consumer:
    """Raises NotFound."""
    consumer = Consumer.objects.visible_to(caller.user, at=at).select_related("user").filter(pk=pk).first()
    if consumer is None:
        raise NotFound
    return consumer


def as_it_was(before: dict[str, Any], after: dict[str, Any], *, faults: Faults) -> frozenset[str]:
    """The members that a patch leaves alone. What is wrong with those is taken out of the faults: rules get stricter, and
    somebody whose name was sound once must still be disabled in an emergency."""
    kept = frozenset(name for name, value in before.items() if name in after and _same(after[name], value))
    faults.forget(kept)
    return kept


def _same(one: Any, other: Any) -> bool:
    """1 is not true."""
    return type(one) is type(other) and bool(one == other)


def not_allowed(detail: Text, *steps: str | int) -> Problem:
    """403 for what is visible; it points at a member where one is the culprit."""
    return Problem(
        403,
        code="permission_denied",
        errors=[ErrorItem("permission_denied", pointer(*steps), detail, "body" if steps else None)],
    )


def not_administered() -> Problem:
    return not_allowed(
        _(
            "Serve il ruolo Amministrazione su tutti gli enti e servizi delle autorizzazioni di questa persona: "
            "chiedilo al personale della piattaforma."
        )
    )


def taken(code: str, detail: Text, member: str) -> Problem:
    """409: a value that only one row may have."""
    return Problem(409, code=code, errors=[ErrorItem(code, pointer(member), detail)])
