"""`/status` as GovIO's clients ask it: a problem that is none, for whoever has a key."""

from unittest import mock

import pytest
from django.db import OperationalError

from messaging.models import ServiceInstance
from registry.models import Scope, User
from registry.querysets import ConsumerKeyQuerySet
from rest import schema
from tests.api.integrator import Integrator, problem, program_of
from tests.api.test_schema import check


def test_is_well_in_the_shape_of_govio(api: Integrator) -> None:
    response = api.get("status")
    assert (response.status_code, response["Content-Type"]) == (200, "application/problem+json")
    body = response.json()
    check(schema.document(), "Status", body)
    assert (body["status"], body["title"]) == (200, "OK")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("scope", list(Scope))
def test_any_key_will_do(sender: User, instance: ServiceInstance, scope: Scope) -> None:
    assert program_of(sender, instance, scopes=[scope]).get("status").status_code == 200


def test_needs_a_key(api: Integrator) -> None:
    api.key = None
    problem(api.get("status"), 401, "not_authenticated")


def test_is_503_while_the_database_is_away(api: Integrator) -> None:
    # Only the database is replaced: it is outside.
    with mock.patch.object(ConsumerKeyQuerySet, "live", side_effect=OperationalError):
        response = api.get("status")
    problem(response, 503, "unavailable")
    assert response["Retry-After"] == "5"
