"""Links with which a person chooses a password: good once, for some days, and only while who made them may make them.

The link holds who made it, so that it dies when they lose the right, or when the person is given more than the maker
administers: otherwise a link kept in a drawer would one day open somebody stronger. Nothing of it is stored.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction
from django.utils.http import base36_to_int, int_to_base36
from django.utils.translation import gettext_noop

from registry import auditing
from registry.granting import Gone, administers, locked
from registry.models import User
from registry.permissions import Action, can

INVITED = gettext_noop("Creato un link di invito")
ACCEPTED = gettext_noop("Password scelta dal link di invito")


class NotAllowed(Exception):
    """The person is not administered by who asks."""


class SignedInAlready(Exception):
    """They have a password of their own: only platform staff lets them choose another."""


class Disabled(Exception):
    """They could not sign in anyway."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """`people` names maker and invited, `token` proves it: the two steps of the page's address."""

    people: str
    token: str
    expires_at: datetime


def invite(person: User, *, by: User, at: datetime) -> Invitation:
    """Raises NotAllowed, SignedInAlready, Disabled."""
    with transaction.atomic():
        maker, invited = locked(by, person)
        _check(invited, by=maker, at=at)
        if not invited.is_active:
            raise Disabled
        auditing.note(invited, INVITED, by=maker)
        token = _Tokens(maker).make_token(invited)
    people = f"{int_to_base36(maker.pk)}-{int_to_base36(invited.pk)}"
    return Invitation(people, token, at + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT))


def invited_by_link(people: str, token: str, *, at: datetime) -> User | None:
    """The person whom this link still lets in; None for any other link."""
    maker, person = _named(people)
    if maker is None or person is None or not person.is_active or not _Tokens(maker).check_token(person, token):
        return None
    try:
        _check(person, by=maker, at=at)
    except (NotAllowed, SignedInAlready):
        return None
    return person


def accept(people: str, token: str, *, password: str, at: datetime) -> User | None:
    """Set the password that the link's bearer chose; None if the link is no good any more, used a moment ago included."""
    maker, person = _named(people)
    if maker is None or person is None:
        return None
    with transaction.atomic():
        try:
            locked(maker, person)
        except Gone:
            return None
        # Asked under the locks: of two who use the link at once, the second finds another password.
        invited = invited_by_link(people, token, at=at)
        if invited is None:
            return None
        invited.set_password(password)
        invited.save(update_fields=["password"])
        auditing.note(invited, ACCEPTED, by=invited)
    return invited


def _check(person: User, *, by: User, at: datetime) -> None:
    if not administers(by, person, at=at):
        raise NotAllowed
    if person.last_login is not None and not can(by, Action.RUN_PLATFORM):
        raise SignedInAlready


def _named(people: str) -> tuple[User | None, User | None]:
    maker, _hyphen, person = people.partition("-")
    try:
        numbers = base36_to_int(maker), base36_to_int(person)
    except ValueError:
        return None, None
    if not all(0 < number < 2**63 for number in numbers):
        return None, None
    found = User.objects.in_bulk(numbers)
    return found.get(numbers[0]), found.get(numbers[1])


class _Tokens(PasswordResetTokenGenerator):
    """Django's, whose proof ends with the password it was made for and with the next sign-in; ours names the maker too."""

    key_salt = "registry.inviting"

    def __init__(self, maker: User) -> None:
        super().__init__()
        self._maker = maker.pk

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{self._maker}-{super()._make_hash_value(user, timestamp)}"
