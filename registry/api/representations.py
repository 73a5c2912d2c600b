"""How the registry's nouns look in answers. A value not yet known is null, and never left out."""

from typing import Any

from registry.models import Organization, Service, User
from rest.hal import Links

# What an ente says of its office, in GovIO's names.
OFFICE = (
    "office_at",
    "office_address",
    "office_address_details",
    "office_zip",
    "office_municipality",
    "office_municipality_details",
    "office_province",
    "office_foreign_state",
    "office_phone_number",
    "office_email_address",
    "office_pec_address",
)


def user(person: User, *, links: Links) -> dict[str, Any]:
    """GovIO's User. No avatar: its address would be made of the e-mail and handed to a third party."""
    return {
        "id": person.pk,
        "principal": person.principal,
        "full_name": person.full_name,
        "email": person.email or None,
        "enabled": person.is_active,
        "_links": {"self": links.to("users", person.pk)},
    }


def organization(ente: Organization, *, links: Links) -> dict[str, Any]:
    """GovIO's Organization."""
    return {
        "id": ente.pk,
        "tax_code": ente.tax_code,
        "legal_name": ente.legal_name,
        **{name: getattr(ente, name) or None for name in OFFICE},
        "_links": _with_logos(ente, "organizations", links=links),
    }


def service(service: Service, *, links: Links) -> dict[str, Any]:
    """GovIO's Service."""
    return {
        "id": service.pk,
        "service_name": service.service_name,
        "description": service.description or None,
        "_links": _with_logos(service, "services", links=links),
    }


def _with_logos(owner: Organization | Service, collection: str, *, links: Links) -> dict[str, dict[str, str]]:
    """`self`, and the pictures that there are."""
    shown = {"self": links.to(collection, owner.pk)}
    if owner.logo_id is not None:
        shown["logo"] = links.to(collection, owner.pk, "logo")
    if owner.logo_miniature_id is not None:
        # GovIO's schema has the one name for single resources and the other in lists: clients of either find it.
        shown["logo-miniature"] = shown["logo_miniature"] = links.to(collection, owner.pk, "logo-miniature")
    return shown
