"""Requests made up from our own document, right and wrong ones: nothing breaks, and no answer is outside the document.

Bounded and the same at every run: it is a check of each change, not a search. Ids in addresses and the service instance
are drawn from a few, known and unknown and beyond what the database counts; free numbers would nearly always be unknown.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from govio_portal.wsgi import application
from rest.schema import document
from tests.api import probes
from tests.api.integrator import HEADER
from tests.api.place import EVERYTHING, ROOT, Place

EXAMPLES = 6
IDS = [1, 2, 77, 2**31, 2**63]
EVERY_CHECK = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def with_known_ids(whole: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(whole)
    for operations in made["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                is_id = parameter["in"] == "path" or parameter["name"].endswith(("service_instance", "_id"))
                if is_id and parameter["schema"].get("type") == "integer":
                    parameter["schema"] = {"type": "integer", "enum": IDS}
    return made


config = SchemathesisConfig()
schema = schemathesis.openapi.from_dict(with_known_ids(document()), config=config)
schema.app = application


@pytest.fixture
def served(place: Place) -> Iterator[Place]:
    """The application is called as by a server, which would close the connection that holds the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield place
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_outside_the_document(served: Place, case: schemathesis.Case) -> None:
    case.headers[HEADER] = served.key_of(EVERYTHING)
    with transaction.atomic():
        probes.prepare(served, probes.name_of(case.operation.method.upper(), case.path.removeprefix(ROOT)))
        case.call_and_validate(checks=EVERY_CHECK)
        transaction.set_rollback(True)
