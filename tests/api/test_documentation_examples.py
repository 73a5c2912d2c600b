"""The pages for integrators show calls that run: each page is run from the top, against a server, as a reader would.

The blocks of one language of a page are one session. Where a block is followed by ```json or ```text, that is what it
prints: of JSON the members shown (ids and addresses depend on the installation), of text the very lines.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from messaging.states import Delivery
from registry.models import AmountUnit, Consumer, ConsumerKey, Scope
from tests.api import place as places
from tests.api.place import EVERYTHING, Place
from tests.support import markdown, services
from tests.support.markdown import Block

PAGES = Path(__file__).resolve().parents[2] / "docs" / "api"
# What a page says the reader has to put in.
ADDRESS, OWN_KEY = "http://localhost:8000", "giop_..."
IN_CENTS = "of a consumer in cents"
INTERPRETERS = {"sh": ["bash", "-eu"], "python": [sys.executable]}
# Between what one block prints and what the next does.
MARKS = {"sh": "printf '\\036'\n", "python": "print('\\036', end='', flush=True)\n"}
# Members whose values are chosen by the installation.
OF_THE_INSTALLATION = {"id", "href", "key", "url", "etag"}
SESSIONS = [
    (page, language)
    for page in sorted(PAGES.glob("*.md"))
    for language in INTERPRETERS
    if any(block.language == language for block in markdown.blocks(page))
]


@dataclass(frozen=True, slots=True)
class Step:
    """A block of code, and the block that shows what it prints, where there is one."""

    code: Block
    shown: Block | None


def steps(page: Path, language: str) -> list[Step]:
    found = markdown.blocks(page)
    return [
        Step(block, following if following and following.language in {"json", "text"} else None)
        for block, following in zip(found, [*found[1:], None], strict=True)
        if block.language == language
    ]


def key_of(page: Path, place: Place) -> str:
    """Of a consumer with every right, in the unit of the page."""
    if IN_CENTS not in page.read_text(encoding="utf-8"):
        return place.key_of(EVERYTHING)
    consumer = Consumer.objects.create(
        name="Programma in centesimi", user=place.people[EVERYTHING], amount_unit=AmountUnit.CENTS
    )
    return ConsumerKey.issue(consumer, scopes=list(Scope.values))[1]


def has(answered: Any, shown: Any, name: str = "") -> None:
    """`shown` is a part of `answered`."""
    match shown:
        case dict():
            assert isinstance(answered, dict), name
            for member in shown:
                assert member in answered, f"{name}/{member}"
                has(answered[member], shown[member], f"{name}/{member}")
        case list():
            assert isinstance(answered, list), name
            assert len(answered) == len(shown), name
            for index, (one, other) in enumerate(zip(answered, shown, strict=True)):
                has(one, other, f"{name}/{index}")
        case _:
            if name.rpartition("/")[2] not in OF_THE_INSTALLATION:
                assert answered == shown, name


@pytest.fixture
def place(transactional_db: None) -> Place:
    made = places.make()
    made.message(Delivery.SCHEDULED)
    return made


def test_curl_is_here() -> None:
    assert shutil.which("curl"), services.NO_CURL


@pytest.mark.parametrize(("page", "language"), SESSIONS, ids=lambda value: getattr(value, "name", value))
def test_a_page_does_what_it_says(place: Place, live_server: Any, tmp_path: Path, page: Path, language: str) -> None:
    todo = steps(page, language)
    key = key_of(page, place)
    script = MARKS[language].join(step.code.text for step in todo)
    script = script.replace(ADDRESS, live_server.url).replace(OWN_KEY, key)
    done = subprocess.run(
        [*INTERPRETERS[language], "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "API": f"{live_server.url}/api/v1", "KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for step, printed in zip(todo, done.stdout.split("\x1e"), strict=True):
        if step.shown is None:
            assert '"status":4' not in printed, (step.code.text, printed)
            assert '"status":5' not in printed, (step.code.text, printed)
        elif step.shown.language == "text":
            assert printed.splitlines() == step.shown.text.splitlines(), step.code.text
        else:
            has(json.loads(printed), json.loads(step.shown.text))
