"""Programs of integrators, and the keys they show.

A program does what its person may, so it is registered by who administers all that this person holds; and a key is
never good for more, nor for longer, than the key that asked for it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.apps import apps
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop

from registry import auditing
from registry.granting import Gone, administers, held_by_others, locked
from registry.models import Consumer, ConsumerKey, Scope, User

CHANGED = {
    "name": gettext_noop("Nome cambiato"),
    "user": gettext_noop("Utente per cui agisce cambiato"),
    "amount_unit": gettext_noop("Unità degli importi cambiata"),
}
ENABLED = gettext_noop("Integrazione abilitata")
DISABLED = gettext_noop("Integrazione disabilitata")
ISSUED = gettext_noop("Chiave emessa")
REVOKED = gettext_noop("Chiave revocata")

# One in use and one to move over to; more would be forgotten somewhere.
LIVE_KEYS = 2


class NotAllowed(Exception):
    """The person for whom it acts, or is to act, is not administered by who asks."""


class NameTaken(Exception):
    """There is a program of this name."""


class UnitInUse(Exception):
    """It has sent already: its amounts would change their meaning."""


class ScopesNotHeld(Exception):
    """The key that asks lacks these scopes."""

    def __init__(self, scopes: Collection[Scope]) -> None:
        super().__init__()
        self.scopes = sorted(scopes)


class OutlivesAskingKey(Exception):
    """The key that asks ends at `until`, before the new one would."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


class KeysOfOthers(Exception):
    """Somebody who may not have all that the new person holds has a key of it."""


class Moved(Exception):
    """Somebody gave the program to another person meanwhile."""


class TooManyLiveKeys(Exception):
    """LIVE_KEYS are live: revoke one first."""


@dataclass(frozen=True, slots=True)
class ConsumerData:
    name: str
    user: User
    amount_unit: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """What the key that asks is good for; `until` is None where it has no end, or where no key was shown."""

    scopes: Collection[Scope]
    until: datetime | None


def register(data: ConsumerData, *, by: User, at: datetime) -> Consumer:
    """Raises NotAllowed, NameTaken."""
    with transaction.atomic():
        maker, person = locked(by, data.user)
        _check(person, by=maker, at=at)
        made = Consumer(name=data.name, user=person, amount_unit=data.amount_unit, is_active=data.is_active)
        _save(made)
        auditing.note(made, by=maker, created=True)
    return made


def held(consumer: Consumer, *people: User) -> Consumer:
    """The program as it is, held with its person and these until the transaction ends. Raises Moved, Gone."""
    locked(consumer.user, *people)
    current = _locked(consumer)
    if current.user_id != consumer.user_id:
        raise Moved
    return current


def change(consumer: Consumer, data: ConsumerData, *, by: User, at: datetime) -> Consumer:
    """Raises NotAllowed, NameTaken, UnitInUse, KeysOfOthers."""
    with transaction.atomic():
        changer, _owner, person = locked(by, consumer.user, data.user)
        current = _locked(consumer)
        _check(current.user, by=changer, at=at)
        _check(person, by=changer, at=at)
        changed = [name for name in ("name", "user", "amount_unit", "is_active") if _differs(current, data, name)]
        if "amount_unit" in changed and is_used(current):
            raise UnitInUse
        if not changed:
            return current
        # What the person holds, every key of the program opens: as when a person is given something.
        if "user" in changed and not changer.is_staff and held_by_others(current.keys.all(), person, by=changer, at=at):
            raise KeysOfOthers
        current.name, current.user, current.amount_unit = data.name, person, data.amount_unit
        current.is_active = data.is_active
        _save(current, fields=changed)
        deeds = [sentence for name, sentence in CHANGED.items() if name in changed]
        if "is_active" in changed:
            deeds.append(ENABLED if current.is_active else DISABLED)
        auditing.note(current, *deeds, by=changer)
    return current


def issue(
    consumer: Consumer,
    *,
    scopes: Collection[Scope],
    expires_at: datetime | None,
    asking: Asking,
    by: User,
    at: datetime,
) -> tuple[ConsumerKey, str]:
    """A new key, and the key itself, which is shown once.

    Raises NotAllowed, ScopesNotHeld, OutlivesAskingKey, TooManyLiveKeys.
    """
    with transaction.atomic():
        maker, _owner = locked(by, consumer.user)
        current = _locked(consumer)
        _check(current.user, by=maker, at=at)
        if lacking := set(scopes) - set(asking.scopes):
            raise ScopesNotHeld(lacking)
        if asking.until is not None and (expires_at is None or expires_at > asking.until):
            raise OutlivesAskingKey(asking.until)
        if current.keys.unrevoked(at).count() >= LIVE_KEYS:
            raise TooManyLiveKeys
        written = [scope.value for scope in Scope if scope in scopes]
        row, clear = ConsumerKey.issue(current, scopes=written, expires_at=expires_at, by=maker)
        auditing.note(current, ISSUED, f"{row.prefix}… ({', '.join(written)})", by=maker)
    return row, clear


def revoke(key: ConsumerKey, *, by: User, at: datetime) -> ConsumerKey:
    """From the next request on it opens nothing; revoking again changes nothing. Raises NotAllowed."""
    with transaction.atomic():
        revoker, _owner = locked(by, key.consumer.user)
        current = _locked(key.consumer)
        _check(current.user, by=revoker, at=at)
        if ConsumerKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=at):
            auditing.note(current, REVOKED, f"{key.prefix}…", by=revoker)
    key.refresh_from_db()
    return key


def is_used(consumer: Consumer) -> bool:
    """Whether it has sent a message, whatever became of it since."""
    # Messages stand on the registry, not the other way; asked by name, since importing them would be a cycle.
    return bool(apps.get_model("messaging", "IdempotencyKey").objects.filter(consumer=consumer.pk).exists())


def _check(person: User, *, by: User, at: datetime) -> None:
    if not administers(by, person, at=at):
        raise NotAllowed


def _locked(consumer: Consumer) -> Consumer:
    """After the people: every verb takes its locks in this order. Raises Gone."""
    # Without its person: of a row that got another one while this waited, a join would find neither.
    current = Consumer.objects.select_for_update().filter(pk=consumer.pk).first()
    if current is None:
        raise Gone
    return current


def _differs(current: Consumer, data: ConsumerData, name: str) -> bool:
    return bool(getattr(current, name) != getattr(data, name))


def _save(row: Consumer, *, fields: list[str] | None = None) -> None:
    if (fields is None or "name" in fields) and Consumer.objects.filter(name=row.name).exclude(pk=row.pk).exists():
        raise NameTaken
    try:
        with transaction.atomic():
            row.save(update_fields=fields)
    except IntegrityError:
        raise NameTaken from None
