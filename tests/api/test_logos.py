"""Logos: what goes in is a whole PNG or JPEG and nothing else, what comes out is those bytes and runs nothing."""

import base64
import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from messaging.models import ServiceInstance
from registry import logos
from registry.images import MAX_SIDE
from registry.models import Logo, LogoKind, Organization, Role, Scope, Service, User
from registry.models.logo import MAX_BYTES
from rest import schema
from tests import factories
from tests.api.configuring import Program
from tests.api.integrator import Integrator, problem, program_of
from tests.api.registrar import send
from tests.api.test_configuring_at_once import while_uncommitted
from tests.api.test_schema import check
from tests.support.pictures import chunk, jpeg, png

PLACES = ["organizations/{}/logo", "organizations/{}/logo-miniature", "services/{}/logo", "services/{}/logo-miniature"]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def staff(instance: ServiceInstance) -> Integrator:
    return program_of(factories.user(is_staff=True), instance)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, instance: ServiceInstance) -> str:
    """Each of the four addresses, on the ente and the service of the cast."""
    owner = instance.organization_id if request.param.startswith("organizations") else instance.service_id
    return str(request.param.format(owner))


def put(api: Integrator, place: str, content: Any, content_type: str = "image/png") -> Any:
    return send(api, "PUT", place, content, content_type=content_type)


def filled_png(length: int) -> bytes:
    """Of exactly this many bytes."""
    empty = png(between=chunk(b"tEXt", b""))
    return png(between=chunk(b"tEXt", b"x" * (length - len(empty))))


class TestShown:
    def test_as_it_was_stored(self, staff: Integrator, api: Integrator, place: str) -> None:
        assert put(staff, place, png(3, 2)).status_code == 204
        response = api.get(place)
        assert (response.status_code, response.content) == (200, png(3, 2))
        assert response["Content-Type"] == "image/png"
        assert response["Content-Length"] == str(len(png(3, 2)))

    def test_so_that_no_browser_runs_it(self, staff: Integrator, api: Integrator, place: str) -> None:
        put(staff, place, jpeg(), "image/jpeg")
        response = api.get(place)
        assert response["Content-Type"] == "image/jpeg"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"

    def test_at_no_cost_when_it_is_the_same(self, staff: Integrator, api: Integrator, place: str) -> None:
        put(staff, place, png(1, 1))
        first = api.get(place)
        assert first["Cache-Control"] == "private, no-cache"
        again = api.get(place, headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again["Cache-Control"] == "private, no-cache"
        put(staff, place, png(2, 2))
        assert api.get(place, headers={"If-None-Match": first["ETag"]}).content == png(2, 2)

    def test_with_head_as_headers_alone(self, staff: Integrator, place: str) -> None:
        put(staff, place, png())
        response = staff.client.head(f"/api/v1/{place}", headers=staff.headers())
        assert (response.status_code, response.content) == (200, b"")
        assert response["Content-Length"] == str(len(png()))

    def test_as_404_where_there_is_none(self, api: Integrator, place: str) -> None:
        problem(api.get(place), 404, "not_found")

    def test_as_404_to_whoever_may_not_see_the_owner(
        self, staff: Integrator, cast: factories.Cast, instance: ServiceInstance, place: str
    ) -> None:
        put(staff, place, png())
        problem(program_of(cast.stranger, instance).get(place), 404, "not_found")

    @pytest.mark.parametrize("role", [role.value for role in Role])
    def test_to_every_role(
        self, staff: Integrator, cast: factories.Cast, instance: ServiceInstance, role: str, place: str
    ) -> None:
        put(staff, place, png())
        assert program_of(getattr(cast, role), instance).get(place).status_code == 200

    @pytest.mark.parametrize("scope", list(Scope))
    def test_with_any_scope(self, staff: Integrator, sender: User, scope: Scope, place: str) -> None:
        put(staff, place, png())
        assert program_of(sender, staff.instance, scopes=[scope]).get(place).status_code == 200


class TestLinks:
    def links(self, api: Integrator, place: str) -> dict[str, Any]:
        owner = place.rpartition("/")[0]
        body = api.get(owner).json()
        check(schema.document(), "Organization" if owner.startswith("org") else "Service", body)
        collection = api.get(owner.partition("/")[0]).json()["items"]
        assert [item["_links"] for item in collection if item["id"] == body["id"]] == [body["_links"]]
        return dict(body["_links"])

    def test_are_there_only_for_what_is_stored_with_both_names_of_the_miniature(
        self, staff: Integrator, place: str
    ) -> None:
        assert set(self.links(staff, place)) == {"self"}
        put(staff, place, png())
        links = self.links(staff, place)
        names = {"logo-miniature", "logo_miniature"} if place.endswith("miniature") else {"logo"}
        assert set(links) == {"self"} | names
        assert {links[name]["href"] for name in names} == {f"http://testserver/api/v1/{place}"}

    def test_cost_no_statement_in_lists(self, staff: Integrator, instance: ServiceInstance) -> None:
        for owner in (*(factories.organization() for _ in range(5)), *Organization.objects.all()):
            for kind in LogoKind:
                logos.put(owner, kind, logos.examine(png(), kind), by=factories.user())
        staff.get("organizations")
        with CaptureQueriesContext(connection) as counted:
            body = staff.get("organizations").json()
        assert all({"logo", "logo_miniature", "logo-miniature"} < set(item["_links"]) for item in body["items"])
        assert len(counted) == 2
        assert not any(Logo._meta.db_table in query["sql"] for query in counted)


class TestStoring:
    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            (png(), "image/png"),
            (png(), "IMAGE/PNG"),
            (jpeg(), "image/jpeg"),
            (png(), "application/octet-stream"),
            (jpeg(), "application/octet-stream"),
        ],
    )
    def test_takes_bytes(self, staff: Integrator, place: str, content: bytes, content_type: str) -> None:
        assert put(staff, place, content, content_type).status_code == 204
        assert staff.get(place).content == content

    def test_takes_a_json_string_in_base64_as_govregistry_has_it(self, staff: Integrator, place: str) -> None:
        text = json.dumps(base64.b64encode(jpeg()).decode())
        assert put(staff, place, text, "application/json").status_code == 204
        response = staff.get(place)
        assert (response.content, response["Content-Type"]) == (jpeg(), "image/jpeg")

    def test_replaces_the_one_there_was(self, staff: Integrator, place: str) -> None:
        for content in (png(1, 1), jpeg(2, 2)):
            assert put(staff, place, content, "application/octet-stream").status_code == 204
        assert staff.get(place).content == jpeg(2, 2)
        assert Logo.objects.count() == 1

    def test_leaves_a_line_and_none_when_nothing_changed(self, staff: Integrator, place: str) -> None:
        for _ in range(2):
            put(staff, place, png())
        line = LogEntry.objects.get()
        said = "Nuova miniatura del logo" if place.endswith("miniature") else "Nuovo logo"
        assert json.loads(line.change_message)[0]["changed"]["fields"] == [said]

    @pytest.mark.parametrize("kind", ["logo", "logo-miniature"])
    def test_takes_exactly_as_much_as_it_says(self, staff: Integrator, instance: ServiceInstance, kind: str) -> None:
        place = f"services/{instance.service_id}/{kind}"
        limit = MAX_BYTES[LogoKind(kind.replace("-", "_"))]
        assert put(staff, place, filled_png(limit)).status_code == 204
        body = problem(put(staff, place, filled_png(limit + 1)), 413, "body_too_large")
        assert str(limit) in body["detail"]

    def test_refuses_a_picture_too_wide_to_unfold(self, staff: Integrator, place: str) -> None:
        assert put(staff, place, png(MAX_SIDE, 1)).status_code == 204
        problem(put(staff, place, png(MAX_SIDE + 1, 1)), 422, "picture_too_large")

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            (SVG, "image/svg+xml"),
            (SVG, "image/png"),
            (b"<html>", "application/octet-stream"),
            (b"GIF89a", "image/gif"),
            (png(), "text/plain"),
            (png(), "multipart/form-data; boundary=x"),
            (json.dumps(base64.b64encode(SVG).decode()), "application/json"),
        ],
    )
    def test_refuses_what_is_no_png_and_no_jpeg(
        self, staff: Integrator, place: str, content: Any, content_type: str
    ) -> None:
        problem(put(staff, place, content, content_type), 415, "unsupported_media_type")
        assert not Logo.objects.exists()

    def test_refuses_a_label_that_lies(self, staff: Integrator, place: str) -> None:
        problem(put(staff, place, png(), "image/jpeg"), 415, "picture_mislabelled")

    @pytest.mark.parametrize("content", [png()[:-1], png(after=b"<script>"), jpeg(after=b"PK\x03\x04")])
    def test_refuses_a_picture_that_is_cut_or_hides_something(
        self, staff: Integrator, place: str, content: bytes
    ) -> None:
        problem(put(staff, place, content, "application/octet-stream"), 400, "picture_broken")

    @pytest.mark.parametrize("text", ['"§"', '"=="', '"aGVsbG8"', "{}", "5", "null"])
    def test_refuses_json_that_is_no_base64(self, staff: Integrator, place: str, text: str) -> None:
        problem(put(staff, place, text, "application/json"), 400, "not_base64")

    def test_refuses_an_empty_body(self, staff: Integrator, place: str) -> None:
        problem(put(staff, place, b""), 400, "body_missing")

    def test_refuses_a_compressed_body(self, staff: Integrator, place: str) -> None:
        answer = send(staff, "PUT", place, png(), content_type="image/png", headers={"Content-Encoding": "gzip"})
        problem(answer, 415, "unsupported_media_type")


class TestRemoving:
    def test_leaves_nothing_and_says_so_each_time(self, staff: Integrator, place: str) -> None:
        put(staff, place, png())
        for _ in range(2):
            response = send(staff, "DELETE", place)
            assert (response.status_code, response.content) == (204, b"")
        problem(staff.get(place), 404)
        assert not Logo.objects.exists()
        assert LogEntry.objects.count() == 2

    def test_an_owner_takes_its_pictures_along(self, instance: ServiceInstance) -> None:
        owners: list[Organization | Service] = [factories.organization(), factories.service()]
        for owner in owners:
            for kind in LogoKind:
                logos.put(owner, kind, logos.examine(png(), kind), by=factories.user())
        Organization.objects.filter(pk=owners[0].pk).delete()
        Service.objects.filter(pk=owners[1].pk).delete()
        assert not Logo.objects.exists()


class TestWhoMayWrite:
    def both(self, api: Integrator, place: str) -> list[Any]:
        return [put(api, place, png()), send(api, "DELETE", place)]

    @pytest.mark.parametrize("role", ["administrator", "configurator"])
    def test_of_an_ente_whoever_runs_all_its_services(
        self, cast: factories.Cast, instance: ServiceInstance, role: str
    ) -> None:
        program = program_of(getattr(cast, role), instance)
        for answer in self.both(program, f"organizations/{instance.organization_id}/logo"):
            assert answer.status_code == 204
        factories.service_instance(organization=instance.organization)
        for answer in self.both(program, f"organizations/{instance.organization_id}/logo"):
            problem(answer, 403, "permission_denied")

    @pytest.mark.parametrize("role", ["administrator", "configurator"])
    def test_of_a_service_platform_staff_alone(
        self, cast: factories.Cast, instance: ServiceInstance, role: str
    ) -> None:
        for answer in self.both(program_of(getattr(cast, role), instance), f"services/{instance.service_id}/logo"):
            problem(answer, 403, "permission_denied")

    @pytest.mark.parametrize("role", ["viewer", "editor", "sender", "approver"])
    def test_nobody_else(self, cast: factories.Cast, instance: ServiceInstance, role: str, place: str) -> None:
        for answer in self.both(program_of(getattr(cast, role), instance), place):
            problem(answer, 403, "permission_denied")

    def test_of_an_invisible_owner_nobody_knows(
        self, cast: factories.Cast, instance: ServiceInstance, place: str
    ) -> None:
        for answer in self.both(program_of(cast.stranger, instance), place):
            problem(answer, 404, "not_found")

    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN_WRITE])
    def test_no_other_scope(self, instance: ServiceInstance, scope: Scope, place: str) -> None:
        program = program_of(factories.user(is_staff=True), instance, scopes=[scope])
        for answer in self.both(program, place):
            problem(answer, 403, "scope_missing")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_right_withdrawn_while_a_logo_waits_is_not_used(cast: factories.Cast, method: str) -> None:
    ente = cast.instance.organization
    logos.put(ente, LogoKind.FULL, logos.examine(png(), LogoKind.FULL), by=cast.administrator)
    before = Logo.objects.get().digest

    def withdraw() -> None:
        Organization.objects.select_for_update().get(pk=ente.pk)
        cast.administrator.grants.update(role=Role.VIEWER)

    content = base64.b64encode(jpeg()).decode() if method == "PUT" else None
    call = (method, f"organizations/{ente.pk}/logo", content)
    problem(while_uncommitted(withdraw, Program.of(cast.administrator), call), 403, "permission_denied")
    assert Logo.objects.get().digest == before


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_logo_that_arrives_while_another_is_stored_takes_its_place(cast: factories.Cast) -> None:
    ente = cast.instance.organization
    first = logos.examine(png(), LogoKind.FULL)
    second = base64.b64encode(jpeg()).decode()
    answer = while_uncommitted(
        lambda: logos.put(ente, LogoKind.FULL, first, by=cast.administrator),
        Program.of(cast.administrator),
        ("PUT", f"organizations/{ente.pk}/logo", second),
    )
    assert answer.status_code == 204
    assert Logo.objects.get().media_type == "image/jpeg"
