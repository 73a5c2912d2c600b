"""The one answerer: an action needs one of its roles, in one live grant that covers the ente and the service together."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser

from messaging.models import Message, ServiceInstance
from registry.models import Grant, Organization, Role, Service, User
from registry.permissions import Action, can, can_on_whole, covered, may_somewhere
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

V, E, S, A, C, M = Role.VIEWER, Role.EDITOR, Role.SENDER, Role.APPROVER, Role.CONFIGURATOR, Role.ADMINISTRATOR
MAY: dict[Action, set[Role]] = {
    Action.SEE_MESSAGES: {V, E, S, A, M},
    Action.WRITE_DRAFTS: {E, S},
    Action.SEND_MESSAGES: {S},
    Action.APPROVE_MESSAGES: {A},
    # Whoever says yes to a message must be able to read to whom it goes.
    Action.REVEAL_RECIPIENT: {S, A},
    Action.SETTLE_DOUBTS: {S},
    Action.CONFIGURE_SENDING: {C},
    Action.SEE_SENDING: {C, M},
    Action.SET_SENDING_HOURS: {C, M},
    Action.EDIT_ORGANIZATION: {C, M},
    Action.SEE_CONFIGURATION: {V, E, S, A, C, M},
    Action.WRITE_TEMPLATES: {E, S, C},
    Action.MANAGE_PEOPLE: {M},
    # Of platform staff, whatever they hold.
    Action.RUN_PLATFORM: set(),
}


@pytest.fixture
def instance() -> ServiceInstance:
    return factories.service_instance()


@pytest.fixture
def elsewhere() -> ServiceInstance:
    """Another ente, another service."""
    return factories.service_instance()


@pytest.fixture
def person() -> User:
    return factories.user()


def may(person: object, action: Action, on: ServiceInstance, *, at: datetime = AT) -> bool:
    """The answer, having made sure that the queryset gives the same as the single question."""
    answer = can(person, action, on=on, at=at)
    condition = covered(person, action, organization="organization_id", service="service_id", at=at)
    assert ServiceInstance.objects.filter(condition, pk=on.pk).exists() == answer
    return answer


def grant(person: User, role: Role, on: ServiceInstance) -> Grant:
    return factories.grant(person, role, organizations=(on.organization,), services=(on.service,))


class TestRoles:
    def test_every_action_is_in_the_table(self) -> None:
        assert set(MAY) == set(Action)

    @pytest.mark.parametrize("role", Role)
    @pytest.mark.parametrize("action", Action)
    def test_an_action_needs_one_of_its_roles(
        self, action: Action, role: Role, person: User, instance: ServiceInstance
    ) -> None:
        grant(person, role, instance)
        assert may(person, action, instance) == (role in MAY[action])

    @pytest.mark.parametrize("action", Action)
    def test_without_a_grant_nobody_may_anything(self, action: Action, person: User, instance: ServiceInstance) -> None:
        assert not may(person, action, instance)
        assert not may_somewhere(person, action, at=AT)

    @pytest.mark.parametrize("action", [action for action in Action if action is not Action.RUN_PLATFORM])
    def test_platform_staff_may_no_more_than_their_grants(self, action: Action, instance: ServiceInstance) -> None:
        staff = factories.user(is_staff=True, is_superuser=True)
        assert not may(staff, action, instance)

    def test_only_enabled_platform_staff_run_the_platform(self) -> None:
        for person, expected in (
            (factories.user(is_staff=True), True),
            (factories.user(is_staff=True, is_active=False), False),
            (factories.user(is_superuser=True), False),
            (AnonymousUser(), False),
        ):
            assert can(person, Action.RUN_PLATFORM) == expected
            assert may_somewhere(person, Action.RUN_PLATFORM) == expected

    def test_two_roles_add_up(self, person: User, instance: ServiceInstance) -> None:
        grant(person, Role.EDITOR, instance)
        grant(person, Role.APPROVER, instance)
        assert may(person, Action.WRITE_DRAFTS, instance)
        assert may(person, Action.APPROVE_MESSAGES, instance)
        assert not may(person, Action.SEND_MESSAGES, instance)


class TestWhere:
    def test_only_on_the_ente_and_the_service_named(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        grant(person, Role.SENDER, instance)
        assert may(person, Action.SEND_MESSAGES, instance)
        assert not may(person, Action.SEND_MESSAGES, elsewhere)

    def test_another_service_of_the_same_ente_is_elsewhere(self, person: User, instance: ServiceInstance) -> None:
        grant(person, Role.SENDER, instance)
        other = factories.service_instance(organization=instance.organization)
        assert not may(person, Action.SEND_MESSAGES, other)

    def test_the_same_service_of_another_ente_is_elsewhere(self, person: User, instance: ServiceInstance) -> None:
        grant(person, Role.SENDER, instance)
        other = factories.service_instance(service=instance.service)
        assert not may(person, Action.SEND_MESSAGES, other)

    def test_two_halves_of_a_right_make_no_right(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        """One grant on this ente with that service, another on that ente with this service."""
        factories.grant(person, Role.SENDER, organizations=(instance.organization,), services=(elsewhere.service,))
        factories.grant(person, Role.SENDER, organizations=(elsewhere.organization,), services=(instance.service,))
        assert not may(person, Action.SEND_MESSAGES, instance)
        assert not may(person, Action.SEND_MESSAGES, elsewhere)

    def test_a_grant_on_two_enti_and_two_services_covers_every_pair(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        factories.grant(
            person,
            Role.SENDER,
            organizations=(instance.organization, elsewhere.organization),
            services=(instance.service, elsewhere.service),
        )
        crossed = factories.service_instance(organization=instance.organization, service=elsewhere.service)
        for place in (instance, elsewhere, crossed):
            assert may(person, Action.SEND_MESSAGES, place)

    def test_a_role_here_and_another_there_do_not_mix(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        grant(person, Role.SENDER, instance)
        grant(person, Role.VIEWER, elsewhere)
        assert may(person, Action.SEE_MESSAGES, elsewhere)
        assert not may(person, Action.SEND_MESSAGES, elsewhere)


class TestWholeEnte:
    """What all the services of an ente share."""

    def may(self, person: object, on: ServiceInstance) -> bool:
        return can_on_whole(person, Action.EDIT_ORGANIZATION, on.organization, at=AT)

    def test_needs_the_role_on_every_service_it_sends_for(self, person: User, instance: ServiceInstance) -> None:
        grant(person, Role.CONFIGURATOR, instance)
        assert self.may(person, instance)
        other = factories.service_instance(organization=instance.organization)
        assert not self.may(person, instance)
        grant(person, Role.ADMINISTRATOR, other)
        assert self.may(person, instance)

    def test_needs_the_ente_and_the_service_in_one_grant(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        factories.grant(
            person, Role.ADMINISTRATOR, organizations=(instance.organization,), services=(elsewhere.service,)
        )
        factories.grant(
            person, Role.ADMINISTRATOR, organizations=(elsewhere.organization,), services=(instance.service,)
        )
        assert not self.may(person, instance)
        assert not self.may(person, elsewhere)

    def test_of_an_ente_that_sends_nothing_needs_the_role_there(self, person: User) -> None:
        ente = factories.organization()
        assert not can_on_whole(person, Action.EDIT_ORGANIZATION, ente, at=AT)
        factories.grant(person, Role.ADMINISTRATOR, organizations=(ente,), services=(factories.service(),))
        assert can_on_whole(person, Action.EDIT_ORGANIZATION, ente, at=AT)

    def test_is_not_for_other_roles_nor_for_nobody(self, person: User, instance: ServiceInstance) -> None:
        grant(person, Role.SENDER, instance)
        assert not self.may(person, instance)
        assert not self.may(AnonymousUser(), instance)


class TestAll:
    def test_all_enti_is_said_explicitly(self, person: User, instance: ServiceInstance) -> None:
        factories.grant(person, Role.SENDER, all_organizations=True, services=(instance.service,))
        assert may(person, Action.SEND_MESSAGES, instance)
        assert may(person, Action.SEND_MESSAGES, factories.service_instance(service=instance.service))
        assert not may(person, Action.SEND_MESSAGES, factories.service_instance(organization=instance.organization))

    def test_all_services_is_said_explicitly(self, person: User, instance: ServiceInstance) -> None:
        factories.grant(person, Role.SENDER, organizations=(instance.organization,), all_services=True)
        assert may(person, Action.SEND_MESSAGES, instance)
        assert may(person, Action.SEND_MESSAGES, factories.service_instance(organization=instance.organization))
        assert not may(person, Action.SEND_MESSAGES, factories.service_instance(service=instance.service))

    def test_all_of_both_covers_what_does_not_exist_yet(self, person: User) -> None:
        factories.grant(person, Role.SENDER, all_organizations=True, all_services=True)
        assert may(person, Action.SEND_MESSAGES, factories.service_instance())

    @pytest.mark.parametrize("emptied", ["organizations", "services"])
    def test_an_emptied_set_means_nothing_and_not_all(
        self, emptied: str, person: User, instance: ServiceInstance
    ) -> None:
        made = grant(person, Role.SENDER, instance)
        getattr(made, emptied).clear()
        assert not may(person, Action.SEND_MESSAGES, instance)

    def test_an_ente_removed_with_its_last_instance_leaves_nothing(self, person: User) -> None:
        ente, service = factories.organization(), factories.service()
        factories.grant(person, Role.SENDER, organizations=(ente,), services=(service,))
        ente.delete()
        assert not may(person, Action.SEND_MESSAGES, factories.service_instance(service=service))


class TestWhen:
    @pytest.mark.parametrize(("ends_in", "is_live"), [(1, True), (0, False), (-1, False)])
    def test_a_grant_ends_at_its_date(
        self, ends_in: int, is_live: bool, person: User, instance: ServiceInstance
    ) -> None:
        made = grant(person, Role.SENDER, instance)
        made.expires_at = AT + timedelta(seconds=ends_in)
        made.save()
        assert may(person, Action.SEND_MESSAGES, instance) == is_live
        assert may_somewhere(person, Action.SEND_MESSAGES, at=AT) == is_live

    def test_an_expired_half_does_not_complete_a_live_one(self, person: User, instance: ServiceInstance) -> None:
        expired = grant(person, Role.SENDER, instance)
        expired.expires_at = AT - timedelta(days=1)
        expired.save()
        grant(person, Role.VIEWER, instance)
        assert may(person, Action.SEE_MESSAGES, instance)
        assert not may(person, Action.SEND_MESSAGES, instance)

    def test_without_a_date_the_clock_of_now_counts(self, person: User, instance: ServiceInstance) -> None:
        made = grant(person, Role.SENDER, instance)
        assert can(person, Action.SEND_MESSAGES, on=instance)
        made.expires_at = datetime.now(UTC) - timedelta(minutes=1)
        made.save()
        assert not can(person, Action.SEND_MESSAGES, on=instance)


class TestWho:
    def test_a_person_disabled_may_nothing(self, person: User, instance: ServiceInstance) -> None:
        grant(person, Role.SENDER, instance)
        User.objects.filter(pk=person.pk).update(is_active=False)
        assert not may(User.objects.get(pk=person.pk), Action.SEND_MESSAGES, instance)
        assert not may_somewhere(User.objects.get(pk=person.pk), Action.SEND_MESSAGES, at=AT)

    def test_a_person_disabled_a_moment_ago_may_nothing_though_the_object_in_hand_is_older(
        self, person: User, instance: ServiceInstance
    ) -> None:
        grant(person, Role.SENDER, instance)
        User.objects.filter(pk=person.pk).update(is_active=False)
        assert not may(person, Action.SEND_MESSAGES, instance)

    @pytest.mark.parametrize(
        "nobody", [None, AnonymousUser(), "sender", 1], ids=["none", "anonymous", "text", "number"]
    )
    def test_nobody_in_particular_may_nothing(self, nobody: object, instance: ServiceInstance) -> None:
        assert not may(nobody, Action.SEE_MESSAGES, instance)
        assert not may_somewhere(nobody, Action.SEE_MESSAGES, at=AT)

    def test_another_persons_grant_is_not_mine(self, person: User, instance: ServiceInstance) -> None:
        grant(factories.user(), Role.SENDER, instance)
        assert not may(person, Action.SEND_MESSAGES, instance)


class TestLists:
    def test_messages_are_those_of_the_instances_one_may_see(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        cast = factories.Cast.of(instance, stranger_on=elsewhere)
        here, there = factories.message(instance=instance), factories.message(instance=elsewhere)
        assert list(Message.objects.visible_to(cast.viewer)) == [here]
        assert list(Message.objects.visible_to(cast.stranger)) == [there]
        assert not Message.objects.visible_to(cast.configurator).exists()
        assert not Message.objects.visible_to(AnonymousUser()).exists()

    def test_a_list_is_not_doubled_by_two_grants(self, person: User, instance: ServiceInstance) -> None:
        for role in (Role.VIEWER, Role.SENDER):
            grant(person, role, instance)
        factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        row = factories.message(instance=instance)
        assert list(Message.objects.visible_to(person)) == [row]

    def test_instances_open_to_an_action_are_fewer_than_those_one_may_see(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        grant(person, Role.SENDER, instance)
        grant(person, Role.VIEWER, elsewhere)
        assert list(ServiceInstance.objects.open_to(person, Action.SEND_MESSAGES)) == [instance]
        assert set(ServiceInstance.objects.open_to(person, Action.SEE_MESSAGES)) == {instance, elsewhere}

    def test_enti_and_services_are_those_named_by_a_live_grant(
        self, person: User, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        grant(person, Role.VIEWER, instance)
        over = grant(person, Role.VIEWER, elsewhere)
        over.expires_at = AT
        over.save()
        assert list(Organization.objects.visible_to(person, at=AT)) == [instance.organization]
        assert list(Service.objects.visible_to(person, at=AT)) == [instance.service]

    def test_a_grant_on_all_shows_all_enti(self, person: User, instance: ServiceInstance) -> None:
        factories.grant(person, Role.VIEWER, all_organizations=True, services=(instance.service,))
        assert Organization.objects.visible_to(person, at=AT).count() == Organization.objects.count()
        assert list(Service.objects.visible_to(person, at=AT)) == [instance.service]
