"""Whoever waits for a turn to write templates is asked again for the right to: what was withdrawn meanwhile counts no more."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Value
from django.db.models.functions import Concat

from messaging.models import ServiceInstance
from registry.models import Grant, Role, User
from templates_app.models import Placeholder, Template, TemplateVersion
from templates_app.publishing import Use
from templates_app.turns import turn
from tests import factories
from tests.api.configuring import Program, replacing
from tests.api.test_configuring_at_once import codes, while_uncommitted
from tests.api.test_placeholders import NEW as NEW_PLACEHOLDER
from tests.api.test_templates import PLAIN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

Call = tuple[str, str, Any]


@pytest.fixture
def instance(transactional_db: None) -> ServiceInstance:
    ente = factories.organization()
    used = factories.placeholder("cie", organization=ente)
    template = factories.template(organization=ente, uses=[Use(used)])
    factories.placeholder("altro", organization=ente)
    return factories.service_instance(organization=ente, template=template)


def share() -> None:
    Template.objects.update(organization=None)
    # Names of shared ones are unique.
    Placeholder.objects.filter(organization__isnull=False).update(organization=None, name=Concat("name", Value("_2")))


WRITES: dict[str, Callable[[ServiceInstance], Call]] = {
    "a new template": lambda instance: ("POST", "templates", {**PLAIN, "organization_id": instance.organization_id}),
    "a template": lambda instance: ("PATCH", f"templates/{instance.template_id}", [replacing("description", "Altro")]),
    "a new placeholder": lambda instance: (
        "POST",
        "placeholders",
        {**NEW_PLACEHOLDER, "organization_id": instance.organization_id},
    ),
    "a placeholder": lambda instance: (
        "PATCH",
        f"placeholders/{placeholder('cie')}",
        [replacing("description", "Altro")],
    ),
    "one use more": lambda instance: (
        "POST",
        f"templates/{instance.template_id}/placeholders?placeholder_id={placeholder('altro')}",
        {"mandatory": False, "position": 7},
    ),
    "all uses": lambda instance: ("PUT", f"templates/{instance.template_id}/placeholders", {"items": []}),
    "one use less": lambda instance: (
        "DELETE",
        f"templates/{instance.template_id}/placeholders/{placeholder('cie')}",
        None,
    ),
}


def placeholder(name: str) -> int:
    return Placeholder.objects.get(name=name, organization__isnull=False).pk


def stored() -> tuple[Any, ...]:
    kinds = (Template, TemplateVersion, Placeholder, LogEntry)
    return tuple(list(kind._default_manager.order_by("pk").values()) for kind in kinds)


@pytest.mark.parametrize("what", WRITES)
def test_a_role_withdrawn_meanwhile_writes_nothing(cast: factories.Cast, instance: ServiceInstance, what: str) -> None:
    before = stored()

    def demote() -> None:
        with turn():
            Grant.objects.filter(user=cast.editor).update(role=Role.VIEWER)

    answer = while_uncommitted(demote, Program.of(cast.editor), WRITES[what](instance))
    assert (answer.status_code, codes(answer)) == (403, ["permission_denied"])
    assert stored() == before


@pytest.mark.parametrize("what", WRITES)
def test_a_member_of_staff_who_is_one_no_more_writes_nothing_shared(instance: ServiceInstance, what: str) -> None:
    staff = factories.user(is_staff=True)
    factories.grant(staff, Role.VIEWER, organizations=(instance.organization,), services=(instance.service,))
    method, path, body = WRITES[what](instance)
    if method == "POST" and "organization_id" in body:
        body = {**body, "organization_id": None}
    share()
    before = stored()

    def demote() -> None:
        with turn():
            User.objects.filter(pk=staff.pk).update(is_staff=False)

    answer = while_uncommitted(demote, Program.of(staff), (method, path, body))
    assert (answer.status_code, codes(answer)) == (403, ["permission_denied"])
    assert stored() == before


@pytest.mark.parametrize("what", WRITES)
def test_whoever_may_still_write_does(cast: factories.Cast, instance: ServiceInstance, what: str) -> None:
    def wait() -> None:
        with turn():
            pass

    answer = while_uncommitted(wait, Program.of(cast.editor), WRITES[what](instance))
    assert answer.status_code in {200, 201}
