"""Rules that the database itself keeps about enti, services, accounts and people."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from registry.models import Grant, IOAccount, Lane, Organization, Role, User
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class TestOrganization:
    @pytest.mark.parametrize(
        "tax_code", ["", "1234567890", "123456789012", "1234567890A", "RSSMRA80A01H501U", "1234567890\n"]
    )
    def test_has_a_tax_code_of_eleven_digits(self, tax_code: str) -> None:
        with pytest.raises(ValidationError):
            Organization(tax_code=tax_code, legal_name="Comune").full_clean()

    @pytest.mark.parametrize("tax_code", ["", "1234567890", "1234567890A"])
    def test_the_database_refuses_it_as_well(self, tax_code: str) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.organization(tax_code=tax_code)

    def test_is_known_once(self) -> None:
        ente = factories.organization()
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.organization(tax_code=ente.tax_code)

    def test_with_service_instances_cannot_be_deleted(self) -> None:
        instance = factories.service_instance()
        with pytest.raises(ProtectedError):
            instance.organization.delete()


class TestIOAccount:
    def test_has_its_lane_from_birth(self) -> None:
        account = factories.io_account()
        assert Lane.objects.get().io_account == account

    def test_saving_it_again_overwrites_nothing_of_the_lane(self) -> None:
        account = factories.io_account()
        Lane.objects.update(paused_until=AT, failures_in_row=2, opened_at=AT, tokens=3.5)
        account.name = "Altro nome"
        account.save()
        lane = Lane.objects.get()
        assert (lane.paused_until, lane.failures_in_row, lane.opened_at, lane.tokens) == (AT, 2, AT, 3.5)

    @pytest.mark.parametrize("rate", [0, 10_001])
    def test_makes_between_one_and_ten_thousand_calls_a_second(self, rate: int) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.io_account(calls_per_second=rate)

    def test_makes_ten_unless_told_otherwise(self) -> None:
        assert IOAccount.objects.create(name="Nuovo").calls_per_second == 10

    @pytest.mark.parametrize("factor", [0, -1, 1.5])
    def test_a_slowdown_never_stops_it_nor_speeds_it_up(self, factor: float) -> None:
        factories.io_account()
        with pytest.raises(IntegrityError), transaction.atomic():
            Lane.objects.update(rate_factor=factor)


class TestPeople:
    def test_signs_in_with_a_principal_that_is_unique(self) -> None:
        factories.user("anna.bianchi")
        with pytest.raises(IntegrityError), transaction.atomic():
            factories.user("anna.bianchi")

    def test_is_shown_by_full_name_else_by_principal(self) -> None:
        assert str(User(principal="anna", full_name="Anna Bianchi")) == "Anna Bianchi"
        assert str(User(principal="anna")) == "anna"

    def test_a_first_administrator_is_made_with_the_command_of_django(self) -> None:
        made = User.objects.create_superuser("prima", "una-parola-lunga")
        assert (made.is_staff, made.is_superuser, made.full_name) == (True, True, "prima")
        assert made.check_password("una-parola-lunga")

    def test_an_ordinary_person_is_neither_staff_nor_superuser(self) -> None:
        made = User.objects.create_user("persona")
        assert (made.is_staff, made.is_superuser, made.has_usable_password()) == (False, False, False)


class TestGrant:
    def test_gives_nothing_unless_told(self) -> None:
        made = Grant.objects.create(user=factories.user(), role=Role.VIEWER)
        assert (made.all_organizations, made.all_services) == (False, False)

    def test_has_a_role_that_exists(self) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Grant.objects.create(user=factories.user(), role="king")
