"""The OpenAPI document shows requests that work: each example is sent as it is written, and answered as promised.

Examples name things by small ids, which are those of `tests.api.place`; the rest of each request is that of its probe.
"""

import base64
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from rest.schema import document
from tests.api import probes
from tests.api.place import EVERYTHING, Call, Place
from tests.api.test_schema import check


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A request body of the document."""

    method: str
    path: str
    media_type: str
    name: str
    value: Any
    operation: dict[str, Any]

    @property
    def body(self) -> Any:
        """As it is sent: what is not JSON is shown in base64."""
        return self.value if "json" in self.media_type else base64.b64decode(self.value)

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.name}"


def bodies() -> Iterator[tuple[str, str, str, dict[str, Any], dict[str, Any]]]:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                yield method.upper(), path.removeprefix("/api/v1"), media_type, content, operation


EXAMPLES = [
    Example(method, path, media_type, name, example["value"], operation)
    for method, path, media_type, content, operation in bodies()
    for name, example in content.get("examples", {}).items()
]


def test_every_json_body_has_an_example() -> None:
    without = [
        f"{method} {path}"
        for method, path, media_type, content, _operation in bodies()
        if "json" in media_type and not content.get("examples")
    ]
    assert without == []


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_carried_out(place: Place, example: Example) -> None:
    operation = probes.name_of(example.method, example.path)
    probes.prepare(place, operation)
    call: Call = dataclasses.replace(probes.call_of(operation), body=example.body, content_type=example.media_type)
    answer = place.ask(EVERYTHING, call)
    assert answer.status_code < 300, answer.content.decode()
    promised = example.operation["responses"][str(answer.status_code)]
    media_type = answer.headers.get("Content-Type", "").split(";")[0]
    if answer.content:
        component = promised["content"][media_type]["schema"].get("$ref", "").rpartition("/")[2]
        if component:
            check(document(), component, answer.json())
