"""Whether IO takes a key: one question about a citizen of trial, asked by a person who pressed a button.

It changes no message. Like every call it costs a token of the account, respects a pause that IO asked for, and tells the
account's breaker whether IO answers.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from io_client.outcomes import Cause, Profile, ProfileOutcome, Refused, Throttled, Unavailable
from messaging import lanes
from messaging.breaker import Breaker
from messaging.engine import engine
from messaging.models import ActiveKey, IOService
from messaging.pacing import pacer
from messaging.refusing import in_words
from messaging.suspending import KEY_UNREADABLE, NO_KEY
from registry.models import Lane, User
from sealed.boxes import SealBroken

log = logging.getLogger(__name__)

# A person waits before the page: longer than a slow account's next token usually takes, no longer.
TOKEN_WITHIN_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.05


class Verdict(Enum):
    """What is known of the key now."""

    VALID = "valid"
    # Taken, but the service may write only to its own recipients of trial.
    ON_TRIAL = "on trial"
    REFUSED = "refused"
    NOT_ALLOWED = "not allowed"
    UNCLEAR = "unclear"
    UNREACHABLE = "unreachable"
    THROTTLED = "throttled"
    NO_TOKEN = "no token"  # noqa: S105  (a right to call, no secret)
    NO_KEY = "no key"
    UNREADABLE = "unreadable"
    NO_CITIZEN = "no citizen"

    @property
    def words(self) -> Promise:
        return _WORDS[self]

    @property
    def cure(self) -> Promise | str:
        return _CURES.get(self, "")


_WORDS: dict[Verdict, Promise] = {
    Verdict.VALID: _("Valida: IO la accetta."),
    Verdict.ON_TRIAL: _("Valida, ma su IO il servizio è in prova: può scrivere solo ai suoi destinatari di prova."),
    Verdict.REFUSED: _("Rifiutata: IO non la riconosce (401)."),
    Verdict.NOT_ALLOWED: _(
        "IO nega il permesso (403): l’indirizzo IP da cui chiamiamo non è autorizzato, o il servizio non è in "
        "produzione."
    ),
    Verdict.UNCLEAR: _("IO ha risposto in un modo che non dice se la chiave è valida."),
    Verdict.UNREACHABLE: _("IO non è raggiungibile: della chiave non sappiamo nulla."),
    Verdict.THROTTLED: _("IO chiede di rallentare (429): non l’abbiamo potuta provare."),
    Verdict.NO_TOKEN: _("Le chiamate di questo account sono tutte impegnate: non l’abbiamo potuta provare."),
    Verdict.NO_KEY: _(NO_KEY),
    Verdict.UNREADABLE: _(KEY_UNREADABLE),
    Verdict.NO_CITIZEN: _("Il codice fiscale di prova di questo servizio non è valido: senza non si può provare."),
}
_CURES: dict[Verdict, Promise] = {
    Verdict.REFUSED: _("Copiala di nuovo dal back office di IO, o usa l’altra."),
    Verdict.NOT_ALLOWED: _("Controlla nel back office di IO gli indirizzi autorizzati e lo stato del servizio."),
    Verdict.UNREACHABLE: _("Riprova fra poco."),
    Verdict.THROTTLED: _("Riprova fra poco."),
    Verdict.NO_TOKEN: _("Riprova fra qualche secondo."),
    Verdict.NO_CITIZEN: _("Lo corregge il personale della piattaforma."),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What proving came to. `said` are IO's own words, cleaned; `until` is when IO lets us call again, where it said so."""

    verdict: Verdict
    said: str = ""
    until: datetime | None = None

    @property
    def is_good(self) -> bool:
        """IO takes this key."""
        return self.verdict in (Verdict.VALID, Verdict.ON_TRIAL)

    @property
    def is_usable(self) -> bool:
        """There is a key that calls could be made with, whatever IO thinks of it."""
        return self.verdict not in (Verdict.NO_KEY, Verdict.UNREADABLE)


def key_in(io_service: IOService, which: ActiveKey) -> str:
    """The key of this slot in clear, empty where there is none; raises SealBroken."""
    stored = io_service.primary_key if which is ActiveKey.PRIMARY else io_service.secondary_key
    return stored.open()


def prove_key(io_service: IOService, *, which: ActiveKey, by: User) -> Proof:
    """Ask IO about the key of this slot. Takes as long as IO's answer, at most its timeout and two seconds."""
    try:
        key = key_in(io_service, which)
    except SealBroken:
        return Proof(Verdict.UNREADABLE)
    proof = _ask(io_service, key=key) if key else Proof(Verdict.NO_KEY)
    log.info("IO service %s: user %s proved the %s key: %s", io_service.pk, by.pk, which.value, proof.verdict.value)
    return proof


def prove_new_key(io_service: IOService, key: str, *, which: ActiveKey, by: User) -> Proof:
    """Ask IO about a key that is not stored yet, meant for this slot."""
    proof = _ask(io_service, key=key)
    log.info("IO service %s: user %s proved a new %s key: %s", io_service.pk, by.pk, which.value, proof.verdict.value)
    return proof


def _ask(io_service: IOService, *, key: str) -> Proof:
    account = io_service.io_account_id
    lane = _lane(account)
    if (until := _paused_until(lane)) is not None:
        return Proof(Verdict.THROTTLED, until=until)
    if not _take_token(lane):
        return Proof(Verdict.NO_TOKEN)
    taxcode = io_service.test_taxcode or IOService._meta.get_field("test_taxcode").get_default()
    motor = engine()
    outcome = motor.ask(motor.client.profile(taxcode, key=key))
    _learn(account, outcome)
    return _proof_of(account, outcome)


def _lane(io_account: int) -> Lane:
    return Lane.objects.select_related("io_account").annotate(now=Now()).get(pk=io_account)


def _paused_until(lane: Lane) -> datetime | None:
    now: datetime = lane.now  # type: ignore[attr-defined]  # annotated
    return lane.paused_until if lane.paused_until is not None and lane.paused_until > now else None


def _take_token(lane: Lane) -> bool:
    """One token within two seconds; a new bucket starts empty, so the first question may be too early."""
    rate = lanes.effective_rate(lane, now=lane.now)  # type: ignore[attr-defined]  # annotated
    until = time.monotonic() + TOKEN_WITHIN_SECONDS
    while not pacer().take(lane.pk, want=1, rate=rate):
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_EVERY_SECONDS)
    return True


def _learn(io_account: int, outcome: ProfileOutcome) -> None:
    """What was refused here, before any call, says nothing about IO."""
    if isinstance(outcome, Refused) and outcome.status == 0:
        return

    def fold(breaker: Breaker, now: datetime) -> Breaker:
        if isinstance(outcome, Unavailable):
            return breaker.failed(now, was_send=False)
        return breaker.answered(was_send=False)

    lanes.learn(io_account, fold=fold)


def _proof_of(io_account: int, outcome: ProfileOutcome) -> Proof:
    match outcome:
        case Profile() | Refused(cause=Cause.NOT_FOUND):
            # Whether the citizen of trial is on IO does not matter: IO looked them up for this key.
            return Proof(Verdict.VALID)
        case Unavailable():
            return Proof(Verdict.UNREACHABLE)
        case Throttled(after=after):
            lanes.pause(io_account, seconds=after)
            return Proof(Verdict.THROTTLED, until=_paused_until(_lane(io_account)))
        case Refused(status=0, cause=Cause.CONTENT):
            return Proof(Verdict.NO_CITIZEN)
        case Refused(cause=cause):
            return Proof(_VERDICTS.get(cause, Verdict.UNCLEAR), said=in_words(outcome))


_VERDICTS = {
    Cause.KEY: Verdict.REFUSED,
    Cause.PERMISSION: Verdict.NOT_ALLOWED,
    Cause.RECIPIENT: Verdict.ON_TRIAL,
}
