"""Roles as GovIO's clients know them: fixed ids, and GovIO's names.

`with_roles` accepts two more of GovIO's names, that stand for several of ours or for less than one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.models import Role

APPLICATION = "govio"


@dataclass(frozen=True, slots=True)
class KnownRole:
    """How one of our roles is written on the wire."""

    role: Role
    id: int
    name: str


# Ids are part of the contract: never change one, never use one again.
ROLES = (
    KnownRole(Role.VIEWER, 1, "govio_viewer"),
    KnownRole(Role.SENDER, 2, "govio_sender"),
    KnownRole(Role.CONFIGURATOR, 3, "govio_service_instance_editor"),
    KnownRole(Role.EDITOR, 4, "govio_editor"),
    KnownRole(Role.APPROVER, 5, "govio_approver"),
    KnownRole(Role.ADMINISTRATOR, 6, "govio_administrator"),
)
BY_ROLE = {known.role: known for known in ROLES}
BY_ID = {known.id: known for known in ROLES}
BY_NAME = {known.name: known for known in ROLES}

# In filters only: nobody can be granted these.
_IN_FILTERS: dict[str, frozenset[Role]] = {
    **{known.name: frozenset({known.role}) for known in ROLES},
    "govio_sysadmin": frozenset(Role),
    "govio_service_instance_viewer": frozenset({Role.VIEWER}),
}
FILTER_NAMES = tuple(_IN_FILTERS)


def roles_named(names: Iterable[str]) -> frozenset[Role]:
    """The roles that a `with_roles` filter means, in any case.

    Raises `KeyError` with the name, as given, that is none of `FILTER_NAMES`.
    """
    found: set[Role] = set()
    for name in names:
        roles = _IN_FILTERS.get(name.lower())
        if roles is None:
            raise KeyError(name)
        found |= roles
    return frozenset(found)
