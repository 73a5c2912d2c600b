"""Collects the sentences of the product, keeps their English in locale/en, and compiles it.

    python -m tools.translations            collect, keep what is translated, compile
    python -m tools.translations --check    fail when something is missing, left over, doubtful or not compiled

Sources are in Italian, so Italian needs no catalogue. Done with Babel, since GNU gettext is not on every machine.
"""

import argparse
import gettext
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation import templatize

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("govio_portal", "portal", "messaging", "templates_app", "registry", "rest")
CATALOGUE = ROOT / "locale/en/LC_MESSAGES/django.po"

# Which arguments are sentences, in gettext's notation: (1, 2) singular and plural, (1, "c") the context.
KEYWORDS: dict[str, tuple[Any, ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
COMMENT = "Translators:"

PLACEHOLDER = re.compile(r"%\((\w+)\)[a-zA-Z]|(?<![${])\{(\w*)\}")

# Lines that would change without a change of ours.
RESTLESS = ("POT-Creation-Date", "PO-Revision-Date", "Generated-By", "Last-Translator", "Language-Team", "Report-Msgid")

# The context, empty where there is none, and the forms.
Key = tuple[str, tuple[str, ...]]


@dataclass
class Sentence:
    """One thing to translate: its forms (one, or singular and plural) and where it is used."""

    context: str
    forms: tuple[str, ...]
    places: set[str] = field(default_factory=set)
    comments: list[str] = field(default_factory=list)


def sentences() -> dict[Key, Sentence]:
    found: dict[Key, Sentence] = {}
    for path in sorted(sources()):
        place = path.relative_to(ROOT).as_posix()
        for context, forms, comments in extracted(path):
            sentence = found.setdefault((context, forms), Sentence(context, forms))
            sentence.places.add(place)
            sentence.comments += [comment for comment in comments if comment not in sentence.comments]
    return found


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            parts = path.relative_to(ROOT).parts
            if (path.suffix == ".py" and "migrations" not in parts) or (
                path.suffix in {".html", ".txt"} and "templates" in parts
            ):
                yield path


def extracted(path: Path) -> Iterator[tuple[str, tuple[str, ...], list[str]]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        # Django turns a page into calls of gettext with everything else blanked out; its indentation is none of
        # Python's.
        text = "\n".join(line.lstrip() for line in templatize(text).splitlines())
    for _line, function, arguments, comments in calls(text):
        words = list(arguments) if isinstance(arguments, tuple) else [arguments]
        pattern = KEYWORDS[function] or (1,)
        contexts = [item[0] for item in pattern if isinstance(item, tuple)]
        positions = [item for item in pattern if not isinstance(item, tuple)]
        chosen = [words[position - 1] for position in (*contexts, *positions) if position <= len(words)]
        # A call with a variable instead of a sentence has nothing to collect.
        if len(chosen) == len(pattern) and all(chosen):
            yield (chosen[0] if contexts else ""), tuple(chosen[len(contexts) :]), comments


def calls(text: str) -> Iterator[tuple[int, str, str | tuple[str | None, ...], list[str]]]:
    """Line, function, its sentences and the comments above, for each call of KEYWORDS; Babel's types are narrower."""
    babel: Any = extract_python
    yield from babel(io.BytesIO(text.encode()), KEYWORDS, [COMMENT], {"encoding": "utf-8"})


def forms(message: Message) -> tuple[str, ...]:
    return tuple(message.id) if isinstance(message.id, (tuple, list)) else (str(message.id),)


def translations(message: Message) -> tuple[str, ...]:
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (str(message.string or ""),)


def key(message: Message) -> Key:
    return message.context or "", forms(message)


def stored() -> Catalog:
    if not CATALOGUE.exists():
        return empty()
    with CATALOGUE.open("rb") as stream:
        return read_po(stream, locale="en")


def empty() -> Catalog:
    # A fixed date: the catalogue changes when a sentence does, not when somebody runs this.
    at = datetime(2025, 1, 1, tzinfo=UTC)
    catalogue = Catalog(
        locale="en", project="GovIO Portal", charset="utf-8", creation_date=at, revision_date=at, fuzzy=False
    )
    catalogue.header_comment = (
        "# English of GovIO Portal. Collected by `make translations`; translate the msgstr lines by hand."
    )
    return catalogue


def renewed(old: Catalog) -> Catalog:
    """A catalogue of today's sentences with the translations that still fit, in the order of the sentences."""
    known = {key(message): message for message in old if message.id}
    catalogue = empty()
    for identity, sentence in sorted(sentences().items(), key=lambda item: (item[0][1], item[0][0])):
        kept = known.get(identity)
        catalogue.add(
            sentence.forms if len(sentence.forms) > 1 else sentence.forms[0],
            string=None if kept is None else kept.string,
            locations=[(place, 0) for place in sorted(sentence.places)],
            auto_comments=sentence.comments,
            user_comments=() if kept is None else kept.user_comments,
            flags=() if kept is None else kept.flags,
            context=sentence.context or None,
        )
    return catalogue


def as_po(catalogue: Catalog) -> str:
    stream = io.BytesIO()
    write_po(stream, catalogue, width=118, include_lineno=False)
    lines = stream.getvalue().decode().splitlines()
    return "\n".join(line for line in lines if not line.startswith(tuple(f'"{name}' for name in RESTLESS))) + "\n"


def as_mo(catalogue: Catalog) -> bytes:
    stream = io.BytesIO()
    write_mo(stream, catalogue)
    return stream.getvalue()


def problems(old: Catalog, wanted: Iterable[Key]) -> Iterator[str]:
    expected = set(wanted)
    present = {key(message): message for message in old if message.id}
    for identity in sorted(expected - present.keys()):
        yield f"not collected yet: {identity[1][0]!r}"
    for identity in sorted(present.keys() - expected):
        yield f"left over, nothing uses it: {identity[1][0]!r}"
    for identity in sorted(expected & present.keys()):
        message = present[identity]
        said = translations(message)
        if not all(said) or len(said) < len(identity[1]):
            yield f"not translated: {identity[1][0]!r}"
        elif message.fuzzy:
            yield f"marked as doubtful (fuzzy): {identity[1][0]!r}"
        else:
            yield from misplaced(identity[1], said)


def misplaced(source: tuple[str, ...], said: tuple[str, ...]) -> Iterator[str]:
    """The last form has exactly the placeholders of the source; a singular may do without the number."""
    wanted = placeholders(source[-1])
    for number, text in enumerate(said):
        found = placeholders(text)
        if found - wanted or (number == len(said) - 1 and found != wanted):
            names = ", ".join(sorted(found ^ wanted))
            yield f"placeholders differ ({names}): {source[-1]!r} is translated as {text!r}"


def placeholders(text: str) -> set[str]:
    return {match[0] for match in PLACEHOLDER.finditer(text.replace("%%", ""))}


def is_compiled(catalogue: Catalog) -> bool:
    compiled = CATALOGUE.with_suffix(".mo")
    if not compiled.exists():
        return False
    return spoken(compiled.read_bytes()) == spoken(as_mo(catalogue))


def spoken(compiled: bytes) -> dict[object, str]:
    """What the compiled catalogue says, without its header."""
    catalogue: dict[object, str] = gettext.GNUTranslations(io.BytesIO(compiled))._catalog  # type: ignore[attr-defined]  # noqa: SLF001
    return {identity: text for identity, text in catalogue.items() if identity}


def collect() -> int:
    catalogue = renewed(stored())
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    CATALOGUE.write_text(as_po(catalogue), encoding="utf-8")
    # Compiled from what was written, as a translator's next edit will be.
    CATALOGUE.with_suffix(".mo").write_bytes(as_mo(stored()))
    waiting = sum(1 for message in catalogue if message.id and not all(translations(message)))
    print(f"{CATALOGUE.relative_to(ROOT)}: {len(catalogue)} sentences, {waiting} to translate.")
    return 0


def check() -> int:
    old = stored()
    found = list(problems(old, sentences()))
    if not found and not is_compiled(old):
        found = ["the compiled catalogue is out of step"]
    for problem in found:
        print(f"{CATALOGUE.relative_to(ROOT)}: {problem}")
    if found:
        print("Run `make translations`, translate what is missing in the file above, and run it again.")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Collect and compile, or check, the English translation.")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not settings.configured:
        # Reading pages needs none of the product's settings, only Django's own.
        settings.configure()
    return check() if arguments.check else collect()


if __name__ == "__main__":
    sys.exit(main())
