"""Placeholder patterns: regular expressions that a template's author writes and that can never be slow.

The standard library backtracks: `(a+)+b` against thirty `a` takes minutes, and no simple check tells such patterns from
honest ones. So the closed dialect below is compiled to an automaton that reads each character once. It holds what
patterns of codes and names use: literals, `.`, classes, groups, `|`, `? * + {m,n}`, `^` and `$`, with the meaning of
Java's `matches()`, as in GovIO: the whole value must match, and `\\d \\w \\s` are ASCII.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.utils.translation import gettext as _

# GovIO's column holds 255 characters. With all repetitions written out, so many single characters at most; the nodes
# are those and what joins them.
MAX_PATTERN: Final = 255
MAX_PLACES: Final = 500
MAX_NODES: Final = 1_100
# Longer values are refused where there is a pattern: nobody describes a whole letter with one.
MAX_VALUE: Final = 2_000
_MAX_STEPS: Final = 10 * MAX_NODES
_MAX_KNOWN: Final = 512
_MAX_DEPTH: Final = 20

_DIGITS: Final = frozenset("0123456789")
_WORD: Final = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE: Final = frozenset(" \t\n\x0b\f\r")
_NAMED_SETS: Final = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_CATEGORIES: Final = frozenset({"L", "Lu", "Ll", "N", "Nd", "P", "Z", "Zs"})
_COUNT: Final = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{0,4}))?\}")
_CATEGORY: Final = re.compile(r"\{([A-Z][a-z]?)\}")
_CODE_POINT: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})")


class PatternError(ValueError):
    """The pattern is not in the dialect; the message is Italian and says what to change."""


@dataclass(frozen=True, slots=True)
class _Chars:
    """A set of characters: singles, ranges, Unicode categories, other sets; or all but those."""

    singles: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, str], ...] = ()
    categories: frozenset[str] = frozenset()
    others: tuple["_Chars", ...] = ()
    negated: bool = False

    def __contains__(self, character: str) -> bool:
        found = (
            character in self.singles
            or any(low <= character <= high for low, high in self.ranges)
            or (bool(self.categories) and not self.categories.isdisjoint(_categories_of(character)))
            or any(character in other for other in self.others)
        )
        return found is not self.negated


# As in Java, a dot does not stand for a line end.
_DOT: Final = _Chars(singles=frozenset("\n\r\x85\u2028\u2029"), negated=True)


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple["_Tree", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    branches: tuple["_Tree", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: "_Tree"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class _Edge:
    """`^` (at the start) or `$` (at the end)."""

    at_start: bool


_Tree = _Chars | _Sequence | _Choice | _Repeat | _Edge


class Pattern:
    """A compiled pattern. `matches` looks up as much for each character of a value, whatever was read before.

    The places of a tree's characters are numbered; the bits of an int say which of them what was read so far can have
    led to. Nothing about values is kept but which places each character may stand at, and that of few characters.
    """

    def __init__(self, source: str) -> None:
        """Raises PatternError."""
        if len(source) > MAX_PATTERN:
            raise PatternError(_("L'espressione supera %(limit)s caratteri.") % {"limit": MAX_PATTERN})
        self._labels: list[_Chars | _Edge | None] = []
        self._next: list[list[int]] = []
        self._steps = 0
        self._final = self._node(None)
        self._number(self._build(_Parser(source).tree(), then=self._final))

    def _number(self, first: int) -> None:
        """From the nodes, which are needed no more, the tables that `matches` reads."""
        places = [node for node, label in enumerate(self._labels) if isinstance(label, _Chars)]
        if len(places) > MAX_PLACES:
            raise _too_complex()
        self._end = 1 << len(places)
        own = [0] * len(self._labels)
        own[self._final] = self._end
        self._standing: dict[_Chars, int] = {}
        for number, node in enumerate(places):
            own[node] = 1 << number
            label = self._labels[node]
            assert isinstance(label, _Chars)
            self._standing[label] = self._standing.get(label, 0) | own[node]

        between = self._reached(own, at_start=False, at_end=False)
        at_end = self._reached(own, at_start=False, at_end=True)
        self._first = self._reached(own, at_start=True, at_end=False)[first]
        self._takes_nothing = bool(self._reached(own, at_start=True, at_end=True)[first] & self._end)
        self._last = 0
        following = []
        for number, node in enumerate(places):
            (exit_,) = self._next[node]
            following.append(between[exit_])
            if at_end[exit_] & self._end:
                self._last |= 1 << number
        # What four places lead to, by the hexadecimal digit that says which of them are meant.
        self._tables = [_table(following[at : at + 4]) for at in range(0, len(following), 4)]
        self._known: dict[str, int] = {}
        self._labels, self._next = [], []

    def _reached(self, own: list[int], *, at_start: bool, at_end: bool) -> list[int]:
        """For each node the places reached from it without reading a character, itself included."""
        found = list(own)
        changed = True
        # A node leads to earlier ones; only a loop leads to a later one, so few rounds settle everything.
        while changed:
            changed = False
            for node, label in enumerate(self._labels):
                if isinstance(label, _Chars) or (
                    isinstance(label, _Edge) and not (at_start if label.at_start else at_end)
                ):
                    continue
                reached = found[node]
                for following in self._next[node]:
                    reached |= found[following]
                if reached != found[node]:
                    found[node] = reached
                    changed = True
        return found

    def matches(self, value: str) -> bool:
        if len(value) > MAX_VALUE:
            return False
        if not value:
            return self._takes_nothing
        reached = self._first
        read = 0
        for character in value:
            known = self._known.get(character)
            read = reached & (self._learn(character) if known is None else known)
            if not read:
                return False
            reached = 0
            for table, digit in zip(self._tables, reversed(f"{read:x}"), strict=False):
                reached |= table[digit]
        return bool(read & self._last)

    def _learn(self, character: str) -> int:
        """The places at which the character may stand."""
        if len(self._known) >= _MAX_KNOWN:
            # Hostile values could fill the memory one character at a time: forget, and start learning again.
            self._known.clear()
        places = 0
        for label, standing in self._standing.items():
            if character in label:
                places |= standing
        self._known[character] = places
        return places

    def _node(self, label: _Chars | _Edge | None, *following: int) -> int:
        if len(self._labels) >= MAX_NODES:
            raise _too_complex()
        self._labels.append(label)
        self._next.append(list(following))
        return len(self._labels) - 1

    def _build(self, tree: _Tree, *, then: int) -> int:
        """The entry of the automaton for `tree`, whose exits lead to `then`."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise _too_complex()
        match tree:
            case _Chars() | _Edge():
                return self._node(tree, then)
            case _Sequence(parts):
                for part in reversed(parts):
                    then = self._build(part, then=then)
                return then
            case _Choice(branches):
                return self._node(None, *(self._build(branch, then=then) for branch in branches))
            case _Repeat(part, least, most):
                if most is None:
                    loop = self._node(None, then)
                    self._next[loop].append(self._build(part, then=loop))
                    then = loop
                else:
                    end = then
                    for _time in range(most - least):
                        then = self._node(None, end, self._build(part, then=then))
                for _time in range(least):
                    then = self._build(part, then=then)
                return then


def _too_complex() -> PatternError:
    return PatternError(_("L'espressione è troppo complessa: riduci le ripetizioni."))


def _table(following: list[int]) -> dict[str, int]:
    table = {}
    for which in range(1 << len(following)):
        reached = 0
        for number, one in enumerate(following):
            if which >> number & 1:
                reached |= one
        table[f"{which:x}"] = reached
    return table


# The largest takes some 200 kB.
@lru_cache(maxsize=256)
def compile_pattern(source: str) -> Pattern:
    """Raises PatternError. The texts of templates are few and long-lived, so compiled patterns are kept."""
    return Pattern(source)


@lru_cache(maxsize=4_096)
def _categories_of(character: str) -> frozenset[str]:
    category = unicodedata.category(character)
    return frozenset({category, category[0]})


class _Parser:
    """Recursive descent; groups within groups are bounded, so that no pattern exhausts Python's stack."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0

    def tree(self) -> _Tree:
        tree = self._choice()
        if self._at < len(self._source):
            raise self._error(_("c'è una parentesi chiusa di troppo"))
        return tree

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def _error(self, reason: str) -> PatternError:
        return PatternError(
            _("Espressione non valida al carattere %(place)s: %(reason)s.")
            % {"place": min(self._at, len(self._source)) + 1, "reason": reason}
        )

    def _choice(self) -> _Tree:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._take()
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self) -> _Tree:
        parts: list[_Tree] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated())
        return _Sequence(tuple(parts))

    def _repeated(self) -> _Tree:
        atom = self._atom()
        repeated: _Tree
        match self._peek():
            case "?":
                repeated = _Repeat(atom, 0, 1)
            case "*":
                repeated = _Repeat(atom, 0, None)
            case "+":
                repeated = _Repeat(atom, 1, None)
            case "{":
                return self._lazy_mark(self._counted(atom))
            case _:
                return atom
        self._take()
        return self._lazy_mark(repeated)

    def _counted(self, atom: _Tree) -> _Tree:
        found = _COUNT.match(self._source, self._at)
        if found is None:
            raise self._error(_("dopo { serve un numero, come {2} o {2,5}; la parentesi come carattere si scrive \\{"))
        least = int(found[1])
        most = (int(found[3]) if found[3] else None) if found[2] else least
        if most is not None and most < least:
            raise self._error(_("nella ripetizione il massimo è minore del minimo"))
        self._at = found.end()
        return _Repeat(atom, least, most)

    def _lazy_mark(self, repeated: _Tree) -> _Tree:
        # Lazy or greedy, the whole value matches or does not; possessive would mean something else.
        if self._peek() == "?":
            self._take()
        if self._peek() and self._peek() in "*+?{":
            raise self._error(_("due ripetizioni di seguito"))
        return repeated

    def _atom(self) -> _Tree:
        match character := self._take():
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return _DOT
            case "^" | "$":
                return _Edge(at_start=character == "^")
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._at -= 1
                raise self._error(_("non c'è nulla da ripetere"))
            case _:
                return _Chars(singles=frozenset(character))

    def _group(self) -> _Tree:
        if self._peek() == "?":
            if self._source[self._at + 1 : self._at + 2] != ":":
                raise self._error(_("sono ammessi solo i gruppi ( ) e (?: ), non controlli in avanti, nomi o opzioni"))
            self._at += 2
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(_("ci sono troppi gruppi uno dentro l'altro"))
        tree = self._choice()
        self._depth -= 1
        if self._take() != ")":
            raise self._error(_("manca una parentesi chiusa"))
        return tree

    def _escape(self) -> _Chars:
        character = self._take()
        if character == "":
            raise self._error(_("la barra rovesciata finale non precede nulla"))
        if character.lower() in _NAMED_SETS and character.isascii():
            return _Chars(singles=_NAMED_SETS[character.lower()], negated=character.isupper())
        if character in {"p", "P"}:
            return self._category(negated=character == "P")
        self._at -= 1
        code_point = _CODE_POINT.match(self._source, self._at)
        if code_point is not None:
            self._at = code_point.end()
            return _Chars(singles=frozenset(chr(int(code_point[1] or code_point[2], 16))))
        if character.isalnum() and character not in _CONTROLS:
            raise self._error(_("la sequenza \\%(character)s non è ammessa") % {"character": character})
        self._at += 1
        return _Chars(singles=frozenset(_CONTROLS.get(character, character)))

    def _category(self, *, negated: bool) -> _Chars:
        found = _CATEGORY.match(self._source, self._at)
        if found is None or found[1] not in _CATEGORIES:
            raise self._error(_("dopo \\p sono ammessi {L}, {Lu}, {Ll}, {N}, {Nd}, {P}, {Z}, {Zs}"))
        self._at = found.end()
        return _Chars(categories=frozenset({found[1]}), negated=negated)

    def _class(self) -> _Chars:
        negated = self._peek() == "^"
        if negated:
            self._take()
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        others: list[_Chars] = []
        first = True
        while first or self._peek() != "]":
            low = self._class_member(first=first)
            first = False
            if self._peek() == "-" and self._source[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._take()
                ranges.append(self._range(low, self._class_member(first=False)))
            elif len(low.singles) == 1 and not low.negated:
                singles.update(low.singles)
            else:
                others.append(low)
        self._take()
        return _Chars(singles=frozenset(singles), ranges=tuple(ranges), others=tuple(others), negated=negated)

    def _class_member(self, *, first: bool) -> _Chars:
        character = self._take()
        if character == "":
            raise self._error(_("manca una parentesi quadra chiusa"))
        if character == "\\":
            return self._escape()
        # Java and Python read these differently (unions, intersections, a first ]), so the author must say which.
        if character == "[" or (first and character == "]") or (character == "&" and self._peek() == "&"):
            raise self._error(
                _("dentro le parentesi quadre %(character)s si scrive \\%(character)s") % {"character": character}
            )
        return _Chars(singles=frozenset(character))

    def _range(self, low: _Chars, high: _Chars) -> tuple[str, str]:
        if any(len(end.singles) != 1 or end.negated for end in (low, high)):
            raise self._error(_("un intervallo va da un carattere a un altro, come a-z"))
        (lowest,), (highest,) = low.singles, high.singles
        if lowest > highest:
            raise self._error(_("l'intervallo va scritto dal minore al maggiore"))
        return lowest, highest
