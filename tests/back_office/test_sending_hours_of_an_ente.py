"""Sending hours in the back office: seven boxes, days of closure, and the same record of changes as the portal's."""

from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from registry.models import ClosureDay, Organization, SendingHoursChange, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return factories.user(is_staff=True, is_superuser=True)


@pytest.fixture
def staff(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def form(**fields: Any) -> dict[str, Any]:
    return {
        "tax_code": "12345678901",
        "legal_name": "Comune di Prova",
        "approval": "never",
        "sending_days": ["0", "1", "2", "3", "4"],
        "sends_from": "08:00",
        "sends_until": "18:00",
        "observes_holidays": "on",
        "closure_days-TOTAL_FORMS": "1",
        "closure_days-INITIAL_FORMS": "0",
        "closure_days-0-day": "2026-06-24",
        "closure_days-0-is_yearly": "on",
        "closure_days-0-name": "San Giovanni",
        "sending_hours_changes-TOTAL_FORMS": "0",
        "sending_hours_changes-INITIAL_FORMS": "0",
        **fields,
    }


def test_a_new_ente_is_made_with_its_hours_and_the_record_says_by_whom(staff: Client, person: User) -> None:
    assert staff.post(reverse("admin:registry_organization_add"), form()).status_code == 302
    ente = Organization.objects.get()
    assert (ente.sending_days, ente.opening_hours().closures[0].name) == (31, "San Giovanni")
    change = SendingHoursChange.objects.get()
    assert (change.actor, change.before["days"], change.after["days"]) == (person, 127, 31)


def test_a_change_is_recorded_once_and_shown(staff: Client) -> None:
    ente = factories.organization()
    page = reverse("admin:registry_organization_change", args=[ente.pk])
    assert staff.post(page, form()).status_code == 302
    closure = ClosureDay.objects.get()
    again = form(
        **{"closure_days-INITIAL_FORMS": "1", "closure_days-0-id": closure.pk, "closure_days-0-organization": ente.pk}
    )
    assert staff.post(page, again).status_code == 302
    change = SendingHoursChange.objects.get()
    assert change.after["closures"] == [{"day": str(date(2026, 6, 24)), "is_yearly": True, "name": "San Giovanni"}]
    shown = staff.get(page).content.decode()
    assert "San Giovanni" in shown
    assert shown.count('name="sending_days"') == 7


def test_changing_something_else_is_no_change_of_the_hours(staff: Client) -> None:
    ente = factories.organization()
    fields = {"sends_from": "", "sends_until": "", "sending_days": list("0123456"), "closure_days-TOTAL_FORMS": "0"}
    data = form(**fields, office_at="Municipio")
    del data["observes_holidays"]
    page = reverse("admin:registry_organization_change", args=[ente.pk])
    assert staff.post(page, data).status_code == 302
    assert Organization.objects.get().office_at == "Municipio"
    assert not SendingHoursChange.objects.exists()


@pytest.mark.parametrize(
    "fields", [{"sends_until": ""}, {"sends_from": "19:00"}, {"sending_days": []}, {"sends_from": "boh"}]
)
def test_hours_that_mean_nothing_are_refused_beside_their_field(staff: Client, fields: dict[str, Any]) -> None:
    answer = staff.post(reverse("admin:registry_organization_add"), form(**fields))
    assert answer.status_code == 200
    assert not Organization.objects.exists()
