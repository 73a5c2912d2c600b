"""Changing the keys of an IO service without a stop: storing one, and passing from one slot to the other.

Every mark reads the key in use afresh, so a switch counts from the next message on; requests under way finish with the
key they left with, and what IO says of that key no longer suspends the service (`suspending.suspend`).
"""

import re

from django.db import transaction

from messaging import auditing
from messaging.models import ActiveKey, IOService
from messaging.moving import StateConflict
from messaging.proving import Proof, key_in
from registry.models import User
from sealed.boxes import SealBroken, Sealed

LONGEST_KEY = 256
# What an HTTP header carries without doubt. IO's keys are 32 hexadecimal digits today; nothing promises it.
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


class KeyUnusable(Exception):
    """There is no key in that slot, or it cannot be opened: switching to it would stop every message."""


def other_than(which: ActiveKey) -> ActiveKey:
    return ActiveKey.PRIMARY if which is ActiveKey.SECONDARY else ActiveKey.SECONDARY


def is_well_formed(key: str) -> bool:
    """Whether this can be a key at all: visible ASCII without spaces."""
    return _KEY.fullmatch(key) is not None


def is_same_as_other(io_service: IOService, which: ActiveKey, key: str) -> bool:
    """The other slot holds this very key: then there would be nothing to switch to."""
    try:
        return key_in(io_service, other_than(which)) == key
    except SealBroken:
        return False


def switch_key(io_service: IOService, *, to: ActiveKey, by: User) -> None:
    """Make calls with the other key from now on.

    Raises KeyUnusable where that slot has no key that opens, StateConflict when it is the one in use already.
    """
    try:
        if not key_in(io_service, to):
            raise KeyUnusable
    except SealBroken as broken:
        raise KeyUnusable from broken
    with transaction.atomic():
        if not IOService.objects.filter(pk=io_service.pk, active_key=other_than(to)).update(active_key=to):
            raise StateConflict
        auditing.note(io_service, auditing.SWITCHED[to], by=by)
    io_service.active_key = to


def store_key(io_service: IOService, *, which: ActiveKey, key: str, seen_active: ActiveKey, by: User) -> None:
    """Put a key into a slot, in place of what was there.

    Raises ValueError for what cannot be a key, and StateConflict when the key in use is no longer `seen_active`: whoever
    replaces the key in use must have known that it was.
    """
    if not is_well_formed(key):
        raise ValueError("not a key")
    column = "primary_key" if which is ActiveKey.PRIMARY else "secondary_key"
    sealed = Sealed.close(key)
    with transaction.atomic():
        if not IOService.objects.filter(pk=io_service.pk, active_key=seen_active).update(**{column: sealed}):
            raise StateConflict
        auditing.note(io_service, auditing.ENTERED[which], by=by)
    setattr(io_service, column, sealed)


def needs_a_second_yes(io_service: IOService, *, which: ActiveKey, proof: Proof) -> bool:
    """Replacing the key in use by one that IO did not take would stop what may still be leaving."""
    stored = io_service.primary_key if which is ActiveKey.PRIMARY else io_service.secondary_key
    return which == io_service.active_key and bool(stored) and not proof.is_good
