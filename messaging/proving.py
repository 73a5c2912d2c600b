"""Whether IO takes a key: one question about a citizen of trial, asked by a person who pressed a button.

It changes no message. Like every call it costs a token of the account and respects a pause that IO asked for; a failure
counts for the account's breaker. An open breaker it leaves alone: persons who press a button must not let messages out
towards an IO that is not well.

The person waits on a thread that everybody's pages need: few may, and not for long.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from io_client.outcomes import Cause, Profile, ProfileOutcome, Refused, Throttled, Unavailable
from messaging import auditing, lanes
from messaging.auditing import Proven
from messaging.breaker import Breaker, Position
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
# Less than a call of the queue may take: what IO answers later is of no use to who asked.
ANSWER_WITHIN_SECONDS = 5.0
# Of this process at once, whatever the accounts; each holds a thread that serves pages.
AT_ONCE = 2


class Verdict(Enum):
    """What is known of the key now."""

    VALID = "valid"
    # Taken, but the service may write only to its own recipients of trial.
    ON_TRIAL = "on trial"
    REFUSED = "refused"
    NOT_ALLOWED = "not allowed"
    UNCLEAR = "unclear"
    UNREACHABLE = "unreachable"
    SLOW = "slow"
    THROTTLED = "throttled"
    NO_TOKEN = "no token"  # noqa: S105  (a right to call, no secret)
    BUSY = "busy"
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
    Verdict.UNREACHABLE: _("IO non risponde, o risponde con errori: della chiave non sappiamo nulla."),
    Verdict.SLOW: _("IO non ha risposto entro qualche secondo: della chiave non sappiamo nulla."),
    Verdict.THROTTLED: _("IO chiede di rallentare (429): non l’abbiamo potuta provare."),
    Verdict.NO_TOKEN: _("Le chiamate di questo account sono tutte impegnate: non l’abbiamo potuta provare."),
    Verdict.BUSY: _("Una prova è già in corso: questa non l’abbiamo fatta."),
    Verdict.NO_KEY: _(NO_KEY),
    Verdict.UNREADABLE: _(KEY_UNREADABLE),
    Verdict.NO_CITIZEN: _("Il codice fiscale di prova di questo servizio non è valido: senza non si può provare."),
}
_CURES: dict[Verdict, Promise] = {
    Verdict.REFUSED: _("Copiala di nuovo dal back office di IO."),
    Verdict.NOT_ALLOWED: _("Controlla nel back office di IO gli indirizzi autorizzati e lo stato del servizio."),
    Verdict.UNREACHABLE: _("Riprova fra poco."),
    Verdict.SLOW: _("Riprova fra poco."),
    Verdict.THROTTLED: _("Riprova fra poco."),
    Verdict.NO_TOKEN: _("Riprova fra qualche secondo."),
    Verdict.BUSY: _("Riprova fra qualche secondo."),
    Verdict.NO_CITIZEN: _("Lo corregge il personale della piattaforma."),
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What proving came to. `said` are IO's own words, cleaned; `until` is when IO lets us call again, where it said so."""

    verdict: Verdict
    said: str = ""
    until: datetime | None = None
    # IO was asked, whatever came of it; False where something of ours kept the call from leaving.
    was_asked: bool = False

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
    """Ask IO about the key of this slot. Takes as long as a token and IO's answer do, seven seconds at most."""
    try:
        key = key_in(io_service, which)
    except SealBroken:
        return Proof(Verdict.UNREADABLE)
    proof = _ask(io_service, key=key) if key else Proof(Verdict.NO_KEY)
    _note(io_service, auditing.PROVED[which], proof, by=by)
    log.info("IO service %s: user %s proved the %s key: %s", io_service.pk, by.pk, which.value, proof.verdict.value)
    return proof


def prove_new_key(io_service: IOService, key: str, *, which: ActiveKey, by: User) -> Proof:
    """Ask IO about a key that is not stored yet, meant for this slot."""
    proof = _ask(io_service, key=key)
    _note(io_service, auditing.PROVED_NEW[which], proof, by=by)
    log.info("IO service %s: user %s proved a new %s key: %s", io_service.pk, by.pk, which.value, proof.verdict.value)
    return proof


def _note(io_service: IOService, deed: str, proof: Proof, *, by: User) -> None:
    """A line of the service's history for each proof that reached IO."""
    if proof.was_asked:
        auditing.note(io_service, deed, _PROVEN.get(proof.verdict, Proven.UNKNOWN).value, by=by)


_PROVEN = {
    Verdict.VALID: Proven.TAKEN,
    Verdict.ON_TRIAL: Proven.TAKEN,
    Verdict.REFUSED: Proven.NOT_TAKEN,
    Verdict.NOT_ALLOWED: Proven.NOT_TAKEN,
}

_under_way: set[int] = set()
_counting = threading.Lock()


@contextmanager
def _turn(io_account: int) -> Iterator[bool]:
    """Whether a proof of this account may begin; if so, none other of it begins before the end."""
    with _counting:
        may_begin = io_account not in _under_way and len(_under_way) < AT_ONCE
        if may_begin:
            _under_way.add(io_account)
    try:
        yield may_begin
    finally:
        if may_begin:
            with _counting:
                _under_way.discard(io_account)


def _ask(io_service: IOService, *, key: str) -> Proof:
    with _turn(io_service.io_account_id) as may_begin:
        return _ask_in_turn(io_service, key=key) if may_begin else Proof(Verdict.BUSY)


def _ask_in_turn(io_service: IOService, *, key: str) -> Proof:
    account = io_service.io_account_id
    lane = _lane(account)
    if (until := _paused_until(lane)) is not None:
        return Proof(Verdict.THROTTLED, until=until)
    if not _take_token(lane):
        return Proof(Verdict.NO_TOKEN)
    taxcode = io_service.test_taxcode or IOService._meta.get_field("test_taxcode").get_default()
    motor = engine()
    try:
        outcome = motor.ask(motor.client.profile(taxcode, key=key), within=ANSWER_WITHIN_SECONDS)
    except TimeoutError:
        # It may have answered a call of the queue, which waits longer: no failure for the breaker.
        return Proof(Verdict.SLOW, was_asked=True)
    if isinstance(outcome, Refused) and outcome.status == 0:
        # Refused here, before any call: that says nothing about IO.
        return _proof_of(account, outcome)
    _learn(account, outcome)
    return replace(_proof_of(account, outcome), was_asked=True)


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
    """Whether IO answers; an open breaker waits for its own probe, however often somebody asks meanwhile."""

    def fold(breaker: Breaker, now: datetime) -> Breaker:
        if breaker.position is Position.OPEN:
            return breaker
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
