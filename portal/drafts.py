"""A draft between its form and the validator: what was typed, and what it would become."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from messaging import composing
from messaging.models import Message, ServiceInstance
from messaging.validating import ValidMessage
from portal.forms.compose import LATER, NOW, ComposeForm
from portal.preview import Preview, preview_from
from registry.models import AmountUnit
from templates_app.findings import Finding
from templates_app.linting import BLOCKING, lint_message
from templates_app.rendering import TemplateText
from templates_app.rome_time import to_rome

# Codes of the validator; the authoring rules say the first one again as D1.
OVERDUE: Final = "due_date_past"
ENDS_BEFORE_IT_LEAVES: Final = "due_date_before_expedition"
ENDS_WHILE_CLOSED: Final = "due_date_before_opening"
PAST_IN_LINT: Final = "D1"


def text_of(message: Message) -> TemplateText:
    """The template's text as it is now: what a draft becomes is decided when it is confirmed."""
    version = message.service_instance.template.current_version
    if version is None:
        raise composing.TemplateMissing
    return version.as_text()


def typed_in(message: Message) -> dict[str, str]:
    """The form of a draft as last typed; one given back by an approver that came from the API is put into words again."""
    content = message.content
    if content.draft_form is not None:
        return {str(name): str(value) for name, value in content.draft_form.items()}
    return _typed_again(message)


def _typed_again(message: Message) -> dict[str, str]:
    content = message.content
    typed = {"codice_fiscale": message.taxcode, "quando": LATER if message.scheduled_at > message.updated_at else NOW}
    typed |= {f"s_{name}": str(value) for name, value in content.values.items()}
    for group, moment in (("scadenza", message.due_date), ("quando", message.scheduled_at)):
        if moment is not None:
            local = to_rome(moment)
            typed |= {
                f"{group}_data": local.date().isoformat(),
                f"{group}_ora": f"{local:%H:%M}",
                f"{group}_volta": str(local.fold),
            }
    if content.amount_cents is not None:
        typed |= {
            "codice_avviso": content.notice_number,
            "importo": f"{Decimal(content.amount_cents).scaleb(-2):.2f}".replace(".", ","),
            "non_valido_dopo": "on" if content.invalid_after_due_date else "",
            "ente_creditore": content.payee_taxcode,
        }
    return {name: value for name, value in typed.items() if value}


@dataclass(frozen=True, slots=True)
class Checked:
    """A whole form under the validator and the authoring rules. `message` is None while something blocks it."""

    message: ValidMessage | None
    data: Mapping[str, Any]
    warnings: tuple[Finding, ...]

    @property
    def is_overdue(self) -> bool:
        return any(finding.code == OVERDUE for finding in self.warnings)

    @property
    def ends_while_closed(self) -> bool:
        """Its due date passes before the ente sends again."""
        return any(finding.code == ENDS_WHILE_CLOSED for finding in self.warnings)


def check(form: ComposeForm, *, instance: ServiceInstance, at: datetime) -> Checked:
    """Judge the form by the one validator; what is wrong goes beside the fields of the form."""
    form.is_valid()  # reads the fields; what each refuses by itself stays beside it
    data = form.as_input()
    verdict = composing.check(data, instance=instance, amount_unit=AmountUnit.EURO, at=at)
    message = verdict.message
    stops: list[Finding] = []
    warns: list[Finding] = []
    if message is not None:
        stops, warns = lint(
            message.subject,
            message.markdown,
            instance=instance,
            due_date=message.due_date,
            leaves_at=message.scheduled_at,
        )
        # Over the API a warning, as GovIO has no such rule; a person is stopped before a message that cannot leave.
        stops += [finding for finding in verdict.warnings if finding.code == ENDS_BEFORE_IT_LEAVES]
    form.take_findings([*verdict.errors, *stops], data=data)
    told = {finding.detail for finding in verdict.warnings}
    warnings = (*verdict.warnings, *(finding for finding in warns if finding.detail not in told))
    return Checked(None if form.errors else message, data, warnings)


def lint(
    subject: str, markdown: str, *, instance: ServiceInstance, due_date: datetime | None, leaves_at: datetime
) -> tuple[list[Finding], list[Finding]]:
    """The authoring rules broken: those that stop, those that warn. A due date already past is asked about, not stopped."""
    names = (instance.organization.legal_name, instance.service.service_name)
    found = lint_message(subject, markdown, due_date=due_date, at=leaves_at, names=names)
    found = [one for one in found if not one.code.startswith(PAST_IN_LINT)]
    return [one for one in found if one.code in BLOCKING], [one for one in found if one.code not in BLOCKING]


def preview_of_valid(message: ValidMessage, *, instance: ServiceInstance, at: datetime) -> Preview:
    """What will be stored, exactly."""
    return preview_from(
        subject=message.subject,
        markdown=message.markdown,
        instance=instance,
        due_date=message.due_date,
        amount_cents=message.payment.amount_cents if message.payment else None,
        notice_number=message.payment.notice_number if message.payment else "",
        at=at,
    )
