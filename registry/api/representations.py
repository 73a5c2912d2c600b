"""How the registry's nouns look in answers. A value not yet known is null, and never left out."""

from typing import Any

from registry.models import Organization, Service, User
from rest.hal import Links

_OFFICE = (
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
        **{name: getattr(ente, name) or None for name in _OFFICE},
        "_links": {"self": links.to("organizations", ente.pk)},
    }


def service(service: Service, *, links: Links) -> dict[str, Any]:
    """GovIO's Service."""
    return {
        "id": service.pk,
        "service_name": service.service_name,
        "description": service.description or None,
        "_links": {"self": links.to("services", service.pk)},
    }
