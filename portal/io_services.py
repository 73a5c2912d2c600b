"""The IO services that a person configures: which they may resume, and how each one is."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet

from messaging.models import IOService, Message, ServiceInstance
from messaging.states import WaitingReason
from registry.models import User
from registry.permissions import Action


@dataclass(frozen=True, slots=True)
class Standing:
    """One IO service. `services` are the names of those that send through it, as far as this person may know them."""

    io_service: IOService
    services: tuple[str, ...]
    # Waiting one by one for a person, because IO refused them without a clear reason.
    set_aside: int
    # False where some use of it is not this person's: resuming concerns them all.
    may_resume: bool


def configurable_by(user: User) -> QuerySet[IOService]:
    """The IO services whose every use is covered: what happens to one concerns all its enti, services and templates."""
    others = ServiceInstance.objects.filter(io_service=OuterRef("pk")).exclude(pk__in=_covered(user).values("pk"))
    return IOService.objects.filter(Exists(_covered(user).filter(io_service=OuterRef("pk"))), ~Exists(others))


def standings_of(user: User) -> list[Standing]:
    """Every IO service of which this person configures some use, the suspended ones first. Four queries."""
    names: dict[int, set[str]] = {}
    for io_service, name in _covered(user).values_list("io_service__pk", "service__service_name"):
        names.setdefault(io_service, set()).add(name)
    resumable = set(configurable_by(user).values_list("pk", flat=True))
    rows = (
        IOService.objects.filter(pk__in=names)
        .select_related("io_account", "organization")
        .order_by("organization__legal_name", "io_service_id")
    )
    aside = Counter(
        Message.objects.filter(
            waiting_reason=WaitingReason.SET_ASIDE, service_instance__in=_covered(user).values("pk")
        ).values_list("service_instance__io_service__pk", flat=True)
    )
    standings = [Standing(row, tuple(sorted(names[row.pk])), aside[row.pk], row.pk in resumable) for row in rows]
    return sorted(standings, key=lambda standing: standing.io_service.suspended_at is None)


def _covered(user: User) -> QuerySet[ServiceInstance]:
    return ServiceInstance.objects.open_to(user, Action.CONFIGURE_SENDING)
