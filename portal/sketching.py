"""The preview while writing: the true renderer on what is typed so far, with examples where values are missing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from io_client.payloads import MARKDOWN_LENGTH, SUBJECT_LENGTH, utf16_length
from messaging import composing
from messaging.local_time import end_of_day
from messaging.models import ServiceInstance
from portal import opening
from portal.drafts import lint
from portal.forms.compose import LATER, ComposeForm
from portal.preview import Preview, preview_from
from registry.models import AmountUnit
from templates_app.rendering import FixedValues, Rendered, RenderingErrors, TemplateText, render
from templates_app.rome_time import to_rome

# Believable facts in place of those still to be typed; never stored.
EXAMPLE_CODE: Final = "RSSMRA80A01H501U"
EXAMPLE_NOTICE: Final = "300000000000000001"
EXAMPLE_CENTS: Final = 10_000
EXAMPLE_DUE_IN: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Departure:
    """When it would leave. `at` is None as soon as possible, or while the date is still to be typed."""

    at: datetime | None
    is_past: bool
    is_missing: bool
    # In the hour that the autumn night repeats, and nobody said yet which of the two.
    is_ambiguous: bool
    # When the ente sends again, in words, where it is closed then; empty where it is open.
    opening: str


@dataclass(frozen=True, slots=True)
class Sketch:
    """What stands beside the form. Sentences only: what stops it, what is worth a thought, whose value is an example."""

    # None while the text cannot be made; `stops` then says why.
    preview: Preview | None
    subject_length: int
    markdown_length: int
    by_example: tuple[str, ...]
    stops: tuple[str, ...]
    warnings: tuple[str, ...]
    departure: Departure

    @property
    def findings_count(self) -> int:
        return len(self.stops) + len(self.warnings)

    @property
    def subject_fits(self) -> bool:
        return SUBJECT_LENGTH[0] <= self.subject_length <= SUBJECT_LENGTH[1]

    @property
    def markdown_fits(self) -> bool:
        return MARKDOWN_LENGTH[0] <= self.markdown_length <= MARKDOWN_LENGTH[1]


def sketch(form: ComposeForm, *, instance: ServiceInstance, text: TemplateText, at: datetime) -> Sketch:
    """Draw what the form gives so far. Reads the form and adds nothing to its errors."""
    form.is_valid()
    fixed, facts_by_example = _facts(form, text=text, at=at)
    data = form.as_input(examples_for_missing=True)
    values = {placeholder["name"]: placeholder["value"] for placeholder in data["placeholders"]}
    stops = form.mistyped
    warnings = [
        finding.detail
        for finding in composing.check(data, instance=instance, amount_unit=AmountUnit.EURO, at=at).warnings
    ]
    rendered: Rendered | None = None
    try:
        rendered = render(text, values=values, fixed=fixed)
    except RenderingErrors as impossible:
        stops += [finding.detail for finding in impossible.findings]
    if rendered is not None:
        blocking, doubtful = lint(
            rendered.subject,
            rendered.markdown,
            instance=instance,
            due_date=fixed.due_date if text.has_due_date else None,
            leaves_at=fixed.expedition_date,
        )
        stops += [finding.detail for finding in blocking]
        warnings += [finding.detail for finding in doubtful]
    return Sketch(
        preview=None if rendered is None else _drawn(rendered, fixed=fixed, text=text, instance=instance, at=at),
        subject_length=0 if rendered is None else utf16_length(rendered.subject),
        markdown_length=0 if rendered is None else utf16_length(rendered.markdown),
        by_example=(*form.names_shown_by_example, *facts_by_example),
        # Said once, whoever found it.
        stops=tuple(dict.fromkeys(stops)),
        warnings=tuple(dict.fromkeys(warnings)),
        departure=_departure(form, instance=instance, at=at),
    )


def _drawn(
    rendered: Rendered, *, fixed: FixedValues, text: TemplateText, instance: ServiceInstance, at: datetime
) -> Preview:
    return preview_from(
        subject=rendered.subject,
        markdown=rendered.markdown,
        instance=instance,
        due_date=fixed.due_date if text.has_due_date else None,
        amount_cents=fixed.amount_cents if text.has_payment else None,
        notice_number=(fixed.notice_number or "") if text.has_payment else "",
        at=at,
    )


def _departure(form: ComposeForm, *, instance: ServiceInstance, at: datetime) -> Departure:
    planned = form.cleaned_data.get("scheduled_at")
    is_missing = planned is None and form.cleaned_data.get("quando") == LATER
    is_ambiguous = is_missing and form.has_error("quando_volta")
    return Departure(
        at=planned,
        is_past=planned is not None and planned <= at,
        is_missing=is_missing and not is_ambiguous,
        is_ambiguous=is_ambiguous,
        opening="" if is_missing else opening.after(instance.organization, max(planned or at, at)).in_words,
    )


def _facts(form: ComposeForm, *, text: TemplateText, at: datetime) -> tuple[FixedValues, list[str]]:
    """The message's own facts as typed, examples standing in for what is missing, and the labels of those."""
    typed = form.cleaned_data
    missing = []

    def or_example(name: str, value: Any, example: Any) -> Any:
        if value in (None, ""):
            if name in form.fields:
                missing.append(str(form.fields[name].label))
            return example
        return value

    euro = typed.get("importo")
    return FixedValues(
        taxcode=typed.get("codice_fiscale") or EXAMPLE_CODE,
        expedition_date=max(typed.get("scheduled_at") or at, at),
        due_date=or_example("scadenza_data", typed.get("due_date"), end_of_day(to_rome(at + EXAMPLE_DUE_IN).date())),
        notice_number=or_example("codice_avviso", typed.get("codice_avviso"), EXAMPLE_NOTICE),
        amount_cents=or_example("importo", None if euro is None else int(euro.scaleb(2)), EXAMPLE_CENTS),
        invalid_after_due_date=typed.get("non_valido_dopo", False),
        payee=typed.get("ente_creditore") or None,
    ), missing
