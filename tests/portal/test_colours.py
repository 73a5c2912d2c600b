"""Colours that carry words keep the contrast that WCAG asks of text; axe cannot always tell, so they are pinned here."""

import re
from pathlib import Path

import pytest

from portal import vendored

SHEET = (Path(vendored.__file__).parent / "static/portal/portal.css").read_text(encoding="utf-8")
INK = "#17324d"
ENOUGH = 4.5


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    whole = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def variable(name: str) -> str:
    found = re.search(rf"--portal-{name}:\s*(#\w+)", SHEET)
    assert found
    return found[1]


def test_the_measure_is_right() -> None:
    assert round(contrast("#000", "#ffffff"), 1) == 21
    assert round(contrast("#767676", "#fff"), 2) == 4.54


@pytest.mark.parametrize("group", ["ongoing", "delivered", "undeliverable", "to-fix", "closed"])
def test_state_tags(group: str) -> None:
    found = re.search(rf"\.tag-{group} {{ background: (#\w+); color: (#\w+)", SHEET)
    assert found
    assert contrast(found[1], found[2]) >= ENOUGH


@pytest.mark.parametrize("kind", ["danger", "warning", "success", "info"])
def test_alerts(kind: str) -> None:
    found = re.search(rf"\.alert-{kind} {{ border-color: [^;]+; background: (#\w+)", SHEET)
    assert found
    assert contrast(INK, found[1]) >= ENOUGH
    assert contrast(variable("blue-deep"), found[1]) >= ENOUGH


@pytest.mark.parametrize("ground", ["ground", "sheet"])
def test_quiet_words_on_both_grounds(ground: str) -> None:
    assert contrast(variable("muted"), variable(ground)) >= ENOUGH
    assert contrast(variable("ink"), variable(ground)) >= ENOUGH


def test_borders_of_fields_can_be_seen() -> None:
    assert contrast(variable("field-line"), variable("sheet")) >= 3
