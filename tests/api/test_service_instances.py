"""Service instances over REST: who finds which, and what GovIO's `io_service_id` and `apiKey` come to."""

from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, LogEntry

from messaging.models import IOService, ServiceInstance, SuspensionReason
from messaging.states import Delivery, WaitingReason
from messaging.suspending import suspend
from registry.models import Role, Scope, User
from rest import paging, schema
from sealed.boxes import Sealed
from tests import factories
from tests.api.configuring import NEW, PRIMARY, SECONDARY, Program, asked_for, keys_of, replacing
from tests.api.integrator import pointers, problem
from tests.api.test_schema import check

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance() -> ServiceInstance:
    """Of an ente with an IO account of its own; both slots of its IO service filled, the primary in use."""
    ente = factories.organization(io_account=factories.io_account())
    return factories.service_instance(
        organization=ente,
        template=factories.template(name="Scadenza CIE"),
        io_service=factories.io_service(
            of=ente, io_account=ente.io_account, key=PRIMARY, secondary_key=Sealed.close(SECONDARY)
        ),
    )


@pytest.fixture
def program(cast: factories.Cast) -> Program:
    """Somebody's who configures this one service instance."""
    return Program.of(cast.configurator)


def beside(instance: ServiceInstance, **fields: Any) -> ServiceInstance:
    """Another one of the same ente, through the same IO service unless told otherwise."""
    return factories.service_instance(
        **{"organization": instance.organization, "io_service": instance.io_service, **fields}
    )


def fresh(instance: ServiceInstance) -> ServiceInstance:
    return ServiceInstance.objects.get(pk=instance.pk)


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content.decode()
    return [item["id"] for item in response.json()["items"]]


class TestRead:
    def test_shows_what_govio_shows_but_for_the_key(self, instance: ServiceInstance, program: Program) -> None:
        shown = program.get(f"service-instances/{instance.pk}").json()
        root = "http://testserver/api/v1"
        assert {name: value for name, value in shown.items() if name != "_embedded"} == {
            "id": instance.pk,
            "service_id": instance.service_id,
            "organization_id": instance.organization_id,
            "template_id": instance.template_id,
            "io_service_id": instance.io_service.io_service_id,
            "enabled": True,
            "permissions": {"send": False, "configure": True},
            "_links": {
                "self": {"href": f"{root}/service-instances/{instance.pk}"},
                "service": {"href": f"{root}/services/{instance.service_id}"},
                "organization": {"href": f"{root}/organizations/{instance.organization_id}"},
                "template": {"href": f"{root}/templates/{instance.template_id}"},
                "io_service": {"href": f"{root}/io-services/{instance.io_service_id}"},
            },
        }
        assert shown["_embedded"]["service"]["service_name"] == instance.service.service_name
        assert shown["_embedded"]["organization"]["legal_name"] == instance.organization.legal_name
        assert shown["_embedded"]["template"]["name"] == "Scadenza CIE"

    def test_every_role_finds_what_it_works_with(self, instance: ServiceInstance, cast: factories.Cast) -> None:
        for role in Role:
            person = getattr(cast, role.value)
            assert ids(Program.of(person).get("service-instances")) == [instance.pk]

    def test_says_what_the_caller_may_do_with_it(self, instance: ServiceInstance, cast: factories.Cast) -> None:
        told = {
            role: Program.of(getattr(cast, role.value)).get(f"service-instances/{instance.pk}").json()["permissions"]
            for role in (Role.SENDER, Role.VIEWER, Role.CONFIGURATOR)
        }
        assert told == {
            Role.SENDER: {"send": True, "configure": False},
            Role.VIEWER: {"send": False, "configure": False},
            Role.CONFIGURATOR: {"send": False, "configure": True},
        }

    def test_of_somebody_else_is_not_there(
        self, instance: ServiceInstance, elsewhere: ServiceInstance, cast: factories.Cast
    ) -> None:
        stranger = Program.of(cast.stranger)
        problem(stranger.get(f"service-instances/{instance.pk}"), 404, "not_found")
        assert ids(stranger.get("service-instances")) == [elsewhere.pk]

    def test_an_organization_here_and_a_service_there_make_no_right(
        self, instance: ServiceInstance, elsewhere: ServiceInstance
    ) -> None:
        split = factories.user()
        factories.grant(split, Role.VIEWER, organizations=(instance.organization,), services=(elsewhere.service,))
        factories.grant(split, Role.VIEWER, organizations=(elsewhere.organization,), services=(instance.service,))
        program = Program.of(split)
        assert ids(program.get("service-instances")) == []
        problem(program.get(f"service-instances/{instance.pk}"), 404, "not_found")

    def test_whoever_sends_or_configures_may_read_and_nobody_else(
        self, instance: ServiceInstance, cast: factories.Cast
    ) -> None:
        opening = {
            scope
            for scope in Scope
            if Program.of(cast.sender, scopes=(scope,)).get("service-instances").status_code == 200
        }
        assert opening == {Scope.MESSAGES_SEND, Scope.MESSAGES_READ, Scope.CONFIG_READ, Scope.CONFIG_WRITE}

    def test_asked_again_unchanged_costs_no_bytes(self, instance: ServiceInstance, program: Program) -> None:
        path = f"service-instances/{instance.pk}"
        etag = program.get(path)["ETag"]
        again = program.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        program.replace(path, enabled=False)
        assert program.get(path, headers={"If-None-Match": etag}).status_code == 200

    def test_conforms_to_the_document(self, instance: ServiceInstance, program: Program) -> None:
        document = schema.document()
        check(document, "ServiceInstance", program.get(f"service-instances/{instance.pk}").json())
        for embed in ("", "service,organization,template"):
            check(document, "ServiceInstanceList", program.get("service-instances", {"embed": embed}).json())


class TestList:
    def test_is_ordered_by_the_template_s_name_then_by_id(self, instance: ServiceInstance, program: Program) -> None:
        first = beside(instance, service=instance.service, template=factories.template(name="Avviso"))
        twin = beside(instance, service=instance.service, template=factories.template(name="Avviso"))
        assert ids(program.get("service-instances")) == [instance.pk, twin.pk, first.pk]
        assert ids(program.get("service-instances", {"sort_direction": "asc"})) == [first.pk, twin.pk, instance.pk]

    @pytest.mark.parametrize(
        ("member", "of"),
        [
            ("service_id", lambda one: one.service_id),
            ("organization_id", lambda one: one.organization_id),
            ("io_service_id", lambda one: one.io_service.io_service_id),
            ("q", lambda one: one.service.service_name.upper()[2:]),
            ("q", lambda one: one.template.name.lower()[1:]),
            ("q", lambda one: one.organization.legal_name[3:].upper()),
            ("q", lambda one: one.organization.tax_code[2:]),
        ],
        ids=["service", "organization", "io service", "service's name", "template's name", "name", "tax code"],
    )
    def test_is_filtered(
        self, instance: ServiceInstance, elsewhere: ServiceInstance, cast: factories.Cast, member: str, of: Any
    ) -> None:
        factories.grant(cast.viewer, Role.VIEWER, all_organizations=True, all_services=True)
        program = Program.of(cast.viewer)
        assert set(ids(program.get("service-instances"))) == {instance.pk, elsewhere.pk}
        assert ids(program.get("service-instances", {member: of(instance)})) == [instance.pk]

    def test_is_filtered_by_whether_one_may_send(self, instance: ServiceInstance, program: Program) -> None:
        off = beside(instance, service=instance.service, enabled=False)
        assert ids(program.get("service-instances", {"enabled": "TRUE"})) == [instance.pk]
        assert ids(program.get("service-instances", {"enabled": "false"})) == [off.pk]

    def test_embeds_what_is_asked_for_and_nothing_else(self, instance: ServiceInstance, program: Program) -> None:
        def embedded(embed: str) -> set[str]:
            [item] = program.get("service-instances", {"embed": embed}).json()["items"]
            return set(item.get("_embedded", ()))

        assert embedded("") == set()
        assert embedded("template") == {"template"}
        assert embedded("service,organization") == {"service", "organization"}

    def test_tells_every_fault_of_the_query_at_once(self, instance: ServiceInstance, program: Program) -> None:
        query = {"service_id": "x", "enabled": "perhaps", "q": "a\x00b", "embed": "sender", "limit": "0"}
        body = problem(program.get("service-instances", query), 400)
        assert sorted(pointers(body)) == ["/embed", "/enabled", "/limit", "/q", "/service_id"]

    def test_costs_the_same_however_many_there_are(
        self, instance: ServiceInstance, program: Program, django_assert_num_queries: Any
    ) -> None:
        def ask() -> Any:
            return program.get("service-instances", {"embed": "service,organization,template", "limit": 100})

        ask()  # the first use of the minute also notes it
        with django_assert_num_queries(QUERIES):
            assert len(ids(ask())) == 1
        for _number in range(5):
            beside(instance, service=instance.service)
        with django_assert_num_queries(QUERIES):
            assert len(ids(ask())) == 6

    def test_goes_on_with_a_cursor_where_offsets_end(
        self, instance: ServiceInstance, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = [instance.pk]
        made += [beside(instance, service=instance.service, template=factories.template(name="B")).pk for _ in "123"]
        monkeypatch.setattr(paging, "MAX_OFFSET", 0)
        seen: list[int] = []
        answer = program.get("service-instances", {"limit": 1})
        while True:
            seen += ids(answer)
            following = answer.json()["_links"].get("next")
            if following is None:
                break
            assert "cursor=" in following["href"]
            answer = program.get(following["href"].removeprefix("http://testserver/api/v1/"))
        assert seen == [made[0], *reversed(made[1:])]


# Who calls, and the rows with all that is shown; the last page needs no count.
QUERIES = 2


class TestCreate:
    def test_makes_the_io_service_in_the_account_of_the_ente(self, instance: ServiceInstance, program: Program) -> None:
        answer = program.post("service-instances", asked_for(instance))
        assert answer.status_code == 201
        shown = answer.json()
        made = ServiceInstance.objects.get(pk=shown["id"])
        assert answer["Location"] == f"http://testserver/api/v1/service-instances/{made.pk}"
        assert made.io_service.io_account == instance.organization.io_account
        assert made.io_service.organization == instance.organization
        assert made.io_service.io_service_id == shown["io_service_id"] == "01NEWSERVICE"
        assert keys_of(made.io_service) == ("primary", NEW, "")
        assert set(shown["_embedded"]) == {"service", "organization", "template"}
        check(schema.document(), "ServiceInstance", shown)

    @pytest.mark.parametrize("key", [PRIMARY, SECONDARY, f"  {PRIMARY}\n"])
    def test_uses_the_io_service_that_there_is_for_whoever_knows_a_key_of_it(
        self, instance: ServiceInstance, cast: factories.Cast, key: str
    ) -> None:
        # Of another service of the ente, whose IO service this is not.
        other = beside(instance, io_service=factories.io_service(of=instance.organization))
        person = factories.user()
        factories.grant(person, Role.CONFIGURATOR, organizations=(instance.organization,), services=(other.service,))
        body = asked_for(other, io_service_id=instance.io_service.io_service_id, apiKey=key)
        made = Program.of(person).post("service-instances", body)
        assert made.status_code == 201, made.content.decode()
        assert ServiceInstance.objects.get(pk=made.json()["id"]).io_service == instance.io_service
        assert keys_of(instance.io_service) == ("primary", PRIMARY, SECONDARY)

    def test_refuses_a_key_that_is_neither_stored_one(self, instance: ServiceInstance, program: Program) -> None:
        body = asked_for(instance, io_service_id=instance.io_service.io_service_id)
        answer = problem(program.post("service-instances", body), 409, "api_key_differs")
        assert pointers(answer) == ["/apiKey"]
        assert keys_of(instance.io_service) == ("primary", PRIMARY, SECONDARY)
        assert ServiceInstance.objects.filter(organization=instance.organization).count() == 1

    def test_gives_its_first_key_to_an_io_service_that_has_none(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        IOService.objects.update(primary_key=Sealed(), secondary_key=Sealed())
        body = asked_for(instance, io_service_id=instance.io_service.io_service_id)
        assert program.post("service-instances", body).status_code == 201
        assert keys_of(instance.io_service) == ("primary", NEW, "")

    def test_gives_none_where_others_use_it(self, instance: ServiceInstance, program: Program) -> None:
        beside(instance)
        IOService.objects.update(primary_key=Sealed(), secondary_key=Sealed())
        body = asked_for(instance, io_service_id=instance.io_service.io_service_id)
        problem(program.post("service-instances", body), 403, "permission_denied")
        assert keys_of(instance.io_service) == ("primary", "", "")

    def test_is_enabled_unless_told_otherwise(self, instance: ServiceInstance, program: Program) -> None:
        body = asked_for(instance)
        del body["enabled"]
        assert program.post("service-instances", body).json()["enabled"] is True
        off = asked_for(instance, enabled=False)
        assert program.post("service-instances", off).json()["enabled"] is False

    def test_takes_back_the_document_that_it_answers_with(self, instance: ServiceInstance, program: Program) -> None:
        shown = program.get(f"service-instances/{instance.pk}").json()
        body = {**shown, "template_id": factories.template().pk, "apiKey": PRIMARY}
        assert program.post("service-instances", body).status_code == 201

    def test_the_same_three_twice_is_a_conflict(self, instance: ServiceInstance, program: Program) -> None:
        body = asked_for(instance, template_id=instance.template_id)
        answer = problem(program.post("service-instances", body), 409, "service_instance_exists")
        assert pointers(answer) == ["/template_id"]
        # The IO service that would have been made for it was not.
        assert not IOService.objects.filter(io_service_id="01NEWSERVICE").exists()

    def test_an_io_service_of_another_ente_is_not_to_be_had(self, instance: ServiceInstance, program: Program) -> None:
        factories.io_service(io_account=instance.organization.io_account, io_service_id="01NEWSERVICE", key=NEW)
        answer = problem(program.post("service-instances", asked_for(instance)), 409, "io_service_taken")
        assert pointers(answer) == ["/io_service_id"]

    def test_without_an_io_account_of_the_ente_it_cannot_be(self, instance: ServiceInstance, program: Program) -> None:
        instance.organization.io_account = None
        instance.organization.save()
        answer = problem(program.post("service-instances", asked_for(instance)), 422, "io_account_missing")
        assert pointers(answer) == ["/organization_id"]

    def test_needs_the_right_on_ente_and_service_together(
        self, instance: ServiceInstance, cast: factories.Cast, program: Program
    ) -> None:
        for person in (cast.sender, cast.administrator, cast.viewer):
            answer = problem(Program.of(person).post("service-instances", asked_for(instance)), 403)
            assert "Configurazione" in answer["detail"]
        other = factories.service()
        factories.grant(cast.configurator, Role.VIEWER, organizations=(instance.organization,), services=(other,))
        body = asked_for(instance, service_id=other.pk)
        problem(program.post("service-instances", body), 403, "permission_denied")

    def test_what_is_not_visible_is_not_there(
        self, instance: ServiceInstance, elsewhere: ServiceInstance, program: Program
    ) -> None:
        theirs = factories.template(organization=elsewhere.organization)
        body = asked_for(instance, organization_id=elsewhere.organization_id, service_id=elsewhere.service_id)
        problem(program.post("service-instances", body), 422, "organization_unknown", "service_unknown")
        unknown = dict.fromkeys(("organization_id", "service_id"), 2**62)
        problem(program.post("service-instances", {**body, **unknown}), 422, "organization_unknown", "service_unknown")
        body = asked_for(instance, template_id=theirs.pk)
        problem(program.post("service-instances", body), 422, "template_unknown")

    def test_takes_a_template_of_the_ente(self, instance: ServiceInstance, program: Program) -> None:
        own = factories.template(organization=instance.organization)
        assert program.post("service-instances", asked_for(instance, template_id=own.pk)).status_code == 201

    def test_tells_every_fault_of_the_body_at_once(self, instance: ServiceInstance, program: Program) -> None:
        body = problem(program.post("service-instances", {"enabled": "yes", "organization_id": True, "x": 1}), 400)
        assert sorted(pointers(body)) == [
            "/apiKey", "/enabled", "/io_service_id", "/organization_id", "/service_id", "/template_id", "/x",
        ]  # fmt: skip
        problem(program.post("service-instances", []), 400, "type")

    @pytest.mark.parametrize(
        ("member", "value", "code"),
        [
            ("io_service_id", "", "blank"),
            ("io_service_id", "x" * 256, "max_length"),
            ("io_service_id", 7, "invalid"),
            ("io_service_id", None, "null"),
            ("apiKey", "", "blank"),
            ("apiKey", "with a space", "api_key_invalid"),
            ("apiKey", "x" * 257, "api_key_invalid"),
            ("apiKey", "perché", "api_key_invalid"),
            ("apiKey", None, "null"),
            ("template_id", 0, "min_value"),
            ("service_id", "1", "invalid"),
        ],
    )
    def test_refuses_what_cannot_be(
        self, instance: ServiceInstance, program: Program, member: str, value: Any, code: str
    ) -> None:
        answer = problem(program.post("service-instances", asked_for(instance, **{member: value})), 400, code)
        assert pointers(answer) == [f"/{member}"]

    def test_needs_the_scope(self, instance: ServiceInstance, cast: factories.Cast) -> None:
        reader = Program.of(cast.configurator, scopes=(Scope.CONFIG_READ, Scope.MESSAGES_SEND))
        problem(reader.post("service-instances", asked_for(instance)), 403, "scope_missing")

    def test_is_written_down_without_the_key(self, instance: ServiceInstance, program: Program, cast: Any) -> None:
        made = program.post("service-instances", asked_for(instance)).json()["id"]
        lines = LogEntry.objects.filter(user=cast.configurator, action_flag=ADDITION)
        told = {(line.content_type.model, line.object_id) for line in lines}
        io_service = IOService.objects.get(io_service_id="01NEWSERVICE")
        assert told == {("serviceinstance", str(made)), ("ioservice", str(io_service.pk))}


class TestPatch:
    def path(self, instance: ServiceInstance) -> str:
        return f"service-instances/{instance.pk}"

    def test_switches_it_off_and_on(self, instance: ServiceInstance, program: Program, cast: Any) -> None:
        answer = program.replace(self.path(instance), enabled=False)
        assert answer.status_code == 200
        assert answer.json()["enabled"] is False
        assert not fresh(instance).enabled
        assert program.replace(self.path(instance), enabled=True).json()["enabled"] is True
        [last, first] = LogEntry.objects.filter(user=cast.configurator).order_by("-pk")
        assert ("Disabilitato" in first.change_message, "Abilitato" in last.change_message) == (True, True)

    def test_a_new_key_takes_the_place_of_the_one_not_in_use_and_is_in_use(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        answer = program.replace(self.path(instance), apiKey=NEW)
        assert answer.status_code == 200
        assert keys_of(instance.io_service) == ("secondary", PRIMARY, NEW)
        program.replace(self.path(instance), apiKey="one-more")
        assert keys_of(instance.io_service) == ("primary", "one-more", NEW)

    def test_a_stored_key_is_only_put_in_use(self, instance: ServiceInstance, program: Program) -> None:
        program.replace(self.path(instance), apiKey=SECONDARY)
        assert keys_of(instance.io_service) == ("secondary", PRIMARY, SECONDARY)

    def test_the_key_in_use_changes_nothing(self, instance: ServiceInstance, program: Program) -> None:
        assert program.replace(self.path(instance), apiKey=PRIMARY).status_code == 200
        assert keys_of(instance.io_service) == ("primary", PRIMARY, SECONDARY)
        assert not LogEntry.objects.exists()

    def test_a_new_key_needs_the_right_on_every_use(
        self, instance: ServiceInstance, program: Program, cast: factories.Cast
    ) -> None:
        other = beside(instance)
        for key in (NEW, SECONDARY):
            answer = problem(program.replace(self.path(instance), apiKey=key), 403, "permission_denied")
            assert "altri collegamenti" in answer["detail"]
        assert keys_of(instance.io_service) == ("primary", PRIMARY, SECONDARY)
        factories.grant(
            cast.configurator, Role.CONFIGURATOR, organizations=(other.organization,), services=(other.service,)
        )
        assert program.replace(self.path(instance), apiKey=NEW).status_code == 200

    def test_refused_in_one_thing_changes_nothing_else(self, instance: ServiceInstance, program: Program) -> None:
        beside(instance)
        problem(program.replace(self.path(instance), enabled=False, apiKey=NEW), 403)
        assert fresh(instance).enabled
        assert not LogEntry.objects.exists()

    def test_another_id_makes_an_io_service_with_the_same_keys_and_settings(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        answer = program.replace(self.path(instance), io_service_id="01CORRECTED")
        assert answer.json()["io_service_id"] == "01CORRECTED"
        now = fresh(instance).io_service
        assert now != instance.io_service
        assert keys_of(now) == ("primary", PRIMARY, SECONDARY)
        assert now.payment_cap_cents == instance.io_service.payment_cap_cents
        assert now.io_account == instance.io_service.io_account

    def test_another_id_with_a_key_makes_a_new_one(self, instance: ServiceInstance, program: Program) -> None:
        program.replace(self.path(instance), io_service_id="01CORRECTED", apiKey=NEW)
        now = fresh(instance).io_service
        assert keys_of(now) == ("primary", NEW, "")
        assert now.payment_cap_cents is None
        assert keys_of(instance.io_service) == ("primary", PRIMARY, SECONDARY)

    def test_another_id_that_exists_is_used_if_all_its_uses_are_the_caller_s(
        self, instance: ServiceInstance, program: Program, cast: factories.Cast
    ) -> None:
        there = factories.io_service(
            of=instance.organization, io_account=instance.organization.io_account, key="theirs"
        )
        path, member = self.path(instance), {"io_service_id": there.io_service_id}
        # Nobody uses it: only its key shows that one may.
        problem(program.replace(path, **member), 422, "api_key_needed")
        other = beside(instance, io_service=there)
        problem(program.replace(path, **member), 403, "permission_denied")
        factories.grant(
            cast.configurator, Role.CONFIGURATOR, organizations=(other.organization,), services=(other.service,)
        )
        assert program.replace(path, **member).status_code == 200
        assert fresh(instance).io_service == there
        assert keys_of(there) == ("primary", "theirs", "")

    def test_another_id_that_exists_is_used_by_whoever_knows_its_key(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        there = factories.io_service(
            of=instance.organization, io_account=instance.organization.io_account, key="theirs"
        )
        beside(instance, io_service=there)
        path = self.path(instance)
        problem(program.replace(path, io_service_id=there.io_service_id, apiKey=NEW), 403, "permission_denied")
        answer = program.replace(path, io_service_id=there.io_service_id, apiKey="theirs")
        assert answer.status_code == 200
        assert fresh(instance).io_service == there
        assert keys_of(there) == ("primary", "theirs", "")

    def test_an_io_service_of_another_ente_or_account_is_not_to_be_had(
        self, instance: ServiceInstance, program: Program
    ) -> None:
        factories.io_service(io_account=instance.organization.io_account, io_service_id="01THEIRS")
        path = self.path(instance)
        problem(program.replace(path, io_service_id="01THEIRS"), 409, "io_service_taken")
        instance.organization.io_account = factories.io_account()
        instance.organization.save()
        problem(program.replace(path, io_service_id="01OTHER"), 409, "io_account_differs")
        instance.organization.io_account = None
        instance.organization.save()
        problem(program.replace(path, io_service_id="01OTHER"), 422, "io_account_missing")
        # What needs no account goes on as ever.
        assert program.replace(path, enabled=False).status_code == 200

    def test_what_waits_leaves_by_way_of_the_new_one(self, instance: ServiceInstance, program: Program) -> None:
        held = factories.message_in(Delivery.SCHEDULED, instance=instance, waiting_reason=WaitingReason.SUSPENDED)
        aside = factories.message_in(Delivery.SCHEDULED, instance=instance, waiting_reason=WaitingReason.SET_ASIDE)
        asked = factories.message_in(Delivery.RECIPIENT_ALLOWED, instance=instance)
        before = asked.profile_checked_at
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail="", at=factories.NOW)
        program.replace(self.path(instance), io_service_id="01CORRECTED", apiKey=NEW)
        for row in (held, aside, asked):
            row.refresh_from_db()
        assert (held.waiting_reason, aside.waiting_reason) == ("", "")
        # Whether the citizen wants messages of this service is asked anew.
        assert before is not None
        assert asked.profile_checked_at is not None
        assert asked.profile_checked_at < before
        assert all(row.io_account_id == fresh(instance).io_service.io_account_id for row in (held, aside, asked))

    @pytest.mark.parametrize("member", ["organization_id", "service_id", "template_id"])
    def test_what_it_is_of_does_not_change(self, instance: ServiceInstance, program: Program, member: str) -> None:
        path = self.path(instance)
        answer = problem(program.replace(path, **{member: getattr(instance, member) + 1}), 422, "not_changeable")
        assert pointers(answer) == [f"/{member}"]
        assert program.replace(path, **{member: getattr(instance, member)}).status_code == 200
        problem(program.patch(path, {"op": "remove", "path": f"/{member}"}), 400, "required")

    def test_a_change_of_id_is_ignored_as_in_govio(self, instance: ServiceInstance, program: Program) -> None:
        assert program.replace(self.path(instance), id=instance.pk + 1).json()["id"] == instance.pk

    @pytest.mark.parametrize("member", ["enabled", "io_service_id"])
    def test_what_it_must_have_cannot_be_removed(
        self, instance: ServiceInstance, program: Program, member: str
    ) -> None:
        answer = program.patch(self.path(instance), {"op": "remove", "path": f"/{member}"})
        assert pointers(problem(answer, 400, "required")) == [f"/{member}"]

    def test_the_key_is_not_there_to_be_removed_or_read(self, instance: ServiceInstance, program: Program) -> None:
        answer = program.patch(self.path(instance), {"op": "remove", "path": "/apiKey"})
        problem(answer, 400, "patch_path_missing")
        problem(program.patch(self.path(instance), {"op": "test", "path": "/apiKey", "value": PRIMARY}), 400)
        problem(program.patch(self.path(instance), {"op": "copy", "from": "/apiKey", "path": "/io_service_id"}), 400)

    def test_tells_every_fault_of_what_it_would_come_to(self, instance: ServiceInstance, program: Program) -> None:
        answer = program.patch(
            self.path(instance),
            replacing("enabled", "no"),
            replacing("io_service_id", " "),
            replacing("service_id", instance.service_id + 1),
            {"op": "add", "path": "/nome", "value": "x"},
        )
        assert sorted(pointers(problem(answer, 400))) == ["/enabled", "/io_service_id", "/nome", "/service_id"]

    def test_takes_json_patch_and_nothing_else(self, instance: ServiceInstance, program: Program) -> None:
        answer = program.ask("PATCH", self.path(instance), {"enabled": False}, content_type="application/json")
        assert "application/json-patch+json" in problem(answer, 415, "unsupported_media_type")["detail"]
        problem(program.patch(self.path(instance)), 400, "patch_not_a_list")

    def test_is_refused_to_who_only_sees_it_and_unknown_to_others(
        self, instance: ServiceInstance, cast: factories.Cast
    ) -> None:
        path = self.path(instance)
        # Whatever the body is.
        problem(Program.of(cast.sender).ask("PATCH", path, b"{not json"), 403, "permission_denied")
        problem(Program.of(cast.stranger).ask("PATCH", path, b"{not json"), 404, "not_found")
        reader = Program.of(cast.configurator, scopes=(Scope.CONFIG_READ,))
        problem(reader.replace(path, enabled=False), 403, "scope_missing")

    def test_conforms_to_the_document(self, instance: ServiceInstance, program: Program) -> None:
        answer = program.replace(self.path(instance), enabled=False)
        check(schema.document(), "ServiceInstance", answer.json())


def test_there_is_no_deleting_one(instance: ServiceInstance, program: Program) -> None:
    problem(program.ask("DELETE", f"service-instances/{instance.pk}"), 405, "method_not_allowed")


def test_staff_without_a_grant_find_none(instance: ServiceInstance) -> None:
    staff: User = factories.user(is_staff=True)
    program = Program.of(staff)
    assert ids(program.get("service-instances")) == []
    problem(program.get(f"service-instances/{instance.pk}"), 404, "not_found")
    # They see the ente and the service, so they are told what is missing.
    problem(program.post("service-instances", asked_for(instance)), 403, "permission_denied")
