"""docs/api/contract.md: every operation of the API is in it, and the tests that it names exist."""

import ast
from functools import cache
from pathlib import Path

import pytest

from rest.schema import document
from tests.api import routes
from tests.support import markdown

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[1]
PAGE = ROOT / "docs" / "api" / "contract.md"
ROWS = markdown.tables_with(PAGE, "Method", "Route", "Operation", "Tested by")
DIFFERENCES = markdown.tables_with(PAGE.with_name("compatibility.md"), "Topic", "GovIO 1.2", "Here", "Held by")
EVERYWHERE = markdown.tables_with(PAGE, "Promise", "Tested by")


def operation(row: dict[str, str]) -> tuple[str, str]:
    return row["Method"], routes.plain(row["Route"].strip("`"))


@cache
def names_in(file: Path) -> frozenset[str]:
    """`test_x`, `TestY` and `TestY::test_z` of a file of tests."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {node.name} | {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return frozenset(names)


def test_every_operation_has_one_row() -> None:
    written = [operation(row) for row in ROWS]
    assert len(written) == len(set(written))
    assert set(written) == set(routes.operations())


def test_rows_name_operations_as_the_document_does() -> None:
    named = {
        (method.upper(), path.removeprefix("/api/v1").rstrip("/")): operation["operationId"]
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }
    # The page that shows the document is not in the document.
    written = {
        (row["Method"], row["Route"].strip("`")): row["Operation"].strip("`") for row in ROWS if row["Operation"] != "–"
    }
    assert written == named


@pytest.mark.parametrize("row", [*ROWS, *EVERYWHERE, *DIFFERENCES], ids=lambda row: " ".join(list(row.values())[:2]))
def test_the_tests_of_a_row_exist(row: dict[str, str]) -> None:
    named = markdown.words_in_code(row.get("Tested by") or row["Held by"])
    assert named, "no test"
    for test in named:
        file, _colons, name = test.partition("::")
        path = next((path for path in (TESTS / file, ROOT / "tests" / file) if path.exists()), None)
        assert path is not None, test
        assert not name or name in names_in(path), test
