"""How a template gets its text: check, publish as a new version, never change a published one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from registry.models import User
from templates_app.findings import Finding, Severity
from templates_app.linting import check_template
from templates_app.models import Placeholder, Template, TemplatePlaceholder, TemplateVersion
from templates_app.rendering import TemplateText


class TemplateRefused(Exception):
    """The text cannot be published; `findings` say what is wrong, where, and how to cure it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(f"{len(findings)} findings")
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Use:
    """A placeholder as a new version uses it; the order of the uses is the order of the columns, from 1."""

    placeholder: Placeholder
    mandatory: bool = True


def check_text(
    *, subject: str, body: str, has_payment: bool, has_due_date: bool, uses: Sequence[Use]
) -> tuple[Finding, ...]:
    """The warnings of the check; raises TemplateRefused with every error found."""
    text = TemplateText(
        subject=subject,
        body=body,
        has_payment=has_payment,
        has_due_date=has_due_date,
        declarations=tuple(use.placeholder.as_declaration(mandatory=use.mandatory) for use in uses),
    )
    findings = check_template(text)
    errors = [finding for finding in findings if finding.severity is not Severity.WARNING]
    if errors:
        raise TemplateRefused(errors)
    return tuple(findings)


def publish(
    template: Template,
    *,
    subject: str,
    body: str,
    has_payment: bool,
    has_due_date: bool,
    uses: Sequence[Use],
    by: User | None,
    at: datetime,
) -> tuple[TemplateVersion, tuple[Finding, ...]]:
    """Make this text the current version of the template; returns it with the warnings of the check.

    Messages already composed keep their frozen text. Raises TemplateRefused with every error found.
    """
    warnings = check_text(subject=subject, body=body, has_payment=has_payment, has_due_date=has_due_date, uses=uses)
    with transaction.atomic():
        # The lock on the template keeps two editors from taking the same number.
        locked = Template.objects.select_for_update().get(pk=template.pk)
        last = locked.versions.aggregate(last=Max("number"))["last"] or 0
        version = TemplateVersion.objects.create(
            template=locked,
            number=last + 1,
            subject=subject,
            body=body,
            has_payment=has_payment,
            has_due_date=has_due_date,
            created_by=by,
            published_at=at,
        )
        TemplatePlaceholder.objects.bulk_create(
            TemplatePlaceholder(
                version=version, placeholder=use.placeholder, position=position, mandatory=use.mandatory
            )
            for position, use in enumerate(uses, start=1)
        )
        locked.current_version = version
        locked.save(update_fields=["current_version"])
    template.current_version = version
    return version, warnings
