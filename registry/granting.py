"""Giving people rights and taking them back: nobody gives more than they hold.

Platform staff may give anything, to anybody. An administrator may give any role on those enti and services of which
every single pair is covered by one of their own administrator grants, and never for longer than that grant lasts.
"All" is for staff alone to give and to take; so is whatever belongs to staff.

Each verb locks the rows of the people concerned before it looks at what they hold, as does whatever takes a right
away: of two at the same moment the one that takes away is either seen, or comes after and finds what was given.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_noop

from registry import auditing
from registry.models import ConsumerKey, Grant, Organization, Role, Service, User
from registry.querysets import ConsumerKeyQuerySet

GIVEN = gettext_noop("Autorizzazione data")
REPLACED = gettext_noop("Autorizzazione cambiata")
TAKEN = gettext_noop("Autorizzazione tolta")

# Which roles an administrator may give: all of them, in their own enti and services.
ASSIGNABLE: dict[Role, tuple[Role, ...]] = {Role.ADMINISTRATOR: tuple(Role)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a grant is to say. A set that is "all" is empty beside its boolean."""

    role: Role
    organizations: tuple[Organization, ...]
    services: tuple[Service, ...]
    all_organizations: bool
    all_services: bool
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pair:
    """An ente and a service that the granter does not administer together, or not for long enough."""

    organization: Organization
    service: Service


class NotYours(Exception):
    """The granter does not administer all of this; `missing` has the first pairs, or none where there are none at all."""

    def __init__(self, missing: tuple[Pair, ...] = ()) -> None:
        super().__init__()
        self.missing = missing


class ForStaffAlone(Exception):
    """ "All", or a grant of platform staff."""


class HasPrograms(Exception):
    """Others hold keys of a program that acts for this person: what the person gets, they get. Staff may do it knowingly."""


class Gone(Exception):
    """Somebody took this grant, or this person, away meanwhile."""


def grant(target: User, wanted: Wanted, *, by: User, at: datetime) -> Grant:
    """Raises NotYours, ForStaffAlone, HasPrograms."""
    with transaction.atomic():
        granter, person = locked(by, target)
        _check_may_give(person, wanted, by=granter, at=at)
        made = Grant(user=person)
        _write(made, wanted)
        _check_programs(person, by=granter, at=at)
        auditing.note(person, GIVEN, described(wanted), by=granter)
    return made


def replace(old: Grant, wanted: Wanted, *, by: User, at: datetime) -> Grant:
    """Raises what `grant` and `revoke` raise."""
    with transaction.atomic():
        granter, person = locked(by, old.user)
        current = _current(old)
        before = what_it_says(current)
        _check_may_take(person, before, by=granter, at=at)
        _check_may_give(person, wanted, by=granter, at=at)
        _write(current, wanted)
        if not _narrows(before, wanted):
            _check_programs(person, by=granter, at=at)
        auditing.note(person, REPLACED, f"{described(before)} → {described(wanted)}", by=granter)
    return current


def revoke(old: Grant, *, by: User, at: datetime) -> None:
    """Raises NotYours, ForStaffAlone, Gone. Who administers the place may take away, however long the grant would last."""
    with transaction.atomic():
        granter, person = locked(by, old.user)
        current = _current(old)
        before = what_it_says(current)
        _check_may_take(person, before, by=granter, at=at)
        current.delete()
        auditing.note(person, TAKEN, described(before), by=granter)


def administers(user: User, target: User, *, at: datetime) -> bool:
    """Whether all that `target` holds is this person's to administer: see `UserQuerySet.administered_by`."""
    return User.objects.administered_by(user, at=at).filter(pk=target.pk).exists()


def held_by_others(keys: ConsumerKeyQuerySet, person: User, *, by: User, at: datetime) -> bool:
    """Whether somebody else has one of these keys who may not have all that this person holds.

    Who issued a key has it. That is harmless where they are `by`, staff, or administer the person, now: who administered
    them once, or is dismissed, keeps the key and not the right. Keys without an issuer are older than the API that lets
    anybody but staff issue them.
    """
    issuers = keys.unrevoked(at).exclude(issued_by=None).exclude(issued_by=by.pk).values("issued_by")
    others = User.objects.filter(pk__in=issuers).exclude(is_active=True, is_staff=True)
    return any(not administers(issuer, person, at=at) for issuer in others)


def locked(*people: User) -> tuple[User, ...]:
    """The rows as they are now, until the end of the transaction; always in one order, so that nobody waits in a circle.

    Their messages do not wait: only who changes the same people, or their rights, does.
    """
    rows = User.objects.select_for_update(no_key=True).filter(pk__in={person.pk for person in people}).order_by("pk")
    found = {row.pk: row for row in rows}
    if any(person.pk not in found for person in people):
        raise Gone
    return tuple(found[person.pk] for person in people)


def what_it_says(held: Grant) -> Wanted:
    """Costs two queries, unless the sets were fetched before."""
    return Wanted(
        role=Role(held.role),
        organizations=() if held.all_organizations else tuple(held.organizations.all()),
        services=() if held.all_services else tuple(held.services.all()),
        all_organizations=held.all_organizations,
        all_services=held.all_services,
        expires_at=held.expires_at,
    )


def described(wanted: Wanted) -> str:
    """For the log: ids alone, so that it stays true when names change."""
    enti = "*" if wanted.all_organizations else ", ".join(str(one.pk) for one in wanted.organizations)
    services = "*" if wanted.all_services else ", ".join(str(one.pk) for one in wanted.services)
    until = "" if wanted.expires_at is None else f" → {wanted.expires_at.isoformat(timespec='seconds')}"
    return f"{wanted.role} [{enti}] × [{services}]{until}"


def _current(old: Grant) -> Grant:
    current = Grant.objects.filter(pk=old.pk, user=old.user_id).first()
    if current is None:
        raise Gone
    return current


def _write(row: Grant, wanted: Wanted) -> None:
    row.role = wanted.role
    row.all_organizations, row.all_services = wanted.all_organizations, wanted.all_services
    row.expires_at = wanted.expires_at
    row.save()
    row.organizations.set(wanted.organizations)
    row.services.set(wanted.services)


def _check_may_give(person: User, wanted: Wanted, *, by: User, at: datetime) -> None:
    if by.is_active and by.is_staff:
        return
    if person.is_staff or wanted.all_organizations or wanted.all_services:
        raise ForStaffAlone
    _check_covered(wanted, _administering(by, at=at, until=wanted.expires_at, is_new=True))


def _check_may_take(person: User, held: Wanted, *, by: User, at: datetime) -> None:
    if by.is_active and by.is_staff:
        return
    if person.is_staff or held.all_organizations or held.all_services:
        raise ForStaffAlone
    _check_covered(held, _administering(by, at=at, until=None, is_new=False))


def _check_programs(person: User, *, by: User, at: datetime) -> None:
    """After the change: somebody holding a key of this person's program must not get into a place by our hand."""
    if by.is_active and by.is_staff:
        return
    if held_by_others(ConsumerKey.objects.filter(consumer__user=person), person, by=by, at=at):
        raise HasPrograms


def _narrows(before: Wanted, after: Wanted) -> bool:
    """Whether nothing is given that was not there."""
    return (
        before.role == after.role
        and (before.all_organizations, before.all_services) == (after.all_organizations, after.all_services)
        and set(after.organizations) <= set(before.organizations)
        and set(after.services) <= set(before.services)
        and (before.expires_at is None or (after.expires_at is not None and after.expires_at <= before.expires_at))
    )


@dataclass(frozen=True, slots=True)
class _Administered:
    """One administrator grant; None means all."""

    organizations: frozenset[int] | None
    services: frozenset[int] | None

    def has(self, organization: Organization) -> bool:
        return self.organizations is None or organization.pk in self.organizations


def _administering(by: User, *, at: datetime, until: datetime | None, is_new: bool) -> list[_Administered]:
    """The granter's administrator grants that may be leant on; for something new, those that last as long as it does."""
    grants: Iterable[Grant] = Grant.objects.administering(by, at=at).prefetch_related("organizations", "services")
    if is_new:
        grants = [one for one in grants if one.expires_at is None or (until is not None and until <= one.expires_at)]
    return [
        _Administered(
            organizations=None if one.all_organizations else frozenset(row.pk for row in one.organizations.all()),
            services=None if one.all_services else frozenset(row.pk for row in one.services.all()),
        )
        for one in grants
    ]


# More would help nobody, and a thousand enti by a thousand services is a million.
_PAIRS_NAMED = 10


def _check_covered(wanted: Wanted, administered: list[_Administered]) -> None:
    missing = tuple(pair for pair, _number in zip(_uncovered(wanted, administered), range(_PAIRS_NAMED), strict=False))
    # What gives nothing, because a set was emptied, is administered by whoever administers something.
    if missing or not administered:
        raise NotYours(missing)


def _uncovered(wanted: Wanted, administered: list[_Administered]) -> Iterator[Pair]:
    # Enti covered by the same grants lack the same services: decided once for all of them.
    lacking: dict[tuple[int, ...], list[Service]] = {}
    for organization in wanted.organizations:
        here = tuple(number for number, one in enumerate(administered) if one.has(organization))
        if here not in lacking:
            lacking[here] = _lacking(wanted.services, [administered[number].services for number in here])
        for service in lacking[here]:
            yield Pair(organization, service)


def _lacking(services: tuple[Service, ...], covered: list[frozenset[int] | None]) -> list[Service]:
    """Those in none of the sets, of which None is all."""
    known = [one for one in covered if one is not None]
    if len(known) < len(covered):
        return []
    together = frozenset[int]().union(*known)
    return [service for service in services if service.pk not in together]
