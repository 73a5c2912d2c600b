"""A cursor is a client's to hold, so it may come back as anything."""

import base64
import json

import pytest
from django.test import Client

from registry.models import Role
from tests import factories
from tests.factories import grant

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-21T09:00:00", "never"]
)
def test_refuses_a_cursor_whose_moment_no_calendar_holds(moment: str) -> None:
    person = factories.user()
    grant(person, Role.VIEWER, all_organizations=True, all_services=True)
    key = factories.consumer_key(factories.consumer(user=person))
    cursor = base64.urlsafe_b64encode(json.dumps(["scheduled_at", True, moment, 1, 1]).encode()).decode().rstrip("=")
    answer = Client().get(
        f"/api/v1/messages?sort=scheduled_expedition_date&cursor={cursor}", headers={"GovHub-Consumer-Principal": key}
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/cursor"
