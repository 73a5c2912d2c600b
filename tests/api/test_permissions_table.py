"""docs/api/permissions.md says who may do what; here everybody tries everything, and the page is right.

A new route without a row fails, and so does a row without a route.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from registry.models import Scope
from tests import factories
from tests.api import probes, routes
from tests.api.place import CAST, EVERYTHING, Call, Place
from tests.support import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api" / "permissions.md"
ROWS = {
    f"{row['Method']} {row['Route'].replace('`', '')}": row
    for row in markdown.tables_with(PAGE, "Method", "Route", "Scopes", *CAST)
}
# In a list: answered, and what is in question is not in it.
NOT_SHOWN = "–"
ANY, PUBLIC = "any", "public"
# What whoever may not see it must not read anywhere, and what nobody may.
NAMES = (
    "Comune 1",
    "Servizio 1",
    "Modello 1",
    "Persona Uno",
    "uno@example.it",
    "Programma 1",
    factories.messages.CODES[0],
)
KEYS_OF_IO = (b"key-of-the-tests", b"second-key-of-the-tests")


def told(answer: Any, lists: str) -> str:
    """An answer as the table writes it; `lists` is the member that is 1 in the item in question."""
    if answer.status_code == 200 and lists and not any(one[lists] == 1 for one in answer.json()["items"]):
        return NOT_SHOWN
    return str(answer.status_code)


def lacks_scope(answer: Any) -> bool:
    return answer.status_code == 403 and [one["code"] for one in answer.json()["errors"]] == ["scope_missing"]


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    written = {
        (row["Method"], routes.plain(re.sub(r" \(.*\)$", "", row["Route"].replace("`", "")))) for row in ROWS.values()
    }
    assert written == set(routes.operations())


def test_every_row_has_a_probe_and_every_probe_a_row() -> None:
    assert set(ROWS) == set(probes.PROBES)


@pytest.mark.parametrize("operation", ROWS)
def test_each_person_gets_what_the_table_says(place: Place, operation: str) -> None:
    probes.prepare(place, operation)
    call = probes.call_of(operation)
    answers = {who: place.ask(who, call) for who in CAST}
    shown = {who: told(answer, probes.PROBES[operation].lists) for who, answer in answers.items()}
    assert shown == {who: ROWS[operation][who] for who in CAST}
    for who, answer in answers.items():
        assert not any(key in answer.content for key in KEYS_OF_IO), who
        if shown[who] in {"401", "404", "422", NOT_SHOWN}:
            assert [name for name in NAMES if name in answer.content.decode()] == [], who
    if call.method == "GET":
        head = dataclasses.replace(call, method="HEAD")
        assert {who: place.ask(who, head).status_code for who in CAST} == {
            who: answer.status_code for who, answer in answers.items()
        }


@pytest.mark.parametrize("operation", ROWS)
def test_the_scopes_of_a_key_open_what_the_table_says(place: Place, operation: str) -> None:
    probes.prepare(place, operation)
    call = probes.call_of(operation)
    opening = {scope.value for scope in Scope if not lacks_scope(place.ask(EVERYTHING, call, scopes=[scope]))}
    cell = ROWS[operation]["Scopes"]
    assert opening == (set(Scope.values) if cell in {ANY, PUBLIC} else set(markdown.words_in_code(cell)))


@pytest.mark.parametrize("operation", [name for name, row in ROWS.items() if row["Scopes"] == PUBLIC])
def test_what_is_public_asks_for_no_key_and_minds_none(place: Place, operation: str) -> None:
    call = probes.call_of(operation)
    assert place.send(call, {}).status_code == 200
    assert place.send(call, {"GovHub-Consumer-Principal": "not-a-key"}).status_code == 200


@pytest.mark.parametrize("who", CAST)
def test_any_other_address_is_unknown_to_everybody(place: Place, who: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/nothing", "/messages/", "/messages/1/nothing", "/users/1/authorizations/"):
            assert place.ask(who, Call(method, path)).status_code == 404
