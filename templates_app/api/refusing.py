"""What the check of a text says, as refusals: each fault at the member of the request that is the culprit, where there is one."""

from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _

from rest.errors import ErrorItem
from rest.problems import Problem, register
from templates_app.api.representations import pointer_in_template
from templates_app.findings import Finding
from templates_app.publishing import TemplateRefused
from templates_app.writing import NameTaken, PlaceholderInUse


def in_text(findings: Iterable[Finding]) -> list[ErrorItem]:
    """For bodies that hold the text. What a placeholder of the template is to blame for is in no member of them."""
    return [
        ErrorItem(finding.code, pointer_in_template(finding), finding.detail)
        if finding.pointer in {"/subject", "/body"}
        else _elsewhere(finding)
        for finding in findings
    ]


def in_declaration(findings: Iterable[Finding]) -> list[ErrorItem]:
    """For bodies that are a declaration."""
    return [ErrorItem(finding.code, finding.pointer, finding.detail) for finding in findings]


def _elsewhere(finding: Finding) -> ErrorItem:
    return ErrorItem(finding.code, "", finding.detail, None)


def _refused(error: TemplateRefused) -> Problem:
    return Problem(422, code="impossible", errors=[_elsewhere(finding) for finding in error.findings])


def _taken(error: NameTaken) -> Problem:
    detail = _("C'è già un segnaposto con questo nome.")
    return Problem(409, code="name_taken", errors=[ErrorItem("name_taken", "/name", detail)])


def _in_use(error: PlaceholderInUse) -> Problem:
    """One entry for each template, with the first of what would be wrong there."""
    detail = _("Il modello «%(template)s» (%(id)s) usa il segnaposto, e non andrebbe più bene. %(reason)s")
    errors = [
        ErrorItem(
            "template_spoilt",
            "",
            detail % {"template": template.name, "id": template.pk, "reason": refused.findings[0].detail},
            None,
        )
        for template, refused in error.spoilt
    ]
    return Problem(422, code="template_spoilt", errors=errors)


register(TemplateRefused, _refused)
register(NameTaken, _taken)
register(PlaceholderInUse, _in_use)
