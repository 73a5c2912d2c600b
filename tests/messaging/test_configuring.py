"""Connecting to IO and changing it: whose keys are used, whose are kept, and what messages leave with afterwards."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry

from messaging import auditing
from messaging.configuring import (
    AlreadyConnected,
    IOAccountMissing,
    KeyDiffers,
    KeyNeeded,
    NotEveryUse,
    OtherAccount,
    OtherOrganization,
    Refused,
    change,
    configurable_by,
    connect,
    set_up,
    shown_to,
)
from messaging.dispatching import dispatch
from messaging.models import IOService, ServiceInstance, SuspensionReason
from messaging.states import Delivery, WaitingReason
from messaging.suspending import suspend
from registry.models import Role, User
from sealed.boxes import Sealed
from tests import factories
from tests.messaging.lifecycle import fresh
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
KEY_HEADER = "ocp-apim-subscription-key"
BROKEN = Sealed("deadbeef:not-a-token")


@pytest.fixture
def instance() -> ServiceInstance:
    """Of an ente with an IO account; both slots filled, the primary in use."""
    ente = factories.organization(io_account=factories.io_account())
    io_service = factories.io_service(
        of=ente, io_account=ente.io_account, key="the-primary", secondary_key=Sealed.close("the-secondary")
    )
    return factories.service_instance(organization=ente, io_service=io_service)


@pytest.fixture
def person(instance: ServiceInstance) -> User:
    """Who configures this one service instance."""
    made = factories.user()
    factories.grant(made, Role.CONFIGURATOR, organizations=(instance.organization,), services=(instance.service,))
    return made


def connected(
    instance: ServiceInstance, by: User, *, io_service_id: str = "01NEW", key: str = "new"
) -> ServiceInstance:
    """One more of the same ente and service, with a template of its own."""
    return connect(
        organization=instance.organization,
        service=instance.service,
        template=factories.template(),
        io_service_id=io_service_id,
        key=key,
        enabled=True,
        by=by,
    )


def changed(
    instance: ServiceInstance,
    by: User,
    *,
    io_service_id: str | None = None,
    key: str | None = None,
    enabled: bool | None = None,
) -> None:
    """Only what is given."""
    row = ServiceInstance.objects.select_related("io_service", "organization").get(pk=instance.pk)
    change(
        row,
        enabled=row.enabled if enabled is None else enabled,
        io_service_id=io_service_id or row.io_service.io_service_id,
        key=key,
        by=by,
        at=AT,
    )


def keys(io_service: IOService) -> tuple[str, str, str]:
    found = IOService.objects.get(pk=io_service.pk)
    return found.active_key, found.primary_key.open(), found.secondary_key.open()


def deeds(target: IOService | ServiceInstance) -> list[str]:
    lines = auditing.history_of(target, limit=20)
    return [deed for line in reversed(lines) for deed in auditing.deeds_of(line)]


class TestConnect:
    def test_makes_an_io_service_whose_first_key_is_in_use(self, instance: ServiceInstance, person: User) -> None:
        made = connected(instance, person).io_service
        assert keys(made) == ("primary", "new", "")
        assert made.io_account_id == instance.organization.io_account_id
        assert made.organization == instance.organization

    def test_looks_in_the_account_of_the_ente_alone(self, instance: ServiceInstance, person: User) -> None:
        elsewhere = factories.io_service(of=instance.organization, io_service_id="01NEW")
        assert connected(instance, person).io_service != elsewhere

    @pytest.mark.parametrize("broken", ["primary_key", "secondary_key"])
    def test_a_stored_key_that_cannot_be_opened_is_nobody_s(
        self, instance: ServiceInstance, person: User, broken: str
    ) -> None:
        IOService.objects.update(**{broken: BROKEN})
        there, good = instance.io_service, "the-secondary" if broken == "primary_key" else "the-primary"
        assert connected(instance, person, io_service_id=there.io_service_id, key=good).io_service == there
        with pytest.raises(KeyDiffers):
            connected(instance, person, io_service_id=there.io_service_id, key="new")

    def test_refused_makes_nothing(self, instance: ServiceInstance, person: User) -> None:
        factories.io_service(io_account=instance.organization.io_account, io_service_id="01THEIRS", key="new")
        before = (IOService.objects.count(), ServiceInstance.objects.count())
        with pytest.raises(OtherOrganization):
            connected(instance, person, io_service_id="01THEIRS")
        with pytest.raises(AlreadyConnected):
            connect(
                organization=instance.organization,
                service=instance.service,
                template=instance.template,
                io_service_id="01NEW",
                key="new",
                enabled=True,
                by=person,
            )
        instance.organization.io_account = None
        with pytest.raises(IOAccountMissing):
            connected(instance, person)
        assert (IOService.objects.count(), ServiceInstance.objects.count()) == before
        assert not LogEntry.objects.exists()

    def test_what_is_connected_sends_with_that_key(self, instance: ServiceInstance, person: User, io: StandIn) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=connected(instance, person, key="the-new-key"))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        assert {request.headers[KEY_HEADER] for request in io.requests} == {"the-new-key"}


class TestChangeOfKey:
    def test_counts_from_the_next_message_on(self, instance: ServiceInstance, person: User, io: StandIn) -> None:
        changed(instance, person, key="the-new-key")
        factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        dispatch()
        assert {request.headers[KEY_HEADER] for request in io.requests} == {"the-new-key"}

    def test_keeps_the_one_that_was_in_use(self, instance: ServiceInstance, person: User) -> None:
        changed(instance, person, key="new")
        assert keys(instance.io_service) == ("secondary", "the-primary", "new")
        assert deeds(instance.io_service) == [auditing.ENTERED["secondary"], auditing.SWITCHED["secondary"]]  # type: ignore[index]  # equal to the member

    def test_never_resumes_by_itself(self, instance: ServiceInstance, person: User) -> None:
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT)
        changed(instance, person, key="new")
        found = IOService.objects.get(pk=instance.io_service_id)
        assert found.suspended_at is not None
        assert auditing.rekeyed_since_suspended([found]) == {found.pk}

    @pytest.mark.parametrize("broken", ["primary_key", "secondary_key"])
    def test_takes_the_place_of_what_cannot_be_opened(
        self, instance: ServiceInstance, person: User, broken: str
    ) -> None:
        IOService.objects.update(**{broken: BROKEN})
        changed(instance, person, key="new")
        found = IOService.objects.get(pk=instance.io_service_id)
        assert (found.active_key, found.key.open()) == ("secondary", "new")

    def test_sees_the_row_as_it_is_now(self, instance: ServiceInstance, person: User) -> None:
        row = ServiceInstance.objects.select_related("io_service", "organization").get(pk=instance.pk)
        IOService.objects.update(active_key="secondary")
        change(row, enabled=True, io_service_id=row.io_service.io_service_id, key="the-secondary", by=person, at=AT)
        assert keys(instance.io_service)[0] == "secondary"


class TestMove:
    def test_with_the_same_keys_when_nothing_is_said_of_keys(self, instance: ServiceInstance, person: User) -> None:
        changed(instance, person, key="new")
        changed(instance, person, io_service_id="01CORRECTED")
        now = ServiceInstance.objects.get(pk=instance.pk).io_service
        assert now.io_service_id == "01CORRECTED"
        assert keys(now) == ("secondary", "the-primary", "new")
        assert deeds(instance) == [auditing.MOVED]

    def test_nobody_takes_along_the_keys_that_are_also_others(self, instance: ServiceInstance, person: User) -> None:
        """Nor leaves a suspension or a limit behind in that way: these are of all who use the IO service."""
        factories.service_instance(organization=instance.organization, io_service=instance.io_service)
        with pytest.raises(NotEveryUse):
            changed(instance, person, io_service_id="01NEW")
        assert not IOService.objects.filter(io_service_id="01NEW").exists()
        changed(instance, person, io_service_id="01NEW", key="a-key-of-ones-own")

    def test_a_suspension_goes_with_the_key_that_io_refused(self, instance: ServiceInstance, person: User) -> None:
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="401", at=AT)
        changed(instance, person, io_service_id="01CORRECTED")
        now = ServiceInstance.objects.get(pk=instance.pk).io_service
        assert (now.suspended_reason, now.suspended_detail) == (SuspensionReason.KEY_REFUSED, "401")
        assert now.suspended_at is not None

    def test_and_back_again(self, instance: ServiceInstance, person: User) -> None:
        first = instance.io_service
        changed(instance, person, io_service_id="01CORRECTED")
        # Nobody uses the first one by now: it has the key that is in use, which is enough.
        changed(instance, person, io_service_id=first.io_service_id)
        assert ServiceInstance.objects.get(pk=instance.pk).io_service == first

    def test_not_back_to_one_whose_keys_have_changed(self, instance: ServiceInstance, person: User) -> None:
        first = instance.io_service
        changed(instance, person, io_service_id="01CORRECTED", key="new")
        with pytest.raises(KeyNeeded):
            changed(instance, person, io_service_id=first.io_service_id)
        changed(instance, person, io_service_id=first.io_service_id, key="the-primary")
        assert keys(first) == ("primary", "the-primary", "the-secondary")

    def test_refused_leaves_all_as_it_was(self, instance: ServiceInstance, person: User) -> None:
        theirs = factories.io_service(of=instance.organization, io_account=instance.organization.io_account)
        factories.service_instance(organization=instance.organization, io_service=theirs)
        for refusal, key in ((NotEveryUse, None), (NotEveryUse, "new")):
            with pytest.raises(refusal):
                changed(instance, person, io_service_id=theirs.io_service_id, key=key, enabled=False)
        instance.organization.io_account = factories.io_account()
        instance.organization.save()
        with pytest.raises(OtherAccount):
            changed(instance, person, io_service_id="01NEW", enabled=False)
        found = ServiceInstance.objects.get(pk=instance.pk)
        assert (found.enabled, found.io_service_id) == (True, instance.io_service_id)
        assert not IOService.objects.filter(io_service_id="01NEW").exists()
        assert not LogEntry.objects.exists()

    def test_what_waited_for_a_refused_key_leaves_with_the_new_one(
        self, instance: ServiceInstance, person: User, io: StandIn
    ) -> None:
        row = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        io.answer("send", Canned(401))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SCHEDULED
        changed(instance, person, io_service_id="01CORRECTED", key="the-new-key")
        io.requests.clear()
        io.answer("send", Canned(201, body={"id": "01ACCEPTED"}))
        dispatch()
        assert fresh(row).delivery_state == Delivery.SENT
        # The citizen was asked about anew, for the service that it leaves through.
        assert [(request.headers[KEY_HEADER]) for request in io.requests] == ["the-new-key"] * 2
        assert fresh(row).io_service == ServiceInstance.objects.get(pk=instance.pk).io_service

    def test_to_one_that_is_suspended_waits_there(self, instance: ServiceInstance, person: User) -> None:
        row = factories.message_in(Delivery.SCHEDULED, instance=instance, waiting_reason=WaitingReason.SUSPENDED)
        there = factories.io_service(
            of=instance.organization, io_account=instance.organization.io_account, key="the-primary"
        )
        for one in (instance.io_service, there):
            suspend(one.pk, reason=SuspensionReason.KEY_REFUSED, detail="", at=AT)
        changed(instance, person, io_service_id=there.io_service_id)
        assert fresh(row).waiting_reason == WaitingReason.SUSPENDED

    def test_messages_of_others_wait_as_they_did(self, instance: ServiceInstance, person: User) -> None:
        other = factories.service_instance(organization=instance.organization, io_service=instance.io_service)
        row = factories.message_in(Delivery.SCHEDULED, instance=other, waiting_reason=WaitingReason.SET_ASIDE)
        changed(instance, person, io_service_id="01CORRECTED", key="new")
        assert fresh(row).waiting_reason == WaitingReason.SET_ASIDE


class TestWhose:
    def test_an_io_service_is_shown_by_one_use_and_configured_by_all(
        self, instance: ServiceInstance, person: User
    ) -> None:
        assert list(shown_to(person)) == list(configurable_by(person)) == [instance.io_service]
        other = factories.service_instance(organization=instance.organization, io_service=instance.io_service)
        assert list(shown_to(person)) == [instance.io_service]
        assert not configurable_by(person).exists()
        factories.grant(person, Role.CONFIGURATOR, organizations=(other.organization,), services=(other.service,))
        assert list(configurable_by(person)) == [instance.io_service]

    def test_a_disabled_person_has_none(self, instance: ServiceInstance, person: User) -> None:
        person.is_active = False
        person.save()
        assert not shown_to(person).exists()
        assert not configurable_by(person).exists()


class TestSetUp:
    def test_tells_what_changed_and_nothing_else(self, instance: ServiceInstance, person: User) -> None:
        io_service = instance.io_service
        cap = io_service.payment_cap_cents
        code = io_service.test_taxcode
        set_up(io_service, payment_cap_cents=1, require_secure_channels=False, test_taxcode=code, by=person)
        set_up(io_service, payment_cap_cents=cap, require_secure_channels=True, test_taxcode=code, by=person)
        assert deeds(io_service) == [auditing.CAP_SET, auditing.CAP_SET, auditing.SECURE_CHANNELS[True]]
        assert set(deeds(io_service)) <= auditing.DEEDS


def test_every_refusal_has_a_cure() -> None:
    assert all(str(refusal.cure) for refusal in Refused.__subclasses__())
