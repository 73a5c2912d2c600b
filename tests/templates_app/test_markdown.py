from html.parser import HTMLParser

import pytest

from templates_app.front_matter import Button
from templates_app.markdown import preview_html

BLOCK = '---\nit:\n  cta_1:\n    text: "Paga"\n    action: "iohandledlink://https://example.it"\n---\n'


class Tags(HTMLParser):
    """The tags that a browser would find."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def html_of(markdown: str) -> str:
    return str(preview_html(markdown).html).strip()


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("**uno** *due* `tre`", "<p><strong>uno</strong> <em>due</em> <code>tre</code></p>"),
        ("- uno\n- due", "<ul>\n<li>uno</li>\n<li>due</li>\n</ul>"),
        ("3. uno", '<ol start="3">\n<li>uno</li>\n</ol>'),
        ("[uno](https://example.it)", '<p><a href="https://example.it" rel="noopener noreferrer">uno</a></p>'),
        # The app shows headings large, down to the third level; here they never enter the outline of the page.
        ("# Uno", '<p class="io-heading-1">Uno</p>'),
        ("### Tre", '<p class="io-heading-3">Tre</p>'),
        ("#### Quattro", "<p>Quattro</p>"),
        ("uno<br>due<BR />tre", "<p>uno<br>\ndue<br>\ntre</p>"),
        ("uno  \ndue", "<p>uno<br>\ndue</p>"),
        # Every other tag is printed.
        ("<b>uno</b>", "<p>&lt;b&gt;uno&lt;/b&gt;</p>"),
        ("![uno](https://example.it/a.png)", '<p><span class="io-note">[immagine]</span></p>'),
        ("a ~~b~~ c", '<p>a <span class="io-note">[testo barrato, che l\'app non mostra]</span> c</p>'),
        ("| a |\n|---|\n| b |", '<p class="io-note">L\'app non mostra le tabelle.</p>'),
    ],
)
def test_shows_what_the_app_shows(markdown: str, expected: str) -> None:
    assert html_of(markdown).replace("&#x27;", "'").replace("&#39;", "'") == expected


@pytest.mark.parametrize(
    "markdown",
    ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "<javascript:alert(1)>", "[a](data:text/html,x)",
     '[a](https://b.it "\\" onclick=x")', "![a](javascript:x)", '<a href="x" onclick="y">', "# <svg onload=x>", "`<script>`", "[a](ioit://X)"],
)  # fmt: skip
def test_nothing_runs_in_our_page(markdown: str) -> None:
    reader = Tags()
    reader.feed(html_of(markdown))
    for tag, attributes in reader.found:
        assert tag in {"p", "a", "span", "code"}
        assert set(attributes) <= {"href", "rel", "title", "class"}
        assert tag != "a" or attributes["rel"] == "noopener noreferrer"
        assert not attributes.get("href", "").startswith(("javascript:", "data:", "ioit:"))


def test_buttons_are_told_apart_from_the_text() -> None:
    preview = preview_html(BLOCK + "Testo")
    assert preview.buttons == (Button("Paga", "iohandledlink://https://example.it"),)
    assert preview.html.strip() == "<p>Testo</p>"


def test_broken_buttons_are_said_to_hide_the_text() -> None:
    html, buttons = preview_html("---\nit: [\n---\nTesto")
    assert buttons == ()
    assert html.startswith('<p class="io-note">I pulsanti non sono scritti bene')
    assert "<p>Testo</p>" in html


def test_a_huge_or_odd_draft_does_not_crash() -> None:
    for markdown in ("", "*" * 60_000, "[" * 5_000, "> " * 3_000 + "a", "\ud800\x00", "- " * 500 + "a"):
        preview_html(markdown)
