"""What the pages for integrators promise is what the code does."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("rest", "registry/api", "messaging/api", "messaging", "templates_app")
# How a code is given to whatever carries it.
_GIVEN = re.compile(
    r"(?:\bcode=|ErrorItem\(|_on_query\(|_fixed\(\d+, |_Fault\(|findings\.(?:malformed|impossible|warn)\("
    r"|UnreadableAmount\(|InvalidValue\()\s*\"([a-z][a-z0-9_]+)\""
)
# Only templates are checked for these, when they are saved.
_OF_TEMPLATES = re.compile(r"(?:linting|_rules|publishing|grammar|compiling|markdown|private_data)\.py$")


def codes_in_use() -> set[str]:
    files = [file for source in SOURCES for file in (ROOT / source).glob("*.py") if not _OF_TEMPLATES.search(file.name)]
    return {code for file in files for code in _GIVEN.findall(file.read_text(encoding="utf-8"))}


def test_every_error_code_is_explained() -> None:
    explained = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs/api/errors.md").read_text(encoding="utf-8")))
    in_use = codes_in_use()
    assert len(in_use) > 40
    assert in_use - explained == set()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for address in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _hash, heading = address.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), address
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, address
