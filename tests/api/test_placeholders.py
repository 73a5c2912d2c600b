"""Placeholders: declared for an ente or shared, found by whoever has a role; changing one changes the texts that use it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import ServiceInstance
from registry.models import Role, Scope
from rest import schema
from templates_app.models import Placeholder, Template
from templates_app.publishing import Use
from tests import factories
from tests.api.integrator import Integrator, pointers, problem, program_of
from tests.api.registrar import send
from tests.api.test_schema import check

NEW = {
    "name": "pratica",
    "description": "Numero della pratica",
    "example": "AB-1234",
    "type": "string",
    "pattern": "[A-Z]{2}-[0-9]{4}",
}


@pytest.fixture
def program(cast: factories.Cast, instance: ServiceInstance) -> Callable[[str], Integrator]:
    """Of one of the cast."""
    return lambda role: program_of(getattr(cast, role), instance)


@pytest.fixture
def editor(program: Callable[[str], Integrator]) -> Integrator:
    return program("editor")


@pytest.fixture
def staff(instance: ServiceInstance) -> Integrator:
    return program_of(factories.user(is_staff=True), instance)


@pytest.fixture
def own(instance: ServiceInstance) -> Placeholder:
    """Of the ente, and used by no text."""
    return factories.placeholder("cie", organization=instance.organization)


@pytest.fixture
def used(own: Placeholder, instance: ServiceInstance) -> Template:
    """A template of the ente whose text uses it, and that the service instance sends."""
    template = factories.template(organization=instance.organization, uses=[Use(own)])
    instance.template = template
    instance.save()
    return template


def post(api: Integrator, body: Any) -> Any:
    return send(api, "POST", "placeholders", body)


def patch(api: Integrator, placeholder: Placeholder, *operations: dict[str, Any], **options: Any) -> Any:
    return send(api, "PATCH", f"placeholders/{placeholder.pk}", list(operations), **options)


def replaced(name: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/{name}", "value": value}


def found(api: Integrator, **query: Any) -> list[int]:
    response = api.get("placeholders", query)
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


class TestDeclaring:
    def test_answers_the_placeholder_and_where_it_is(self, editor: Integrator, instance: ServiceInstance) -> None:
        response = post(editor, NEW)
        assert response.status_code == 201, response.content
        made = response.json()
        check(schema.document(), "Placeholder", made)
        assert made | NEW == made
        assert (made["choices"], made["is_markdown"], made["organization_id"]) == ([], False, instance.organization_id)
        assert made["_links"]["self"]["href"] == response["Location"]
        assert editor.client.get(urlsplit(response["Location"]).path, headers=editor.headers()).json() == made
        entry = LogEntry.objects.get(content_type__model="placeholder", object_id=str(made["id"]))
        assert entry.action_flag == ADDITION

    def test_takes_the_least(self, editor: Integrator) -> None:
        made = post(editor, {"name": "anno", "example": "2026", "type": "integer"}).json()
        assert (made["description"], made["pattern"], made["type"]) == (None, None, "integer")

    @pytest.mark.parametrize("word", ["STRING", "String", "DateTime", "DATE"])
    def test_takes_types_in_any_case(self, editor: Integrator, word: str) -> None:
        example = "x" if word.lower() == "string" else "2026-12-31T10:00:00"[: 10 if word == "DATE" else None]
        made = post(editor, {"name": "campo", "type": word, "example": example})
        assert made.json()["type"] == word.lower()

    def test_takes_choices(self, editor: Integrator) -> None:
        made = post(editor, {"name": "colore", "type": "choice", "example": "blu", "choices": ["rosso", "blu"]}).json()
        assert made["choices"] == ["rosso", "blu"]

    def test_keeps_examples_and_patterns_as_written(self, editor: Integrator) -> None:
        made = post(editor, {"name": "spazi", "type": "string", "example": " a ", "pattern": " [a-z] "}).json()
        assert (made["example"], made["pattern"]) == (" a ", " [a-z] ")

    @pytest.mark.parametrize(
        ("changes", "status", "code", "pointer"),
        [
            ({"name": "nome cognome"}, 400, "name_invalid", "/name"),
            ({"name": "1a"}, 400, "name_invalid", "/name"),
            ({"name": "x" * 256}, 400, "max_length", "/name"),
            ({"name": "due_date"}, 422, "name_reserved", "/name"),
            ({"type": "number"}, 400, "invalid_choice", "/type"),
            ({"type": 3}, 400, "invalid_choice", "/type"),
            ({"example": ""}, 400, "blank", "/example"),
            ({"example": "x" * 256}, 400, "max_length", "/example"),
            ({"pattern": "(a"}, 422, "pattern_invalid", "/pattern"),
            ({"pattern": "(?=a)b"}, 422, "pattern_invalid", "/pattern"),
            ({"pattern": "x" * 256}, 400, "max_length", "/pattern"),
            ({"type": "choice", "choices": []}, 422, "choices_missing", "/choices"),
            ({"choices": "rosso"}, 400, "not_a_list", "/choices"),
            ({"choices": ["rosso", 1]}, 400, "invalid", "/choices/1"),
            ({"is_markdown": "true"}, 400, "invalid", "/is_markdown"),
        ],
    )
    def test_refuses_what_cannot_be_used(
        self, editor: Integrator, changes: dict[str, Any], status: int, code: str, pointer: str
    ) -> None:
        body = problem(post(editor, {**NEW, **changes}), status, code)
        assert pointers(body) == [pointer]
        assert not Placeholder.objects.filter(description=NEW["description"]).exists()

    def test_takes_an_example_that_its_own_pattern_refuses(self, editor: Integrator) -> None:
        """GovIO's contract shows such a one: the template that uses it tells, and every value is checked all the same."""
        govio = {
            "name": "carta",
            "description": "Numero carta d'identità elettronica.",
            "example": "CA000000AA",
            "pattern": "[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]",
            "type": "string",
        }
        assert post(editor, govio).status_code == 201

    def test_lists_everything_wrong(self, editor: Integrator) -> None:
        body = problem(post(editor, {"name": "due date", "type": "x"}), 400)
        assert sorted(pointers(body)) == ["/example", "/name", "/type"]

    def test_needs_a_name_of_its_own_in_the_ente(
        self, editor: Integrator, staff: Integrator, program: Callable[[str], Integrator]
    ) -> None:
        assert post(editor, NEW).status_code == 201
        assert pointers(problem(post(editor, NEW), 409, "name_taken")) == ["/name"]
        assert post(program("stranger"), NEW).status_code == 201
        assert post(staff, NEW).json()["organization_id"] is None
        problem(post(staff, NEW), 409, "name_taken")

    @pytest.mark.parametrize("role", ["viewer", "approver", "administrator"])
    def test_is_refused_to_other_roles(self, program: Callable[[str], Integrator], role: str) -> None:
        problem(post(program(role), NEW), 403, "permission_denied")

    def test_asks_for_a_scope(self, cast: factories.Cast, instance: ServiceInstance) -> None:
        problem(post(program_of(cast.editor, instance, scopes=[Scope.MESSAGES_SEND]), NEW), 403, "scope_missing")

    def test_for_an_ente_that_is_not_visible_is_refused(self, editor: Integrator, elsewhere: ServiceInstance) -> None:
        problem(post(editor, {**NEW, "organization_id": elsewhere.organization_id}), 422, "organization_unknown")


class TestListing:
    def test_shows_those_of_the_ente_and_the_shared_ones(
        self, program: Callable[[str], Integrator], own: Placeholder, elsewhere: ServiceInstance
    ) -> None:
        shared = Placeholder.objects.get(organization=None)
        theirs = factories.placeholder("altro", organization=elsewhere.organization)
        for role in Role:
            assert sorted(found(program(role.value))) == sorted([own.pk, shared.pk])
        assert sorted(found(program("stranger"))) == sorted([shared.pk, theirs.pk])

    def test_is_by_name_downwards(self, staff: Integrator) -> None:
        Placeholder.objects.update(name="b")
        for name in ("a", "c"):
            factories.placeholder(name)
        assert [item["name"] for item in staff.get("placeholders").json()["items"]] == ["c", "b", "a"]

    def test_looks_for_part_of_name_or_description_in_any_case(self, staff: Integrator) -> None:
        named = factories.placeholder("Codice_Pratica")
        described = factories.placeholder("altro", description="La PRATICA del cittadino")
        factories.placeholder("terzo")
        assert sorted(found(staff, q="pratica")) == sorted([named.pk, described.pk])

    def test_costs_the_same_however_many(self, editor: Integrator, own: Placeholder) -> None:
        found(editor)
        costs = []
        for number in range(2):
            with CaptureQueriesContext(connection) as queries:
                page = editor.get("placeholders").json()
            check(schema.document(), "PlaceholderList", page)
            costs.append(len(queries))
            for name in "abcde":
                factories.placeholder(f"{name}{number}")
        assert costs == [3, 3]


class TestReading:
    def test_hides_those_of_other_enti(self, program: Callable[[str], Integrator], own: Placeholder) -> None:
        assert program("viewer").get(f"placeholders/{own.pk}").json()["name"] == "cie"
        problem(program("stranger").get(f"placeholders/{own.pk}"), 404)
        problem(program("viewer").get("placeholders/999999"), 404)

    def test_answers_304_while_nothing_changed(self, editor: Integrator, own: Placeholder) -> None:
        path = f"placeholders/{own.pk}"
        etag = editor.get(path)["ETag"]
        assert editor.get(path, headers={"If-None-Match": etag}).status_code == 304
        assert patch(editor, own, replaced("description", "Altro")).status_code == 200
        assert editor.get(path, headers={"If-None-Match": etag}).status_code == 200


class TestChanging:
    def test_answers_what_it_has_become(self, editor: Integrator, own: Placeholder) -> None:
        changed = patch(editor, own, {"op": "add", "path": "/type", "value": "DATE"}, replaced("example", "2026-12-31"))
        assert changed.status_code == 200, changed.content
        check(schema.document(), "Placeholder", changed.json())
        assert (changed.json()["type"], changed.json()["example"]) == ("date", "2026-12-31")
        assert editor.get(f"placeholders/{own.pk}").json() == changed.json()

    def test_makes_a_new_version_of_the_texts_that_use_it(
        self, editor: Integrator, own: Placeholder, used: Template
    ) -> None:
        patch(editor, own, replaced("pattern", "CA[0-9]{6}AA"))
        used.refresh_from_db()
        assert used.current_version is not None
        assert used.current_version.number == 2
        assert used.current_version.as_text().declarations[0].pattern == "CA[0-9]{6}AA"

    def test_names_the_texts_that_it_would_spoil_and_changes_nothing(
        self, editor: Integrator, own: Placeholder, used: Template
    ) -> None:
        body = problem(patch(editor, own, replaced("name", "carta")), 422, "template_spoilt")
        assert used.name in body["detail"]
        own.refresh_from_db()
        used.refresh_from_db()
        assert (own.name, used.versions.count()) == ("cie", 1)

    def test_with_what_was_read_given_back_changes_nothing(
        self, editor: Integrator, own: Placeholder, used: Template
    ) -> None:
        shown = editor.get(f"placeholders/{own.pk}").json()
        operations = [{"op": "add", "path": f"/{name}", "value": value} for name, value in shown.items()]
        assert patch(editor, own, *operations).json() == shown
        assert used.versions.count() == 1
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize(
        ("operation", "status", "code"),
        [
            ({"op": "remove", "path": "/example"}, 400, "required"),
            (replaced("name", ""), 400, "blank"),
            (replaced("organization_id", None), 422, "not_changeable"),
            ({"op": "test", "path": "/name", "value": "cie"}, 400, "patch_operation_unknown"),
        ],
    )
    def test_is_judged_by_what_it_comes_to(
        self, editor: Integrator, own: Placeholder, operation: dict[str, Any], status: int, code: str
    ) -> None:
        problem(patch(editor, own, operation), status, code)

    def test_to_a_name_of_another_is_a_conflict(self, editor: Integrator, own: Placeholder) -> None:
        factories.placeholder("altro", organization=own.organization)
        problem(patch(editor, own, replaced("name", "altro")), 409, "name_taken")

    def test_takes_json_patch_alone(self, editor: Integrator, own: Placeholder) -> None:
        problem(patch(editor, own, replaced("name", "x"), content_type="application/json"), 415)

    def test_of_shared_ones_is_of_platform_staff_alone(
        self, editor: Integrator, staff: Integrator, instance: ServiceInstance
    ) -> None:
        shared = Placeholder.objects.get(organization=None)
        problem(patch(editor, shared, replaced("description", "x")), 403, "permission_denied")
        assert patch(staff, shared, replaced("description", "x")).status_code == 200

    def test_needs_the_role_on_every_service_that_sends_a_text_with_it(
        self, editor: Integrator, own: Placeholder, used: Template, instance: ServiceInstance
    ) -> None:
        assert patch(editor, own, replaced("description", "x")).status_code == 200
        factories.service_instance(organization=instance.organization, template=used)
        problem(patch(editor, own, replaced("description", "y")), 403, "permission_denied")

    @pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("administrator", 403), ("stranger", 404)])
    def test_is_refused_to_others(
        self, program: Callable[[str], Integrator], own: Placeholder, role: str, status: int
    ) -> None:
        problem(patch(program(role), own, replaced("description", "x")), status)
