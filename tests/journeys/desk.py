"""An operator's desk: a browser page, what it complained about, and the steps that every journey shares."""

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The browser itself reports an answer that says no, and an address that a person typed wrong.
EXPECTED = ("the server responded with a status of 422", "does not conform to the required format")

# A whole message, as the fields of the compose page hold it.
FORM = {
    "codice_fiscale": "RSSMRA80A01H501U",
    "s_cie": "CA12345AA",
    "scadenza_data": "2099-12-31",
    "codice_avviso": "300012548634478200",
    "importo": "145,50",
    "quando": "subito",
}


class Desk:
    def __init__(self, page: Page, *, has_scripts: bool) -> None:
        self.page = page
        self.has_scripts = has_scripts
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in EXPECTED):
            self.complaints.append(message.text[:300])

    def sign_in(self, name: str, password: str) -> None:
        self.page.goto("/accesso/")
        self.page.get_by_label("Nome utente").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("main").get_by_role("button", name="Accedi").click()
        self.page.wait_for_url("**/messaggi/")

    def open(self, path: str) -> None:
        self.page.goto(path)

    def press(self, words: str) -> None:
        """A button or a link that looks like one, by its words."""
        main = self.page.get_by_role("main")
        main.get_by_role("button", name=words).or_(main.get_by_role("link", name=words)).first.click()

    @property
    def heading(self) -> str:
        return str(self.page.locator("h1").inner_text())

    @property
    def text(self) -> str:
        return str(self.page.get_by_role("main").inner_text())

    def barriers(self) -> list[str]:
        """What axe finds on the page as it is now; colours over pictures are axe's only doubts, checked by hand."""
        result = Axe().run(self.page, options={"runOnly": RULES})
        found = [f"{rule['id']}: {_where(rule)}" for rule in result.response["violations"]]
        doubts = {rule["id"] for rule in result.response["incomplete"]} - {"color-contrast"}
        return found + [f"undecided {name}" for name in sorted(doubts)]

    def overflow(self) -> int:
        """Pixels by which the page is wider than its window; a reader would have to scroll both ways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def small_targets(self) -> list[str]:
        """Controls smaller than 24 pixels either way, those inside a sentence and the skip link apart (WCAG 2.5.8)."""
        return list(
            self.page.evaluate(
                """() => [...document.querySelectorAll("a, button, select, summary, input:not([type=hidden])")]
                    .filter(one => one.checkVisibility() && !one.closest("p, li.breadcrumb-item, .skiplinks, dd, th"))
                    .map(one => [one, one.getBoundingClientRect()])
                    .filter(([one, box]) => box.width > 1 && (box.height < 24 || box.width < 24))
                    .filter(([one]) => !(one.matches("input[type=radio], input[type=checkbox]")
                        && document.querySelector(`label[for="${one.id}"]`)))
                    .map(([one, box]) => `${one.outerHTML.slice(0, 80)} ${box.width}x${box.height}`)"""
            )
        )


def _where(rule: dict[str, Any]) -> Sequence[str]:
    return [node["html"][:160] for node in rule["nodes"]][:3]
