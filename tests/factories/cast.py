"""People with fixed rights: who may what is the same in every test."""

import functools
import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import make_password

from messaging.models import ServiceInstance
from registry.models import Grant, Organization, Role, Service, User

_number = itertools.count(1)
PASSWORD = "una-parola-di-prova"


def user(principal: str | None = None, **fields: Any) -> User:
    name = principal or f"persona{next(_number)}"
    made = User(**{"principal": name, "full_name": name.title(), "email": f"{name}@example.it", **fields})
    made.password = _hashed_password()
    made.save()
    return made


@functools.cache
def _hashed_password() -> str:
    """Hashed once for everybody."""
    return make_password(PASSWORD)


def grant(
    to: User,
    role: Role,
    *,
    organizations: tuple[Organization, ...] = (),
    services: tuple[Service, ...] = (),
    all_organizations: bool = False,
    all_services: bool = False,
    expires_at: datetime | None = None,
) -> Grant:
    made = Grant.objects.create(
        user=to, role=role, all_organizations=all_organizations, all_services=all_services, expires_at=expires_at
    )
    made.organizations.set(organizations)
    made.services.set(services)
    return made


@dataclass(frozen=True, slots=True)
class Cast:
    """One person for each role on one service instance, and a stranger who has every role on another ente."""

    instance: ServiceInstance
    viewer: User
    editor: User
    sender: User
    approver: User
    configurator: User
    administrator: User
    stranger: User

    @classmethod
    def of(cls, instance: ServiceInstance, *, stranger_on: ServiceInstance) -> "Cast":
        people = {}
        for role in Role:
            person = user()
            grant(person, role, organizations=(instance.organization,), services=(instance.service,))
            people[role.value] = person
        stranger = user()
        for role in Role:
            grant(stranger, role, organizations=(stranger_on.organization,), services=(stranger_on.service,))
        return cls(instance=instance, stranger=stranger, **people)
