"""The repository works on any machine and says what it offers."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.sources import ROOT, files

LOCKS = ("requirements", "requirements-dev")
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
PROMISED = {
    *("help", "run", "test", "lint", "types", "check", "migrations", "translations", "web", "worker", "beat", "bench"),
    "bench-crash",
}  # fmt: skip


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    somebodys = re.compile(r"(?<![\w.~)\]}])/(?:home/[a-z]|Users/[A-Za-z]|root/)")
    named = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        if path != Path(__file__) and (text := text_of(path)) is not None
        for match in [somebodys.search(text)]
        if match
    ]
    assert named == []


class TestMakefile:
    def test_offers_what_the_project_promises(self) -> None:
        assert targets() >= PROMISED

    def test_help_lists_every_target(self) -> None:
        shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"^  ([a-z-]+) ", shown, re.MULTILINE)) == targets()

    def test_documents_name_only_targets_that_exist(self) -> None:
        written = "\n".join(text for path in (*DOCUMENTS, *(ROOT / "docs").rglob("*.md")) if (text := text_of(path)))
        assert set(re.findall(r"(?:`|^)make ([a-z-]+)", written, re.MULTILINE)) <= targets()

    def test_contributing_explains_the_variables_of_the_tests(self) -> None:
        text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
        for variable in ("TEST_DATABASE_URL", "TEST_REDIS_URL", "TEST_BROWSER", "PYTHON", "VENV"):
            assert f"`{variable}" in text


@pytest.mark.parametrize("name", LOCKS)
class TestLocks:
    def test_hold_every_direct_dependency(self, name: str) -> None:
        asked = re.findall(r"^([a-z0-9][a-z0-9-]*)", (ROOT / f"{name}.in").read_text(), re.MULTILINE)
        locked = re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==", (ROOT / f"{name}.txt").read_text(), re.MULTILINE)
        assert set(asked) - set(locked) == set()

    def test_pin_every_package_with_its_hash(self, name: str) -> None:
        entries = re.split(r"\n(?=[a-z0-9])", (ROOT / f"{name}.txt").read_text())
        assert [entry.split("==")[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry] == []

    def test_name_no_registry(self, name: str) -> None:
        assert "://" not in (ROOT / f"{name}.txt").read_text()
        assert "index-url" not in (ROOT / f"{name}.txt").read_text()


def test_every_loosened_rule_of_the_tools_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignored = tomllib.loads(text)["tool"]["ruff"]["lint"]["ignore"]
    for rule in ignored:
        (line,) = [line for line in text.splitlines() if re.match(rf'\s+(".*", )?"{rule}"', line)]
        assert "# " in line, f"{rule} is ignored without a reason"


class TestPubliccode:
    @pytest.fixture
    def publiccode(self) -> dict[str, object]:
        loaded = yaml.safe_load((ROOT / "publiccode.yml").read_text(encoding="utf-8"))
        assert isinstance(loaded, dict)
        return loaded

    def test_has_what_the_standard_asks_for(self, publiccode: dict[str, object]) -> None:
        asked = {
            *("publiccodeYmlVersion", "name", "url", "platforms", "developmentStatus", "softwareType"),
            *("description", "legal", "maintenance", "localisation"),
        }
        assert publiccode.keys() >= asked

    def test_names_the_licence_that_the_repository_carries(self, publiccode: dict[str, object]) -> None:
        assert publiccode["legal"] == {"license": "EUPL-1.2"}
        assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("EUROPEAN UNION PUBLIC LICENCE v. 1.2")

    @pytest.mark.parametrize("language", ["it", "en"])
    def test_describes_itself_within_the_lengths_of_the_standard(
        self, publiccode: dict[str, object], language: str
    ) -> None:
        descriptions = publiccode["description"]
        assert isinstance(descriptions, dict)
        description = descriptions[language]
        assert len(description["shortDescription"]) <= 150
        assert 150 <= len(description["longDescription"]) <= 10_000
        assert description["features"]
