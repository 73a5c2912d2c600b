"""Documents as data: the tables and the blocks of code of a Markdown page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROW = re.compile(r"^\|(.+)\|\s*$")
_RULE = re.compile(r"^\|[\s:|-]+\|\s*$")
_FENCE = re.compile(r"^```(\w*)\s*?\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language as written after the fence, and its text."""

    language: str
    text: str


def tables(page: Path) -> Iterator[list[dict[str, str]]]:
    """Each table as its rows, each row by the words of the heads. Cells keep their Markdown; `\\|` is a bar."""
    rows: list[list[str]] = []
    for line in (*page.read_text(encoding="utf-8").splitlines(), ""):
        if _RULE.match(line):
            continue
        if match := _ROW.match(line):
            cells = re.split(r"(?<!\\)\|", match[1])
            rows.append([cell.strip().replace("\\|", "|") for cell in cells])
        elif rows:
            head, *body = rows
            assert all(len(row) == len(head) for row in body), f"{page.name}: a row of {head} has other cells"
            yield [dict(zip(head, row, strict=True)) for row in body]
            rows = []


def tables_with(page: Path, *heads: str) -> list[dict[str, str]]:
    """The rows of all the tables that have these heads."""
    return [row for table in tables(page) if table and set(heads) <= set(table[0]) for row in table]


def blocks(page: Path) -> list[Block]:
    return [Block(language, text) for language, text in _FENCE.findall(page.read_text(encoding="utf-8"))]


def words_in_code(cell: str) -> list[str]:
    """What a cell has between backticks."""
    return re.findall(r"`([^`]+)`", cell)
