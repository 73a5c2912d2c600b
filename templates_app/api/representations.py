"""How templates and placeholders look in answers. A value that is not there is null, and never left out."""

from collections.abc import Collection
from typing import Any, Final

from rest.hal import Links
from templates_app.findings import Finding
from templates_app.linting import check_template
from templates_app.models import Placeholder, Template, TemplatePlaceholder, TemplateVersion

PLACEHOLDER: Final = "placeholder"
TEMPLATE: Final = "template"
EMBEDDABLE: Final = (PLACEHOLDER, TEMPLATE)


def template(template: Template, *, links: Links) -> dict[str, Any]:
    """GovIO's GovioTemplate, with its newest text: the draft where there is one, which messages do not use yet.

    Costs no query when `current_version` and `draft` are loaded (`TemplateQuerySet.with_text`).
    """
    version = template.newest_version
    return {
        "id": template.pk,
        "name": template.name,
        "description": template.description or None,
        "organization_id": template.organization_id,
        "subject": version.subject if version else None,
        "message_body": version.body if version else None,
        "has_payment": version.has_payment if version else None,
        "has_due_date": version.has_due_date if version else None,
        "version": version.number if version else None,
        "published": version is not None and template.draft_id is None,
        "_links": {
            "self": links.to("templates", template.pk),
            "placeholders": links.to("templates", template.pk, "placeholders"),
        },
    }


def checked_template(of: Template, *, links: Links) -> dict[str, Any]:
    """With what the check finds odd, or still missing, in the text."""
    version = of.newest_version
    return {**template(of, links=links), "warnings": [] if version is None else _warnings(version)}


def placeholder(placeholder: Placeholder, *, links: Links) -> dict[str, Any]:
    """GovIO's GovioPlaceholder and more."""
    return {
        "id": placeholder.pk,
        "name": placeholder.name,
        "description": placeholder.description or None,
        "example": placeholder.example,
        "type": placeholder.type,
        "pattern": placeholder.pattern or None,
        "choices": list(placeholder.choices),
        "is_markdown": placeholder.is_markdown,
        "organization_id": placeholder.organization_id,
        "_links": {"self": links.to("placeholders", placeholder.pk)},
    }


def use(use: TemplatePlaceholder, *, of: Template, links: Links, embed: Collection[str] = ()) -> dict[str, Any]:
    """GovIO's GovioTemplatePlaceholder."""
    shown: dict[str, Any] = {
        "placeholder_id": use.placeholder_id,
        "position": use.position,
        "mandatory": use.mandatory,
        "_links": {
            "template": links.to("templates", of.pk),
            "placeholder": links.to("placeholders", use.placeholder_id),
        },
    }
    embedded: dict[str, Any] = {}
    if PLACEHOLDER in embed:
        embedded[PLACEHOLDER] = placeholder(use.placeholder, links=links)
    if TEMPLATE in embed:
        embedded[TEMPLATE] = template(of, links=links)
    if embedded:
        shown["_embedded"] = embedded
    return shown


def pointer_in_template(finding: Finding) -> str:
    """Where the check points, in the words of this API; of a declaration, its index in the list of placeholders."""
    if finding.pointer == "/body":
        return "/message_body"
    return finding.pointer.replace("/declarations/", "/placeholders/", 1)


def _warnings(version: TemplateVersion) -> list[dict[str, str]]:
    return [
        {"code": finding.code, "pointer": pointer_in_template(finding), "detail": str(finding.detail)}
        for finding in check_template(version.as_text())
    ]
