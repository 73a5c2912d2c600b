"""How a template looks in answers: the text is that of its current version."""

from typing import Any

from rest.hal import Links
from templates_app.models import Template


def template(template: Template, *, links: Links) -> dict[str, Any]:
    """GovIO's GovioTemplate; the text is null while no version is published."""
    version = template.current_version
    return {
        "id": template.pk,
        "name": template.name,
        "description": template.description or None,
        "subject": version.subject if version else None,
        "message_body": version.body if version else None,
        "has_payment": version.has_payment if version else None,
        "has_due_date": version.has_due_date if version else None,
        "_links": {
            "self": links.to("templates", template.pk),
            "placeholders": links.to("templates", template.pk, "placeholders"),
        },
    }
