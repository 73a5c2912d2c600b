"""Making people and changing who they are. What they may do is `registry.granting`'s."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop

from registry import auditing
from registry.granting import administers, locked
from registry.models import Grant, User
from registry.permissions import Action, can

# Never the new value: names and addresses are for the person's own row.
CHANGED = {
    "principal": gettext_noop("Nome utente cambiato"),
    "full_name": gettext_noop("Nome e cognome cambiati"),
    "email": gettext_noop("Indirizzo e-mail cambiato"),
}
ENABLED = gettext_noop("Utente abilitato")
DISABLED = gettext_noop("Utente disabilitato")

OF_ONESELF = frozenset({"full_name", "email"})
OF_ADMINISTRATORS = frozenset({"full_name", "email", "is_active"})
OF_STAFF = frozenset({"full_name", "email", "is_active", "principal"})


class PrincipalTaken(Exception):
    """Somebody has this user name already, maybe with other capitals."""


class NotAllowed(Exception):
    """Not this person's to do; `fields` are those that may not be changed, or none where nobody may be made at all."""

    def __init__(self, fields: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.fields = fields


class DisablingOneself(Exception):
    """Nobody locks themselves out."""


def normal(principal: str) -> str:
    """As it is stored: characters that look the same are the same."""
    return unicodedata.normalize("NFKC", principal)


def is_taken(principal: str, *, but: User | None = None) -> bool:
    others = User.objects.exclude(pk=but.pk) if but else User.objects.all()
    return others.filter(principal__iexact=principal).exists()


def may_enrol(user: User, *, at: datetime) -> bool:
    return can(user, Action.RUN_PLATFORM) or Grant.objects.administering(user, at=at).exists()


def enrol(*, principal: str, full_name: str, email: str, is_active: bool, by: User, at: datetime) -> User:
    """A new person, without rights and without a password. Raises NotAllowed, PrincipalTaken."""
    with transaction.atomic():
        (maker,) = locked(by)
        if not may_enrol(maker, at=at):
            raise NotAllowed
        made = User(principal=principal, full_name=full_name, email=email, is_active=is_active, created_by=maker)
        made.set_unusable_password()
        _save(made)
        auditing.note(made, by=maker, created=True)
    return made


def change(person: User, new: Mapping[str, Any], *, by: User, at: datetime) -> User:
    """Write these fields of OF_STAFF. Raises NotAllowed, DisablingOneself, PrincipalTaken."""
    with transaction.atomic():
        changer, current = locked(by, person)
        changed = frozenset(name for name, value in new.items() if getattr(current, name) != value)
        _check_may_change(current, changed, by=changer, at=at)
        if not changed:
            return current
        for name in changed:
            setattr(current, name, new[name])
        _save(current, fields=sorted(changed))
        auditing.note(current, *_deeds(changed, current), by=changer)
    return current


def changeable(person: User, *, by: User, at: datetime) -> frozenset[str]:
    """The fields of this person that `by` may change."""
    if administers(by, person, at=at):
        return OF_STAFF if can(by, Action.RUN_PLATFORM) else OF_ADMINISTRATORS
    return OF_ONESELF if person == by and by.is_active else frozenset()


def _check_may_change(person: User, changed: frozenset[str], *, by: User, at: datetime) -> None:
    allowed = changeable(person, by=by, at=at)
    if not allowed or not changed <= allowed:
        raise NotAllowed(changed - allowed)
    if person == by and "is_active" in changed:
        raise DisablingOneself


def _save(row: User, *, fields: list[str] | None = None) -> None:
    """The look first tells what the constraint would; the constraint settles what happens at the same moment."""
    if (fields is None or "principal" in fields) and is_taken(row.principal, but=row if row.pk else None):
        raise PrincipalTaken
    try:
        with transaction.atomic():
            row.save(update_fields=fields)
    except IntegrityError:
        raise PrincipalTaken from None


def _deeds(changed: frozenset[str], person: User) -> list[str]:
    deeds = [sentence for name, sentence in CHANGED.items() if name in changed]
    if "is_active" in changed:
        deeds.append(ENABLED if person.is_active else DISABLED)
    return deeds
