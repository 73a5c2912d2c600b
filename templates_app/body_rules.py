"""Authoring rules B: what the IO app does with the Markdown of a body, and what people do with the result."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token

from io_client.payloads import MARKDOWN_LENGTH, utf16_length
from templates_app import front_matter
from templates_app.findings import Finding, Severity
from templates_app.private_data import codes_in

# What the e-mail copy carries of the body.
_EMAIL_COPY: Final = 134
_BREAK_TAG: Final = re.compile(r"<br\s*/?>\s*", re.IGNORECASE)
_FOOTNOTE: Final = re.compile(r"\[\^[^\]\s]+\]")
_BARE_ADDRESS: Final = re.compile(r"\b(?:https?://|www\.)\S", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_GOOD_SCHEMES: Final = frozenset({"https", "ioit"})
_CONTACT_SCHEMES: Final = frozenset({"mailto", "tel", "sms"})
_EMPTY_WORDS: Final = frozenset(
    {"qui", "qua", "clicca qui", "premi qui", "clicca", "link", "questo link", "a questo link"}
)


def body_findings(markdown: str) -> list[Finding]:
    """Warnings on a finished body, buttons included. Line ends must be `\\n`."""
    findings = []
    length = utf16_length(markdown)
    if not MARKDOWN_LENGTH[0] <= length <= MARKDOWN_LENGTH[1]:
        detail = _("Il testo ha %(length)s caratteri, pulsanti compresi: devono essere da 80 a 10.000.")
        findings.append(_warning("B1", detail % {"length": length}))
    environment: dict[str, object] = {}
    tokens = list(_flattened(_PARSER.parse(front_matter.without(markdown), environment)))
    findings += _structure(tokens)
    if environment.get("references"):
        detail = _(
            "I link con riferimento ([testo][1]) non funzionano nelle app meno recenti: scrivi [testo](https://...)."
        )
        findings.append(_warning("B6", detail))
    findings += _links(tokens)
    findings += _words(tokens)
    return findings


def _structure(tokens: Sequence[Token]) -> Iterator[Finding]:
    types = {token.type for token in tokens}
    vanishing = types & {"table_open", "s_open"}
    if vanishing or any(_FOOTNOTE.search(token.content) for token in tokens if token.type == "text"):
        yield _warning("B2", _("L'app non mostra tabelle, testo barrato e note: quel pezzo sparirebbe."))
    tags = [token.content for token in tokens if token.type in {"html_block", "html_inline"}]
    if any(not _BREAK_TAG.fullmatch(tag) for tag in tags):
        yield _warning("B3", _("L'app mostra i tag HTML come testo (tutti tranne <br>): usa il Markdown."))
    if any(token.type == "heading_open" and token.tag in {"h4", "h5", "h6"} for token in tokens):
        yield _warning("B4", _("I titoli dal quarto livello in giù si vedono come testo normale: usa #, ## o ###."))
    if types & {"fence", "code_block"}:
        yield _warning("B4", _("I blocchi di codice mostrano anche i loro segni: togli gli apici o il rientro."))
    if "blockquote_open" in types:
        yield _warning("B4", _("Una citazione (>) diventa un riquadro in evidenza: usala solo se è ciò che vuoi."))
    if "image" in types:
        yield _warning("B5", _("Le immagini si scaricano dalla rete alla lettura e possono mancare: meglio evitarle."))


def _links(tokens: Sequence[Token]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, token in enumerate(tokens):
        if token.type != "link_open":
            continue
        code, detail = _scheme_trouble(str(token.attrs.get("href", "")))
        if code not in seen and code:
            seen.add(code)
            yield _warning(code, detail)
        words = "".join(inner.content for inner in _until_close(tokens[index + 1 :])).strip().casefold()
        if "B8" not in seen and (not words or words in _EMPTY_WORDS or _BARE_ADDRESS.match(words)):
            seen.add("B8")
            yield _warning("B8", _("Il testo di un link dice dove porta: non «qui», non l'indirizzo."))


def _scheme_trouble(address: str) -> tuple[str, str]:
    found = _SCHEME.match(address)
    scheme = found[1].lower() if found else ""
    if scheme in _GOOD_SCHEMES:
        return "", ""
    if scheme == "http":
        return "B7_http", _("Un link comincia con http://: usa https://.")
    if scheme in _CONTACT_SCHEMES:
        return "B7_contact", _("Per telefono, SMS ed e-mail usa un pulsante: nel testo il link può non funzionare.")
    return "B7", _("L'app non apre un link: l'indirizzo deve cominciare con https://.")


def _until_close(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type == "link_close":
            return
        if not token.children:
            yield token


def _words(tokens: Sequence[Token]) -> Iterator[Finding]:
    in_link = 0
    texts = []
    bare = False
    for token in tokens:
        in_link += token.nesting if token.type in {"link_open", "link_close"} else 0
        if token.type in {"text", "code_inline"}:
            texts.append(token.content)
            bare = bare or (not in_link and token.type == "text" and bool(_BARE_ADDRESS.search(token.content)))
        elif token.type in {"softbreak", "hardbreak"} or token.block:
            texts.append(" ")
    if bare:
        yield _warning("B8", _("Un indirizzo web è scritto nel testo: fanne un link che dica dove porta."))
    shown = re.sub(r"\s+", " ", "".join(texts)).strip()
    codes = codes_in(shown[:_EMAIL_COPY])
    if codes:
        detail = _("Le prime righe, che viaggiano anche nell'e-mail, mostrano %(codes)s: spostalo più avanti.")
        yield _warning("B9", detail % {"codes": ", ".join(codes)})
    if "${" in shown:
        yield _warning("B10", _("Nel testo si legge ${: verifica che non sia un segnaposto rimasto senza valore."))


def _flattened(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _flattened(token.children or ())


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    # Every link is to be judged, those that no browser should open above all.
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]
    return markdown


_PARSER: Final = _parser()


def _warning(code: str, detail: str) -> Finding:
    return Finding(code=code, pointer="/body", detail=detail, severity=Severity.WARNING)
