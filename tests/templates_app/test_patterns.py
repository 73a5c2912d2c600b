import re
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates_app.patterns import MAX_PLACES, MAX_VALUE, Pattern, PatternError

SYMBOLS = "abC1_ -."
ATOMS = st.sampled_from(
    ["a", "b", "C", "1", ".", "[ab]", "[^a]", "[a-c1-]", r"\d", r"\w", r"\S", r"\.", "(?:a|b1)", "(a)", "^", "$"]
)
COUNTS = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,}", "{0,2}", "*?"])
PATTERNS = st.lists(st.tuples(ATOMS, COUNTS).map("".join), max_size=5).map("".join)


def usable(source: str) -> bool:
    # Repeated anchors are not in the standard library's taste.
    return not re.search(r"[\^$][?*+{]", source)


class TestMatches:
    @given(
        source=st.lists(PATTERNS, min_size=1, max_size=3).map("|".join).filter(usable),
        value=st.text(alphabet=SYMBOLS, max_size=8),
    )
    @settings(max_examples=400, deadline=None)
    def test_agrees_with_the_standard_library(self, source: str, value: str) -> None:
        assert Pattern(source).matches(value) == (re.fullmatch(source, value, re.ASCII) is not None)

    @pytest.mark.parametrize(
        ("source", "good", "bad"),
        [
            (r"[A-Z]{2}[0-9]{5}[A-Z]{2}", "CA00000AA", "ca00000aa"),
            (r"[A-Za-zÀ-ÿ' ]+( [A-Za-z]+)*", "Mario D'Alò", "Mario2"),
            (r"\p{Lu}\p{L}*", "Žofie", "žofie"),
            (r"[\p{L} ]+", "Società d", "Società 1"),
            (r"^\d{2}/\d{2}/\d{4}$", "01/02/2026", "01/02/26"),
            (r"(si|no)", "si", "sino"),
            (r"\u00e8|\x41", "è", "e"),
            (r"[\]\[-]+", "[-]", "a"),
            (r"\d+", "12", "١٢"),
        ],
    )
    def test_reads_what_authors_write(self, source: str, good: str, bad: str) -> None:
        assert Pattern(source).matches(good)
        assert not Pattern(source).matches(bad)

    def test_refuses_values_longer_than_any_code(self) -> None:
        assert Pattern("a*").matches("a" * MAX_VALUE)
        assert not Pattern("a*").matches("a" * (MAX_VALUE + 1))

    def test_takes_as_many_characters_as_repetitions_may_come_to(self) -> None:
        assert Pattern(".{0,500}").matches("è" * 500)
        assert not Pattern(".{0,500}").matches("è" * 501)


HOSTILE = [
    # Backtracking never finishes these.
    "(a+)+b", "(a*)*b", "(a|a)*b", "(a|aa)+b", r"(.*)*b", r"\w*\w*\w*\w*b", "((a?){20}){20}b",
    # Of these a table of all that was met would never end, or each of its rows is long.
    ".*.{0,490}", "(.*|.{1,480})", "(.|.|.|.|.|.|.|.)*.{0,450}", "(.?){490}", r"(\w|\p{L}|[a-z])*(a|b){0,240}.*", ".*a.{400}",
]  # fmt: skip


class _Counted(dict[str, int]):
    """A table of a pattern that counts how often it is looked into."""

    looks = 0

    def __getitem__(self, digit: str) -> int:
        _Counted.looks += 1
        return super().__getitem__(digit)


def looks(pattern: Pattern, value: str) -> int:
    """How often matching looks into a table: all that its cost depends on."""
    pattern._tables = [_Counted(table) for table in pattern._tables]
    _Counted.looks = 0
    pattern.matches(value)
    return _Counted.looks


def size(pattern: Pattern) -> int:
    tables: list[Mapping[str, int]] = [pattern._known, *pattern._tables]
    return sum(sys.getsizeof(table) + sum(map(sys.getsizeof, table.values())) for table in tables)


@pytest.mark.parametrize("source", HOSTILE)
class TestAHostilePattern:
    def test_costs_the_same_for_each_character_of_the_longest_value(self, source: str) -> None:
        pattern = Pattern(source)
        value = "".join("ab"[step * step * 7 % 11 % 2] for step in range(MAX_VALUE))
        for values in (value, "a" * MAX_VALUE):
            assert looks(pattern, values) <= len(values) * MAX_PLACES / 4
        assert looks(pattern, "a" * 1_000) <= looks(pattern, "a" * 500) * 2 + MAX_PLACES

    def test_keeps_little_whatever_values_it_met(self, source: str) -> None:
        pattern = Pattern(source)
        for start in range(0x4E00, 0x9E00, MAX_VALUE):
            pattern.matches("".join(chr(start + step) for step in range(MAX_VALUE)))
            pattern.matches("".join("ab"[(start + step) * step % 13 % 2] for step in range(MAX_VALUE)))
        assert size(pattern) < 300_000


class TestPattern:
    @pytest.mark.parametrize(
        "source",
        ["(", ")", "[", "[]", "[]a]", "a)", "*a", "a**", "a++", "a{", "a{x}", "a{3,2}", r"a\1", r"(a)\1", "(?=a)", "(?i)a", "(?<n>a)",
         "[z-a]", r"[\d-z]", "[[a]]", "[a&&b]", r"\q", r"\p{Xx}", r"\p", "\\", "a{9999}", "a{501}", "(a?){600}", "((a{99}){99}){99}", "(" * 100 + ")" * 100,
         "(((){999}){999}){999}", "a" * 256],
    )  # fmt: skip
    def test_refuses_what_is_outside_the_dialect_and_says_why(self, source: str) -> None:
        with pytest.raises(PatternError) as caught:
            Pattern(source)
        assert str(caught.value)
