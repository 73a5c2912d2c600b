"""Somebody signed in, at a browser that reads every page strictly."""

from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from registry.models import User
from tests.portal.html_page import Element, check_fragment, check_page


@dataclass
class Visitor:
    """Opens pages by the name of their route. Each answer's HTML is checked; `page` is the last one, parsed."""

    user: User | None = None
    client: Client = field(default_factory=Client)
    page: Element = field(default_factory=lambda: Element("", {}))

    def __post_init__(self) -> None:
        if self.user is not None:
            self.client.force_login(self.user)

    def get(
        self, route: str, *args: Any, query: dict[str, Any] | None = None, expect: int = 200, **headers: str
    ) -> Any:
        response = self.client.get(address(route, *args), query, headers=_dashed(headers))
        return self._checked(response, expect=expect)

    def post(
        self, route: str, *args: Any, data: dict[str, Any] | None = None, expect: int = 302, **headers: str
    ) -> Any:
        response = self.client.post(address(route, *args), data or {}, headers=_dashed(headers))
        return self._checked(response, expect=expect)

    def follow(self, response: HttpResponse) -> Element:
        """The page that a redirect leads to."""
        return self.open(response["Location"])

    def open(self, url: str) -> Element:
        """A page by its address, as a link gives it."""
        self._checked(self.client.get(url), expect=200)
        return self.page

    def _checked(self, response: Any, *, expect: int) -> Any:
        assert response.status_code == expect, (response.status_code, response.headers.get("Location"))
        if response.headers.get("Content-Type", "").startswith("text/html") and response.content:
            html = response.content.decode()
            is_page = html.lstrip().lower().startswith("<!doctype")
            self.page = check_page(html) if is_page else check_fragment(html)
        return response

    @property
    def main(self) -> Element:
        return self.page.one("main")

    @property
    def title(self) -> str:
        return self.page.one("title").text

    @property
    def actions(self) -> list[str]:
        """The words of the links and buttons of the content that look like buttons."""
        return [one.text for one in self.main.inside if "btn" in one.attributes.get("class", "").split()]

    def typed_in(self, form: Element) -> dict[str, str]:
        """What a browser would send of this form, without its buttons."""
        values = {}
        for control in form.all("input") + form.all("textarea"):
            kind = control.attributes.get("type")
            if kind not in ("radio", "checkbox"):
                values[control.attributes["name"]] = control.attributes.get("value", control.text)
            elif "checked" in control.attributes:
                values[control.attributes["name"]] = control.attributes.get("value", "on")
        return values

    @property
    def errors(self) -> list[str]:
        """What the error summary says; each of its links leads to something on the page."""
        summary = self.page.all(class_="error-summary")
        if not summary:
            return []
        ids = {element.attributes.get("id") for element in self.page.inside}
        for link in summary[0].all("a"):
            assert link.attributes["href"].removeprefix("#") in ids
        return [item.text for item in summary[0].all("li")]


def address(route: str, *args: Any) -> str:
    return reverse(f"portal:{route}", args=args)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
