"""A key at IO goes in and never comes out: by no route, no page, no error, no log, no line of history, no column."""

import json
import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.core import serializers
from django.test import Client
from django.urls import URLPattern

from govio_portal.urls import api
from messaging import rekeying
from messaging.models import IOService, ServiceInstance
from registry.models import Role, User
from rest import schema
from sealed.boxes import Sealed
from tests import factories
from tests.api.configuring import NEW, PRIMARY, SECONDARY, Program, asked_for, keys_of, replacing
from tests.api.integrator import problem

pytestmark = pytest.mark.django_db

MALFORMED = "a malformed-key-in-clear"
SECRETS = (PRIMARY, SECONDARY, NEW, MALFORMED, MALFORMED.split()[1])


@pytest.fixture
def instance() -> ServiceInstance:
    ente = factories.organization(io_account=factories.io_account())
    return factories.service_instance(
        organization=ente,
        io_service=factories.io_service(
            of=ente, io_account=ente.io_account, key=PRIMARY, secondary_key=Sealed.close(SECONDARY)
        ),
    )


@pytest.fixture
def person(instance: ServiceInstance) -> User:
    """Who may do everything, here and in the back office."""
    made = factories.user(is_staff=True, is_superuser=True)
    for role in Role:
        factories.grant(made, role, all_organizations=True, all_services=True)
    return made


@pytest.fixture
def program(person: User) -> Program:
    return Program.of(person)


def told(text: str) -> list[str]:
    """The secrets in a text: keys in clear, and sealed ones too, which are nobody's business either."""
    sealed = [
        token for row in IOService.objects.all() for token in (row.primary_key.token, row.secondary_key.token) if token
    ]
    return [secret for secret in (*SECRETS, *sealed) if secret in text]


def reading_addresses(instance: ServiceInstance) -> Iterator[str]:
    """Every route of the API, with the ids of what there is."""
    ids = {"service-instances": instance.pk, "io-services": instance.io_service_id}
    for pattern in api:
        assert isinstance(pattern, URLPattern)
        route = str(pattern.pattern)
        number = ids.get(route.split("/", maxsplit=1)[0], 1)
        for slot in ("primary", "secondary"):
            yield route.replace("<int:pk>", str(number)).replace("<str:slot>", slot)


def storing(instance: ServiceInstance) -> list[tuple[str, str, Any]]:
    """Every request that carries a key, well or badly."""
    one, service = f"service-instances/{instance.pk}", f"io-services/{instance.io_service_id}"
    same = instance.io_service.io_service_id
    return [
        ("POST", "service-instances", asked_for(instance)),
        ("POST", "service-instances", asked_for(instance, io_service_id=same)),
        ("POST", "service-instances", asked_for(instance, io_service_id=same, apiKey=PRIMARY)),
        ("POST", "service-instances", asked_for(instance, template_id=instance.template_id)),
        ("POST", "service-instances", asked_for(instance, apiKey=MALFORMED)),
        ("POST", "service-instances", asked_for(instance, apiKey=[NEW])),
        ("POST", "service-instances", asked_for(instance, apiKey={"key": NEW})),
        ("POST", "service-instances", asked_for(instance, apikey=NEW)),
        ("POST", "service-instances", json.dumps(asked_for(instance)).encode()[:-1]),
        ("POST", "service-instances", json.dumps(asked_for(instance))[:-1].encode() + b', "apiKey": "x"}'),
        ("PATCH", one, [replacing("apiKey", NEW)]),
        ("PATCH", one, [replacing("apiKey", MALFORMED)]),
        ("PATCH", one, [replacing("apiKey", [NEW])]),
        ("PATCH", one, [replacing("enabled", NEW)]),
        ("PATCH", one, [{"op": "test", "path": "/apiKey", "value": NEW}]),
        ("PATCH", one, [{"op": "add", "path": "/apiKey/0", "value": NEW}]),
        ("PATCH", one, [replacing("apiKey", NEW), replacing("service_id", 0)]),
        ("PUT", f"{service}/keys/primary", {"key": NEW}),
        ("PUT", f"{service}/keys/secondary", {"key": "yet-another"}),
        ("PUT", f"{service}/keys/secondary", {"key": PRIMARY}),
        ("PUT", f"{service}/keys/primary", {"key": MALFORMED}),
        ("PUT", f"{service}/keys/primary", {"key": NEW, "active_key": NEW}),
        ("POST", f"{service}/active-key", {"active_key": NEW}),
        ("PATCH", service, [replacing("primary_key", NEW)]),
        ("PATCH", service, [replacing("test_taxcode", NEW)]),
    ]


class TestNeverComesOut:
    def test_of_an_answer_or_a_log_of_whoever_gives_one(
        self, instance: ServiceInstance, program: Program, caplog: pytest.LogCaptureFixture
    ) -> None:
        statuses = set()
        with caplog.at_level(logging.DEBUG):
            for method, path, body in storing(instance):
                answer = program.ask(method, path, body)
                statuses.add(answer.status_code)
                assert not told(answer.content.decode()), (method, path, body)
                assert not told(str(answer.headers)), (method, path, body)
        assert statuses == {200, 201, 204, 400, 409, 422}
        assert not told(caplog.text)

    def test_of_any_route_of_the_api(self, instance: ServiceInstance, program: Program) -> None:
        factories.message(instance=instance)
        asked = 0
        for path in reading_addresses(instance):
            answer = program.get(path, {"embed": "service,organization,template"} if "/" not in path else None)
            text = b"".join(answer.streaming_content) if answer.streaming else answer.content
            assert not told(text.decode("utf-8", "replace")), path
            asked += answer.status_code == 200
        assert asked > 5

    def test_of_any_page(self, instance: ServiceInstance, person: User) -> None:
        client = Client()
        client.force_login(person)
        row = instance.io_service_id
        pages = [
            "/",
            "/servizi-io/",
            *(f"/admin/messaging/ioservice/{rest}" for rest in ("", f"{row}/change/", f"{row}/history/", "add/")),
            *(
                f"/admin/messaging/serviceinstance/{rest}"
                for rest in ("", f"{instance.pk}/change/", f"{instance.pk}/history/")
            ),
        ]
        shown = 0
        for page in pages:
            answer = client.get(page, follow=True)
            assert not told(answer.content.decode()), page
            shown += answer.status_code == 200
        assert shown >= 6

    def test_of_the_history(self, instance: ServiceInstance, program: Program) -> None:
        for method, path, body in storing(instance):
            program.ask(method, path, body)
        assert LogEntry.objects.count() > 5
        for line in LogEntry.objects.all():
            assert not told(f"{line.change_message} {line.object_repr}")

    def test_of_any_column_in_clear(self, instance: ServiceInstance, program: Program) -> None:
        for method, path, body in storing(instance):
            program.ask(method, path, body)
        for model in apps.get_models():
            stored = serializers.serialize("json", model._default_manager.all())
            assert not [secret for secret in SECRETS if secret in stored], model

    def test_of_an_error_that_nobody_expected(
        self, instance: ServiceInstance, program: Program, caplog: pytest.LogCaptureFixture
    ) -> None:
        program.client.raise_request_exception = False

        def burst(*_args: Any, **options: Any) -> None:
            raise RuntimeError(f"while storing {options.get('key', NEW)}")

        with (
            mock.patch.object(rekeying, "store_key", side_effect=burst),
            mock.patch.object(Sealed, "close", side_effect=burst),
            caplog.at_level(logging.DEBUG),
        ):
            one = f"service-instances/{instance.pk}"
            for method, path, body in (
                ("PUT", f"io-services/{instance.io_service_id}/keys/primary", {"key": NEW}),
                ("PATCH", one, [replacing("apiKey", NEW)]),
                ("POST", "service-instances", asked_for(instance)),
            ):
                answer = program.ask(method, path, body)
                problem(answer, 500, "unexpected")
                assert not told(answer.content.decode())
        assert "unexpected error" in caplog.text
        assert not told(caplog.text)
        assert keys_of(instance.io_service) == ("primary", PRIMARY, SECONDARY)

    def test_of_the_representation_of_a_row(self, instance: ServiceInstance) -> None:
        row = instance.io_service
        assert not told(f"{row!r} {row} {row.primary_key!r} {vars(row)}")


class TestDocument:
    def test_says_that_keys_only_go_in(self) -> None:
        schemas = schema.document()["components"]["schemas"]
        assert schemas["NewServiceInstance"]["properties"]["apiKey"]["writeOnly"] is True
        assert schemas["NewKey"]["properties"]["key"]["writeOnly"] is True

    def test_has_no_answer_with_a_key(self) -> None:
        document = schema.document()
        schemas = document["components"]["schemas"]

        def members(content: Any, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
            match content:
                case {"$ref": str(reference)}:
                    name = reference.rpartition("/")[2]
                    if name not in seen:
                        yield from members(schemas[name], seen | {name})
                case dict():
                    for name, value in content.get("properties", {}).items():
                        yield name, value
                        yield from members(value, seen)
                    for part in ("items", "allOf", "anyOf", "oneOf"):
                        yield from members(content.get(part), seen)
                case list():
                    for part in content:
                        yield from members(part, seen)

        for path, operations in document["paths"].items():
            if "instances" not in path and "io-services" not in path and "messages" not in path:
                continue
            for operation in operations.values():
                for answer in operation["responses"].values():
                    for content in answer.get("content", {}).values():
                        shown = {name.lower() for name, _value in members(content["schema"])}
                        assert not shown & {"apikey", "api_key", "key", "primary_key", "secondary_key"}, path
