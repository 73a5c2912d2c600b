"""The placeholders of a template: every change is a new version, and the text is published once it has all those it names."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from messaging.models import Message, ServiceInstance
from registry.models import Role
from rest import schema
from templates_app.models import Placeholder, Template
from templates_app.publishing import Text, keep
from tests import factories
from tests.api.integrator import Integrator, pointers, problem, program_of, valid_body
from tests.api.registrar import send
from tests.api.test_schema import check
from tests.factories.setting import CIE_BODY, CIE_SUBJECT

TEXT = Text(subject=CIE_SUBJECT, body=CIE_BODY, has_payment=True, has_due_date=True)


@pytest.fixture
def program(cast: factories.Cast, instance: ServiceInstance) -> Callable[[str], Integrator]:
    """Of one of the cast."""
    return lambda role: program_of(getattr(cast, role), instance)


@pytest.fixture
def editor(program: Callable[[str], Integrator]) -> Integrator:
    return program("editor")


@pytest.fixture
def cie(instance: ServiceInstance) -> Placeholder:
    return factories.placeholder("cie", organization=instance.organization)


@pytest.fixture
def other(instance: ServiceInstance) -> Placeholder:
    return factories.placeholder("sportello", organization=instance.organization)


@pytest.fixture
def template(instance: ServiceInstance) -> Template:
    """Of the ente, sent by the service instance; its text names `cie`, which it does not have yet."""
    made = Template.objects.create(organization=instance.organization, name="CIE")
    keep(made, TEXT, uses=[], by=None, at=factories.NOW)
    instance.template = made
    instance.save()
    return made


def use(placeholder: Placeholder, position: int = 1, *, mandatory: bool = True) -> dict[str, Any]:
    return {"placeholder_id": placeholder.pk, "mandatory": mandatory, "position": position}


def assign(api: Integrator, template: Template, placeholder: Placeholder | int, position: Any = 1, **body: Any) -> Any:
    pk = placeholder if isinstance(placeholder, int) else placeholder.pk
    path = f"templates/{template.pk}/placeholders?placeholder_id={pk}"
    return send(api, "POST", path, {"mandatory": True, "position": position, **body})


def put(api: Integrator, template: Template, *items: dict[str, Any]) -> Any:
    return send(api, "PUT", f"templates/{template.pk}/placeholders", {"items": list(items)})


def remove(api: Integrator, template: Template, placeholder: Placeholder | int) -> Any:
    pk = placeholder if isinstance(placeholder, int) else placeholder.pk
    return send(api, "DELETE", f"templates/{template.pk}/placeholders/{pk}")


def listed(api: Integrator, template: Template, **query: Any) -> list[dict[str, Any]]:
    response = api.get(f"templates/{template.pk}/placeholders", query)
    assert response.status_code == 200, response.content
    check(schema.document(), "TemplatePlaceholders", response.json())
    return response.json()["items"]


def positions(api: Integrator, template: Template) -> list[tuple[int, int]]:
    return [(item["placeholder_id"], item["position"]) for item in listed(api, template)]


class TestAssigning:
    def test_publishes_a_text_that_has_all_it_names(
        self, program: Callable[[str], Integrator], template: Template, cie: Placeholder
    ) -> None:
        problem(program("sender").post(valid_body()), 422, "template_not_published")
        response = assign(program("editor"), template, cie)
        assert response.status_code == 201, response.content
        check(schema.document(), "TemplatePlaceholder", response.json())
        root = f"http://testserver/api/v1/templates/{template.pk}"
        assert response["Location"] == f"{root}/placeholders"
        assert response.json() == {
            **use(cie),
            "_links": {
                "template": {"href": root},
                "placeholder": {"href": f"http://testserver/api/v1/placeholders/{cie.pk}"},
            },
        }
        shown = program("editor").get(f"templates/{template.pk}").json()
        assert (shown["published"], shown["version"], shown["warnings"]) == (True, 2, [])
        assert program("sender").post(valid_body()).status_code == 201

    def test_leaves_the_draft_one_while_others_are_missing(
        self, editor: Integrator, template: Template, other: Placeholder
    ) -> None:
        assert assign(editor, template, other).status_code == 201
        shown = editor.get(f"templates/{template.pk}").json()
        assert (shown["published"], shown["version"]) == (False, 2)

    @pytest.mark.parametrize("position", [0, 7, 2**31 - 1])
    def test_keeps_the_position_as_given(
        self, editor: Integrator, template: Template, cie: Placeholder, position: int
    ) -> None:
        assert assign(editor, template, cie, position).json()["position"] == position
        assert positions(editor, template) == [(cie.pk, position)]

    def test_takes_a_shared_one(self, editor: Integrator, template: Template) -> None:
        shared = Placeholder.objects.get(organization=None)
        assert assign(editor, template, shared).status_code == 201

    def test_the_same_again_or_its_position_is_a_conflict(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        assign(editor, template, cie, 3)
        assert pointers(problem(assign(editor, template, cie, 4), 409, "placeholder_assigned")) == ["/placeholder_id"]
        assert pointers(problem(assign(editor, template, other, 3), 409, "position_occupied")) == ["/position"]
        problem(assign(editor, template, cie, 3), 409, "placeholder_assigned", "position_occupied")
        assert positions(editor, template) == [(cie.pk, 3)]

    def test_refuses_what_is_unknown_or_not_visible(
        self, editor: Integrator, template: Template, elsewhere: ServiceInstance
    ) -> None:
        theirs = factories.placeholder("cie", organization=elsewhere.organization)
        for unknown in (theirs, 2**40):
            body = problem(assign(editor, template, unknown), 422, "placeholder_unknown")
            assert body["errors"][0]["in"] == "query"

    def test_refuses_one_of_another_ente(
        self, cast: factories.Cast, template: Template, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        factories.grant(cast.editor, Role.EDITOR, organizations=(elsewhere.organization,), all_services=True)
        theirs = factories.placeholder("cie", organization=elsewhere.organization)
        body = problem(assign(program_of(cast.editor, instance), template, theirs), 422, "placeholder_of_another")
        assert pointers(body) == ["/placeholder_id"]

    def test_refuses_one_whose_name_is_there_already(
        self, editor: Integrator, template: Template, cie: Placeholder
    ) -> None:
        assign(editor, template, Placeholder.objects.get(organization=None))
        body = problem(assign(editor, template, cie, 2), 422, "name_repeated")
        assert pointers(body) == ["/placeholder_id"]

    def test_refuses_one_with_which_the_text_would_be_wrong(
        self, editor: Integrator, template: Template, instance: ServiceInstance
    ) -> None:
        day = factories.placeholder("cie", type="date", example="2026-12-31", organization=instance.organization)
        body = problem(assign(editor, template, day), 422, "unknown_form", "unknown_form")
        assert "in" not in body["errors"][0]
        assert template.versions.count() == 1

    def test_lists_everything_malformed(self, editor: Integrator, template: Template) -> None:
        path = f"templates/{template.pk}/placeholders?placeholder_id=x"
        body = problem(send(editor, "POST", path, {"mandatory": "yes", "position": -1, "order": 1}), 400)
        assert sorted(pointers(body)) == ["/mandatory", "/order", "/placeholder_id", "/position"]
        problem(send(editor, "POST", f"templates/{template.pk}/placeholders", {"mandatory": True, "position": 1}), 400)

    def test_is_written_in_the_log(self, editor: Integrator, template: Template, cie: Placeholder) -> None:
        assign(editor, template, cie)
        assert LogEntry.objects.get().object_id == str(template.pk)

    @pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("administrator", 403), ("stranger", 404)])
    def test_is_refused_to_others(
        self, program: Callable[[str], Integrator], template: Template, cie: Placeholder, role: str, status: int
    ) -> None:
        problem(assign(program(role), template, cie), status)
        problem(put(program(role), template, use(cie)), status)
        problem(remove(program(role), template, cie), status)

    def test_needs_the_role_on_every_service_that_sends_the_text(
        self, editor: Integrator, template: Template, cie: Placeholder, instance: ServiceInstance
    ) -> None:
        factories.service_instance(organization=instance.organization, template=template)
        problem(assign(editor, template, cie), 403, "permission_denied")


class TestReplacingAll:
    def test_makes_one_version_with_them(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        response = put(editor, template, use(cie, 4), use(other, 0, mandatory=False))
        assert response.status_code == 200, response.content
        check(schema.document(), "TemplatePlaceholders", response.json())
        assert [item["placeholder_id"] for item in response.json()["items"]] == [other.pk, cie.pk]
        assert template.versions.count() == 2
        assert editor.get(f"templates/{template.pk}").json()["published"] is True

    def test_with_the_same_makes_none(self, editor: Integrator, template: Template, cie: Placeholder) -> None:
        for _time in range(2):
            assert put(editor, template, use(cie)).status_code == 200
        assert template.versions.count() == 2

    def test_with_fewer_leaves_messages_the_published_text(
        self, program: Callable[[str], Integrator], template: Template, cie: Placeholder
    ) -> None:
        put(program("editor"), template, use(cie))
        assert put(program("editor"), template).json() == {"items": []}
        assert program("editor").get(f"templates/{template.pk}").json()["published"] is False
        sent = program("sender").post(valid_body())
        assert sent.status_code == 201
        assert Message.objects.get(pk=sent.json()["id"]).content.version.number == 2

    def test_refuses_doubles_and_unknown_ones(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        body = problem(put(editor, template, use(cie), use(cie, 2), {**use(other, 2), "placeholder_id": 2**40}), 422)
        assert [(error["code"], error["pointer"]) for error in body["errors"]] == [
            ("placeholder_assigned", "/items/0/placeholder_id"),
            ("placeholder_assigned", "/items/1/placeholder_id"),
            ("position_occupied", "/items/1/position"),
            ("placeholder_unknown", "/items/2/placeholder_id"),
            ("position_occupied", "/items/2/position"),
        ]
        assert template.versions.count() == 1

    def test_points_at_the_item_that_cannot_be_there(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        shared = Placeholder.objects.get(organization=None, name="cie")
        body = problem(put(editor, template, use(shared, 5), use(other, 9), use(cie, 1)), 422, "name_repeated")
        assert pointers(body) == ["/items/0/placeholder_id"]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/items"),
            ({"items": {}}, "/items"),
            ({"items": [{"mandatory": True, "position": 1}]}, "/items/0/placeholder_id"),
            ({"items": [7]}, "/items/0"),
            ([], ""),
        ],
    )
    def test_refuses_what_is_malformed(self, editor: Integrator, template: Template, body: Any, pointer: str) -> None:
        refused = problem(send(editor, "PUT", f"templates/{template.pk}/placeholders", body), 400)
        assert pointers(refused) == [pointer]


class TestRemoving:
    def test_answers_200_without_a_body_and_moves_the_later_ones_up(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        third = factories.placeholder("terzo")
        put(editor, template, use(cie, 1), use(other, 3), use(third, 7))
        response = remove(editor, template, other)
        assert (response.status_code, response.content) == (200, b"")
        assert "Content-Type" not in response
        assert positions(editor, template) == [(cie.pk, 1), (third.pk, 6)]
        assert editor.get(f"templates/{template.pk}").json()["published"] is True

    def test_of_one_that_the_text_names_makes_a_draft(
        self, program: Callable[[str], Integrator], template: Template, cie: Placeholder
    ) -> None:
        put(program("editor"), template, use(cie))
        assert remove(program("editor"), template, cie).status_code == 200
        assert program("editor").get(f"templates/{template.pk}").json()["published"] is False
        assert program("sender").post(valid_body()).status_code == 201

    def test_of_what_is_not_there_is_404(
        self, editor: Integrator, template: Template, cie: Placeholder, instance: ServiceInstance
    ) -> None:
        problem(remove(editor, template, cie), 404)
        problem(send(editor, "DELETE", f"templates/999999/placeholders/{cie.pk}"), 404)


class TestListing:
    def test_is_by_position_and_embeds_what_is_asked_for(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        put(editor, template, use(cie, 4), use(other, 0))
        assert positions(editor, template) == [(other.pk, 0), (cie.pk, 4)]
        assert "_embedded" not in listed(editor, template)[0]
        whole = listed(editor, template, embed="placeholder,template")[1]["_embedded"]
        assert (whole["placeholder"]["name"], whole["template"]["id"]) == ("cie", template.pk)
        assert set(listed(editor, template, embed="template")[0]["_embedded"]) == {"template"}
        problem(editor.get(f"templates/{template.pk}/placeholders", {"embed": "service"}), 400, "unknown_value")

    def test_is_of_what_is_visible(
        self, program: Callable[[str], Integrator], template: Template, cie: Placeholder
    ) -> None:
        put(program("editor"), template, use(cie))
        for role in Role:
            assert len(listed(program(role.value), template)) == 1
        problem(program("stranger").get(f"templates/{template.pk}/placeholders"), 404)

    def test_costs_the_same_however_many(
        self, editor: Integrator, template: Template, cie: Placeholder, instance: ServiceInstance
    ) -> None:
        items = [use(cie, 0)]
        costs = []
        for number in range(3):
            put(editor, template, *items)
            with CaptureQueriesContext(connection) as queries:
                listed(editor, template, embed="placeholder,template")
            costs.append(len(queries))
            items += [use(factories.placeholder(f"p{number}_{index}"), 10 * number + index + 1) for index in range(5)]
        assert costs == [4, 4, 4]


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
class TestAtOnce:
    def test_two_that_want_one_position_are_told_apart(
        self, editor: Integrator, template: Template, cie: Placeholder, other: Placeholder
    ) -> None:
        answers: list[int] = []
        start = threading.Barrier(2)

        def run(placeholder: Placeholder) -> None:
            start.wait()
            try:
                answers.append(assign(Integrator(editor.key, editor.instance), template, placeholder).status_code)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=(one,)) for one in (cie, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [201, 409]

    def test_a_placeholder_changed_meanwhile_is_in_the_text_as_it_is_now(
        self, editor: Integrator, template: Template, cie: Placeholder
    ) -> None:
        start = threading.Barrier(2)

        def run(act: Callable[[], Any]) -> None:
            start.wait()
            try:
                act()
            finally:
                connections.close_all()

        api = Integrator(editor.key, editor.instance)
        changed = [{"op": "replace", "path": "/example", "value": "CA111111BB"}]
        acts: list[Callable[[], Any]] = [
            lambda: assign(editor, template, cie),
            lambda: send(api, "PATCH", f"placeholders/{cie.pk}", changed),
        ]
        threads = [threading.Thread(target=run, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        template.refresh_from_db()
        assert template.current_version is not None
        assert template.current_version.as_text().declarations[0].example == "CA111111BB"
