"""The back office: what platform staff do there, and what it never shows."""

import re

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from govio_portal.tasks import clear_sessions
from messaging.models import IOService, ServiceInstance
from registry.models import Consumer, ConsumerKey, Scope, User
from registry.models.consumer import digest_of
from templates_app.models import Template
from tests import factories

pytestmark = pytest.mark.django_db

SECRET = "a-key-that-must-never-come-out"


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def consumer() -> Consumer:
    return factories.consumer(user=factories.user())


class TestEveryPageOpens:
    @pytest.mark.parametrize(
        "model",
        [
            *("registry_organization", "registry_service", "registry_ioaccount", "registry_user", "registry_consumer"),
            *("registry_consumerkey", "templates_app_placeholder", "templates_app_template"),
            *("messaging_ioservice", "messaging_serviceinstance"),
        ],
    )
    def test_list_and_new(self, model: str, staff: Client) -> None:
        factories.service_instance()
        for page in ("changelist", "add"):
            assert staff.get(reverse(f"admin:{model}_{page}")).status_code == 200

    def test_existing_rows_with_their_frozen_fields(self, staff: Client) -> None:
        instance = factories.message().service_instance
        for row, model in (
            (instance, "messaging_serviceinstance"),
            (instance.io_service, "messaging_ioservice"),
            (instance.template, "templates_app_template"),
            (factories.user(), "registry_user"),
        ):
            assert staff.get(reverse(f"admin:{model}_change", args=[row.pk])).status_code == 200

    def test_messages_are_not_in_it(self, staff: Client) -> None:
        factories.message()
        assert "messaging/message" not in staff.get(reverse("admin:index")).content.decode()

    def test_nobody_else_enters(self) -> None:
        client = Client()
        client.force_login(factories.user())
        assert client.get(reverse("admin:index")).status_code == 302


class TestConsumerKeys:
    def issue(self, staff: Client, consumer: Consumer) -> str:
        answer = staff.post(
            reverse("admin:registry_consumerkey_add"),
            {"consumer": consumer.pk, "scopes": [Scope.MESSAGES_SEND.value], "expires_at_0": "", "expires_at_1": ""},
        )
        assert answer.status_code == 200
        assert "no-store" in answer["Cache-Control"]
        found = re.search(r"<code>(giop_[^<]+)</code>", answer.content.decode())
        assert found is not None
        assert all(found.group(1) not in cookie.value for cookie in staff.cookies.values())
        issued = ConsumerKey.objects.get(digest=digest_of(found.group(1)))
        assert issued.issued_by == User.objects.get(is_superuser=True)
        return found.group(1)

    def test_a_new_one_is_shown_once_and_only_its_digest_is_kept(self, staff: Client, consumer: Consumer) -> None:
        key = self.issue(staff, consumer)
        row = ConsumerKey.objects.get()
        assert (row.digest, row.scopes) == (digest_of(key), [Scope.MESSAGES_SEND.value])
        assert key not in staff.get(reverse("admin:registry_consumerkey_changelist")).content.decode()

    def test_each_person_is_shown_their_own(self, staff: Client, consumer: Consumer) -> None:
        assert self.issue(staff, consumer) != self.issue(staff, consumer)
        assert ConsumerKey.objects.count() == 2

    def test_is_revoked_and_never_deleted_or_edited(self, staff: Client, consumer: Consumer) -> None:
        self.issue(staff, consumer)
        row = ConsumerKey.objects.get()
        address = reverse("admin:registry_consumerkey_changelist")
        staff.post(address, {"action": "revoke", "_selected_action": [row.pk]})
        row.refresh_from_db()
        assert row.revoked_at is not None
        assert staff.post(reverse("admin:registry_consumerkey_delete", args=[row.pk])).status_code == 403


class TestKeysOfIO:
    def save(self, staff: Client, service: IOService, **changed: str) -> None:
        answer = staff.post(
            reverse("admin:messaging_ioservice_change", args=[service.pk]),
            {"io_service_id": service.io_service_id, "active_key": "primary", "payment_cap_cents": "1000", **changed},
        )
        assert answer.status_code == 302, answer.content.decode()

    def test_go_in_and_never_come_out(self, staff: Client) -> None:
        service = factories.io_service()
        self.save(staff, service, new_primary_key=SECRET)
        service.refresh_from_db()
        assert service.primary_key.open() == SECRET
        page = staff.get(reverse("admin:messaging_ioservice_change", args=[service.pk])).content.decode()
        assert SECRET not in page
        assert service.primary_key.token not in page

    def test_an_empty_field_keeps_the_stored_one(self, staff: Client) -> None:
        service = factories.io_service(key=SECRET)
        self.save(staff, service)
        service.refresh_from_db()
        assert service.primary_key.open() == SECRET

    @pytest.mark.parametrize(
        ("field", "typed"),
        [("new_primary_key", "due parole"), ("new_secondary_key", "perché"), ("test_taxcode", "boh")],
    )
    def test_what_no_call_could_be_made_with_is_refused(self, staff: Client, field: str, typed: str) -> None:
        service = factories.io_service(key=SECRET)
        answer = staff.post(
            reverse("admin:messaging_ioservice_change", args=[service.pk]),
            {"io_service_id": service.io_service_id, "active_key": "primary", field: typed},
        )
        assert answer.status_code == 200
        service.refresh_from_db()
        assert (service.primary_key.open(), bool(service.secondary_key)) == (SECRET, False)
        assert service.test_taxcode == "AAAAAA00A00A000A"

    def test_the_citizen_of_trial_may_be_the_ente_s_own(self, staff: Client) -> None:
        service = factories.io_service()
        self.save(staff, service, test_taxcode=" rssmra80a01h501u ")
        service.refresh_from_db()
        assert service.test_taxcode == "RSSMRA80A01H501U"


class TestTemplates:
    def save(self, staff: Client, template: Template, **changed: str) -> str:
        version = template.current_version
        assert version is not None
        typed = {
            "name": template.name,
            "description": "",
            "organization": "",
            "subject": version.subject,
            "body": version.body,
            "has_payment": "on",
            "has_due_date": "on",
            "uses": "cie",
            **changed,
        }
        address = reverse("admin:templates_app_template_change", args=[template.pk])
        return staff.post(address, typed, follow=True).content.decode()

    def test_a_changed_text_becomes_a_new_version_and_the_old_one_stays(self, staff: Client) -> None:
        template = factories.template()
        self.save(staff, template, subject="Rinnova la CIE n. ${cie.uppercase}")
        assert list(template.versions.order_by("number").values_list("number", "subject")) == [
            (1, factories.setting.CIE_SUBJECT),
            (2, "Rinnova la CIE n. ${cie.uppercase}"),
        ]

    def test_a_changed_name_alone_makes_no_version(self, staff: Client) -> None:
        template = factories.template()
        self.save(staff, template, name="Un altro nome")
        template.refresh_from_db()
        assert (template.name, template.versions.count()) == ("Un altro nome", 1)

    @pytest.mark.parametrize("changed", [{"body": "${ignoto} " * 20}, {"uses": "mai_visto"}, {"uses": ""}])
    def test_a_text_that_cannot_work_is_refused(self, changed: dict[str, str], staff: Client) -> None:
        template = factories.template()
        assert "errorlist" in self.save(staff, template, **changed)
        assert template.versions.count() == 1


def test_the_io_service_of_an_instance_is_frozen_once_it_has_messages(staff: Client) -> None:
    instance = factories.message().service_instance
    other = factories.io_service(of=instance.organization)
    staff.post(
        reverse("admin:messaging_serviceinstance_change", args=[instance.pk]),
        {"io_service": other.pk, "enabled": "on", "approval": "always"},
    )
    changed = ServiceInstance.objects.get(pk=instance.pk)
    assert (changed.io_service_id, changed.approval) == (instance.io_service_id, "always")


def test_sessions_that_are_over_are_deleted_with_what_was_searched_for(staff: Client) -> None:
    Session.objects.update(expire_date="2020-01-01T00:00:00Z")
    clear_sessions()
    assert not Session.objects.exists()
    assert User.objects.exists()
