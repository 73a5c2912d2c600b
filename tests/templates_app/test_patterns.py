import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates_app.patterns import MAX_VALUE, Pattern, PatternError

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

    @pytest.mark.parametrize(
        "source", ["(a+)+b", "(a*)*b", "(a|a)*b", "(a|aa)+b", r"(.*)*b", r"\d*\d*\d*\d*b", "((a?){20}){20}b"]
    )
    def test_is_quick_on_patterns_that_backtracking_never_finishes(self, source: str) -> None:
        started = time.perf_counter()
        value = "1" if r"\d" in source else "a"
        assert not Pattern(source).matches(value * MAX_VALUE)
        assert time.perf_counter() - started < 2

    def test_refuses_values_longer_than_any_code(self) -> None:
        assert Pattern("a*").matches("a" * MAX_VALUE)
        assert not Pattern("a*").matches("a" * (MAX_VALUE + 1))

    def test_forgets_when_values_are_hostile(self) -> None:
        pattern = Pattern(".*x")
        for start in range(0x4E00, 0x9FFF, 1000):
            assert pattern.matches("".join(chr(start + step) for step in range(1000)) + "x")
        assert pattern._remembered <= 4_096


class TestPattern:
    @pytest.mark.parametrize(
        "source",
        ["(", ")", "[", "[]", "[]a]", "a)", "*a", "a**", "a++", "a{", "a{x}", "a{3,2}", r"a\1", r"(a)\1", "(?=a)", "(?i)a", "(?<n>a)",
         "[z-a]", r"[\d-z]", "[[a]]", "[a&&b]", r"\q", r"\p{Xx}", r"\p", "\\", "a{9999}", "((a{99}){99}){99}", "(" * 100 + ")" * 100,
         "(((){999}){999}){999}", "a" * 256],
    )  # fmt: skip
    def test_refuses_what_is_outside_the_dialect_and_says_why(self, source: str) -> None:
        with pytest.raises(PatternError) as caught:
            Pattern(source)
        assert str(caught.value)
