"""A page of the back office that was open while others worked: what they changed stays as they made it."""

import time as clock
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.db.models import Model
from django.db.models.signals import post_init, pre_save
from django.test import Client
from django.urls import reverse

from messaging.models import IOService, OnDoubt, ServiceInstance
from registry.models import (
    Consumer,
    ConsumerKey,
    IOAccount,
    Logo,
    Organization,
    SendingHoursChange,
    Service,
    User,
)
from sealed.boxes import Sealed
from templates_app.models import Placeholder, Template
from templates_app.publishing import Use, publish
from templates_app.turns import turn
from templates_app.writing import change_placeholder
from tests import factories
from tests.factories.setting import CIE_BODY, CIE_SUBJECT

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


class Form(HTMLParser):
    """What a browser sends of the page's own form when nobody touches it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self._inside = False
        self._textarea = self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = named.get("id", "").endswith("_form")
        if not self._inside or "disabled" in named:
            return
        kind, name = named.get("type", ""), named.get("name", "")
        if tag == "input" and name and kind not in ("submit", "file") and (kind != "checkbox" or "checked" in named):
            self._send(name, named.get("value", "on" if kind == "checkbox" else ""))
        elif tag == "textarea":
            self._textarea = name
            self.sent[name] = [""]
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in named:
            self._send(self._select, named.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea" and self._textarea:
            self.sent[self._textarea] = [self.sent[self._textarea][0].removeprefix("\r\n").removeprefix("\n")]
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.sent[self._textarea] = [self.sent[self._textarea][0] + data]

    def _send(self, name: str, value: str) -> None:
        self.sent.setdefault(name, []).append(value)


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def opened(staff: Client, row: Model) -> dict[str, Any]:
    answer = staff.get(page_of(row))
    assert answer.status_code == 200
    return dict(Form(answer.content.decode()).sent)


def send(staff: Client, row: Model, typed: dict[str, Any]) -> None:
    answer = staff.post(page_of(row), typed)
    assert answer.status_code == 302, [line for line in answer.content.decode().split("\n") if "error" in line]


def stored(row: Model) -> dict[str, Any]:
    return dict(type(row)._default_manager.filter(pk=row.pk).values().get())


@dataclass(frozen=True)
class Case:
    """`typed` is what is changed on the page; `others` makes what others change meanwhile: every other column."""

    model: type[Model]
    make: Callable[[], Model]
    typed: dict[str, Any]
    others: Callable[[Any], dict[str, Any]]

    def __str__(self) -> str:
        return str(self.model.__name__)


def logo() -> Logo:
    return Logo.objects.create(media_type="image/png", content=b"x", digest="0" * 64)


def others_of_an_ente(row: Organization) -> dict[str, Any]:
    texts = [one.name for one in row._meta.concrete_fields if one.name.startswith("office_")]
    return {
        **dict.fromkeys(texts, "Altrove"),
        "office_phone_number": "06 1234567",
        "office_email_address": "altro@comune.example.it",
        "office_pec_address": "altro@pec.comune.example.it",
        "tax_code": "99999999999",
        "approval": "always",
        "io_account": factories.io_account(),
        "sends_from": time(8),
        "sends_until": time(18),
        "sending_days": 31,
        "observes_holidays": True,
        "logo": logo(),
        "logo_miniature": logo(),
    }


def others_of_a_template(row: Template) -> dict[str, Any]:
    in_force = row.current_version
    newer, _warnings = publish(
        row,
        subject=CIE_SUBJECT,
        body=CIE_BODY + " Ricordati.",
        has_payment=True,
        has_due_date=True,
        uses=[Use(factories.placeholder())],
        by=None,
        at=AT,
    )
    Template.objects.filter(pk=row.pk).update(current_version=in_force)
    return {"organization": factories.organization(), "name": "Altro", "current_version": newer, "draft": in_force}


def others_of_an_io_service(_row: IOService) -> dict[str, Any]:
    return {
        "io_account": factories.io_account(),
        "organization": factories.organization(),
        "io_service_id": "01ANOTHERSERVICE",
        "primary_key": Sealed.close("another"),
        "secondary_key": Sealed.close("and-another"),
        "active_key": "secondary",
        "test_taxcode": "RSSMRA80A01H501U",
        "require_secure_channels": True,
        "suspended_at": AT,
        "suspended_reason": "key_refused",
        "suspended_detail": "no",
        "is_probing": True,
        "refusing_since": AT,
    }


def others_of_an_instance(_row: ServiceInstance) -> dict[str, Any]:
    ente = factories.organization()
    return {
        "organization": ente,
        "service": factories.service(),
        "template": factories.template(),
        "io_service": factories.io_service(of=ente),
        "enabled": False,
        "on_doubt": OnDoubt.RESEND,
    }


CASES = [
    Case(Organization, factories.organization, {"legal_name": "Comune rinominato"}, others_of_an_ente),
    Case(
        Service,
        factories.service,
        {"description": "Un'altra"},
        lambda _row: {"service_name": "Altro", "logo": logo(), "logo_miniature": logo()},
    ),
    Case(IOAccount, factories.io_account, {"calls_per_second": 7}, lambda _row: {"name": "Altro"}),
    Case(
        User,
        factories.user,
        {"full_name": "Un nome nuovo"},
        lambda _row: {
            "principal": "altro",
            "password": make_password("un'altra"),
            "email": "altro@comune.example.it",
            "last_login": AT,
            "is_active": False,
            "is_staff": True,
            "is_superuser": True,
            "date_joined": AT,
            "created_by": factories.user(),
        },
    ),
    Case(
        Consumer,
        lambda: factories.consumer(user=factories.user()),
        {"name": "Un programma"},
        lambda _row: {"user": factories.user(), "amount_unit": "cents", "is_active": False, "created_at": AT},
    ),
    Case(
        Placeholder,
        factories.placeholder,
        {"description": "Un'altra"},
        lambda _row: {
            "organization": factories.organization(),
            "name": "altro",
            "type": "choice",
            "pattern": "[A-Z]{2}",
            "example": "AA",
            "choices": ["AA", "BB"],
            "is_markdown": True,
        },
    ),
    Case(Template, factories.template, {"description": "Un'altra"}, others_of_a_template),
    Case(IOService, factories.io_service, {"payment_cap_cents": 5}, others_of_an_io_service),
    Case(ServiceInstance, factories.service_instance, {"approval": "always"}, others_of_an_instance),
]
# Their pages hold everybody else off while they read and write (TestTurns).
READ_AND_WRITTEN_IN_TURN = {Placeholder}


def test_every_page_that_changes_a_row_is_here(staff: Client) -> None:
    assert set(admin.site._registry) == {case.model for case in CASES} | {ConsumerKey}
    key, _clear = ConsumerKey.issue(factories.consumer(user=factories.user()), scopes=["config:read"])
    assert staff.post(page_of(key), {}).status_code == 403


@pytest.mark.parametrize("case", CASES, ids=str)
class TestAColumnChangedByOthers:
    def change(self, case: Case, row: Model) -> dict[str, Any]:
        """What others change; all columns but those typed."""
        changes = case.others(row)
        columns = {one.name for one in row._meta.concrete_fields if not one.primary_key}
        assert set(changes) | set(case.typed) == columns
        return changes

    def test_since_the_page_was_opened_stays(self, case: Case, staff: Client) -> None:
        row = case.make()
        page = opened(staff, row)
        case.model._default_manager.filter(pk=row.pk).update(**self.change(case, row))
        meanwhile = stored(row)
        send(staff, row, {**page, **case.typed})
        assert stored(row) == {**meanwhile, **case.typed}

    def test_while_the_page_is_saved_stays(self, case: Case, staff: Client) -> None:
        if case.model in READ_AND_WRITTEN_IN_TURN:
            return
        row = case.make()
        page, changes = opened(staff, row), self.change(case, row)

        def meddle(**_of: Any) -> None:
            case.model._default_manager.filter(pk=row.pk).update(**changes)

        pre_save.connect(meddle, sender=case.model)
        try:
            send(staff, row, {**page, **case.typed})
        finally:
            pre_save.disconnect(meddle, sender=case.model)
        after = stored(row)
        for name, value in changes.items():
            column = row._meta.get_field(name).attname  # type: ignore[union-attr]  # a column
            assert after[column] == (value.pk if isinstance(value, Model) else value), name
        assert {name: after[name] for name in case.typed} == case.typed


class TestForms:
    def test_write_what_was_typed_over_what_others_typed_in_the_same_field(self, staff: Client) -> None:
        service = factories.service(description="Prima")
        page = opened(staff, service)
        Service.objects.update(description="Di un altro")
        send(staff, service, {**page, "description": "Mia"})
        assert Service.objects.get().description == "Mia"

    def test_untick_a_box(self, staff: Client) -> None:
        instance = factories.service_instance()
        page = opened(staff, instance)
        del page["enabled"]
        send(staff, instance, page)
        assert not ServiceInstance.objects.get().enabled

    def test_sent_without_what_they_showed_are_taken_as_they_are(self, staff: Client) -> None:
        instance = factories.service_instance()
        page = {name: value for name, value in opened(staff, instance).items() if not name.startswith("initial-")}
        del page["enabled"]
        send(staff, instance, {**page, "approval": "always"})
        instance.refresh_from_db()
        assert (instance.enabled, instance.approval) == (False, "always")

    def test_judge_the_rest_as_it_is_now(self, staff: Client) -> None:
        ente = factories.organization(sends_from=time(8), sends_until=time(12))
        page = opened(staff, ente)
        Organization.objects.update(sends_from=time(14), sends_until=time(18))
        answer = staff.post(page_of(ente), {**page, "sends_until": "13:00"})
        assert "errorlist" in answer.content.decode()
        assert Organization.objects.get().sends_until == time(18)

    def test_shown_again_for_an_error_can_be_changed_and_still_know_what_they_showed(self, staff: Client) -> None:
        service = factories.service(description="Prima")
        page = opened(staff, service)
        Service.objects.update(description="Di un altro")
        again = dict(Form(staff.post(page_of(service), {**page, "service_name": ""}).content.decode()).sent)
        assert again["initial-description"] == ["Prima"]
        send(staff, service, {**again, "service_name": "Nuovo"})
        service.refresh_from_db()
        assert (service.service_name, service.description) == ("Nuovo", "Di un altro")
        send(staff, service, {**again, "service_name": "Nuovo", "description": "Mia"})
        service.refresh_from_db()
        assert service.description == "Mia"

    def test_carry_no_key_along(self, staff: Client) -> None:
        page = opened(staff, factories.io_service())
        assert not [name for name in page if name.startswith("initial-") and "key" in name]

    def test_store_the_key_that_was_typed_and_no_other(self, staff: Client) -> None:
        service = factories.io_service()
        page = opened(staff, service)
        IOService.objects.update(primary_key=Sealed.close("entered-meanwhile"))
        send(staff, service, {**page, "new_secondary_key": "typed"})
        service.refresh_from_db()
        assert (service.primary_key.open(), service.secondary_key.open()) == ("entered-meanwhile", "typed")

    def test_record_no_change_of_hours_that_was_not_theirs(self, staff: Client) -> None:
        ente = factories.organization()
        page = opened(staff, ente)
        Organization.objects.update(sends_from=time(8), sends_until=time(18))
        send(staff, ente, {**page, "office_at": "Municipio"})
        assert not SendingHoursChange.objects.exists()

    def test_for_passwords_leave_the_rest_of_the_person(self, staff: Client) -> None:
        person = factories.user()

        def meddle(**_of: Any) -> None:
            User.objects.filter(pk=person.pk).update(is_active=False)

        typed = {"password1": "una-parola-nuova-9", "password2": "una-parola-nuova-9", "usable_password": "true"}
        pre_save.connect(meddle, sender=User)
        try:
            answer = staff.post(reverse("admin:auth_user_password_change", args=[person.pk]), typed)
        finally:
            pre_save.disconnect(meddle, sender=User)
        assert answer.status_code == 302
        person.refresh_from_db()
        assert (person.is_active, person.check_password("una-parola-nuova-9")) == (False, True)


class TestTemplates:
    def publish(self, template: Template) -> None:
        publish(
            template,
            subject="Rinnova la CIE n. ${cie}",
            body=CIE_BODY,
            has_payment=False,
            has_due_date=True,
            uses=[Use(factories.placeholder())],
            by=None,
            at=AT,
        )

    def test_renamed_keep_the_text_published_meanwhile(self, staff: Client) -> None:
        template = factories.template()
        page = opened(staff, template)
        self.publish(template)
        send(staff, template, {**page, "name": "Altro nome"})
        in_force, template = template.current_version, Template.objects.get()
        assert (template.name, template.current_version, template.versions.count()) == ("Altro nome", in_force, 2)

    def test_changed_in_one_thing_keep_what_others_published_of_the_rest(self, staff: Client) -> None:
        template = factories.template()
        page = opened(staff, template)
        self.publish(template)
        send(staff, template, {**page, "body": CIE_BODY + " Ricordati."})
        version = Template.objects.get().current_version
        assert version is not None
        assert (version.subject, version.body) == ("Rinnova la CIE n. ${cie}", CIE_BODY + " Ricordati.")
        assert not version.has_payment


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestTurns:
    """Of everybody who writes templates: taken by these pages too, before they read a row."""

    @pytest.mark.parametrize("model", [Template, Placeholder], ids=["template", "placeholder"])
    def test_are_waited_for_before_anything_is_read(self, model: type[Model], staff: Client) -> None:
        template = factories.template()
        row = template if model is Template else factories.placeholder()
        typed = {**opened(staff, row), "description": "Un'altra"}
        read: list[Any] = []

        def note(**of: Any) -> None:
            read.append(of["sender"])

        post_init.connect(note, sender=model)
        try:
            with turn():
                saved = meanwhile(lambda: send(staff, row, typed))
                wait_until_somebody_wants_the_turn()
                assert read == []
            saved.result(timeout=30)
        finally:
            post_init.disconnect(note, sender=model)
        assert stored(row)["description"] == "Un'altra"

    def test_are_no_circle(self, staff: Client) -> None:
        template, cie = factories.template(), factories.placeholder()
        typed = {**opened(staff, template), "subject": CIE_SUBJECT + " ora", "name": "Altro nome"}
        with turn():
            saved = meanwhile(lambda: send(staff, template, typed))
            wait_until_somebody_wants_the_turn()
            cie.pattern = "[A-Z]{2}[0-9]{6}[A-Z]{2}"
            change_placeholder(cie, by=None, at=AT)
        saved.result(timeout=30)
        template.refresh_from_db()
        assert (template.name, template.versions.count()) == ("Altro nome", 3)
        assert template.current_version is not None
        assert template.current_version.as_text().declarations[0].pattern == cie.pattern

    def test_are_taken_to_delete(self, staff: Client) -> None:
        template = Template.objects.create(name="CIE")
        page = reverse("admin:templates_app_template_delete", args=[template.pk])
        with turn():
            deleted = meanwhile(lambda: staff.post(page, {"post": "yes"}))
            wait_until_somebody_wants_the_turn()
        assert deleted.result(timeout=30).status_code == 302
        assert not Template.objects.exists()


def meanwhile(do: Callable[[], Any]) -> "Future[Any]":
    """In a thread, over a connection of its own."""

    def done() -> Any:
        try:
            return do()
        finally:
            connection.close()

    pool = ThreadPoolExecutor(max_workers=1)
    try:
        return pool.submit(done)
    finally:
        pool.shutdown(wait=False)


def wait_until_somebody_wants_the_turn() -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    until = clock.monotonic() + 30
    with connection.cursor() as cursor:
        while clock.monotonic() < until:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
            clock.sleep(0.05)
    raise AssertionError("nobody")
