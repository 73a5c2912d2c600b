"""Who uses a template: declared above this floor, and needed here to know whom a change would touch."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

# Rows with the columns `template`, `organization` and `service`.
Users = Callable[[], QuerySet[Any]]

_users: list[Users] = []


def register(users: Users) -> None:
    """From now on these rows are asked before a template changes; once for each kind of user, when the application starts."""
    _users.append(users)


def users() -> list[QuerySet[Any]]:
    return [make() for make in _users]
