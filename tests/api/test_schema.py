"""The contract: a valid OpenAPI 3.1 document, the committed copy in step with the code, and answers that conform to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from openapi_spec_validator import validate

from messaging.models import ServiceInstance
from messaging.states import Delivery
from rest import schema
from tests import factories
from tests.api.integrator import Integrator, program_of, valid_body

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return schema.document()


def check(document: dict[str, Any], name: str, value: Any) -> None:
    """`value` is a component of the document, and has no member that the document does not name."""
    components = {
        component: {**content, "additionalProperties": False}
        for component, content in document["components"]["schemas"].items()
    }
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components}}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def lists_in(schema: Any, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The lists of a schema and of those that it refers to."""
    match schema:
        case {"$ref": str(reference)}:
            yield from lists_in(document["components"]["schemas"][reference.rpartition("/")[2]], document)
        case dict():
            if schema.get("type") == "array":
                yield schema
            for part in schema.values():
                yield from lists_in(part, document)
        case list():
            for part in schema:
                yield from lists_in(part, document)


class TestDocument:
    def test_is_valid_openapi_31(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")
        validate(document)

    def test_is_made_without_warnings(self) -> None:
        schema.document.cache_clear()
        GENERATOR_STATS.reset()
        schema.document()
        assert not GENERATOR_STATS

    def test_is_committed_as_it_is(self, document: dict[str, Any]) -> None:
        # `python manage.py write_openapi` writes it anew.
        assert COMMITTED.read_text(encoding="utf-8") == schema.as_yaml(document)

    def test_every_list_that_a_body_may_hold_has_a_bound(self, document: dict[str, Any]) -> None:
        operations = [one for operations in document["paths"].values() for one in operations.values()]
        bodies = [
            content["schema"]
            for one in operations
            for content in one.get("requestBody", {}).get("content", {}).values()
        ]
        lists = [found for body in bodies for found in lists_in(body, document)]
        assert len(lists) >= 7
        assert [found for found in lists if not 0 < found.get("maxItems", 0) <= 1_000] == []

    def test_names_the_addresses_and_the_ways_in(self, document: dict[str, Any]) -> None:
        assert set(document["paths"]["/api/v1/messages"]) == {"get", "post"}
        assert set(document["paths"]["/api/v1/messages/{id}"]) == {"get"}
        assert set(document["paths"]["/api/v1/messages/bulk"]) == {"post"}
        assert set(document["components"]["securitySchemes"]) == {"principal", "bearer", "basic"}

    def test_every_operation_is_named_once_and_stands_under_a_known_tag(self, document: dict[str, Any]) -> None:
        operations = [one for operations in document["paths"].values() for one in operations.values()]
        names = [one["operationId"] for one in operations]
        assert len(names) == len(set(names))
        assert all(one["summary"] for one in operations)
        assert {tag for one in operations for tag in one["tags"]} == {tag["name"] for tag in document["tags"]}

    def test_a_patch_says_how_many_operations_it_takes(self, document: dict[str, Any]) -> None:
        patches = [operations["patch"] for operations in document["paths"].values() if "patch" in operations]
        assert patches
        for patch in patches:
            schema = patch["requestBody"]["content"]["application/json-patch+json"]["schema"]
            assert (schema["minItems"], schema["maxItems"]) == (1, 20)

    def test_every_operation_says_what_its_refusals_look_like(self, document: dict[str, Any]) -> None:
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if path.endswith("/schema/"):
                    continue
                refusals = {code: answer for code, answer in operation["responses"].items() if code >= "400"}
                assert {"401", "403", "500"} <= set(refusals), (path, method)
                for answer in refusals.values():
                    assert set(answer["content"]) == {"application/problem+json"}


class TestServed:
    @pytest.mark.parametrize("path", ["/api/v1/schema/", "/api/v1/schema"])
    def test_as_json_to_anybody(self, client: Client, path: str, document: dict[str, Any]) -> None:
        response = client.get(path)
        assert response.status_code == 200
        assert response["Content-Type"].startswith("application/vnd.oai.openapi+json")
        body = response.json()
        assert body["servers"] == [{"url": "http://testserver"}]
        assert body["paths"].keys() == document["paths"].keys()

    @pytest.mark.parametrize(
        ("query", "accept"), [("?format=yaml", "*/*"), ("", "application/yaml"), ("", "application/vnd.oai.openapi")]
    )
    def test_as_yaml_when_asked(self, client: Client, query: str, accept: str, document: dict[str, Any]) -> None:
        response = client.get(f"/api/v1/schema/{query}", headers={"accept": accept})
        assert response["Content-Type"].startswith("application/vnd.oai.openapi;")
        served = yaml.safe_load(response.content)
        assert served == {**document, "servers": [{"url": "http://testserver"}]}

    def test_yaml_is_written_once_whatever_address_is_asked(self, client: Client, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["*"]
        client.get("/api/v1/schema?format=yaml")
        made = schema._yaml.cache_info().misses
        for number in range(5):
            host = f"portale{number}.example"
            response = client.get(f"/api/v1/schema?format=yaml&x={number}", headers={"host": host})
            assert f"- url: http://{host}\n" in response.content.decode()
        assert schema._yaml.cache_info().misses == made


class TestAnswersConform:
    def test_of_posting_and_reading(self, api: Integrator, document: dict[str, Any]) -> None:
        made = api.post(valid_body(taxcode="PCRMJV76P12B782Z")).json()
        check(document, "Message", made)
        check(document, "Message", api.get(f"messages/{made['id']}").json())

    def test_in_every_state_and_of_lists(
        self, cast: factories.Cast, instance: ServiceInstance, document: dict[str, Any]
    ) -> None:
        for state in Delivery:
            factories.message_in(state, instance=instance)
        factories.message(instance=instance).content.delete()
        reader = program_of(cast.viewer, instance)
        for embed in ("", "sender", "sender,service-instance"):
            check(document, "MessageList", reader.get("messages", {"embed": embed, "limit": 5, "offset": 5}).json())

    @pytest.mark.parametrize(
        "body", [{}, {"taxcode": "X"}, [], {"taxcode": "RSSMRA80A01H501U", "placeholders": []}], ids=str
    )
    def test_of_refusals(self, api: Integrator, document: dict[str, Any], body: Any) -> None:
        check(document, "Problem", api.post(body).json())

    def test_and_the_document_describes_a_body_that_is_accepted(
        self, api: Integrator, document: dict[str, Any]
    ) -> None:
        check(document, "NewMessage", valid_body())
        example = document["paths"]["/api/v1/messages"]["post"]["requestBody"]["content"]["application/json"][
            "examples"
        ]
        for shown in example.values():
            check(document, "NewMessage", shown["value"])
            assert api.post(shown["value"]).status_code == 201
