"""How people's rights, programs and keys look in answers. A value not known is null, and never left out."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registry.api.callers import Caller
from registry.granting import ASSIGNABLE
from registry.models import Consumer, ConsumerKey, Grant, Organization, Role, Service, User
from registry.roles import APPLICATION, BY_ROLE, KnownRole
from rest.hal import Links


@dataclass(frozen=True, slots=True)
class Sight:
    """Which enti and services may be named to the caller; None means all."""

    organizations: frozenset[int] | None = None
    services: frozenset[int] | None = None

    @classmethod
    def of(cls, caller: Caller, grants: Collection[Grant], *, at: datetime) -> "Sight":
        """Platform staff are told everything, others what they see elsewhere; two queries at most."""
        if caller.user.is_staff or all(grant.user_id == caller.user.pk for grant in grants):
            return cls()
        organizations = {row.pk for grant in grants for row in grant.organizations.all()}
        services = {row.pk for grant in grants for row in grant.services.all()}
        return cls(
            frozenset(
                Organization.objects.visible_to(caller.user, at=at)
                .filter(pk__in=organizations)
                .values_list("pk", flat=True)
            ),
            frozenset(
                Service.objects.visible_to(caller.user, at=at).filter(pk__in=services).values_list("pk", flat=True)
            ),
        )


EVERYTHING = Sight()


def profile(person: User, *, caller: Caller, grants: Collection[Grant], links: Links) -> dict[str, Any]:
    """GovIO's Profile, and what the key that was shown adds to it."""
    return {
        "id": person.pk,
        "principal": person.principal,
        "full_name": person.full_name,
        "email": person.email or None,
        "enabled": person.is_active,
        "platform": person.is_staff,
        "scopes": sorted(caller.scopes),
        "amount_unit": caller.amount_unit,
        "authorizations": [authorization(grant, links=links) for grant in grants],
        "_links": {"self": links.to("profile")},
    }


def role(known: KnownRole) -> dict[str, Any]:
    return {
        **_named(known),
        "application": APPLICATION,
        "assignable_roles": [_named(BY_ROLE[one]) for one in ASSIGNABLE.get(known.role, ())],
    }


def _named(known: KnownRole) -> dict[str, Any]:
    return {"id": known.id, "role_name": known.name}


def authorization(grant: Grant, *, links: Links, sight: Sight = EVERYTHING) -> dict[str, Any]:
    """GovIO's Authorization; its sets should be fetched before. What the caller does not see is left out, and said to be."""
    organizations = [] if grant.all_organizations else list(grant.organizations.all())
    services = [] if grant.all_services else list(grant.services.all())
    seen = [row for row in organizations if sight.organizations is None or row.pk in sight.organizations]
    seen_services = [row for row in services if sight.services is None or row.pk in sight.services]
    return {
        "id": grant.pk,
        "role": role(BY_ROLE[Role(grant.role)]),
        "organizations": [_organization(row, links=links) for row in seen],
        "services": [_service(row, links=links) for row in seen_services],
        "all_organizations": grant.all_organizations,
        "all_services": grant.all_services,
        "expiration_date": grant.expires_at,
        "complete": len(seen) == len(organizations) and len(seen_services) == len(services),
        "_links": {"self": links.to("users", grant.user_id, "authorizations", grant.pk)},
    }


def _organization(row: Organization, *, links: Links) -> dict[str, Any]:
    return {
        "id": row.pk,
        "tax_code": row.tax_code,
        "legal_name": row.legal_name,
        "_links": {"self": links.to("organizations", row.pk)},
    }


def _service(row: Service, *, links: Links) -> dict[str, Any]:
    return {
        "id": row.pk,
        "service_name": row.service_name,
        "description": row.description or None,
        "_links": {"self": links.to("services", row.pk)},
    }


def consumer(row: Consumer, *, links: Links) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "user_id": row.user_id,
        "amount_unit": row.amount_unit,
        "enabled": row.is_active,
        "created_at": row.created_at,
        "_links": {
            "self": links.to("consumers", row.pk),
            "user": links.to("users", row.user_id),
            "keys": links.to("consumers", row.pk, "keys"),
        },
    }


def consumer_key(row: ConsumerKey, *, links: Links, at: datetime) -> dict[str, Any]:
    """Everything but the key, which nobody has any more."""
    return {
        "id": row.pk,
        "prefix": row.prefix,
        "scopes": row.scopes,
        "live": all(moment is None or moment > at for moment in (row.expires_at, row.revoked_at)),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
        "_links": {"self": links.to("consumers", row.consumer_id, "keys", row.pk)},
    }
