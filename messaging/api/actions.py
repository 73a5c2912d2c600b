"""Decisions on one message: cancel it, send it again as another, settle a doubt."""

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from messaging import copying, deciding, settling
from messaging.api import representations
from messaging.api.actions_schema import ARRIVED, CancelSerializer, ResendSerializer, SettleSerializer
from messaging.api.schema import MessageSerializer
from messaging.composing import (
    Composed,
    ComposeRefused,
    Idempotency,
    InstanceDisabled,
    KeyReused,
    TemplateMissing,
    find_same,
)
from messaging.doubting import left_in_doubt
from messaging.idempotency import canonical_hash
from messaging.models import Message
from messaging.moving import StateConflict
from messaging.states import CANCELLABLE, Delivery
from registry.api.callers import Caller
from registry.api.permissions import HasScope, Scopes
from registry.models import Scope
from registry.permissions import Action, can
from rest.errors import ErrorItem, Text
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

PK = path_id()

_ROLES: dict[Action, Promise] = {
    Action.WRITE_DRAFTS: gettext_lazy("Redazione o Invio"),
    Action.SEND_MESSAGES: gettext_lazy("Invio"),
    Action.SETTLE_DOUBTS: gettext_lazy("Invio"),
}


def visible_message(pk: int, *, caller: Caller) -> Message:
    """With all that an answer shows. Raises NotFound, for what is not visible too."""
    message = Message.objects.visible_to(caller.user).with_everything().filter(pk=pk).first()
    if message is None:
        raise NotFound
    return message


class Decision(Resource):
    """What the three have in common."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"POST": (Scope.MESSAGES_SEND,)}


class Cancel(Decision):
    """Stop a message that has not left."""

    @extend_schema(
        operation_id="cancelMessage",
        tags=["messages"],
        summary="Cancel a message",
        description=(
            "Stops a message that has not left yet; it becomes `discarded` and cannot be taken up again. A warning "
            "`may_have_arrived` says that an earlier sending of it was left without a certain outcome."
        ),
        parameters=[PK],
        request={"application/json": CancelSerializer},
        responses={
            **answers(MessageSerializer, 200, description="Cancelled."),
            **problems(400, 401, 403, 404, 409, 413, 415, 429, 500, 503),
        },
        examples=[OpenApiExample("With a reason", request_only=True, value={"reason": "Importo sbagliato"})],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller = Caller.of(request)
        message = visible_message(pk, caller=caller)
        is_draft = message.delivery is Delivery.DRAFT
        _require(caller, Action.WRITE_DRAFTS if is_draft else Action.SEND_MESSAGES, on=message)
        faults = Faults()
        asked = read(CancelSerializer, _body_or_nothing(request), faults=faults)
        faults.check()
        try:
            deciding.cancel(message, by=caller.user, at=timezone.now(), reason=asked.get("reason") or "")
        except StateConflict:
            raise _not_cancelled(pk) from None
        shown = _shown(_as_it_is(pk), request=request, caller=caller)
        if left_in_doubt([pk]):
            detail = _("Era già partito senza esito certo: il cittadino potrebbe averlo.")
            shown["warnings"].append({"code": "may_have_arrived", "pointer": "", "detail": detail})
        return Response(shown)


class Settle(Decision):
    """A person's word on a message of which nobody knows whether it arrived."""

    @extend_schema(
        operation_id="settleMessage",
        tags=["messages"],
        summary="Settle an uncertain message",
        description=(
            "`arrived`: it becomes `sent`, and is not followed, because IO never told its id. `resend`: it is sent again "
            "at once, and the citizen may get it twice. Both say who and why in its history."
        ),
        parameters=[PK],
        request={"application/json": SettleSerializer},
        responses={
            **answers(MessageSerializer, 200, description="Settled."),
            **problems(400, 401, 403, 404, 409, 413, 415, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "The citizen has it",
                request_only=True,
                value={"outcome": "arrived", "reason": "Il cittadino lo mostra sul telefono"},
            )
        ],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller = Caller.of(request)
        message = visible_message(pk, caller=caller)
        _require(caller, Action.SETTLE_DOUBTS, on=message)
        faults = Faults()
        asked = read(SettleSerializer, body_of(request), faults=faults)
        faults.check()
        settle = settling.settle_arrived if asked["outcome"] == ARRIVED else settling.settle_resend
        try:
            settle(message, by=caller.user, at=timezone.now(), reason=asked["reason"])
        except StateConflict:
            detail = _("Il messaggio non è incerto: ora è «%(state)s». Non abbiamo fatto nulla.")
            raise Problem(409, code="not_uncertain", detail=detail % {"state": _state_of(pk)}) from None
        return Response(_shown(_as_it_is(pk), request=request, caller=caller))


class Resend(Decision):
    """What a message said, sent again as a new one."""

    @extend_schema(
        operation_id="resendMessage",
        tags=["messages"],
        summary="Send a message again",
        description=(
            "Makes a new message from the values of this one and the text that the template has now; this one stays as it "
            "is. From any final state but `processed`; an `uncertain` one is settled instead. Repeating the same request "
            "with the same key answers 200 with the message made the first time."
        ),
        parameters=[
            PK,
            OpenApiParameter(
                "idempotency_key", OpenApiTypes.UUID, required=True, description="A fresh UUID for each new message."
            ),
        ],
        request={"application/json": ResendSerializer},
        responses={
            **answers(MessageSerializer, 201, description="Accepted: the new message."),
            **answers(MessageSerializer, 200, description="The same request was accepted before: its message."),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample("Later", request_only=True, value={"scheduled_expedition_date": "2027-07-01T08:00:00+02:00"})
        ],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        original = visible_message(pk, caller=caller)
        reader, faults = QueryReader(request.query_params), Faults()
        key = reader.uuid("idempotency_key", required=True)
        body = _body_or_nothing(request)
        asked = read(ResendSerializer, body, faults=faults)
        faults.malformed[:0] = reader.errors
        faults.check()
        assert key is not None  # or it would be among the faults
        digest = canonical_hash(
            {**body, "resend": pk},
            service_instance_id=original.service_instance_id,
            amount_unit=caller.amount_unit,
        )
        idempotency = Idempotency(key, digest)
        if can(caller.user, Action.SEND_MESSAGES, on=original):
            composed = _resent(original, asked, idempotency=idempotency, caller=caller, at=at)
        else:
            composed = _resent_before(original, idempotency=idempotency, caller=caller)
        # A right withdrawn since the first time also hides the old answer.
        made = composed.message.pk
        message = _as_it_is(made) if composed.is_new else visible_message(made, caller=caller)
        shown = _shown(message, request=request, caller=caller)
        return Response(
            shown,
            status=201 if composed.is_new else 200,
            headers={"Location": shown["_links"]["self"]["href"]},
        )


def _resent_before(original: Message, *, idempotency: Idempotency, caller: Caller) -> Composed:
    """What this very request made while the caller might still send. Raises Problem 403 where it made nothing: told so of
    what was accepted, a program would send it in another way."""
    earlier = find_same(idempotency, by=caller.user, consumer=caller.consumer)
    if earlier is None:
        raise _not_allowed(Action.SEND_MESSAGES)
    return Composed(earlier, is_new=False)


def _resent(
    original: Message, asked: dict[str, Any], *, idempotency: Idempotency, caller: Caller, at: datetime
) -> Composed:
    """The verb, and its refusals as problems."""
    try:
        return copying.resend(
            original,
            by=caller.user,
            consumer=caller.consumer,
            at=at,
            idempotency=idempotency,
            scheduled_at=asked.get("scheduled_expedition_date"),
            even_if_arrived=asked.get("even_if_arrived", False),
        )
    except KeyReused as refused:
        error = ErrorItem("idempotency_key_reused", "/idempotency_key", refused.cure, "query")
        raise Problem(409, code="idempotency_key_reused", errors=[error]) from None
    except copying.NotResendable as refused:
        detail = f"{refused.obstacle.cure} {_('Ora è «%(state)s».') % {'state': original.delivery_state}}"
        raise Problem(409, code=refused.obstacle.value, detail=detail) from None
    except InstanceDisabled as refused:
        raise _impossible("service_instance_disabled", refused.cure) from None
    except TemplateMissing as refused:
        raise _impossible("template_not_published", refused.cure) from None
    except ComposeRefused as refused:
        # Nothing of it is in the request: the pointers lead into the message as it was first asked for.
        errors = [ErrorItem(found.code, found.pointer, found.detail, None) for found in refused.verdict.errors]
        raise Problem(422, code="impossible", errors=errors) from None


def _impossible(code: str, cure: Text) -> Problem:
    return Problem(422, code="impossible", errors=[ErrorItem(code, "", cure, None)])


def _require(caller: Caller, action: Action, *, on: Message) -> None:
    """Raises Problem 403 where the message is visible and this is not theirs to do."""
    if not can(caller.user, action, on=on):
        raise _not_allowed(action)


def _not_allowed(action: Action) -> Problem:
    detail = _(
        "Il messaggio è visibile, ma manca il ruolo %(role)s per il suo ente e servizio: lo dà chi ne ha "
        "l'Amministrazione."
    )
    return Problem(403, code="permission_denied", detail=detail % {"role": _ROLES[action]})


def _body_or_nothing(request: Request) -> Any:
    """These bodies may be left out; one that is there is read like any other."""
    return {} if request.stream is None else body_of(request)


def _not_cancelled(pk: int) -> Problem:
    state = _state_of(pk)
    if state is Delivery.CANCELLED:
        return Problem(409, code="already_cancelled", detail=_("Il messaggio era già annullato."))
    if state in CANCELLABLE:
        detail = _("Lo stato è cambiato durante la richiesta, ora è «%(state)s»: ripeti la richiesta.")
        return Problem(409, code="state_conflict", detail=detail % {"state": state})
    detail = _("È troppo tardi: il messaggio ora è «%(state)s». Non abbiamo fatto nulla.")
    return Problem(409, code="too_late", detail=detail % {"state": state})


def _state_of(pk: int) -> Delivery:
    return Message.objects.only("delivery_state").get(pk=pk).delivery


def _as_it_is(pk: int) -> Message:
    return Message.objects.with_everything().get(pk=pk)


def _shown(message: Message, *, request: Request, caller: Caller) -> dict[str, Any]:
    return representations.message(
        message,
        links=Links.of(request),
        amount_unit=caller.amount_unit,
        # A draft may be cancelled by who writes it; all else here is done by who may also reveal.
        reveals=can(caller.user, Action.REVEAL_RECIPIENT, on=message),
    )
