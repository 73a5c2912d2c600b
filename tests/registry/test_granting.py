"""Nobody gives more than they hold, and nobody takes what is not theirs to take."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction

from registry import enrolling, granting
from registry.auditing import note
from registry.granting import ForStaffAlone, Gone, HasPrograms, NotYours, Pair, Wanted
from registry.models import ConsumerKey, Grant, Organization, Role, Service, User
from registry.querysets import administered_areas
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def ente() -> Organization:
    return factories.organization()


@pytest.fixture
def other_ente() -> Organization:
    return factories.organization()


@pytest.fixture
def service() -> Service:
    return factories.service()


@pytest.fixture
def other_service() -> Service:
    return factories.service()


@pytest.fixture
def person() -> User:
    return factories.user()


@pytest.fixture
def administrator(ente: Organization, service: Service) -> User:
    return administrator_of((ente,), (service,))


@pytest.fixture
def staff() -> User:
    return factories.user(is_staff=True)


def administrator_of(
    organizations: tuple[Organization, ...], services: tuple[Service, ...], *, until: datetime | None = None
) -> User:
    made = factories.user()
    factories.grant(made, Role.ADMINISTRATOR, organizations=organizations, services=services, expires_at=until)
    return made


def wanted(
    organizations: tuple[Organization, ...] = (),
    services: tuple[Service, ...] = (),
    *,
    role: Role = Role.SENDER,
    until: datetime | None = None,
    all_organizations: bool = False,
    all_services: bool = False,
) -> Wanted:
    return Wanted(
        role=role,
        organizations=organizations,
        services=services,
        all_organizations=all_organizations,
        all_services=all_services,
        expires_at=until,
    )


def grants_of(person: User) -> int:
    return Grant.objects.filter(user=person).count()


class TestAnAdministrator:
    @pytest.mark.parametrize("role", Role)
    def test_gives_any_role_on_what_they_administer(
        self, role: Role, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        made = granting.grant(person, wanted((ente,), (service,), role=role), by=administrator, at=AT)
        made.refresh_from_db()
        assert (made.user, made.role) == (person, role)
        assert (list(made.organizations.all()), list(made.services.all())) == ([ente], [service])
        assert not made.all_organizations
        assert not made.all_services

    @pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
    def test_is_who_holds_that_role_and_no_other(
        self, role: Role, person: User, ente: Organization, service: Service
    ) -> None:
        somebody = factories.user()
        factories.grant(somebody, role, organizations=(ente,), services=(service,))
        with pytest.raises(NotYours):
            granting.grant(person, wanted((ente,), (service,), role=role), by=somebody, at=AT)
        assert grants_of(person) == 0

    def test_gives_nothing_elsewhere_and_is_told_where(
        self,
        administrator: User,
        person: User,
        ente: Organization,
        other_ente: Organization,
        service: Service,
        other_service: Service,
    ) -> None:
        asked = wanted((ente, other_ente), (service, other_service))
        with pytest.raises(NotYours) as refused:
            granting.grant(person, asked, by=administrator, at=AT)
        assert refused.value.missing == (
            Pair(ente, other_service),
            Pair(other_ente, service),
            Pair(other_ente, other_service),
        )
        assert grants_of(person) == 0

    def test_of_two_halves_gives_no_crossed_pair(
        self, person: User, ente: Organization, other_ente: Organization, service: Service, other_service: Service
    ) -> None:
        """One grant on this ente with this service, another on that ente with that service."""
        halves = administrator_of((ente,), (service,))
        factories.grant(halves, Role.ADMINISTRATOR, organizations=(other_ente,), services=(other_service,))
        granting.grant(person, wanted((ente,), (service,)), by=halves, at=AT)
        granting.grant(person, wanted((other_ente,), (other_service,)), by=halves, at=AT)
        with pytest.raises(NotYours) as refused:
            granting.grant(person, wanted((ente, other_ente), (service, other_service)), by=halves, at=AT)
        assert refused.value.missing == (Pair(ente, other_service), Pair(other_ente, service))

    def test_of_several_grants_gives_what_they_cover_together(
        self, person: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        several = administrator_of((ente,), (service,))
        factories.grant(several, Role.ADMINISTRATOR, organizations=(other_ente,), services=(service,))
        granting.grant(person, wanted((ente, other_ente), (service,)), by=several, at=AT)
        assert grants_of(person) == 1

    def test_of_all_enti_gives_any_ente_by_name(self, person: User, ente: Organization, service: Service) -> None:
        wide = factories.user()
        factories.grant(wide, Role.ADMINISTRATOR, all_organizations=True, services=(service,))
        granting.grant(person, wanted((ente,), (service,)), by=wide, at=AT)
        with pytest.raises(NotYours):
            granting.grant(person, wanted((ente,), (factories.service(),)), by=wide, at=AT)

    @pytest.mark.parametrize("enti", [True, False])
    @pytest.mark.parametrize("services", [True, False])
    def test_never_gives_all_not_even_holding_it(
        self, enti: bool, services: bool, person: User, ente: Organization, service: Service
    ) -> None:
        wide = factories.user()
        factories.grant(wide, Role.ADMINISTRATOR, all_organizations=True, all_services=True)
        asked = wanted(
            () if enti else (ente,), () if services else (service,), all_organizations=enti, all_services=services
        )
        if enti or services:
            with pytest.raises(ForStaffAlone):
                granting.grant(person, asked, by=wide, at=AT)
        else:
            granting.grant(person, asked, by=wide, at=AT)
        assert grants_of(person) == (not enti and not services)

    def test_gives_nothing_to_platform_staff(
        self, administrator: User, staff: User, ente: Organization, service: Service
    ) -> None:
        with pytest.raises(ForStaffAlone):
            granting.grant(staff, wanted((ente,), (service,)), by=administrator, at=AT)

    @pytest.mark.parametrize(
        ("mine", "given", "may"),
        [
            (None, None, True),
            (None, YEAR, True),
            (YEAR, YEAR, True),
            (YEAR, YEAR - timedelta(seconds=1), True),
            (YEAR, YEAR + timedelta(seconds=1), False),
            (YEAR, None, False),
        ],
    )
    def test_gives_nothing_that_outlives_their_own_right(
        self,
        mine: timedelta | None,
        given: timedelta | None,
        may: bool,
        person: User,
        ente: Organization,
        service: Service,
    ) -> None:
        giver = administrator_of((ente,), (service,), until=None if mine is None else AT + mine)
        asked = wanted((ente,), (service,), until=None if given is None else AT + given)
        if may:
            granting.grant(person, asked, by=giver, at=AT)
        else:
            with pytest.raises(NotYours):
                granting.grant(person, asked, by=giver, at=AT)
        assert grants_of(person) == may

    def test_cannot_prolong_themselves(self, ente: Organization, service: Service) -> None:
        giver = administrator_of((ente,), (service,), until=AT + YEAR)
        own = giver.grants.get()
        with pytest.raises(NotYours):
            granting.replace(own, wanted((ente,), (service,), role=Role.ADMINISTRATOR), by=giver, at=AT)
        own.refresh_from_db()
        assert own.expires_at == AT + YEAR

    def test_whose_right_has_expired_gives_nothing(self, person: User, ente: Organization, service: Service) -> None:
        former = administrator_of((ente,), (service,), until=AT)
        with pytest.raises(NotYours):
            granting.grant(person, wanted((ente,), (service,)), by=former, at=AT)

    def test_who_is_disabled_gives_nothing(
        self, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        User.objects.filter(pk=administrator.pk).update(is_active=False)
        with pytest.raises(NotYours):
            granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT)

    def test_who_was_staff_a_moment_ago_is_not_now(
        self, staff: User, person: User, ente: Organization, service: Service
    ) -> None:
        User.objects.filter(pk=staff.pk).update(is_staff=False)
        with pytest.raises(NotYours):
            granting.grant(person, wanted((ente,), (service,)), by=staff, at=AT)


class TestTakingAway:
    def test_needs_the_right_on_every_pair_of_it(
        self, administrator: User, person: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        held = factories.grant(person, Role.VIEWER, organizations=(ente, other_ente), services=(service,))
        with pytest.raises(NotYours):
            granting.revoke(held, by=administrator, at=AT)
        assert grants_of(person) == 1

    def test_is_for_who_administers_it_however_long_it_would_last(
        self, person: User, ente: Organization, service: Service
    ) -> None:
        leaving = administrator_of((ente,), (service,), until=AT + timedelta(days=1))
        held = factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        granting.revoke(held, by=leaving, at=AT)
        assert grants_of(person) == 0

    def test_of_all_is_for_staff(
        self, administrator: User, staff: User, person: User, ente: Organization, service: Service
    ) -> None:
        held = factories.grant(person, Role.VIEWER, all_organizations=True, services=(service,))
        with pytest.raises(ForStaffAlone):
            granting.revoke(held, by=administrator, at=AT)
        granting.revoke(held, by=staff, at=AT)
        assert grants_of(person) == 0

    def test_from_staff_is_for_staff(
        self, administrator: User, staff: User, ente: Organization, service: Service
    ) -> None:
        held = factories.grant(staff, Role.VIEWER, organizations=(ente,), services=(service,))
        with pytest.raises(ForStaffAlone):
            granting.revoke(held, by=administrator, at=AT)

    def test_twice_finds_nothing(self, administrator: User, person: User, ente: Organization, service: Service) -> None:
        held = factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        again = Grant.objects.get(pk=held.pk)
        granting.revoke(held, by=administrator, at=AT)
        with pytest.raises(Gone):
            granting.revoke(again, by=administrator, at=AT)

    def test_an_emptied_grant_is_nobodys_to_take_without_any_right(self, person: User, ente: Organization) -> None:
        held = factories.grant(person, Role.VIEWER, organizations=(ente,))
        with pytest.raises(NotYours):
            granting.revoke(held, by=factories.user(), at=AT)


class TestReplacing:
    def test_needs_the_right_on_the_old_and_on_the_new(
        self, administrator: User, person: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        theirs = factories.grant(person, Role.VIEWER, organizations=(other_ente,), services=(service,))
        with pytest.raises(NotYours):
            granting.replace(theirs, wanted((ente,), (service,)), by=administrator, at=AT)
        mine = factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        with pytest.raises(NotYours):
            granting.replace(mine, wanted((ente, other_ente), (service,)), by=administrator, at=AT)
        assert list(mine.organizations.all()) == [ente]
        assert list(theirs.organizations.all()) == [other_ente]

    def test_writes_everything_anew(
        self, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        held = factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        asked = wanted((ente,), (service,), role=Role.APPROVER, until=AT + YEAR)
        granting.replace(held, asked, by=administrator, at=AT)
        held.refresh_from_db()
        assert granting.what_it_says(held) == asked

    def test_by_staff_turns_all_into_some(
        self, staff: User, person: User, ente: Organization, service: Service
    ) -> None:
        held = factories.grant(person, Role.VIEWER, all_organizations=True, all_services=True)
        granting.replace(held, wanted((ente,), (service,)), by=staff, at=AT)
        held.refresh_from_db()
        assert not held.all_organizations
        assert not held.all_services
        assert list(held.services.all()) == [service]


class TestStaff:
    def test_give_anything_to_anybody(self, staff: User, person: User) -> None:
        asked = wanted(role=Role.ADMINISTRATOR, all_organizations=True, all_services=True)
        for to in (person, staff, factories.user(is_staff=True)):
            granting.grant(to, asked, by=staff, at=AT)
            assert grants_of(to) == 1


class TestPrograms:
    """A key shown by a program acts with all that its person holds: giving to the person gives to who has the key."""

    @pytest.fixture
    def shared(self, person: User, other_ente: Organization, service: Service) -> User:
        """Somebody of another ente, with a program there, whose key was issued by who administers that."""
        factories.grant(person, Role.SENDER, organizations=(other_ente,), services=(service,))
        there = administrator_of((other_ente,), (service,))
        factories.consumer_key(factories.consumer(user=person), by=there)
        return person

    def test_of_others_would_get_the_right_too(
        self, administrator: User, shared: User, ente: Organization, service: Service
    ) -> None:
        with pytest.raises(HasPrograms):
            granting.grant(shared, wanted((ente,), (service,)), by=administrator, at=AT)
        assert grants_of(shared) == 1

    def test_without_a_live_key_get_nothing(
        self, administrator: User, shared: User, ente: Organization, service: Service
    ) -> None:
        ConsumerKey.objects.update(revoked_at=AT)
        granting.grant(shared, wanted((ente,), (service,)), by=administrator, at=AT)
        assert grants_of(shared) == 2

    def test_switched_off_could_be_switched_on_again(
        self, administrator: User, shared: User, ente: Organization, service: Service
    ) -> None:
        shared.consumers.update(is_active=False)
        with pytest.raises(HasPrograms):
            granting.grant(shared, wanted((ente,), (service,)), by=administrator, at=AT)

    def test_whose_key_another_issued_get_no_more_than_that_one_administers(
        self, administrator: User, person: User, ente: Organization, service: Service, other_service: Service
    ) -> None:
        """However much the giver administers: the key is not theirs."""
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        factories.consumer_key(factories.consumer(user=person), by=administrator)
        giver = administrator_of((ente,), (service, other_service))
        with pytest.raises(HasPrograms):
            granting.grant(person, wanted((ente,), (other_service,)), by=giver, at=AT)
        assert grants_of(person) == 1
        granting.grant(person, wanted((ente,), (service,)), by=giver, at=AT)
        assert grants_of(person) == 2

    @pytest.mark.parametrize("issuer", ["the giver", "staff", "nobody known"])
    def test_are_no_obstacle_where_their_keys_are_the_givers_or_staffs(
        self, issuer: str, person: User, staff: User, ente: Organization, service: Service, other_service: Service
    ) -> None:
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        giver = administrator_of((ente,), (service, other_service))
        by = {"the giver": giver, "staff": staff, "nobody known": None}[issuer]
        factories.consumer_key(factories.consumer(user=person), by=by)
        granting.grant(person, wanted((ente,), (other_service,)), by=giver, at=AT)
        assert grants_of(person) == 2

    @pytest.mark.parametrize("end", ["dismissed", "without the right", "right expired"])
    def test_whose_key_was_issued_by_who_administers_nothing_any_more_get_nothing(
        self, end: str, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        former = administrator_of((ente,), (service,))
        factories.consumer_key(factories.consumer(user=person), by=former)
        granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT)
        match end:
            case "dismissed":
                User.objects.filter(pk=former.pk).update(is_active=False)
            case "without the right":
                former.grants.all().delete()
            case _:
                former.grants.update(expires_at=AT)
        with pytest.raises(HasPrograms):
            granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT)

    def test_whose_key_was_issued_by_staff_dismissed_since_get_nothing(
        self, administrator: User, staff: User, person: User, ente: Organization, service: Service
    ) -> None:
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        factories.consumer_key(factories.consumer(user=person), by=staff)
        User.objects.filter(pk=staff.pk).update(is_active=False)
        with pytest.raises(HasPrograms):
            granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT)

    def test_of_the_giver_themselves_are_weighed_like_those_of_others(
        self, administrator: User, ente: Organization, service: Service, other_service: Service
    ) -> None:
        giver = administrator_of((ente,), (service, other_service))
        factories.consumer_key(factories.consumer(user=giver), by=administrator)
        with pytest.raises(HasPrograms):
            granting.grant(giver, wanted((ente,), (other_service,)), by=giver, at=AT)
        assert grants_of(giver) == 1

    def test_are_no_obstacle_to_giving_less(
        self, administrator: User, shared: User, ente: Organization, service: Service
    ) -> None:
        held = factories.grant(shared, Role.SENDER, organizations=(ente,), services=(service,))
        granting.replace(held, wanted((ente,), (service,), until=AT + YEAR), by=administrator, at=AT)
        with pytest.raises(HasPrograms):
            granting.replace(held, wanted((ente,), (service,), until=AT + 2 * YEAR), by=administrator, at=AT)

    def test_are_staffs_to_weigh(self, staff: User, shared: User, ente: Organization, service: Service) -> None:
        granting.grant(shared, wanted((ente,), (service,)), by=staff, at=AT)
        assert grants_of(shared) == 2


class TestWhoAdministersWhom:
    def test_needs_every_pair_of_every_grant(
        self, administrator: User, person: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        assert granting.administers(administrator, person, at=AT)
        more = factories.grant(person, Role.VIEWER, organizations=(ente, other_ente), services=(service,))
        assert not granting.administers(administrator, person, at=AT)
        more.organizations.remove(other_ente)
        assert granting.administers(administrator, person, at=AT)
        more.services.add(factories.service())
        assert not granting.administers(administrator, person, at=AT)

    def test_two_halves_do_not_cover_a_crossed_pair(
        self, person: User, ente: Organization, other_ente: Organization, service: Service, other_service: Service
    ) -> None:
        halves = administrator_of((ente,), (service,))
        factories.grant(halves, Role.ADMINISTRATOR, organizations=(other_ente,), services=(other_service,))
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        factories.grant(person, Role.VIEWER, organizations=(other_ente,), services=(other_service,))
        assert granting.administers(halves, person, at=AT)
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(other_service,))
        assert not granting.administers(halves, person, at=AT)

    @pytest.mark.parametrize("held", ["all_organizations", "all_services", "both"])
    @pytest.mark.parametrize("mine", ["all_organizations", "all_services", "both", "none"])
    def test_all_is_covered_by_all_alone(
        self, held: str, mine: str, person: User, ente: Organization, service: Service
    ) -> None:
        def give(to: User, role: Role, what: str) -> None:
            whole_enti, whole_services = what in ("all_organizations", "both"), what in ("all_services", "both")
            factories.grant(
                to,
                role,
                organizations=() if whole_enti else (ente,),
                services=() if whole_services else (service,),
                all_organizations=whole_enti,
                all_services=whole_services,
            )

        giver = factories.user()
        give(giver, Role.ADMINISTRATOR, mine)
        give(person, Role.VIEWER, held)
        assert granting.administers(giver, person, at=AT) == (mine in ("both", held))

    @pytest.mark.parametrize("emptied", ["organizations", "services"])
    def test_an_emptied_right_to_administer_is_none(
        self, emptied: str, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        made = factories.user(created_by=administrator)
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        getattr(administrator.grants.get(), emptied).clear()
        assert not granting.administers(administrator, made, at=AT)
        assert set(User.objects.visible_to(administrator, at=AT)) == {administrator}
        assert not enrolling.may_enrol(administrator, at=AT)

    def test_who_holds_nothing_is_administered_by_who_made_them(self, administrator: User, ente: Organization) -> None:
        made, other = factories.user(created_by=administrator), factories.user()
        assert granting.administers(administrator, made, at=AT)
        assert not granting.administers(administrator, other, at=AT)
        # An emptied grant is nothing either: whoever has one is not anybody's for that.
        factories.grant(other, Role.VIEWER, organizations=(ente,))
        assert not granting.administers(administrator, other, at=AT)

    def test_who_made_them_and_administers_nothing_any_more_is_nobody(self, administrator: User) -> None:
        made = factories.user(created_by=administrator)
        administrator.grants.all().delete()
        assert not granting.administers(administrator, made, at=AT)

    def test_who_made_them_does_not_keep_them_once_they_hold_more(
        self, administrator: User, other_ente: Organization, service: Service
    ) -> None:
        made = factories.user(created_by=administrator)
        factories.grant(made, Role.SENDER, organizations=(other_ente,), services=(service,))
        assert not granting.administers(administrator, made, at=AT)

    def test_the_rights_of_somebody_disabled_still_count(
        self, administrator: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        """Else enabling them again would be a way to their rights elsewhere."""
        made = factories.user(created_by=administrator, is_active=False)
        factories.grant(made, Role.SENDER, organizations=(other_ente,), services=(service,))
        assert not granting.administers(administrator, made, at=AT)

    def test_expired_rights_do_not(
        self, administrator: User, person: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        factories.grant(person, Role.VIEWER, organizations=(ente,), services=(service,))
        factories.grant(person, Role.VIEWER, organizations=(other_ente,), services=(service,), expires_at=AT)
        assert granting.administers(administrator, person, at=AT)

    def test_nobody_but_staff_administers_staff(
        self, administrator: User, ente: Organization, service: Service
    ) -> None:
        colleague = factories.user(is_staff=True, created_by=administrator)
        factories.grant(colleague, Role.VIEWER, organizations=(ente,), services=(service,))
        assert not granting.administers(administrator, colleague, at=AT)

    def test_nobody_but_a_superuser_administers_a_superuser(self, staff: User) -> None:
        root = factories.user(is_staff=True, is_superuser=True)
        assert not granting.administers(staff, root, at=AT)
        assert granting.administers(root, staff, at=AT)
        assert granting.administers(root, factories.user(is_staff=True, is_superuser=True), at=AT)

    def test_oneself_only_where_all_that_one_holds_is_administered(
        self, administrator: User, other_ente: Organization, service: Service
    ) -> None:
        assert granting.administers(administrator, administrator, at=AT)
        factories.grant(administrator, Role.SENDER, organizations=(other_ente,), services=(service,))
        assert not granting.administers(administrator, administrator, at=AT)

    def test_a_person_without_rights_administers_nobody_not_even_themselves(self, person: User) -> None:
        assert not granting.administers(person, person, at=AT)

    def test_who_is_disabled_administers_nobody(self, administrator: User, staff: User, person: User) -> None:
        made = factories.user(created_by=administrator)
        for former in (administrator, staff):
            former.is_active = False
            former.save()
            assert not granting.administers(former, made, at=AT)
            assert not User.objects.visible_to(former, at=AT).exists()


class TestWhatAdministeringCosts:
    """A grant of many enti and services is looked at ente by ente and service by service, never pair by pair."""

    @staticmethod
    def rows_read(number: int) -> int:
        """By the database, to tell whom an administrator of this many enti and services administers."""
        enti = tuple(factories.organization() for _number in range(number))
        services = tuple(factories.service() for _number in range(number))
        # Two rights, so that none of them alone covers what the people hold.
        giver = administrator_of(enti, services[: number // 2])
        factories.grant(giver, Role.ADMINISTRATOR, organizations=enti, services=services[number // 2 :])
        people = [factories.user() for _number in range(3)]
        for person in people:
            factories.grant(person, Role.VIEWER, organizations=enti, services=services)
        asked = User.objects.administered_by(giver, at=AT).filter(pk__in=[person.pk for person in people])
        assert asked.count() == 3
        plan = json.loads(asked.explain(format="json", analyze=True))[0]["Plan"]
        return sum(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in nodes_of(plan)
        )

    @pytest.mark.postgresql
    def test_grows_with_the_enti_and_services_not_with_their_pairs(self) -> None:
        few, many = self.rows_read(10), self.rows_read(80)
        # Eight times the enti and services are sixty-four times the pairs.
        assert many < 16 * few

    @pytest.mark.parametrize("number", [1, 30])
    def test_takes_three_questions_whatever_they_hold(
        self, number: int, person: User, django_assert_num_queries: Any
    ) -> None:
        enti = tuple(factories.organization() for _number in range(number))
        services = tuple(factories.service() for _number in range(number))
        giver = administrator_of(enti, services)
        for _time in range(number):
            factories.grant(giver, Role.ADMINISTRATOR, organizations=enti, services=services)
        factories.grant(person, Role.VIEWER, organizations=enti, services=services)
        with django_assert_num_queries(3):
            assert granting.administers(giver, person, at=AT)

    def test_enti_with_the_same_services_are_one_area(self) -> None:
        giver, services = factories.user(), (factories.service(), factories.service())
        for _number in range(10):
            factories.grant(giver, Role.ADMINISTRATOR, organizations=(factories.organization(),), services=services)
        elsewhere, here = administered_areas(giver, at=AT)
        assert (elsewhere.organizations, elsewhere.grants) == (None, frozenset())
        assert len(here.organizations or ()) == 10

    def test_decides_as_pair_by_pair_would(self) -> None:
        """Two hundred times at random, over three enti, three services and "all"."""
        chance = random.Random(7)
        enti = [factories.organization() for _number in range(3)]
        services = [factories.service() for _number in range(3)]

        def some_grant(to: User, role: Role) -> set[tuple[int, int]]:
            whole, every = chance.random() < 0.15, chance.random() < 0.15
            held = factories.grant(
                to,
                role,
                # What "all" was chosen over stays in the tables, and means nothing.
                organizations=tuple(chance.sample(enti, chance.randint(0, 3))),
                services=tuple(chance.sample(services, chance.randint(0, 3))),
                all_organizations=whole,
                all_services=every,
            )
            # 0 stands for those that do not exist yet.
            first = {0, *(row.pk for row in enti)} if whole else {row.pk for row in held.organizations.all()}
            second = {0, *(row.pk for row in services)} if every else {row.pk for row in held.services.all()}
            return {(one, other) for one in first for other in second}

        for _time in range(200):
            giver, person = factories.user(), factories.user()
            mine = set().union(*(some_grant(giver, Role.ADMINISTRATOR) for _number in range(chance.randint(1, 3))))
            held = set().union(*(some_grant(person, Role.VIEWER) for _number in range(chance.randint(1, 2))))
            assert granting.administers(giver, person, at=AT) == bool(mine and held and held <= mine)


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


class TestHistory:
    def test_tells_who_gave_changed_and_took_what(
        self, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        made = granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT)
        granting.replace(made, wanted((ente,), (service,), role=Role.VIEWER), by=administrator, at=AT)
        granting.revoke(made, by=administrator, at=AT)
        lines = LogEntry.objects.filter(object_id=str(person.pk)).order_by("pk")
        place = f"[{ente.pk}] × [{service.pk}]"
        told = [line.get_change_message() for line in lines]
        assert [f"sender {place}" in told[0], f"sender {place} → viewer {place}" in told[1]] == [True, True]
        assert f"viewer {place}" in told[2]
        assert {line.user for line in lines} == {administrator}

    def test_says_when_something_is_new(self, administrator: User, person: User) -> None:
        note(person, by=administrator, created=True)
        assert LogEntry.objects.get().is_addition()

    def test_of_a_refusal_is_empty(self, administrator: User, person: User, other_ente: Organization) -> None:
        with pytest.raises(NotYours):
            granting.grant(person, wanted((other_ente,), (factories.service(),)), by=administrator, at=AT)
        assert not LogEntry.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    """The one who takes away holds the row while the other waits; what the other then sees decides."""

    def meanwhile(self, first: Callable[[], Any], second: Callable[[], Any]) -> BaseException | None:
        """Do `second` elsewhere while `first` is done and not committed yet; what `second` raised."""
        raised: list[BaseException] = []
        started = threading.Event()

        def elsewhere() -> None:
            started.set()
            try:
                second()
            except (NotYours, ForStaffAlone, HasPrograms, Gone) as refused:
                raised.append(refused)
            finally:
                connection.close()

        other = threading.Thread(target=elsewhere)
        with transaction.atomic():
            first()
            other.start()
            started.wait(5)
            # It must be waiting for us by now; were it not, it would have ended.
            other.join(0.5)
            assert other.is_alive()
        other.join(10)
        assert not other.is_alive()
        return raised[0] if raised else None

    def test_a_right_taken_away_is_not_passed_on(
        self, administrator: User, staff: User, person: User, ente: Organization, service: Service
    ) -> None:
        own = administrator.grants.get()
        raised = self.meanwhile(
            lambda: granting.revoke(own, by=staff, at=AT),
            lambda: granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT),
        )
        assert isinstance(raised, NotYours)
        assert grants_of(person) == 0

    def test_a_right_narrowed_is_not_passed_on_whole(
        self, staff: User, person: User, ente: Organization, other_ente: Organization, service: Service
    ) -> None:
        wide = administrator_of((ente, other_ente), (service,))
        narrower = wanted((ente,), (service,), role=Role.ADMINISTRATOR)
        raised = self.meanwhile(
            lambda: granting.replace(wide.grants.get(), narrower, by=staff, at=AT),
            lambda: granting.grant(person, wanted((other_ente,), (service,)), by=wide, at=AT),
        )
        assert isinstance(raised, NotYours)

    def test_who_is_disabled_gives_nothing_any_more(
        self, administrator: User, person: User, ente: Organization, service: Service
    ) -> None:
        raised = self.meanwhile(
            lambda: User.objects.filter(pk=administrator.pk).update(is_active=False),
            lambda: granting.grant(person, wanted((ente,), (service,)), by=administrator, at=AT),
        )
        assert isinstance(raised, NotYours)

    def test_two_who_give_to_each_other_do_not_wait_in_a_circle(self, ente: Organization, service: Service) -> None:
        one, two = administrator_of((ente,), (service,)), administrator_of((ente,), (service,))
        asked = wanted((ente,), (service,))
        failed: list[BaseException] = []

        def give(to: User, by: User) -> None:
            try:
                for _time in range(20):
                    granting.grant(to, asked, by=by, at=AT)
            except Exception as error:  # noqa: BLE001  (told to the test)
                failed.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=give, args=pair) for pair in ((one, two), (two, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not failed
        assert (grants_of(one), grants_of(two)) == (21, 21)
