"""Templates: written by those who write for their ente, shared ones by platform staff; a text waits for its placeholders."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import Message, ServiceInstance
from registry.models import Role, Scope
from rest import schema
from templates_app.models import Template, TemplateVersion
from templates_app.publishing import Text, Use, keep
from tests import factories
from tests.api.integrator import Integrator, pointers, problem, program_of, valid_body
from tests.api.registrar import send
from tests.api.test_schema import check

NEW: dict[str, Any] = {
    "name": "Spedizione Messaggio CIE",
    "description": "Avvisa della scadenza.",
    "subject": "Scadenza CIE n. ${cie.uppercase}",
    "message_body": (
        "Salve, con la presente la informiamo che in data ${due_date} scadrà la Carta di Identità elettronica "
        "numero ${cie.uppercase}."
    ),
    "has_payment": False,
    "has_due_date": True,
}
PLAIN: dict[str, Any] = {
    **NEW,
    "subject": "Chiusura degli uffici",
    "message_body": "Gli uffici del Comune restano chiusi al pubblico per lavori.\n\nPer informazioni telefona in orario. ",
    "has_due_date": False,
}
# Names a placeholder that nobody has.
WAITING = Text(subject="Avviso numero ${numero}", body=PLAIN["message_body"], has_payment=False, has_due_date=False)


@pytest.fixture
def own(instance: ServiceInstance) -> Template:
    """The template of the service instance, made its ente's."""
    Template.objects.filter(pk=instance.template_id).update(organization=instance.organization)
    return Template.objects.get(pk=instance.template_id)


@pytest.fixture
def staff(instance: ServiceInstance) -> Integrator:
    return program_of(factories.user(is_staff=True), instance)


@pytest.fixture
def program(cast: factories.Cast, instance: ServiceInstance) -> Callable[[str], Integrator]:
    """Of one of the cast."""
    return lambda role: program_of(getattr(cast, role), instance)


@pytest.fixture
def editor(program: Callable[[str], Integrator]) -> Integrator:
    return program("editor")


def post(api: Integrator, body: Any) -> Any:
    return send(api, "POST", "templates", body)


def patch(api: Integrator, template: Template | int, *operations: dict[str, Any], **options: Any) -> Any:
    pk = template if isinstance(template, int) else template.pk
    return send(api, "PATCH", f"templates/{pk}", list(operations), **options)


def replaced(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}


def found(api: Integrator, **query: Any) -> list[int]:
    response = api.get("templates", query)
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


class TestMaking:
    def test_answers_the_template_and_where_it_is(self, editor: Integrator, instance: ServiceInstance) -> None:
        response = post(editor, PLAIN)
        assert response.status_code == 201
        made = response.json()
        check(schema.document(), "CheckedTemplate", made)
        assert made | PLAIN == made
        assert (made["organization_id"], made["version"], made["published"]) == (instance.organization_id, 1, True)
        assert made["_links"] == {
            "self": {"href": response["Location"]},
            "placeholders": {"href": response["Location"] + "/placeholders"},
        }
        assert editor.client.get(urlsplit(response["Location"]).path, headers=editor.headers()).json() == made

    def test_keeps_a_text_that_waits_for_placeholders_and_says_which(self, editor: Integrator) -> None:
        made = post(editor, NEW).json()
        assert made["published"] is False
        assert [(warning["code"], warning["pointer"]) for warning in made["warnings"]] == [
            ("unknown_name", "/subject"),
            ("unknown_name", "/message_body"),
        ]
        template = Template.objects.get(pk=made["id"])
        assert template.current_version is None
        assert template.draft is not None

    def test_publishes_at_once_what_needs_none(self, editor: Integrator) -> None:
        template = Template.objects.get(pk=post(editor, PLAIN).json()["id"])
        assert template.current_version is not None
        assert (template.current_version.created_by, template.draft) == (editor_of(editor), None)

    def test_keeps_the_text_as_written(self, editor: Integrator) -> None:
        made = post(editor, PLAIN).json()
        assert made["message_body"] == PLAIN["message_body"]
        assert TemplateVersion.objects.get(template=made["id"]).body == PLAIN["message_body"]

    def test_shows_what_is_odd(self, editor: Integrator) -> None:
        odd = {**NEW, "subject": "CHIUSURA DEGLI UFFICI!!!", "message_body": PLAIN["message_body"]}
        assert post(editor, odd).json()["warnings"]

    def test_leaves_a_line_in_the_log(self, editor: Integrator) -> None:
        made = post(editor, PLAIN).json()
        entry = LogEntry.objects.get(content_type__model="template", object_id=str(made["id"]))
        assert (entry.action_flag, entry.user) == (ADDITION, editor_of(editor))

    def test_lists_everything_missing_or_malformed(self, editor: Integrator) -> None:
        body = problem(post(editor, {"name": "", "subject": 1, "has_payment": "true", "tipo": "x"}), 400)
        assert sorted(pointers(body)) == [
            "/has_due_date",
            "/has_payment",
            "/message_body",
            "/name",
            "/subject",
            "/tipo",
        ]

    @pytest.mark.parametrize(
        ("changes", "code", "pointer"),
        [
            ({"subject": "Scadenza ${cie"}, "template_syntax", "/subject"),
            ({"message_body": NEW["message_body"] + "${cie?html}"}, "template_syntax", "/message_body"),
            ({"message_body": NEW["message_body"] + "<#if cie>"}, "freemarker_directive", "/message_body"),
        ],
    )
    def test_refuses_a_text_that_no_later_step_cures(
        self, editor: Integrator, changes: dict[str, Any], code: str, pointer: str
    ) -> None:
        body = problem(post(editor, {**NEW, **changes}), 422, code)
        assert pointers(body) == [pointer]
        assert Template.objects.filter(name=NEW["name"]).count() == 0

    def test_refuses_a_text_too_long_to_be_one(self, editor: Integrator) -> None:
        problem(post(editor, {**PLAIN, "message_body": "x" * 20_001}), 400, "max_length")
        problem(post(editor, {**PLAIN, "subject": "x" * 256}), 400, "max_length")

    @pytest.mark.parametrize(
        ("changes", "code", "pointer"),
        [
            ({"subject": "Breve"}, "T1", "/subject"),
            ({"message_body": "Testo breve."}, "B1", "/message_body"),
            ({"message_body": PLAIN["message_body"] + "${amount}"}, "fact_not_in_template", "/message_body"),
            ({"message_body": PLAIN["message_body"] + "${due_date}"}, "fact_not_in_template", "/message_body"),
        ],
    )
    def test_keeps_a_text_that_a_later_step_makes_good(
        self, editor: Integrator, changes: dict[str, Any], code: str, pointer: str
    ) -> None:
        """GovIO's clients write a text step by step; no message is sent with it until it is whole."""
        made = post(editor, {**PLAIN, **changes})
        assert made.status_code == 201
        assert made.json()["published"] is False
        assert (code, pointer) in {(one["code"], one["pointer"]) for one in made.json()["warnings"]}
        assert Template.objects.get(pk=made.json()["id"]).current_version is None

    def test_takes_what_an_authoring_rule_advises_against(self, editor: Integrator) -> None:
        made = post(editor, {**PLAIN, "has_payment": True, "subject": "Avviso n. ${notice_number}"}).json()
        assert made["published"] is True
        assert "T2" in {one["code"] for one in made["warnings"]}

    def test_lists_faults_of_both_kinds_as_malformed(self, editor: Integrator) -> None:
        body = problem(post(editor, {**NEW, "subject": "Scadenza ${cie", "name": None}), 400)
        assert sorted(pointers(body)) == ["/name", "/subject"]


def editor_of(api: Integrator) -> Any:
    from registry.models import ConsumerKey
    from registry.models.consumer import digest_of

    assert api.key is not None
    return ConsumerKey.objects.get(digest=digest_of(api.key)).consumer.user


class TestWhoseItIs:
    @pytest.mark.parametrize("role", ["editor", "sender", "configurator"])
    def test_of_the_only_ente_for_which_the_caller_writes(
        self, program: Callable[[str], Integrator], instance: ServiceInstance, role: str
    ) -> None:
        assert post(program(role), PLAIN).json()["organization_id"] == instance.organization_id

    @pytest.mark.parametrize("role", ["viewer", "approver", "administrator"])
    def test_other_roles_write_none(self, program: Callable[[str], Integrator], role: str) -> None:
        body = problem(post(program(role), PLAIN), 403, "permission_denied")
        assert "Redazione" in body["detail"]

    def test_must_be_said_by_who_writes_for_several(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        both = (instance.organization, elsewhere.organization)
        factories.grant(person, Role.EDITOR, organizations=both, all_services=True)
        api = program_of(person, instance)
        assert pointers(problem(post(api, PLAIN), 422, "organization_required")) == ["/organization_id"]
        made = post(api, {**PLAIN, "organization_id": elsewhere.organization_id}).json()
        assert made["organization_id"] == elsewhere.organization_id

    def test_must_be_visible(self, editor: Integrator, elsewhere: ServiceInstance) -> None:
        for unknown in (elsewhere.organization_id, 2**40):
            body = problem(post(editor, {**PLAIN, "organization_id": unknown}), 422, "organization_unknown")
            assert pointers(body) == ["/organization_id"]

    def test_seeing_an_ente_is_not_writing_for_it(self, cast: factories.Cast, elsewhere: ServiceInstance) -> None:
        factories.grant(cast.editor, Role.VIEWER, organizations=(elsewhere.organization,), all_services=True)
        api = program_of(cast.editor, elsewhere)
        problem(post(api, {**PLAIN, "organization_id": elsewhere.organization_id}), 403, "permission_denied")

    def test_shared_of_platform_staff_who_write_for_no_ente(self, staff: Integrator, instance: ServiceInstance) -> None:
        assert post(staff, PLAIN).json()["organization_id"] is None
        problem(post(staff, {**PLAIN, "organization_id": instance.organization_id}), 403, "permission_denied")

    def test_never_changes(self, editor: Integrator, own: Template, elsewhere: ServiceInstance) -> None:
        for other in (None, elsewhere.organization_id):
            problem(patch(editor, own, replaced("organization_id", other)), 422, "not_changeable")
        assert patch(editor, own, replaced("organization_id", own.organization_id)).status_code == 200


class TestListing:
    def test_shows_those_of_the_ente_and_the_shared_ones(
        self, cast: factories.Cast, own: Template, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        theirs = factories.template(organization=elsewhere.organization, name="Altrui")
        shared = elsewhere.template
        for role in Role:
            seen = found(program_of(getattr(cast, role.value), instance))
            assert sorted(seen) == sorted([own.pk, shared.pk])
        assert sorted(found(program_of(cast.stranger, elsewhere))) == sorted([shared.pk, theirs.pk])

    def test_shows_all_to_staff_and_none_to_who_has_no_role(
        self, staff: Integrator, instance: ServiceInstance, own: Template, elsewhere: ServiceInstance
    ) -> None:
        assert sorted(found(staff)) == sorted([own.pk, elsewhere.template_id])
        assert found(program_of(factories.user(), instance)) == []

    def test_is_by_name_downwards_unless_asked_otherwise(self, staff: Integrator, instance: ServiceInstance) -> None:
        Template.objects.update(name="Alfa")
        names = ["Beta", "Delta", "Gamma"]
        ids = {name: factories.template(name=name).pk for name in names}
        upwards = [instance.template_id, *(ids[name] for name in names)]
        assert found(staff) == upwards[::-1]
        assert found(staff, sort_direction="ASC") == upwards

    def test_looks_for_part_of_name_or_description_in_any_case(self, staff: Integrator) -> None:
        named = factories.template(name="Avviso TARI")
        described = factories.template(name="Altro", description="Come l'avviso tari, ma breve")
        factories.template(name="CIE")
        assert sorted(found(staff, q="TaRi")) == sorted([named.pk, described.pk])

    def test_refuses_a_search_too_long_or_with_nul(self, staff: Integrator) -> None:
        assert problem(staff.get("templates", {"q": "x" * 256}), 400)["errors"][0]["pointer"] == "/q"
        assert problem(staff.get("templates", {"q": "a\0"}), 400)["errors"][0]["pointer"] == "/q"

    def test_pages(self, staff: Integrator) -> None:
        for _number in range(2):
            factories.template()
        page = staff.get("templates", {"limit": 2, "offset": 2}).json()
        check(schema.document(), "TemplateList", page)
        assert (page["page"], len(page["items"])) == ({"offset": 2, "limit": 2, "total": 3}, 1)

    def test_costs_the_same_however_many(self, editor: Integrator, instance: ServiceInstance) -> None:
        found(editor)
        costs = []
        for _time in range(2):
            with CaptureQueriesContext(connection) as queries:
                assert found(editor)
            costs.append(len(queries))
            for _number in range(5):
                factories.template(organization=instance.organization)
                post(editor, NEW)
        assert costs == [3, 3]

    def test_answers_304_while_nothing_changed(self, editor: Integrator, own: Template) -> None:
        etag = editor.get("templates")["ETag"]
        assert editor.get("templates", headers={"If-None-Match": etag}).status_code == 304
        patch(editor, own, replaced("name", "Altro"))
        assert editor.get("templates", headers={"If-None-Match": etag}).status_code == 200


class TestReading:
    def test_shows_what_is_visible(self, program: Callable[[str], Integrator], own: Template) -> None:
        for role in Role:
            assert program(role.value).get(f"templates/{own.pk}").json()["id"] == own.pk

    def test_hides_the_rest(
        self, program: Callable[[str], Integrator], own: Template, instance: ServiceInstance
    ) -> None:
        problem(program("stranger").get(f"templates/{own.pk}"), 404, "not_found")
        problem(program("viewer").get("templates/999999"), 404, "not_found")
        problem(program_of(factories.user(), instance).get(f"templates/{own.pk}"), 404, "not_found")

    def test_asks_for_a_scope(self, cast: factories.Cast, instance: ServiceInstance, own: Template) -> None:
        for scope in (Scope.CONFIG_READ, Scope.CONFIG_WRITE, Scope.MESSAGES_READ, Scope.MESSAGES_SEND):
            assert program_of(cast.editor, instance, scopes=[scope]).get(f"templates/{own.pk}").status_code == 200
        admin = program_of(cast.editor, instance, scopes=[Scope.ADMIN_WRITE])
        problem(admin.get(f"templates/{own.pk}"), 403, "scope_missing")
        reader = program_of(cast.editor, instance, scopes=[Scope.CONFIG_READ])
        problem(patch(reader, own, replaced("name", "X")), 403, "scope_missing")
        problem(post(reader, PLAIN), 403, "scope_missing")


class TestChanging:
    def test_of_the_text_makes_a_version_with_the_placeholders_it_has(self, editor: Integrator, own: Template) -> None:
        first = own.current_version
        changed = patch(editor, own, replaced("subject", "Rinnova la CIE n. ${cie.uppercase}")).json()
        check(schema.document(), "CheckedTemplate", changed)
        assert (changed["version"], changed["published"]) == (2, True)
        own.refresh_from_db()
        assert own.current_version is not None
        assert first is not None
        assert own.current_version.as_text().declarations == first.as_text().declarations
        first.refresh_from_db()
        assert first.subject == "Scadenza CIE n. ${cie.uppercase}"

    def test_of_the_name_makes_none(self, editor: Integrator, own: Template) -> None:
        changed = patch(editor, own, replaced("name", "Altro"), {"op": "remove", "path": "/description"}).json()
        assert (changed["name"], changed["description"], changed["version"]) == ("Altro", None, 1)

    def test_leaves_a_line_only_for_what_changed(self, editor: Integrator, own: Template) -> None:
        patch(editor, own, replaced("name", own.name))
        assert not LogEntry.objects.exists()
        patch(editor, own, replaced("name", "Altro"), replaced("subject", "Rinnova la CIE n. ${cie.uppercase}"))
        entry = LogEntry.objects.get()
        assert (entry.action_flag, entry.user) == (CHANGE, editor_of(editor))

    def test_to_a_text_that_waits_leaves_messages_the_published_one(
        self, program: Callable[[str], Integrator], own: Template
    ) -> None:
        changed = patch(program("editor"), own, replaced("subject", "Scadenza ${cie} ${sportello}")).json()
        assert (changed["version"], changed["published"]) == (2, False)
        sent = program("sender").post(valid_body())
        assert sent.status_code == 201, sent.content
        message = Message.objects.get(pk=sent.json()["id"])
        assert message.content.version == own.current_version
        assert sent.json()["subject"] == "Scadenza CIE n. CA000000AA"

    def test_with_what_was_read_given_back_changes_nothing(self, editor: Integrator, own: Template) -> None:
        shown = editor.get(f"templates/{own.pk}").json()
        operations = [{"op": "add", "path": f"/{name}", "value": value} for name, value in shown.items()]
        assert patch(editor, own, *operations).json() == shown
        assert patch(editor, own, replaced("id", 7)).json() == shown

    @pytest.mark.parametrize(
        ("operation", "status", "code", "pointer"),
        [
            ({"op": "remove", "path": "/subject"}, 400, "required", "/subject"),
            (replaced("has_payment", None), 400, "null", "/has_payment"),
            (replaced("subject", "Scadenza ${cie.date}"), 422, "unknown_form", "/subject"),
            (replaced("colore", "rosso"), 400, "unknown_member", "/colore"),
        ],
    )
    def test_is_judged_by_what_it_comes_to(
        self,
        editor: Integrator,
        own: Template,
        operation: dict[str, Any],
        status: int,
        code: str,
        pointer: str,
    ) -> None:
        body = problem(patch(editor, own, operation), status, code)
        assert pointers(body) == [pointer]
        own.refresh_from_db()
        assert own.versions.count() == 1

    def test_takes_json_patch_alone(self, editor: Integrator, own: Template) -> None:
        problem(patch(editor, own, replaced("name", "X"), content_type="application/json"), 415)

    @pytest.mark.parametrize("role", ["viewer", "approver", "administrator"])
    def test_is_refused_to_other_roles(self, program: Callable[[str], Integrator], own: Template, role: str) -> None:
        body = problem(patch(program(role), own, replaced("name", "X")), 403, "permission_denied")
        assert "Redazione" in body["detail"]

    def test_hides_what_is_not_visible(self, program: Callable[[str], Integrator], own: Template) -> None:
        problem(patch(program("stranger"), own, replaced("name", "X")), 404)

    def test_of_shared_ones_is_of_platform_staff(
        self, editor: Integrator, staff: Integrator, instance: ServiceInstance
    ) -> None:
        problem(patch(editor, instance.template, replaced("name", "X")), 403, "permission_denied")
        assert patch(staff, instance.template, replaced("name", "X")).json()["name"] == "X"

    def test_needs_the_role_on_every_service_that_sends_it(
        self, editor: Integrator, cast: factories.Cast, own: Template, instance: ServiceInstance
    ) -> None:
        other = factories.service_instance(organization=instance.organization, template=own)
        body = problem(patch(editor, own, replaced("name", "X")), 403, "permission_denied")
        assert "ognuno" in body["detail"]
        factories.grant(cast.editor, Role.SENDER, organizations=(other.organization,), services=(other.service,))
        assert patch(editor, own, replaced("name", "X")).status_code == 200

    def test_a_grant_elsewhere_and_one_on_another_service_do_not_add_up(
        self, own: Template, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        person = factories.user()
        factories.grant(person, Role.EDITOR, organizations=(instance.organization,), services=(elsewhere.service,))
        factories.grant(person, Role.EDITOR, organizations=(elsewhere.organization,), services=(instance.service,))
        problem(patch(program_of(person, instance), own, replaced("name", "X")), 403, "permission_denied")

    def test_to_a_text_that_no_message_could_be_sent_with_leaves_messages_the_published_one(
        self, editor: Integrator, instance: ServiceInstance
    ) -> None:
        long = factories.placeholder("titolo", organization=instance.organization, example="x" * 200)
        template = factories.template(
            organization=instance.organization,
            body=PLAIN["message_body"] + "${titolo}",
            subject=PLAIN["subject"],
            uses=[Use(long)],
        )
        shown = patch(editor, template, replaced("subject", "Avviso ${titolo}")).json()
        assert (shown["published"], [one["code"] for one in shown["warnings"]]) == (False, ["T1"])
        template.refresh_from_db()
        assert template.current_version is not None
        assert template.current_version.subject == PLAIN["subject"]


class TestEmbedded:
    @pytest.mark.parametrize("path", ["service-instances", "messages"])
    def test_shows_the_newest_text_and_costs_no_query_of_its_own(
        self, cast: factories.Cast, instance: ServiceInstance, own: Template, path: str
    ) -> None:
        factories.grant(cast.viewer, Role.VIEWER, organizations=(instance.organization,), all_services=True)
        api = program_of(cast.viewer, instance)
        embed = {"service-instances": "template", "messages": "service-instance"}[path]
        costs = []
        for _time in range(2):
            for _number in range(2):
                template = factories.template(organization=instance.organization)
                keep(template, WAITING, uses=[], by=None, at=factories.NOW)
                factories.message(
                    instance=factories.service_instance(organization=instance.organization, template=template)
                )
            api.get(path)
            with CaptureQueriesContext(connection) as queries:
                items = api.get(path, {"embed": embed}).json()["items"]
            costs.append(len(queries))
            instances = [item["_embedded"].get("service-instance") or item for item in items]
            embedded = next(each for each in instances if each["template_id"] == template.pk)["_embedded"]["template"]
            check(schema.document(), "Template", embedded)
            assert (embedded["published"], embedded["version"]) == (False, 2)
        assert costs[0] == costs[1]
