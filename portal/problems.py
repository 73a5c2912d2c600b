"""What needs a person now, said before anything else: sending suspended, IO silent, messages set aside, doubts, approvals."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from messaging.models import IOService, Message, ServiceInstance
from messaging.states import WAITING, Delivery, WaitingReason
from portal import wording
from portal.io_services import configurable_by
from registry.models import Lane, User
from registry.permissions import Action

# Counting stops here; the line then says "oltre 1.000".
COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence and its cure. `kind` is the colour of the box; without an `action` there is nothing to press here."""

    kind: str
    sentence: str
    cure: str
    action: str = ""
    url: str = ""


def problems_of(user: User) -> list[Problem]:
    """The heaviest first. One query a kind, and one more for each suspended service."""
    instances = ServiceInstance.objects.open_to(user, Action.SEE_MESSAGES)
    return [*_suspensions(user, instances), *_breakers(user), *_set_aside(user), *_doubts(user), *_approvals(user)]


def _suspensions(user: User, instances: "QuerySet[ServiceInstance]") -> list[Problem]:
    suspended = IOService.objects.filter(pk__in=instances.values("io_service"), suspended_at__isnull=False)
    resumable = set(configurable_by(user).values_list("pk", flat=True))
    problems = []
    for io_service in suspended.order_by("suspended_at"):
        waiting = Message.objects.visible_to(user).filter(
            service_instance__io_service=io_service, delivery_state__in=sorted(WAITING)
        )
        names = instances.filter(io_service=io_service).values_list("service__service_name", flat=True).distinct()
        sentence = _("L’invio di %(services)s è sospeso: %(waiting)s.") % {
            "services": ", ".join(sorted(set(names))),
            "waiting": _waiting(waiting),
        }
        reason = str(io_service.get_suspended_reason_display())
        if io_service.pk in resumable:
            url = reverse("portal:resume", args=[io_service.pk])
            problems.append(Problem("danger", sentence, reason, _("Verifica e riprendi"), url))
        else:
            problems.append(Problem("danger", sentence, reason))
    return problems


def _waiting(rows: "QuerySet[Message]") -> str:
    number = rows.order_by()[: COUNTED + 1].count()
    if number > COUNTED:
        return _("oltre %(number)s messaggi restano in coda") % {"number": wording.count(COUNTED)}
    if not number:
        return _("nessun messaggio in coda")
    sentence = ngettext("%(number)s messaggio resta in coda", "%(number)s messaggi restano in coda", number)
    return sentence % {"number": wording.count(number)}


def _breakers(user: User) -> list[Problem]:
    """Only while something of this person's waits for it: a lane closes with the next call, which may be days away."""
    kept = Message.objects.visible_to(user).waiting().filter(scheduled_at__lte=timezone.now())
    lanes = Lane.objects.filter(Exists(kept.filter(io_account=OuterRef("io_account"))), opened_at__isnull=False)
    return [
        Problem(
            "warning",
            _("IO ha smesso di rispondere %(when)s: i messaggi restano in coda.")
            % {"when": wording.moment(opened_at, now=timezone.now())},
            _("Riproviamo da soli e ripartiamo appena risponde: non devi fare nulla."),
        )
        for opened_at in lanes.values_list("opened_at", flat=True)
        if opened_at is not None
    ]


def _set_aside(user: User) -> list[Problem]:
    aside = Message.objects.visible_to(user).filter(waiting_reason=WaitingReason.SET_ASIDE)
    number = aside.order_by()[: COUNTED + 1].count()
    if not number:
        return []
    sentence = ngettext(
        "%(number)s messaggio è da parte: IO lo ha rifiutato senza un motivo chiaro.",
        "%(number)s messaggi sono da parte: IO li ha rifiutati senza un motivo chiaro.",
        number,
    ) % {"number": wording.count(number)}
    url = f"{reverse('portal:messages')}?attesa={WaitingReason.SET_ASIDE.value}"
    return [
        Problem("warning", sentence, _("Leggi il dettaglio, verifica, poi rimettili in coda."), _("Vedi quali"), url)
    ]


def _doubts(user: User) -> list[Problem]:
    number = Message.objects.visible_to(user).uncertain().order_by()[: COUNTED + 1].count()
    if not number:
        return []
    sentence = ngettext(
        "%(number)s messaggio ha un esito incerto: potrebbe essere arrivato.",
        "%(number)s messaggi hanno un esito incerto: potrebbero essere arrivati.",
        number,
    ) % {"number": wording.count(number)}
    cure = _("Non li inviamo di nuovo da soli: decidi tu.")
    return [Problem("warning", sentence, cure, _("Decidi"), reverse("portal:uncertain"))]


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
    ) % {"number": wording.count(number)}
    url = f"{reverse('portal:messages')}?stato={Delivery.PENDING_APPROVAL.value}"
    return [Problem("info", sentence, _("Non partono prima del tuo sì."), _("Vedi quali"), url)]
