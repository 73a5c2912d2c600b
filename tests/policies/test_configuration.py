"""Every variable that configures the product is documented, and nothing else is."""

import ast
import re
from pathlib import Path

from tests.support.environment import variables_read
from tests.support.sources import PRODUCT, ROOT, python_files

TABLE = ROOT / "docs/configuration.md"
EXAMPLE = ROOT / ".env.example"

# Asks which variables are set, without reading what they say.
MAY_LOOK_INTO_THE_ENVIRONMENT = {Path("govio_portal/env.py"), Path("govio_portal/production.py")}


def names(path: Path, pattern: str) -> set[str]:
    assert path.exists(), f"{path.relative_to(ROOT)} is missing"
    return set(re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE))


def read_by_the_product() -> set[str]:
    # Every secret can also come from a file: one sentence says so for all of them.
    return {name for name in variables_read() if not name.endswith("_FILE")}


def test_every_variable_has_its_row_in_the_configuration_table() -> None:
    documented = names(TABLE, r"^\|\s*`([A-Z][A-Z0-9_]*)`")
    assert read_by_the_product() - documented == set(), "read by the code, without a row in docs/configuration.md"
    assert documented - read_by_the_product() == set(), "in docs/configuration.md, read by nobody"


def test_every_variable_is_in_the_example() -> None:
    shown = names(EXAMPLE, r"^#?\s*([A-Z][A-Z0-9_]*)=")
    assert read_by_the_product() - shown == set(), "read by the code, missing in .env.example"
    assert shown - read_by_the_product() == set(), "in .env.example, read by nobody"


def test_the_environment_is_read_in_one_place() -> None:
    elsewhere = [
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in python_files(*PRODUCT)
        if path.relative_to(ROOT) not in MAY_LOOK_INTO_THE_ENVIRONMENT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if reads_environment(node)
    ]
    assert elsewhere == [], "use govio_portal.env, so that the variable is typed and documented"


def reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in {"os.getenv", "os.environ.get", "environ.get", "getenv"}
    return (
        isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and ast.unparse(node.value) == "os.environ"
    )
