"""POST of one message: from the request to the verb, and from the verb's refusals to problems.

Everything that can be checked is checked before answering: one malformed thing anywhere makes it 400, with every fault
listed; what is well formed but impossible is 422.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from messaging import composing
from messaging.composing import Composed, Idempotency
from messaging.idempotency import canonical_hash
from messaging.models import Message, ServiceInstance
from messaging.models.service_instance import ServiceInstanceQuerySet
from messaging.prepared import Prepared
from messaging.validating import SendingRules, validate
from registry.api.callers import Caller
from registry.models import AmountUnit, User
from registry.permissions import Action
from rest.errors import ErrorItem
from rest.filters import MAX_ID
from rest.problems import Problem
from rest.query import QueryReader
from templates_app.findings import Finding, Severity
from templates_app.rendering import TemplateText

# Checks what does not depend on the template, when there is none to check against.
_NO_TEMPLATE = TemplateText(subject="-" * 10, body="-" * 80, declarations=(), has_payment=False, has_due_date=False)


@dataclass(frozen=True, slots=True)
class SendingParameters:
    """The query of POST; None where a parameter was faulty."""

    service_instance: int | None
    idempotency_key: UUID | None

    @classmethod
    def read(cls, reader: QueryReader) -> "SendingParameters":
        return cls(
            service_instance=reader.integer("service_instance", minimum=0, maximum=MAX_ID, required=True),
            idempotency_key=reader.uuid("idempotency_key", required=True),
        )


def post(read_body: Callable[[], Any], *, reader: QueryReader, caller: Caller, at: datetime) -> Composed:
    """Make the message, or find the one that the same request made before. Raises Problem with everything found wrong."""
    asked = SendingParameters.read(reader)
    try:
        body = read_body()
    except Problem as problem:
        if problem.status_code != 400 or not reader.errors:
            raise
        raise Problem(400, code="invalid", errors=[*reader.errors, *problem.errors]) from None
    instance, may_send = instance_for(asked.service_instance, caller=caller, at=at)
    if instance is None or asked.idempotency_key is None:
        raise _refusal(body, instance=instance, may_send=may_send, reader=reader, caller=caller, at=at)
    digest = canonical_hash(body, service_instance_id=instance.pk, amount_unit=caller.amount_unit)
    idempotency = Idempotency(asked.idempotency_key, digest)
    if not may_send:
        # Told that they may not, a program whose message was accepted would send it in another way.
        earlier = composing.find_same(idempotency, by=caller.user, consumer=caller.consumer)
        if earlier is None or reader.errors:
            raise _refusal(body, instance=instance, may_send=False, reader=reader, caller=caller, at=at)
        return Composed(_still_visible(earlier, caller=caller, at=at), is_new=False)
    try:
        composed = composing.compose(
            body,
            instance=instance,
            by=caller.user,
            consumer=caller.consumer,
            amount_unit=caller.amount_unit,
            at=at,
            idempotency=idempotency,
        )
    except composing.ComposeRefused as refused:
        raise _problem(refused.verdict.errors) from None
    except (composing.InstanceDisabled, composing.TemplateMissing, composing.KeyReused) as refused:
        raise _despite(refused, body=body, instance=instance, caller=caller, at=at) from None
    if composed.is_new:
        return composed
    return Composed(_still_visible(composed.message, caller=caller, at=at), is_new=False)


def instance_for(pk: int | None, *, caller: Caller, at: datetime) -> tuple[ServiceInstance | None, bool]:
    """The service instance, if the caller may see it at all, and whether they may send through it.

    One statement for whoever may; another one tells the others why not.
    """
    if pk is None:
        return None, False
    asked: dict[str, int | datetime] = {"pk": pk, "user": caller.user.pk, "at": at}
    if (found := _OPEN_TO_SEND.first(**asked)) is not None:
        return found, True
    return _VISIBLE.first(**asked), False


def _open_to(action: Action) -> Callable[..., ServiceInstanceQuerySet]:
    def instances(*, pk: int, user: int, at: datetime) -> ServiceInstanceQuerySet:
        return ServiceInstance.objects.open_to(User(pk=user), action, at=at).with_everything().filter(pk=pk)

    return instances


_OPEN_TO_SEND = Prepared(_open_to(Action.SEND_MESSAGES))
# Whoever has any role on it may know that it is there.
_VISIBLE = Prepared(_open_to(Action.SEE_CONFIGURATION))


def _refusal(
    body: Any, *, instance: ServiceInstance | None, may_send: bool, reader: QueryReader, caller: Caller, at: datetime
) -> Problem:
    """Why nothing was composed: the parameters, the service instance or the right to use it; with the body's faults."""
    errors = [*reader.errors]
    if instance is None and not any(error.pointer == "/service_instance" for error in errors):
        errors.append(UNKNOWN)
    found = _findings(body, instance=instance if may_send else None, caller=caller, at=at)
    if reader.errors or _is_malformed(found):
        return Problem(400, code="invalid", errors=[*errors, *map(_item, found)])
    if instance is not None and not may_send:
        return not_allowed()
    return Problem(422, code="impossible", errors=[*errors, *map(_item, found)])


def not_allowed() -> Problem:
    return Problem(403, code="permission_denied", detail=composing.MayNotSend.cure)


def _findings(body: Any, *, instance: ServiceInstance | None, caller: Caller, at: datetime) -> list[Finding]:
    """The body's errors; without an instance to check against, only those that hold for every template."""
    if instance is None or instance.template.current_version is None:
        unit: Literal["euro", "cents"] = "euro" if caller.amount_unit == AmountUnit.EURO else "cents"
        rules = SendingRules(text=_NO_TEMPLATE, amount_unit=unit)
        return [found for found in validate(body, rules=rules, at=at).errors if found.severity is Severity.MALFORMED]
    return list(composing.check(body, instance=instance, amount_unit=caller.amount_unit, at=at).errors)


def _despite(refused: Exception, *, body: Any, instance: ServiceInstance, caller: Caller, at: datetime) -> Problem:
    """The verb stopped at its first doubt; the body may have faults too, and malformed ones come first."""
    found = _findings(body, instance=instance, caller=caller, at=at)
    match refused:
        case composing.KeyReused() if not _is_malformed(found):
            return Problem(409, code="idempotency_key_reused", errors=[_REUSED])
        case composing.InstanceDisabled():
            return _problem(found, DISABLED)
        case composing.TemplateMissing():
            return _problem(found, WITHOUT_TEMPLATE)
    return _problem(found)


def _problem(found: Sequence[Finding], *others: ErrorItem) -> Problem:
    errors = [*others, *map(_item, found)]
    if _is_malformed(found):
        return Problem(400, code="invalid", errors=errors)
    return Problem(422, code="impossible", errors=errors)


def _is_malformed(found: Sequence[Finding]) -> bool:
    return any(finding.severity is Severity.MALFORMED for finding in found)


def _item(finding: Finding) -> ErrorItem:
    return ErrorItem(finding.code, finding.pointer, finding.detail)


UNKNOWN = ErrorItem(
    "service_instance_unknown",
    "/service_instance",
    _("Il collegamento a IO non esiste, o non è visibile a chi lo chiede."),
    "query",
)
DISABLED = ErrorItem(
    "service_instance_disabled",
    "/service_instance",
    composing.InstanceDisabled.cure,
    "query",
)
WITHOUT_TEMPLATE = ErrorItem(
    "template_not_published",
    "/service_instance",
    composing.TemplateMissing.cure,
    "query",
)
_REUSED = ErrorItem(
    "idempotency_key_reused",
    "/idempotency_key",
    composing.KeyReused.cure,
    "query",
)


def _still_visible(message: Message, *, caller: Caller, at: datetime) -> Message:
    """The stored message, read again with all that is shown; a right withdrawn since then also hides the old answer."""
    found = Message.objects.visible_to(caller.user, at=at).with_everything().filter(pk=message.pk).first()
    if found is None:
        raise Problem(
            404, code="not_found", detail=_("Il messaggio di questa richiesta non è più visibile a chi lo chiede.")
        )
    return found
