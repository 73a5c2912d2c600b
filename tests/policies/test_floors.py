"""Imports only point down: the contracts are in pyproject.toml, and the pure modules stay pure."""

import ast
import subprocess
import sys

import pytest

from tests.support.sources import ROOT

# Rules that HTML, API and CSV share: they get values and give values, so they touch neither database nor request.
PURE = (
    "messaging/validating.py",
    "templates_app/placeholders.py",
    "templates_app/rendering.py",
    "templates_app/linting.py",
    "templates_app/findings.py",
)
IMPURE = ("django.db", "django.http", "django.conf", "rest_framework", "celery")


def test_every_import_points_down() -> None:
    program = "import sys; from importlinter.cli import lint_imports_command as check; sys.exit(check())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", PURE)
def test_pure_rules_touch_neither_database_nor_request(module: str) -> None:
    imported = []
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(node.module or "")
    assert [name for name in imported if name.startswith(IMPURE)] == []
