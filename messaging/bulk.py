"""Many messages in one call: what `composing` does for one, for up to a thousand, in one transaction.

1. Read each item's key; a key that comes twice belongs to the item where it comes first.
2. Find the earlier requests with these keys, in one statement: the same request is a replay, another one a conflict.
3. Validate the others, one after the other, without touching the database.
4. In one transaction, claim the keys in their own order (two calls that share keys wait for each other instead of
   deadlocking) and store messages, contents and events in groups. A key that a simultaneous call took meanwhile is looked
   up again: its item became a replay or a conflict.
"""

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from django.db import OperationalError, transaction
from django.utils.translation import gettext as _

from messaging import storing
from messaging.composing import (
    Idempotency,
    InstanceDisabled,
    KeyReused,
    MayNotSend,
    TemplateMissing,
    first_event,
    new_content,
    new_key,
    new_message,
    of_principal,
    rules_for,
)
from messaging.idempotency import canonical_hash
from messaging.models import IdempotencyKey, Message, MessageContent, ServiceInstance
from messaging.moving import events_of
from messaging.reading_members import missing
from messaging.states import Delivery, Priority
from messaging.validating import SendingRules, ValidMessage, validate
from messaging.waking import nudge_on_commit
from registry.models import Consumer, User
from rest.query import NOT_A_UUID, read_uuid
from templates_app.findings import Finding, Findings

# deadlock_detected, serialization_failure: the transaction was right, and only came at the wrong moment.
_WORTH_ANOTHER_TRY: Final = frozenset({"40P01", "40001"})
# Whoever was let through needs a moment to take what it waited for: at once, we would take it away again.
PAUSE_SECONDS = 0.1


class Contended(Exception):
    """Other calls got in the way twice in a row: nothing was stored, and the same call may be made again."""


class Result(StrEnum):
    """What became of one item."""

    CREATED = "created"
    # The same request was accepted before: its message.
    REPLAYED = "replayed"
    # The key was used for another request.
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item's result. `message_id` and `state` where there is a message; `errors` point into the item."""

    result: Result
    message_id: int | None = None
    state: Delivery | None = None
    errors: tuple[Finding, ...] = ()


# Why nothing new is composed.
Refusal = InstanceDisabled | TemplateMissing | MayNotSend


class _Earlier(NamedTuple):
    """A request honoured before, and how far its message has come."""

    body_hash: str
    message_id: int
    state: str


@dataclass(frozen=True, slots=True)
class _New:
    """The rows of one item's message; they lack only its id and the instant at which it got that."""

    index: int
    message: Message
    content: MessageContent
    key: IdempotencyKey

    def take(self, place: storing.Place) -> None:
        self.message.pk = self.content.message_id = self.key.message_id = place.number
        self.message.created_at = self.message.updated_at = self.key.created_at = place.at


def compose_many(
    items: Sequence[object],
    *,
    instance: ServiceInstance,
    by: User,
    amount_unit: str,
    at: datetime,
    consumer: Consumer | None = None,
    may_send: bool = True,
) -> list[Outcome]:
    """Compose each item, parsed JSON with its own `idempotency_key`; the outcomes are in the order of the items.

    Items stand alone: what is wrong with one stops no other, and refused ones use up no key. Whether the message of a
    replay may still be seen is the caller's to ask. Without `may_send` what was accepted is told, and nothing is made.
    Raises Contended; InstanceDisabled, TemplateMissing or MayNotSend when nothing can be composed, unless some item was
    accepted before: then the others alone are refused.
    """
    call = _Call(items, instance=instance, by=by, consumer=consumer, amount_unit=amount_unit, at=at, may_send=may_send)
    return call.outcomes()


class _Call:
    """One call under way."""

    def __init__(
        self,
        items: Sequence[object],
        *,
        instance: ServiceInstance,
        by: User,
        consumer: Consumer | None,
        amount_unit: str,
        at: datetime,
        may_send: bool,
    ) -> None:
        self._items = items
        self._instance = instance
        self._by = by
        self._consumer = consumer
        self._amount_unit = amount_unit
        self._at = at
        self._may_send = may_send
        # Key -> the item where it comes first.
        self._places: dict[uuid.UUID, int] = {}
        # Item -> its own key and hash, or what is wrong with its key.
        self._asked: dict[int, Idempotency] = {}
        self._key_faults: dict[int, list[Finding]] = {}

    def outcomes(self) -> list[Outcome]:
        self._read_keys()
        earlier = self._look_up(self._places)
        if not self._may_send:
            # What other requests these keys served is not told to whom may make none.
            earlier = {key: former for key, former in earlier.items() if self._is_the_same(key, former)}
        rules, refusal = self._rules()
        if refusal is not None and not earlier:
            raise refusal
        found: dict[int, Outcome] = {}
        new: list[_New] = []
        for index, item in enumerate(self._items):
            asked = self._asked.get(index)
            former = earlier.get(asked.key) if asked is not None else None
            if asked is not None and former is not None:
                found[index] = self._answered_before(item, asked, former, rules=rules)
            elif refusal is not None or rules is None:
                found[index] = _invalid([*self._key_faults.get(index, ()), *_as_findings(refusal)])
            else:
                verdict = validate(item, rules=rules, at=self._at)
                errors = [*self._key_faults.get(index, ()), *verdict.errors]
                if errors or asked is None or verdict.message is None:
                    found[index] = _invalid(errors)
                else:
                    new.append(self._rows_of(index, verdict.message, verdict.warnings, asked))
        if new:
            found |= self._stored(new)
        return [found[index] for index in range(len(self._items))]

    def _read_keys(self) -> None:
        for index, item in enumerate(self._items):
            findings = Findings()
            key = _read_key(item, findings)
            if key is None:
                self._key_faults[index] = findings.errors
            elif key in self._places:
                findings.malformed("idempotency_key_repeated", "/idempotency_key", _repeated(self._places[key]))
                self._key_faults[index] = findings.errors
            else:
                self._places[key] = index
                digest = canonical_hash(item, service_instance_id=self._instance.pk, amount_unit=self._amount_unit)
                self._asked[index] = Idempotency(key, digest)

    def _look_up(self, keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, _Earlier]:
        """The earlier requests with these keys, in one statement."""
        rows = IdempotencyKey.objects.filter(of_principal(self._by, self._consumer), key__in=list(keys))
        found = rows.values_list("key", "body_hash", "message_id", "message__delivery_state")
        return {key: _Earlier(body_hash, message_id, state) for key, body_hash, message_id, state in found}

    def _is_the_same(self, key: uuid.UUID, former: _Earlier) -> bool:
        return self._asked[self._places[key]].body_hash == former.body_hash

    def _rules(self) -> tuple[SendingRules | None, Refusal | None]:
        """What to validate with, and why nothing new is composed, if so."""
        if not self._may_send:
            return None, MayNotSend()
        try:
            rules = rules_for(self._instance, amount_unit=self._amount_unit)
        except TemplateMissing as refusal:
            return None, refusal if self._instance.enabled else InstanceDisabled()
        return rules, None if self._instance.enabled else InstanceDisabled()

    def _answered_before(
        self, item: object, asked: Idempotency, former: _Earlier, *, rules: SendingRules | None
    ) -> Outcome:
        if former.body_hash == asked.body_hash:
            return Outcome(Result.REPLAYED, former.message_id, Delivery(former.state))
        if rules is not None:
            # As with a single message, what is malformed is told first.
            verdict = validate(item, rules=rules, at=self._at)
            if verdict.is_malformed:
                return _invalid(verdict.errors)
        return _conflict()

    def _rows_of(self, index: int, valid: ValidMessage, warnings: tuple[Finding, ...], asked: Idempotency) -> _New:
        instance, by, consumer, at = self._instance, self._by, self._consumer, self._at
        message = new_message(valid, instance=instance, by=by, consumer=consumer, at=at)
        message.priority = Priority.BULK
        content = new_content(valid, warnings=warnings, instance=instance)
        key = new_key(asked, instance=instance, by=by, consumer=consumer, at=at)
        return _New(index, message=message, content=content, key=key)

    def _stored(self, new: Sequence[_New]) -> dict[int, Outcome]:
        """Outcomes by item."""
        try:
            stored = _store(new)
        except OperationalError as error:
            if not _is_worth_another_try(error):
                raise
            stored = _store_again(new)
        outcomes = {
            each.index: Outcome(Result.CREATED, each.message.pk, each.message.delivery)
            for each in new
            if each.message.pk in stored
        }
        # A simultaneous call with the same keys was faster.
        lost = [each for each in new if each.message.pk not in stored]
        earlier = self._look_up([each.key.key for each in lost]) if lost else {}
        for each in lost:
            former = earlier[each.key.key]
            if former.body_hash == each.key.body_hash:
                outcomes[each.index] = Outcome(Result.REPLAYED, former.message_id, Delivery(former.state))
            else:
                outcomes[each.index] = _conflict()
        return outcomes


def _read_key(item: object, findings: Findings) -> uuid.UUID | None:
    """None with the reason in `findings`; without one where the item is no object, which the validator tells."""
    if not isinstance(item, dict):
        return None
    written = item.get("idempotency_key")
    if written is None:
        missing("/idempotency_key", findings=findings)
        return None
    key = read_uuid(written) if isinstance(written, str) else None
    if key is None:
        findings.malformed("not_a_uuid", "/idempotency_key", str(NOT_A_UUID))
    return key


def _repeated(first: int) -> str:
    return _("La chiave è già dell'elemento %(index)s di questa richiesta: serve una chiave per ogni messaggio.") % {
        "index": first
    }


def _as_findings(refusal: Refusal | None) -> list[Finding]:
    findings = Findings()
    match refusal:
        case MayNotSend():
            findings.impossible("permission_denied", "", str(refusal.cure))
        case InstanceDisabled():
            findings.impossible("service_instance_disabled", "", str(refusal.cure))
        case TemplateMissing():
            findings.impossible("template_not_published", "", str(refusal.cure))
    return findings.errors


def _invalid(errors: Iterable[Finding]) -> Outcome:
    return Outcome(Result.INVALID, errors=tuple(errors))


def _conflict() -> Outcome:
    findings = Findings()
    findings.impossible("idempotency_key_reused", "/idempotency_key", str(KeyReused.cure))
    return Outcome(Result.CONFLICT, errors=tuple(findings.errors))


def _store(new: Sequence[_New]) -> set[int]:
    """The ids of the messages stored: of those whose key was free."""
    rows = storing.rows()
    with transaction.atomic():
        for each, place in zip(new, rows.numbers(Message, len(new)), strict=True):
            each.take(place)
        free = rows.claim(sorted((each.key for each in new), key=lambda row: row.key))
        mine = [each for each in new if each.message.pk in free]
        if mine:
            rows.insert([each.message for each in mine])
            rows.insert([each.content for each in mine])
            rows.insert(events_of([each.message.pk for each in mine], **first_event(mine[0].message)))
            nudge_on_commit()
    return free


def _store_again(new: Sequence[_New]) -> set[int]:
    time.sleep(PAUSE_SECONDS)
    try:
        return _store(new)
    except OperationalError as error:
        if _is_worth_another_try(error):
            raise Contended from None
        raise


def _is_worth_another_try(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in _WORTH_ANOTHER_TRY
