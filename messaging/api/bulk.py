"""POST of many messages: from the request to the verb, and from its outcomes to the items of the answer.

What is wrong with the request as a whole refuses it, and no item is looked at; what is wrong with an item is told in the
item, and stops no other.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from messaging import bulk
from messaging.api import posting
from messaging.bulk import Outcome, Result
from messaging.composing import InstanceDisabled, MayNotSend, TemplateMissing
from messaging.models import Message
from messaging.states import API_STATUS
from registry.api.callers import Caller
from rest.errors import ErrorItem
from rest.filters import MAX_ID
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.strict_json import StrictJSONParser
from templates_app.findings import Finding

MAX_ITEMS = 1_000
# Of each item: a thousand items with hundreds of faulty placeholders would make an answer larger than the request.
MAX_ERRORS = 50


class BulkJSONParser(StrictJSONParser):
    """Room for a thousand messages of the largest size that IO takes."""

    def limit(self) -> int:
        return int(settings.BULK_UPLOAD_MAX_MEMORY_SIZE)


def post(
    read_body: Callable[[], Any], *, reader: QueryReader, caller: Caller, links: Links, at: datetime
) -> list[dict[str, Any]]:
    """What became of each item, in their order. Raises Problem where the request as a whole is refused."""
    pk = reader.integer("service_instance", minimum=0, maximum=MAX_ID, required=True)
    items = _items(read_body, reader=reader)
    instance, may_send = posting.instance_for(pk, caller=caller, at=at)
    if instance is None:
        raise Problem(422, code="impossible", errors=[posting.UNKNOWN])
    try:
        outcomes = bulk.compose_many(
            items,
            instance=instance,
            by=caller.user,
            consumer=caller.consumer,
            amount_unit=caller.amount_unit,
            at=at,
            may_send=may_send,
        )
    except MayNotSend:
        raise posting.not_allowed() from None
    except InstanceDisabled:
        raise Problem(422, code="impossible", errors=[posting.DISABLED]) from None
    except TemplateMissing:
        raise Problem(422, code="impossible", errors=[posting.WITHOUT_TEMPLATE]) from None
    except bulk.Contended:
        detail = _("Altre richieste stanno usando le stesse chiavi: riprova fra poco con la stessa richiesta.")
        raise Problem(503, code="unavailable", detail=detail, headers={"Retry-After": "2"}) from None
    visible = _visible(outcomes, caller=caller, at=at)
    return [_shown(index, outcome, links=links, visible=visible) for index, outcome in enumerate(outcomes)]


def _items(read_body: Callable[[], Any], *, reader: QueryReader) -> list[Any]:
    """The items, once query and envelope are sound."""
    errors = [*reader.errors]
    items: list[Any] = []
    try:
        items = _of_envelope(read_body(), errors)
    except Problem as problem:
        if problem.status_code != 400:
            raise
        errors += problem.errors
    if errors:
        raise Problem(400, code="invalid", errors=errors)
    return items


def _of_envelope(body: Any, errors: list[ErrorItem]) -> list[Any]:
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(body, dict):
        errors.append(ErrorItem("type", "", _('La richiesta è un oggetto JSON: {"items": [...]}.')))
    elif items is None:
        errors.append(ErrorItem("required", "/items", _("Il campo è obbligatorio.")))
    elif not isinstance(items, list):
        errors.append(ErrorItem("type", "/items", _("items è un elenco di messaggi.")))
    elif not items:
        errors.append(ErrorItem("too_few", "/items", _("L'elenco è vuoto: serve almeno un messaggio.")))
    elif len(items) > MAX_ITEMS:
        detail = _("I messaggi sono %(count)s e al massimo possono essere %(limit)s: dividili in più richieste.")
        errors.append(ErrorItem("too_many", "/items", detail % {"count": len(items), "limit": MAX_ITEMS}))
    else:
        return items
    return []


def _visible(outcomes: Sequence[Outcome], *, caller: Caller, at: datetime) -> frozenset[int]:
    """Of the messages made before, those that the caller may still see: a right withdrawn since also hides old answers."""
    replayed = [outcome.message_id for outcome in outcomes if outcome.result is Result.REPLAYED]
    if not replayed:
        return frozenset()
    found = Message.objects.visible_to(caller.user, at=at).filter(pk__in=replayed)
    return frozenset(found.values_list("pk", flat=True))


def _shown(index: int, outcome: Outcome, *, links: Links, visible: frozenset[int]) -> dict[str, Any]:
    pk, state = outcome.message_id, outcome.state
    shown: dict[str, Any] = {
        "index": index,
        "result": outcome.result,
        "id": pk,
        "status": None if state is None else API_STATUS[state],
        "_links": None if pk is None else {"self": links.to("messages", pk)},
        "errors": [_error(index, error) for error in outcome.errors[:MAX_ERRORS]],
    }
    if outcome.result is Result.REPLAYED and pk not in visible:
        detail = _("Il messaggio di questa richiesta non è più visibile a chi lo chiede.")
        hidden = ErrorItem("not_found", f"/items/{index}", detail).as_json()
        shown |= {"result": Result.INVALID, "id": None, "status": None, "_links": None, "errors": [hidden]}
    return shown


def _error(index: int, finding: Finding) -> dict[str, str]:
    return ErrorItem(finding.code, f"/items/{index}{finding.pointer}", finding.detail).as_json()
