"""Connecting an ente, a service and a template to IO, and changing it: service instances, and the IO services under them.

What happens to an IO service concerns everybody who sends through it: whoever changes it configures all its uses.
Keys go in and never come out. A key that is given is compared here, and stored by `rekeying`.
"""

import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from messaging import auditing, rekeying
from messaging.models import ActiveKey, IOService, Message, ServiceInstance
from messaging.proving import key_in
from messaging.querysets import PROFILE_GOOD_FOR
from messaging.states import Delivery, WaitingReason
from messaging.suspending import release_set_aside
from registry import auditing as registry_auditing
from registry.models import Organization, Service, User
from registry.permissions import Action
from sealed.boxes import SealBroken, Sealed
from templates_app.models import Template


class Refused(Exception):
    """What was asked for cannot be done; `cure` says why, and what to do instead."""

    cure: Promise


class IOAccountMissing(Refused):
    """The ente has no account in which an IO service could be found or made."""

    cure = _("L'ente non ha un account IO predefinito: lo imposta il personale della piattaforma.")


class OtherAccount(Refused):
    """The ente's account is another by now, and messages in the queue belong to the one of old."""

    cure = _(
        "L'account IO dell'ente è cambiato da quando il collegamento esiste: qui il servizio IO non si può cambiare."
    )


class OtherOrganization(Refused):
    """Another ente of the same account has an IO service of this id."""

    cure = _("Questo ID servizio IO è già di un altro ente: controlla di averlo copiato bene.")


class KeyDiffers(Refused):
    """The IO service exists, and this is neither of its keys."""

    cure = _(
        "Il servizio IO esiste già con altre chiavi: indicane una, oppure sostituiscila prima con una PATCH o fra le "
        "chiavi del servizio IO."
    )


class KeyNeeded(Refused):
    """The IO service exists, nobody sends through it yet, and only its key shows that one may."""

    cure = _("Per usare questo servizio IO indica anche una sua chiave.")


class NotEveryUse(Refused):
    """Some use of the IO service is not this person's to configure."""

    cure = _(
        "Il servizio IO è usato anche da altri collegamenti: serve il ruolo Configurazione per l'ente e il servizio di "
        "ognuno. Lo assegna chi ha il ruolo Amministrazione."
    )


class AlreadyConnected(Refused):
    """The ente already has this service with this template."""

    cure = _("L'ente ha già questo servizio con questo modello: usa quel collegamento, o un altro modello.")


# --- Whose they are --------------------------------------------------------------------------------------------------


def covered_by(user: User) -> QuerySet[ServiceInstance]:
    """The service instances that this person configures."""
    return ServiceInstance.objects.open_to(user, Action.CONFIGURE_SENDING)


def shown_to(user: User) -> QuerySet[IOService]:
    """The IO services of which this person configures some use."""
    return IOService.objects.filter(Exists(covered_by(user).filter(io_service=OuterRef("pk"))))


def configurable_by(user: User) -> QuerySet[IOService]:
    """The IO services whose every use is covered: what happens to one concerns all its enti, services and templates."""
    others = ServiceInstance.objects.filter(io_service=OuterRef("pk")).exclude(pk__in=covered_by(user).values("pk"))
    return shown_to(user).filter(~Exists(others))


def _others_use(io_service: IOService, *, user: User) -> bool:
    """False also where nobody uses it."""
    uses = ServiceInstance.objects.filter(io_service=io_service)
    return uses.exclude(pk__in=covered_by(user).values("pk")).exists()


# --- Service instances -----------------------------------------------------------------------------------------------


def connect(
    *,
    organization: Organization,
    service: Service,
    template: Template,
    io_service_id: str,
    key: str,
    enabled: bool,
    by: User,
) -> ServiceInstance:
    """A new service instance, by way of the ente's IO service of this id, which is made if there is none.

    Raises IOAccountMissing, OtherOrganization, KeyDiffers, NotEveryUse and AlreadyConnected; then nothing was made.
    """
    with transaction.atomic():
        io_service = _found(organization, io_service_id)
        if io_service is None:
            io_service = _made_or_found(
                IOService(
                    io_account=organization.io_account,
                    organization=organization,
                    io_service_id=io_service_id,
                    primary_key=Sealed.close(key),
                ),
                by=by,
            )
        _check_key(io_service, key, by=by)
        try:
            with transaction.atomic():
                instance = ServiceInstance.objects.create(
                    organization=organization,
                    service=service,
                    template=template,
                    io_service=io_service,
                    enabled=enabled,
                )
        except IntegrityError:
            raise AlreadyConnected from None
        registry_auditing.note(instance, by=by, created=True)
    return instance


def change(
    instance: ServiceInstance, *, enabled: bool, io_service_id: str, key: str | None, by: User, at: datetime
) -> None:
    """Make it so; `key` is None where nothing is said of keys, and otherwise the one in use from now on.

    With another `io_service_id` it sends by way of that IO service, which is made if there is none: then with the keys of
    the present one unless `key` is given, since it is the key that tells IO which service is meant.

    Raises IOAccountMissing, OtherAccount, OtherOrganization, KeyNeeded and NotEveryUse; then nothing was changed.
    """
    deeds = []
    with transaction.atomic():
        if io_service_id != instance.io_service.io_service_id:
            instance.io_service = _destination(instance, io_service_id, key=key, by=by)
            deeds.append(auditing.MOVED)
        elif key is not None:
            _put_in_use(instance.io_service, key, by=by)
        if enabled != instance.enabled:
            instance.enabled = enabled
            deeds.append(auditing.ENABLED if enabled else auditing.DISABLED)
        if not deeds:
            return
        instance.save(update_fields=["io_service", "enabled"])
        auditing.note(instance, *deeds, by=by)
        if auditing.MOVED in deeds:
            _take_along_what_waits(instance, by=by, at=at)


def _destination(instance: ServiceInstance, io_service_id: str, *, key: str | None, by: User) -> IOService:
    organization, present = instance.organization, instance.io_service
    io_service = _found(organization, io_service_id)
    if organization.io_account_id != present.io_account_id:
        # A message in the queue never leaves by way of another account than the one it was composed for.
        raise OtherAccount
    if io_service is None:
        fresh = IOService(io_account_id=present.io_account_id, organization=organization, io_service_id=io_service_id)
        if key is None:
            if _others_use(present, user=by):
                # Its key, its limits and its suspension are also others' to decide: only a key of one's own leads out.
                raise NotEveryUse
            for name in _OF_THE_SAME_SERVICE:
                setattr(fresh, name, getattr(present, name))
        else:
            fresh.primary_key = Sealed.close(key)
        io_service = _made_or_found(fresh, by=by)
    if key is not None:
        _put_in_use(io_service, key, by=by)
    else:
        _check_right_to_use(io_service, present, by=by)
    return io_service


# What goes with a key, whatever the id is called.
_OF_THE_SAME_SERVICE = (
    "primary_key",
    "secondary_key",
    "active_key",
    "payment_cap_cents",
    "test_taxcode",
    "require_secure_channels",
    # Why IO refused the key is no better under another id; resuming it is for a person to say.
    "suspended_at",
    "suspended_reason",
    "suspended_detail",
)


def _take_along_what_waits(instance: ServiceInstance, *, by: User, at: datetime) -> None:
    """Messages in the queue leave by way of the new IO service: why they waited for the old one counts no more."""
    io_service = instance.io_service
    queue = Message.objects.waiting().filter(io_account=io_service.io_account_id, service_instance=instance)
    if io_service.suspended_at is None:
        queue.filter(waiting_reason=WaitingReason.SUSPENDED).update(waiting_reason=WaitingReason.NONE)
    # Whether the citizen wants messages of this service is to be asked anew.
    queue.filter(delivery_state=Delivery.RECIPIENT_ALLOWED).update(
        profile_checked_at=at - PROFILE_GOOD_FOR - timedelta(minutes=1)
    )
    aside = Message.objects.filter(service_instance=instance, waiting_reason=WaitingReason.SET_ASIDE)
    release_set_aside(io_service, by=by, at=at, ids=list(aside.values_list("pk", flat=True)))


# --- The IO service under them ---------------------------------------------------------------------------------------


def _found(organization: Organization, io_service_id: str) -> IOService | None:
    """The ente's IO service of this id in its account, locked until the transaction ends; None where there is none."""
    if organization.io_account_id is None:
        raise IOAccountMissing
    rows = IOService.objects.select_for_update().filter(io_account=organization.io_account_id)
    io_service = rows.filter(io_service_id=io_service_id).first()
    if io_service is not None and io_service.organization_id != organization.pk:
        raise OtherOrganization
    return io_service


def _made_or_found(fresh: IOService, *, by: User) -> IOService:
    """`fresh`, saved; or the one of the same id that somebody else made meanwhile."""
    try:
        with transaction.atomic():
            fresh.save(force_insert=True)
    except IntegrityError:
        io_service = _found(fresh.organization, fresh.io_service_id)
        assert io_service is not None  # or it would have been saved
        return io_service
    registry_auditing.note(fresh, by=by, created=True)
    return fresh


def _check_key(io_service: IOService, key: str, *, by: User) -> None:
    """Whoever knows a key of it may use it, and its keys stay as they are; where it has none yet, this becomes its first."""
    if _slot_of(io_service, key) is not None:
        return
    if io_service.primary_key or io_service.secondary_key:
        raise KeyDiffers
    if _others_use(io_service, user=by):
        raise NotEveryUse
    active = ActiveKey(io_service.active_key)
    rekeying.store_key(io_service, which=active, key=key, seen_active=active, by=by)


def _check_right_to_use(io_service: IOService, present: IOService, *, by: User) -> None:
    """Without a key at hand: it has the key that is in use now, or all its uses are this person's already."""
    try:
        in_use = present.key.open()
    except SealBroken:
        in_use = ""
    if in_use and _slot_of(io_service, in_use) is not None:
        return
    if configurable_by(by).filter(pk=io_service.pk).exists():
        return
    raise NotEveryUse if _others_use(io_service, user=by) else KeyNeeded


def _put_in_use(io_service: IOService, key: str, *, by: User) -> None:
    """Calls are made with this key from now on. One not known yet takes the place of the key that is not in use."""
    io_service.refresh_from_db(from_queryset=IOService.objects.select_for_update())
    active = ActiveKey(io_service.active_key)
    slot = _slot_of(io_service, key)
    if slot is active:
        return
    if _others_use(io_service, user=by):
        raise NotEveryUse
    spare = rekeying.other_than(active)
    if slot is None:
        rekeying.store_key(io_service, which=spare, key=key, seen_active=active, by=by)
    rekeying.switch_key(io_service, to=spare, by=by)


def _slot_of(io_service: IOService, key: str) -> ActiveKey | None:
    """Where this key is stored, the one in use first; None where it is not. One that cannot be opened is no key."""
    active = ActiveKey(io_service.active_key)
    for which in (active, rekeying.other_than(active)):
        try:
            stored = key_in(io_service, which)
        except SealBroken:
            continue
        # In the same time however much of it was guessed.
        if secrets.compare_digest(stored.encode(), key.encode()):
            return which
    return None


def set_up(
    io_service: IOService,
    *,
    payment_cap_cents: int | None,
    require_secure_channels: bool,
    test_taxcode: str,
    by: User,
) -> None:
    """The settings of an IO service that are its ente's to decide. Whoever asks configures all its uses."""
    deeds = []
    if payment_cap_cents != io_service.payment_cap_cents:
        deeds.append(auditing.CAP_SET)
    if require_secure_channels != io_service.require_secure_channels:
        deeds.append(auditing.SECURE_CHANNELS[require_secure_channels])
    if test_taxcode != io_service.test_taxcode:
        deeds.append(auditing.CITIZEN_OF_TRIAL_SET)
    if not deeds:
        return
    io_service.payment_cap_cents = payment_cap_cents
    io_service.require_secure_channels = require_secure_channels
    io_service.test_taxcode = test_taxcode
    with transaction.atomic():
        io_service.save(update_fields=["payment_cap_cents", "require_secure_channels", "test_taxcode"])
        auditing.note(io_service, *deeds, by=by)
