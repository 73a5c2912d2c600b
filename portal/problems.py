"""What needs a person now, said before anything else: sending suspended, IO silent or slow, messages set aside, doubts, approvals.

Every sentence says what happened, since when, what happens by itself, and what there is to press, if anything.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from messaging.auditing import rekeyed_since_suspended
from messaging.configuring import configurable_by
from messaging.models import IOService, Message, ServiceInstance
from messaging.states import Delivery, WaitingReason
from portal import wording
from portal.io_services import (
    COUNTED,
    count_waiting,
    cure_of_suspension,
    waiting_words,
    why_suspended,
)
from portal.lane_standings import LaneStanding, standings_behind, with_something_due
from registry.models import User
from registry.permissions import Action

_WEIGHTS = ("danger", "warning", "info")
# Suspended services told one by one, each with its count; the others share a line.
TOLD_APART = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence and its cure. `kind` is the colour of the box; without an `action` there is nothing to press here."""

    kind: str
    sentence: str
    cure: str
    action: str = ""
    url: str = ""


def problems_of(user: User) -> list[Problem]:
    """The heaviest first. One or two queries a kind, and one more for each suspended service told apart: thirteen at most."""
    instances = ServiceInstance.objects.open_to(user, Action.SEE_MESSAGES)
    problems = [
        *_suspensions(user, instances),
        *_lanes(instances),
        *_set_aside(user),
        *_doubts(user),
        *_approvals(user),
    ]
    return sorted(problems, key=lambda problem: _WEIGHTS.index(problem.kind))


def problems_of_sending(user: User) -> list[Problem]:
    """For whoever configures sending: what the list of services itself does not show. Two queries."""
    return _lanes(ServiceInstance.objects.open_to(user, Action.CONFIGURE_SENDING))


# --- Suspended services ----------------------------------------------------------------------------------------------


def _suspensions(user: User, instances: "QuerySet[ServiceInstance]") -> list[Problem]:
    suspended = instances.filter(io_service__suspended_at__isnull=False)
    services: dict[int, IOService] = {}
    names: dict[int, set[str]] = defaultdict(set)
    uses: dict[int, list[int]] = defaultdict(list)
    for use in suspended.select_related("io_service", "service").order_by("io_service__suspended_at", "io_service"):
        services[use.io_service_id] = use.io_service
        names[use.io_service_id].add(use.service.service_name)
        uses[use.io_service_id].append(use.pk)
    if not services:
        return []
    changeable = set(configurable_by(user).filter(pk__in=services).values_list("pk", flat=True))
    rekeyed = rekeyed_since_suspended([services[pk] for pk in list(services)[:TOLD_APART] if pk in changeable])
    problems = []
    for pk in list(services)[:TOLD_APART]:
        io_service = services[pk]
        assert io_service.suspended_at is not None
        sentence = _("L’invio di %(services)s è sospeso %(since)s: %(waiting)s.") % {
            "services": ", ".join(sorted(names[pk])),
            "since": wording.since(io_service.suspended_at, now=timezone.now()),
            "waiting": waiting_words(count_waiting(io_service, uses[pk])),
        }
        may_change = pk in changeable
        todo = cure_of_suspension(io_service, may_change=may_change, was_rekeyed=pk in rekeyed)
        cure = f"{why_suspended(io_service)} {todo}"
        if may_change:
            url = reverse("portal:io_service", args=[pk])
            problems.append(Problem("danger", sentence, cure, _("Vedi il servizio"), url))
        else:
            problems.append(Problem("danger", sentence, cure))
    if others := list(services)[TOLD_APART:]:
        problems.append(_other_suspensions(len(others), may_change=bool(changeable & set(others))))
    return problems


def _other_suspensions(number: int, *, may_change: bool) -> Problem:
    sentence = ngettext(
        "È sospeso anche l’invio di %(number)s altro servizio IO.",
        "È sospeso anche l’invio di altri %(number)s servizi IO.",
        number,
    ) % {"number": wording.count(number)}
    cure = _("I loro messaggi restano in coda e partono quando l’invio riprende.")
    if may_change:
        return Problem("danger", sentence, cure, _("Vedi tutti i servizi IO"), reverse("portal:io_services"))
    return Problem("danger", sentence, cure)


# --- The accounts: breaker, pause, pace, news ------------------------------------------------------------------------


def _lanes(instances: "QuerySet[ServiceInstance]") -> list[Problem]:
    """Only while something of this person's waits for it: a lane recovers with the next call, which may be days away."""
    standings = standings_behind(instances)
    disturbed = [standing for standing in standings if standing.is_disturbed]
    due = with_something_due(disturbed, instances=instances)
    felt = [standing for standing in disturbed if standing.io_account in due]
    late = [standing for standing in standings if standing.polls_late is not None]
    return [
        _of_many(problem_of(_worst(group)), group, is_one_of_several=len(standings) > 1)
        for group, problem_of in _kinds(felt, late=late)
        if group
    ]


def problems_of_account(standing: LaneStanding) -> list[Problem]:
    """For the page of a service: how its account is, whether anything waits for it now or not."""
    late = [standing] if standing.polls_late is not None else []
    return [problem_of(standing) for group, problem_of in _kinds([standing], late=late) if group]


def _kinds(
    felt: list[LaneStanding], *, late: list[LaneStanding]
) -> list[tuple[list[LaneStanding], Callable[[LaneStanding], Problem]]]:
    """Each account under what matters most about it, and under its news where they are late."""
    return [
        ([each for each in felt if each.is_open], _open_breaker),
        # An account that IO paused makes no call, whatever its breaker or pace would let it do.
        ([each for each in felt if each.paused_until is not None and not each.is_open], _paused),
        ([each for each in felt if each.is_half_open and each.paused_until is None], _half_open),
        ([each for each in felt if each.is_slowed and each.paused_until is None and not _is_broken(each)], _slowed),
        (late, _late_news),
    ]


def _is_broken(standing: LaneStanding) -> bool:
    return standing.is_open or standing.is_half_open


def _worst(group: list[LaneStanding]) -> LaneStanding:
    """Whose sentence stands for all: silent longest, paused longest, slowest, latest."""
    first = group[0]
    if first.is_open:
        return min(group, key=lambda each: each.opened_at or each.now)
    return max(group, key=lambda each: (each.paused_until or each.now, each.polls_late or each.now - each.now))


def _of_many(problem: Problem, group: list[LaneStanding], *, is_one_of_several: bool) -> Problem:
    """Which accounts it is about, where the reader sends through several."""
    if not is_one_of_several:
        return problem
    if len(group) <= TOLD_APART:
        which = _("Account IO: %(names)s.") % {"names": ", ".join(each.name for each in group)}
    else:
        which = _("Riguarda %(number)s account IO.") % {"number": wording.count(len(group))}
    return Problem(problem.kind, problem.sentence, f"{which} {problem.cure}", problem.action, problem.url)


def _open_breaker(standing: LaneStanding) -> Problem:
    assert standing.opened_at is not None
    sentence = _("IO non risponde, o risponde con errori, %(since)s: i messaggi restano in coda.") % {
        "since": wording.since(standing.opened_at, now=standing.now)
    }
    return Problem("warning", sentence, f"{_next_probe(standing)} {_('Non devi fare nulla.')}")


def _next_probe(standing: LaneStanding) -> str:
    """What happens by itself while the breaker is open."""
    if standing.probe_at is None:
        return _("Lo richiamiamo da soli a intervalli, e appena risponde ripartiamo un messaggio alla volta.")
    return _("Lo richiamiamo da soli %(when)s, e appena risponde ripartiamo un messaggio alla volta.") % {
        "when": wording.soon(standing.probe_at, now=standing.now)
    }


def _half_open(standing: LaneStanding) -> Problem:
    return Problem(
        "info",
        _("IO ha ripreso a rispondere: ripartiamo un messaggio alla volta."),
        _("Appena ne accetta uno torniamo alla velocità normale. Non devi fare nulla."),
    )


def _paused(standing: LaneStanding) -> Problem:
    assert standing.paused_until is not None
    sentence = _("IO ha chiesto di rallentare %(until)s.") % {
        "until": wording.until(standing.paused_until, now=standing.now)
    }
    return Problem(
        "warning",
        sentence,
        _(
            "Fino ad allora i messaggi restano in coda, poi ripartono da soli, più piano per un po’. Non devi fare nulla."
        ),
    )


def _slowed(standing: LaneStanding) -> Problem:
    sentence = _(
        "Inviamo più piano, %(rate)s chiamate al secondo invece di %(full)s, perché IO ha chiesto di rallentare."
    ) % {"rate": wording.rate(standing.rate), "full": wording.count(standing.calls_per_second)}
    return Problem("info", sentence, _("Torniamo da soli alla velocità piena. Non devi fare nulla."))


def _late_news(standing: LaneStanding) -> Problem:
    assert standing.polls_late is not None
    sentence = _("Le notizie da IO sono in ritardo di %(time)s: gli stati che vedi possono essere vecchi.") % {
        "time": wording.duration(standing.polls_late)
    }
    return Problem(
        "info",
        sentence,
        _("Le chiediamo da soli, prima per i messaggi che aspettano da più tempo; l’invio ha la precedenza."),
    )


# --- Messages that wait for a person ---------------------------------------------------------------------------------


def _set_aside(user: User) -> list[Problem]:
    aside = Message.objects.visible_to(user).filter(waiting_reason=WaitingReason.SET_ASIDE)
    number = aside.order_by()[: COUNTED + 1].count()
    if not number:
        return []
    sentence = ngettext(
        "%(number)s messaggio è da parte: IO lo ha rifiutato senza un motivo chiaro.",
        "%(number)s messaggi sono da parte: IO li ha rifiutati senza un motivo chiaro.",
        number,
    ) % {"number": _at_most(number)}
    url = f"{reverse('portal:messages')}?attesa={WaitingReason.SET_ASIDE.value}"
    mine = Message.objects.visible_to(user, action=Action.SEND_MESSAGES).filter(waiting_reason=WaitingReason.SET_ASIDE)
    cure = (
        _("Leggi il dettaglio, verifica, poi rimettili in coda.")
        if mine.exists()
        else _("Non partono da soli: li verifica e li rimette in coda chi ha il ruolo Invio.")
    )
    return [Problem("warning", sentence, cure, _("Vedi quali"), url)]


def _doubts(user: User) -> list[Problem]:
    number = Message.objects.visible_to(user).uncertain().order_by()[: COUNTED + 1].count()
    if not number:
        return []
    sentence = ngettext(
        "%(number)s messaggio ha un esito incerto: potrebbe essere arrivato.",
        "%(number)s messaggi hanno un esito incerto: potrebbero essere arrivati.",
        number,
    ) % {"number": _at_most(number)}
    url = reverse("portal:uncertain")
    if Message.objects.visible_to(user, action=Action.SETTLE_DOUBTS).uncertain().exists():
        cure = _("Se sono arrivati, o se inviarli di nuovo, lo decidi tu.")
        return [Problem("warning", sentence, cure, _("Decidi"), url)]
    cure = _("Se sono arrivati, o se inviarli di nuovo, lo decide chi ha il ruolo Invio.")
    return [Problem("warning", sentence, cure, _("Vedi quali"), url)]


def _approvals(user: User) -> list[Problem]:
    """Four eyes wait for this person's two; what they prepared themselves waits for somebody else."""
    pending = Message.objects.visible_to(user, action=Action.APPROVE_MESSAGES).filter(
        delivery_state=Delivery.PENDING_APPROVAL
    )
    number = pending.exclude(sender=user).order_by()[: COUNTED + 1].count()
    if not number:
        return []
    sentence = ngettext(
        "%(number)s messaggio attende la tua approvazione.",
        "%(number)s messaggi attendono la tua approvazione.",
        number,
    ) % {"number": _at_most(number)}
    url = f"{reverse('portal:messages')}?stato={Delivery.PENDING_APPROVAL.value}"
    return [Problem("info", sentence, _("Non partono prima del tuo sì."), _("Vedi quali"), url)]


def _at_most(number: int) -> str:
    """The count, or where it stopped."""
    return _("Oltre %(number)s") % {"number": wording.count(COUNTED)} if number > COUNTED else wording.count(number)
