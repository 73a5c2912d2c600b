"""JSON as the standard means it, and nothing else: what PostgreSQL, IO or a careless reader would trip on is refused here.

Integers arrive as `int`, every other number as an exact `Decimal`. The C scanner of the standard library does the work;
its hooks leave a mark where something is wrong, and only then the tree is walked to name each place.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any

from django.conf import settings
from django.http import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from rest.errors import MAX_ERRORS, ErrorItem, Text, pointer
from rest.problems import Problem

MAX_DEPTH = 20
MAX_DIGITS = 20
# A thousand messages with all the placeholders they may have stay below. A short text can hold many values, and each
# takes a hundred bytes of memory and more.
MAX_VALUES = 2_000_000

# Only an escape can bring these in: raw control characters and raw surrogates do not survive the decoder.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SUSPECT_CHARACTER = re.compile("[\x00\ud800-\udfff]")
# A string is swallowed whole, even when it never ends, so that the search stays linear on hostile input.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_ALL_BUT_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)|[^"\[\]{},]++', re.DOTALL)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}

# What the standard library says (the part of its message that is the same on every Python we run), in our words.
_SYNTAX = {
    "Extra data": gettext_noop("dopo la fine del valore c'è altro testo: va tolto"),
    "Expecting value": gettext_noop("qui manca un valore"),
    "Expecting property name": gettext_noop("qui serve un nome fra virgolette doppie"),
    "Expecting ':' delimiter": gettext_noop("qui servono i due punti"),
    "Expecting ',' delimiter": gettext_noop("qui serve una virgola o la parentesi di chiusura"),
    "Illegal trailing comma": gettext_noop("la virgola prima della parentesi di chiusura va tolta"),
    "Unterminated string": gettext_noop("le virgolette aperte qui non vengono chiuse"),
    "Invalid control character": gettext_noop(
        "a capo e caratteri di controllo in una stringa vanno scritti come \\n o \\u00XX"
    ),
    "Invalid \\": gettext_noop("la sequenza che comincia con la barra rovesciata non esiste in JSON"),
}


class Malformed(Exception):
    """The text is not JSON that we accept; `errors` names every place found."""

    def __init__(self, *errors: ErrorItem) -> None:
        super().__init__(", ".join(error.code for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class _Fault:
    """Stands in the tree for a number that is refused, until the walk gives it a pointer."""

    code: str
    detail: Text


class _Repeating(dict[str, Any]):
    """An object some of whose names came twice; readers disagree on which one counts, so we take neither."""

    repeated: frozenset[str] = frozenset()


class _Hooks:
    """The scanner's callbacks for one text; `marked` tells that a mark was left somewhere in the tree."""

    def __init__(self) -> None:
        self.marked = False

    def integer(self, literal: str) -> int | _Fault:
        if len(literal) > MAX_DIGITS and len(literal.lstrip("-")) > MAX_DIGITS:
            return self._number_too_long()
        return int(literal)

    def decimal(self, literal: str) -> Decimal | _Fault:
        mantissa, _e, exponent = literal.lower().partition("e")
        digits = len(mantissa) - mantissa.count(".") - mantissa.count("-")
        # The text is measured before any arithmetic: 1e999999999 is short to write and endless to expand.
        if digits > MAX_DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > MAX_DIGITS:
            return self._number_too_long()
        return Decimal(literal)

    def constant(self, literal: str) -> _Fault:
        self.marked = True
        return _Fault("number_not_finite", _("NaN e Infinity non sono numeri JSON: usa un numero o null."))

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        self.marked = True
        seen: set[str] = set()
        twice = {name for name, _value in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
        marked = _Repeating(plain)
        marked.repeated = frozenset(twice)
        return marked

    def _number_too_long(self) -> _Fault:
        self.marked = True
        return _Fault(
            "number_too_long",
            _("Il numero ha più di 20 cifre o un esponente troppo grande: se è un codice, scrivilo come stringa."),
        )


def parse(body: bytes) -> Any:
    """The value written in `body`; raises `Malformed`. A UTF-8 byte order mark is skipped, as RFC 8259 allows."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = _("Il corpo non è UTF-8 valido (byte %(byte)s): invialo in UTF-8.") % {"byte": error.start + 1}
        raise Malformed(ErrorItem("invalid_utf8", "", detail)) from None
    if not text.strip(" \t\r\n"):
        raise Malformed(_missing())
    _check_structure(text)
    hooks = _Hooks()
    try:
        value = json.loads(
            text,
            parse_int=hooks.integer,
            parse_float=hooks.decimal,
            parse_constant=hooks.constant,
            object_pairs_hook=hooks.pairs,
        )
    except json.JSONDecodeError as error:
        raise Malformed(_syntax_error(error)) from None
    if hooks.marked or _SUSPECT_ESCAPE.search(text):
        found = tuple(itertools.islice(_faults(value), MAX_ERRORS + 1))
        if found:
            raise Malformed(*found)
    return value


def _check_structure(text: str) -> None:
    """Before anything is built: neither too deep nor too many values."""
    opening = text.count("[") + text.count("{")
    if opening <= MAX_DEPTH and text.count(",") < MAX_VALUES:
        return
    # Cheap for a thousand messages that are not deep; only what is deep is walked to tell the place.
    structure = _ALL_BUT_STRUCTURE.sub("", text)
    brackets = structure.replace(",", "")
    if len(structure) - len(brackets) + brackets.count("[") + brackets.count("{") > MAX_VALUES:
        detail = _("Il documento ha più di %(limit)s valori: dividilo in più richieste.") % {"limit": MAX_VALUES}
        raise Malformed(ErrorItem("too_many_values", "", detail))
    if max(itertools.accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise Malformed(_too_deep(text))


def _too_deep(text: str) -> ErrorItem:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
                if depth > MAX_DEPTH:
                    detail = _("%(place)s: più di 20 livelli di annidamento: riducili.") % {
                        "place": _place(text, token.start())
                    }
                    return ErrorItem("too_deep", "", detail)
            case "]" | "}":
                depth -= 1
    raise AssertionError("it is not deep")


def _syntax_error(error: json.JSONDecodeError) -> ErrorItem:
    reason = next((ours for theirs, ours in _SYNTAX.items() if error.msg.startswith(theirs)), None)
    place = {"place": _place(error.doc, error.pos)}
    if reason is None:
        return ErrorItem("invalid_json", "", _("%(place)s: il corpo non è JSON valido.") % place)
    detail = _("%(place)s: il corpo non è JSON valido, %(reason)s.") % (place | {"reason": _(reason)})
    return ErrorItem("invalid_json", "", detail)


def _place(text: str, position: int) -> Text:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return _("Riga %(line)s, colonna %(column)s") % {"line": line, "column": column}


def _faults(value: Any, *steps: str | int) -> Iterator[ErrorItem]:
    match value:
        case _Fault():
            yield ErrorItem(value.code, pointer(*steps), value.detail)
        case str():
            yield from _text_faults(value, *steps)
        case list():
            for index, item in enumerate(value):
                yield from _faults(item, *steps, index)
        case dict():
            for name in sorted(value.repeated) if isinstance(value, _Repeating) else ():
                detail = _("Il nome compare più di una volta nello stesso oggetto: tienine uno solo.")
                yield ErrorItem("duplicate_key", pointer(*steps, name), detail)
            for name, item in value.items():
                yield from _text_faults(name, *steps, name)
                yield from _faults(item, *steps, name)


def _text_faults(text: str, *steps: str | int) -> Iterator[ErrorItem]:
    found = _SUSPECT_CHARACTER.search(text)
    if found is None:
        return
    if found.group() == "\x00":
        yield ErrorItem("nul_character", pointer(*steps), _("Il testo contiene il carattere NUL (\\u0000): toglilo."))
    else:
        detail = _("Il testo contiene metà di una coppia surrogata (\\ud800-\\udfff): scrivi il carattere intero.")
        yield ErrorItem("lone_surrogate", pointer(*steps), detail)


class StrictJSONParser(BaseParser):
    """DRF's door to `parse`. Only `application/json`, in UTF-8, not compressed, of at most `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes."""

    media_type = "application/json"

    def limit(self) -> int:
        """In bytes; a subclass says more where more is meant."""
        return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        _check_coding(parser_context)
        limit = self.limit()
        try:
            body = stream.read(limit + 1)
        except UnreadablePostError:
            raise Problem(
                400,
                code="body_incomplete",
                detail=_("Il corpo si è interrotto prima della fine: ripeti la richiesta."),
            ) from None
        if len(body) > limit:
            detail = _("Il corpo supera %(limit)s byte: dividilo in più richieste.") % {"limit": limit}
            raise Problem(413, code="body_too_large", detail=detail)
        try:
            return parse(body)
        except Malformed as malformed:
            raise Problem(400, code="invalid_json", errors=malformed.errors) from None


def body_of(request: Request) -> Any:
    """The parsed body. An absent one is a fault, where DRF would make an empty object of it."""
    if request.stream is None:
        raise Problem(400, code="body_missing", errors=[_missing()])
    return request.data


def _missing() -> ErrorItem:
    return ErrorItem("body_missing", "", _("Il corpo è vuoto: serve un documento JSON."))


def _check_coding(parser_context: Mapping[str, Any] | None) -> None:
    request = (parser_context or {}).get("request")
    if request is None:
        return
    charset = request.content_params.get("charset", "utf-8").lower()
    if (
        charset not in {"utf-8", "utf8", "us-ascii"}
        or request.headers.get("Content-Encoding", "identity") != "identity"
    ):
        raise UnsupportedMediaType(request.content_type)
