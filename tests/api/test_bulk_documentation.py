"""docs/api/bulk.md and the OpenAPI document show calls that work and answers that come."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from messaging.bulk import Result
from messaging.models import ServiceInstance
from rest import schema
from tests.api.integrator import Integrator, fresh_key, valid_body
from tests.api.test_schema import check

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api" / "bulk.md"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return schema.document()


def examples() -> list[Any]:
    return [
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ]


def post(api: Integrator, body: Any) -> Any:
    return api.client.post(
        f"/api/v1/messages/bulk?service_instance={api.instance.pk}",
        body,
        content_type="application/json",
        headers=api.headers({"Accept-Language": "en"}),
    )


class TestPage:
    def test_shows_a_call_and_its_answer(self, api: Integrator) -> None:
        call, promised = examples()
        answered = post(api, call).json()
        assert len(answered["items"]) == len(promised["items"])
        for got, shown in zip(answered["items"], promised["items"], strict=True):
            if got["result"] == "created":
                # Which id it gets depends on the installation, and so do links.
                assert shown["_links"]["self"]["href"].endswith(f"/api/v1/messages/{shown['id']}")
                got |= {"id": shown["id"], "_links": shown["_links"]}
            assert got == shown

    def test_explains_every_result(self) -> None:
        explained = re.findall(r"^\| `([a-z]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        assert explained == ["result", *Result]


class TestContract:
    def test_answers_conform(self, api: Integrator, document: dict[str, Any]) -> None:
        old = {"idempotency_key": fresh_key(), **valid_body()}
        new = {"idempotency_key": fresh_key(), **valid_body()}
        check(document, "Bulk", post(api, {"items": [old]}).json())
        answered = post(api, {"items": [new, old, old, {**old, "idempotency_key": 1}, None]}).json()
        check(document, "Bulk", answered)
        again = post(api, {"items": [{**old, "email": "another@example.it"}]}).json()
        check(document, "Bulk", again)
        told = {each["result"] for each in [*answered["items"], *again["items"]]}
        assert told == set(Result)

    def test_its_example_is_accepted(
        self, api: Integrator, instance: ServiceInstance, document: dict[str, Any]
    ) -> None:
        operation = document["paths"]["/api/v1/messages/bulk"]["post"]
        (example,) = operation["requestBody"]["content"]["application/json"]["examples"].values()
        check(document, "NewBulk", example["value"])
        answered = post(api, example["value"]).json()["items"]
        assert [each["result"] for each in answered] == ["created", "created"]

    def test_says_how_many_items_there_may_be(self, document: dict[str, Any]) -> None:
        items = document["components"]["schemas"]["NewBulk"]["properties"]["items"]
        assert (items["minItems"], items["maxItems"]) == (1, 1000)
