"""Platform staff at templates and placeholders: what is changed here becomes versions too, and spoils no text in use."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from templates_app.models import Placeholder, Template
from templates_app.publishing import Text, Use, keep
from tests import factories
from tests.factories.setting import CIE_BODY, CIE_SUBJECT

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(factories.user(is_staff=True))
    return client


def save(staff: Client, placeholder: Placeholder | None, **changed: Any) -> str:
    typed = {
        "organization": "",
        "name": placeholder.name if placeholder else "pratica",
        "type": placeholder.type if placeholder else "string",
        "example": placeholder.example if placeholder else "AB-1234",
        "description": "",
        "pattern": "",
        "choices": "[]",
        **changed,
    }
    if placeholder is None:
        address = reverse("admin:templates_app_placeholder_add")
    else:
        address = reverse("admin:templates_app_placeholder_change", args=[placeholder.pk])
    return staff.post(address, typed, follow=True).content.decode()


class TestPlaceholders:
    def test_are_declared_for_an_ente(self, staff: Client) -> None:
        ente = factories.organization()
        save(staff, None, organization=ente.pk, type="choice", choices='["AB-1234", "x"]')
        made = Placeholder.objects.get()
        assert (made.organization, made.choices) == (ente, ["AB-1234", "x"])

    def test_stay_of_whom_they_are(self, staff: Client) -> None:
        placeholder = factories.placeholder()
        save(staff, placeholder, organization=factories.organization().pk, description="Numero")
        placeholder.refresh_from_db()
        assert (placeholder.organization, placeholder.description) == (None, "Numero")

    @pytest.mark.parametrize(
        "changed",
        [
            {"pattern": "(a"},
            {"name": "due_date"},
            {"name": "con spazio"},
            {"type": "choice"},
            {"choices": '{"a": 1}'},
            {"choices": "[1]"},
            {"choices": "["},
        ],
        ids=json.dumps,
    )
    def test_that_cannot_be_used_are_refused(self, staff: Client, changed: dict[str, str]) -> None:
        placeholder = factories.placeholder()
        before = Placeholder.objects.values().get()
        assert "errorlist" in save(staff, placeholder, **changed)
        assert "errorlist" in save(staff, None, **changed)
        assert Placeholder.objects.values().get() == before

    def test_changed_make_a_new_version_of_each_text_that_uses_them(self, staff: Client) -> None:
        template = factories.template()
        page = save(staff, factories.placeholder(), pattern="CA[0-9]{6}AA")
        template.refresh_from_db()
        assert template.current_version is not None
        assert template.current_version.number == 2
        assert template.current_version.as_text().declarations[0].pattern == "CA[0-9]{6}AA"
        assert template.name in page

    @pytest.mark.parametrize("changed", [{"name": "carta"}, {"type": "date", "example": "2026-12-31"}])
    def test_are_not_changed_when_a_text_would_be_spoilt(self, staff: Client, changed: dict[str, str]) -> None:
        template = factories.template()
        page = save(staff, factories.placeholder(), **changed)
        assert "errorlist" in page
        assert template.name in page
        assert (Placeholder.objects.get().name, template.versions.count()) == ("cie", 1)

    def test_keep_their_names_apart(self, staff: Client) -> None:
        factories.placeholder("carta")
        assert "errorlist" in save(staff, factories.placeholder(), name="carta")
        assert "errorlist" in save(staff, None, name="carta")
        assert Placeholder.objects.filter(name="carta").count() == 1


class TestTemplates:
    def save(self, staff: Client, template: Template, **changed: str) -> str:
        typed = {
            "name": template.name,
            "description": "",
            "subject": CIE_SUBJECT,
            "body": CIE_BODY,
            "has_payment": "on",
            "has_due_date": "on",
            "uses": "cie",
            **changed,
        }
        address = reverse("admin:templates_app_template_change", args=[template.pk])
        return staff.post(address, typed, follow=True).content.decode()

    def test_use_the_placeholders_of_their_ente_before_the_shared_ones(self, staff: Client) -> None:
        ente = factories.organization()
        factories.placeholder("cie")
        own = factories.placeholder("cie", organization=ente)
        factories.placeholder("cie", organization=factories.organization())
        template = Template.objects.create(organization=ente, name="CIE")
        self.save(staff, template)
        template.refresh_from_db()
        assert template.current_version is not None
        assert [use.placeholder for use in template.current_version.placeholders.all()] == [own]

    def test_go_on_with_the_placeholder_that_they_use(self, staff: Client) -> None:
        ente = factories.organization()
        template = factories.template(organization=ente)
        factories.placeholder("cie", organization=ente)
        self.save(staff, template, subject="Rinnova la CIE n. ${cie}")
        template.refresh_from_db()
        assert template.current_version is not None
        assert [use.placeholder.organization for use in template.current_version.placeholders.all()] == [None]

    def test_show_the_draft_and_publish_it_when_it_is_whole(self, staff: Client) -> None:
        template = Template.objects.create(name="CIE")
        keep(template, Text(CIE_SUBJECT, CIE_BODY, True, True), uses=[], by=None, at=factories.NOW)
        factories.placeholder("cie")
        address = reverse("admin:templates_app_template_change", args=[template.pk])
        assert CIE_SUBJECT in staff.get(address).content.decode()
        self.save(staff, template)
        template.refresh_from_db()
        assert (template.draft, template.versions.count()) == (None, 2)

    def test_stay_of_whom_they_are(self, staff: Client) -> None:
        template = factories.template(uses=[Use(factories.placeholder())])
        self.save(staff, template, organization=str(factories.organization().pk), name="Altro")
        template.refresh_from_db()
        assert (template.organization, template.name) == (None, "Altro")
