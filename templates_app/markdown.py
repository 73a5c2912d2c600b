"""A body as the citizen will see it, in HTML that is safe to put in a page of ours.

Like the IO app: `<br>` breaks the line and any other tag is printed, headings from the fourth level down are plain
text, tables and struck text do not show (here a note says so), pictures are not fetched. Headings come out as classed
paragraphs, so that a preview never disturbs the outline of the page around it.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import nh3
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from templates_app import front_matter
from templates_app.compiling import with_plain_line_ends
from templates_app.front_matter import Button, InvalidYAML
from templates_app.placeholders import FORBIDDEN

_MAX_MARKDOWN: Final = 50_000
_BREAK_TAG: Final = re.compile(r"<br\s{0,20}/?>", re.IGNORECASE)
_TAGS: Final = {"p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "a", "blockquote", "hr", "span"}
_ATTRIBUTES: Final = {"a": {"href"}, "p": {"class"}, "span": {"class"}, "ol": {"start"}}
_SCHEMES: Final = {"https", "http", "mailto", "tel", "sms"}
_HEADINGS: Final = {"h1": "io-heading-1", "h2": "io-heading-2", "h3": "io-heading-3"}


class Preview(NamedTuple):
    """The body's HTML, and the buttons that the app draws at its foot (Italian ones)."""

    html: SafeString
    buttons: tuple[Button, ...]


def preview_html(markdown: str) -> Preview:
    """What the app makes of a body. Never raises: a draft is previewed while it is still wrong."""
    source = FORBIDDEN.sub("\ufffd", with_plain_line_ends(markdown[:_MAX_MARKDOWN]))
    block = front_matter.find(source)
    notice = ""
    buttons: tuple[Button, ...] = ()
    if block is not None:
        try:
            buttons = tuple(front_matter.buttons_of(front_matter.read(block.source), language="it"))
        except InvalidYAML:
            notice = _note(_("I pulsanti non sono scritti bene: l'app nasconde il testo dietro un avviso."))
    tokens = _RENDERER.parse(front_matter.without(source))
    rendered = _RENDERER.renderer.render(_as_in_the_app(tokens), _RENDERER.options, {})
    clean = nh3.clean(
        notice + rendered, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer"
    )
    return Preview(html=mark_safe(clean), buttons=buttons)  # noqa: S308  cleaned on the line above


def _as_in_the_app(tokens: Sequence[Token]) -> list[Token]:
    """The tokens that the app draws, changed into what it makes of them."""
    shown = []
    hidden_until = ""
    for token in tokens:
        if hidden_until:
            hidden_until = "" if token.type == hidden_until else hidden_until
            continue
        if token.type == "table_open":
            shown.append(_html(_note(_("L'app non mostra le tabelle."))))
            hidden_until = "table_close"
        elif token.type == "s_open":
            shown.append(_html(_mark(_("testo barrato, che l'app non mostra"))))
            hidden_until = "s_close"
        elif token.type == "image":
            shown.append(_html(_mark(_("immagine"))))
        else:
            if token.type in {"heading_open", "heading_close"}:
                _make_paragraph(token)
            if token.children is not None:
                token.children = _as_in_the_app(token.children)
            shown.append(token)
    return shown


def _make_paragraph(token: Token) -> None:
    style = _HEADINGS.get(token.tag)
    if style is not None and token.nesting == 1:
        token.attrSet("class", style)
    token.tag = "p"


def _note(text: str) -> str:
    return f'<p class="io-note">{nh3.clean_text(text)}</p>'


def _mark(text: str) -> str:
    return f'<span class="io-note">[{nh3.clean_text(text)}]</span>'


def _html(content: str) -> Token:
    token = Token("html_inline", "", 0)
    token.content = content
    return token


def _break_tag(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  markdown-it's own signature
    found = _BREAK_TAG.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _renderer() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.inline.ruler.before("autolink", "break_tag", _break_tag)
    return markdown


_RENDERER: Final = _renderer()
