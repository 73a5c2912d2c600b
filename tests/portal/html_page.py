"""A page as a browser's parser sees it, with the rules that every page of the portal keeps."""

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "use", "path", "rect"})
FISCAL_CODE = re.compile(r"[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Words only, white space folded."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join("".join(parts).split())

    @property
    def inside(self) -> "list[Element]":
        """Every element below, in document order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child, *child.inside]
        return found

    def all(self, tag: str = "", **attributes: str) -> "list[Element]":
        """Elements below with this tag and these attributes (`class_` and `for_` lose their underscore)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            one
            for one in self.inside
            if (not tag or one.tag == tag) and all(self._has(one, name, value) for name, value in wanted.items())
        ]

    @staticmethod
    def _has(one: "Element", name: str, value: str) -> bool:
        has = one.attributes.get(name)
        return has is not None and (value in has.split() if name == "class" else has == value)

    def one(self, tag: str = "", **attributes: str) -> "Element":
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of <{tag} {attributes}>"
        return found[0]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _value in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag} {self.here.attributes}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def parse(html: str) -> Element:
    """The document; fails where a tag is not closed, or closed twice."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert parser.here is parser.root, f"<{parser.here.tag} {parser.here.attributes}> is never closed"
    return parser.root


def check_page(html: str) -> Element:
    """A whole page: the rules of a fragment, and those of the frame."""
    assert html.lstrip().lower().startswith("<!doctype html>")
    page = parse(html)
    assert page.one("html").attributes["lang"] in {"it", "en"}
    assert len(page.all("h1")) == 1
    _check_outline(page)
    title = page.one("title").text
    assert title.endswith("GovIO Portal")
    assert len(title) > len("· GovIO Portal")
    assert not FISCAL_CODE.search(title)
    assert page.one("main").attributes["id"] == "contenuto"
    _check_content(page)
    return page


def check_fragment(html: str) -> Element:
    """A piece that htmx swaps in: no frame of its own."""
    fragment = parse(html)
    assert not fragment.all("html")
    _check_content(fragment)
    return fragment


def _check_content(page: Element) -> None:
    ids = Counter(element.attributes["id"] for element in page.inside if "id" in element.attributes)
    assert not [name for name, times in ids.items() if times > 1]
    for element in page.inside:
        _check_policy(element)
        for name in ("aria-describedby", "aria-labelledby"):
            for target in element.attributes.get(name, "").split():
                assert target in ids, f"{name} points nowhere: {target}"
        for name in ("href", "action", "hx-get", "hx-post"):
            address = element.attributes.get(name, "")
            assert not FISCAL_CODE.search(address), f"a fiscal code in an address: {address}"
    for control in page.all("input") + page.all("select") + page.all("textarea"):
        if control.attributes.get("type") != "hidden":
            _check_label(page, control)
    for button in page.all("button") + page.all("a"):
        assert button.text, f"without words: {button.attributes}"
    for form in page.all("form"):
        if form.attributes.get("method", "get").lower() == "post":
            assert form.all("input", name="csrfmiddlewaretoken"), f"without a CSRF token: {form.attributes}"
    for table in page.all("table"):
        assert table.all("caption")
        assert all("scope" in header.attributes for header in table.all("th"))


def _check_policy(element: Element) -> None:
    """Nothing that the content security policy would refuse."""
    assert "style" not in element.attributes
    assert element.tag != "style"
    assert not [name for name in element.attributes if name.startswith(("on", "hx-on"))]
    if element.tag == "script":
        assert element.attributes.get("src", "").startswith("/static/")
        assert not element.text
    if "tabindex" in element.attributes:
        assert int(element.attributes["tabindex"]) <= 0


def _check_label(page: Element, control: Element) -> None:
    name = control.attributes.get("id", "")
    assert name, f"without an id: {control.attributes}"
    assert page.all("label", for_=name), f"without a label: {name}"


def _check_outline(page: Element) -> None:
    levels = [int(element.tag[1]) for element in page.inside if element.tag in {"h1", "h2", "h3", "h4", "h5", "h6"}]
    for before, after in pairwise(levels):
        assert after <= before + 1, f"the outline skips a level: {levels}"
