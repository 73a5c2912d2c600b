"""How a template gets its text: check, write as a new version, never change one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db.models import Max
from django.utils.translation import gettext as _

from registry.models import User
from templates_app.findings import Finding, Severity
from templates_app.grammar import LookupFault
from templates_app.linting import BLOCKING, check_template
from templates_app.models import Placeholder, Template, TemplatePlaceholder, TemplateVersion
from templates_app.rendering import TemplateText
from templates_app.turns import turn

# What a later step cures, and no message could be sent with: a placeholder to assign, a flag to set, a text still too
# short. Such a text waits as a draft, since GovIO's clients take these steps one by one.
_WAITS_FOR: Final = frozenset({LookupFault.UNKNOWN_NAME.value, LookupFault.FACT_ABSENT.value, "T1", "B1"})
# Authoring rules that stop a person at the portal: over the API they are advice, as they are for messages.
_ADVICE: Final = BLOCKING - _WAITS_FOR - {"C1", "C2", "C3"}


class TemplateRefused(Exception):
    """The text cannot be kept; `findings` say what is wrong, where, and how to cure it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(f"{len(findings)} findings")
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Use:
    """A placeholder as a version uses it. Without a position it takes the one it has among the uses, from 1."""

    placeholder: Placeholder
    mandatory: bool = True
    position: int | None = None

    @property
    def place(self) -> int:
        """The position of a use that has one."""
        assert self.position is not None
        return self.position


@dataclass(frozen=True, slots=True)
class Text:
    """What people write of a version."""

    subject: str
    body: str
    has_payment: bool
    has_due_date: bool

    @classmethod
    def of(cls, version: TemplateVersion) -> "Text":
        return cls(version.subject, version.body, version.has_payment, version.has_due_date)

    def declaring(self, uses: Iterable[Use]) -> TemplateText:
        return TemplateText(
            subject=self.subject,
            body=self.body,
            has_payment=self.has_payment,
            has_due_date=self.has_due_date,
            declarations=tuple(use.placeholder.as_declaration(mandatory=use.mandatory) for use in uses),
        )


def check_text(
    *, subject: str, body: str, has_payment: bool, has_due_date: bool, uses: Sequence[Use]
) -> tuple[Finding, ...]:
    """The warnings of the check; raises TemplateRefused with everything that stands in the way of publishing."""
    findings = check_template(Text(subject, body, has_payment, has_due_date).declaring(uses))
    errors = [finding for finding in findings if finding.severity is not Severity.WARNING]
    if errors:
        raise TemplateRefused(errors)
    return tuple(findings)


def refusals(text: TemplateText) -> list[Finding]:
    """What no later step cures, so that the text is not even kept as a draft."""
    return [
        finding
        for finding in check_template(text)
        if finding.severity is not Severity.WARNING and finding.code not in _WAITS_FOR | _ADVICE
    ]


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
    text = Text(subject, body, has_payment, has_due_date)
    with turn():
        placed = _placed(uses)
        strangers = _strangers(template, placed)
        if strangers:
            raise TemplateRefused(strangers)
        warnings = check_text(
            subject=subject, body=body, has_payment=has_payment, has_due_date=has_due_date, uses=placed
        )
        return _write(template, text, placed, by=by, published_at=at), warnings


def keep(template: Template, text: Text, *, uses: Sequence[Use], by: User | None, at: datetime) -> TemplateVersion:
    """Publish this text if it can be; if a later step makes it good, it becomes the draft, and messages stay as they are.

    Raises TemplateRefused with every other error found.
    """
    with turn():
        placed = _placed(uses)
        errors = [*_strangers(template, placed), *refusals(text.declaring(placed))]
        if errors:
            raise TemplateRefused(errors)
        waits = any(finding.code in _WAITS_FOR for finding in check_template(text.declaring(placed)))
        return _write(template, text, placed, by=by, published_at=None if waits else at)


def uses_of(version: TemplateVersion | None) -> list[Use]:
    """In the order of their positions. One query."""
    if version is None:
        return []
    return [Use(use.placeholder, mandatory=use.mandatory, position=use.position) for use in version.placeholders.all()]


def _placed(uses: Sequence[Use]) -> list[Use]:
    """Each with its position, in that order, and its placeholder as it is now: the caller may have read it before its turn."""
    now = Placeholder.objects.in_bulk([use.placeholder.pk for use in uses])
    placed = [
        replace(use, placeholder=now[use.placeholder.pk], position=index if use.position is None else use.position)
        for index, use in enumerate(uses, start=1)
    ]
    return sorted(placed, key=lambda use: use.place)


def _strangers(template: Template, uses: Sequence[Use]) -> list[Finding]:
    detail = _("Il segnaposto è di un altro ente: usane uno dell'ente del modello, o uno condiviso.")
    return [
        Finding("placeholder_of_another", f"/declarations/{index}/name", detail, Severity.IMPOSSIBLE)
        for index, use in enumerate(uses)
        if use.placeholder.organization_id not in (None, template.organization_id)
    ]


def _write(
    template: Template,
    text: Text,
    uses: Sequence[Use],
    *,
    by: User | None,
    published_at: datetime | None,
) -> TemplateVersion:
    last = template.versions.aggregate(last=Max("number"))["last"] or 0
    version = TemplateVersion.objects.create(
        template=template,
        number=last + 1,
        subject=text.subject,
        body=text.body,
        has_payment=text.has_payment,
        has_due_date=text.has_due_date,
        declarations=[use.placeholder.as_declaration(mandatory=use.mandatory).as_json() for use in uses],
        created_by=by,
        published_at=published_at,
    )
    TemplatePlaceholder.objects.bulk_create(
        TemplatePlaceholder(version=version, placeholder=use.placeholder, position=use.place, mandatory=use.mandatory)
        for use in uses
    )
    if published_at is None:
        template.draft = version
    else:
        template.current_version, template.draft = version, None
    template.save(update_fields=["current_version", "draft"])
    return version
