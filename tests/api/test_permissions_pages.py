"""The second half of docs/api/permissions.md: the pages of the portal and the back office, tried by everybody.

A page without a row fails, unless it has no such method at all.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.urls import URLPattern, get_resolver, reverse

from messaging.states import Delivery, WaitingReason
from tests.api import routes
from tests.api.place import CAST, NOBODY, STAFF, Place
from tests.api.probes import suspend
from tests.support import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api" / "permissions.md"
SIGN_IN, YES, NOT_SHOWN, NO_SUCH_METHOD = "sign in", "yes", "–", "405"
METHODS = ("GET", "POST")
PARAMETERS = {"pk": 1, "slot": "secondaria"}

# What makes the question sensible: the state of message 1, or more.
STATES = {
    "cancel": Delivery.SCHEDULED,
    "requeue": Delivery.SCHEDULED,
    "uncertain": Delivery.UNCERTAIN,
    "arrived": Delivery.UNCERTAIN,
    "resend": Delivery.UNCERTAIN,
    "approval": Delivery.PENDING_APPROVAL,
    "compose_choose": Delivery.DRAFT,
    "compose_content": Delivery.DRAFT,
    "compose_preview": Delivery.DRAFT,
    "compose_confirm": Delivery.DRAFT,
}
PREPARED: dict[str, Callable[[Place], object]] = {"resume": suspend}
# In lists, the link to what is in question.
SHOWN = {
    "messages": "/messaggi/1/",
    "uncertain": "/messaggi/1/",
    "organizations": "/enti/1/",
    "io_services": "/servizi-io/1/",
}


def plain(page: str) -> str:
    return f"{routes.plain(page)}/" if page.strip("/") else "/"


TABLE = {
    (method, plain(row["Page"].strip("`"))): row
    for row in markdown.tables_with(PAGE, "Methods", "Page", *CAST)
    for method in row["Methods"].split(", ")
}
FOR_ANYBODY = {plain(row["For anybody"].strip("`")) for row in markdown.tables_with(PAGE, "For anybody", "Why")}
BACK_OFFICE = {row["Back office"].strip("`"): row for row in markdown.tables_with(PAGE, "Back office", "list", "add")}


def pages() -> dict[str, URLPattern]:
    found = (pattern for pattern in get_resolver("portal.urls").url_patterns if isinstance(pattern, URLPattern))
    return {plain(str(pattern.pattern)): pattern for pattern in found}


def others() -> set[str]:
    """What is neither API nor portal nor back office."""
    found = (pattern for pattern in get_resolver().url_patterns if isinstance(pattern, URLPattern))
    return {plain(str(pattern.pattern)) for pattern in found}


def told(answer: Any, shown: str) -> str:
    """An answer as the table writes it. Whoever is not refused, but typed nonsense, may: that is a yes."""
    if answer.status_code == 302 and answer["Location"].startswith((reverse("portal:login"), reverse("admin:login"))):
        return SIGN_IN
    if answer.status_code in {401, 403, 404, 405} or answer.status_code >= 500:
        return str(answer.status_code)
    # A list of one may lead straight to it.
    return YES if shown in answer.headers.get("Location", "") + answer.content.decode() else NOT_SHOWN


def address_of(pattern: URLPattern) -> str:
    names = re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern))
    return reverse(f"portal:{pattern.name}", kwargs={name: PARAMETERS.get(name, "none") for name in names})


@pytest.fixture(autouse=True)
def _io_is_away(settings: Any) -> None:
    """Trying a key asks IO."""
    settings.IO_API_BASE_URL = "http://127.0.0.1:9"


def test_every_page_is_for_anybody_or_in_the_table() -> None:
    in_table = {page for _method, page in TABLE}
    assert in_table & FOR_ANYBODY == set()
    assert in_table | FOR_ANYBODY == set(pages()) | others()


@pytest.mark.parametrize("page", sorted(set(pages()) - FOR_ANYBODY))
@pytest.mark.parametrize("method", METHODS)
def test_each_person_gets_what_the_table_says(place: Place, method: str, page: str) -> None:
    name = str(pages()[page].name)
    more = {"waiting_reason": WaitingReason.SET_ASIDE} if name == "requeue" else {}
    place.message(STATES.get(name, Delivery.SENT), **more)
    if name in PREPARED:
        PREPARED[name](place)
    answers = {
        who: told(place.browse(who, method, address_of(pages()[page])), SHOWN.get(name, "") if method == "GET" else "")
        for who in CAST
    }
    if (method, page) in TABLE:
        assert answers == {who: TABLE[method, page][who] for who in CAST}
    else:
        assert set(answers.values()) <= {NO_SUCH_METHOD, SIGN_IN}


@pytest.mark.parametrize("page", sorted(set(pages()) & FOR_ANYBODY))
def test_what_is_for_anybody_asks_nobody_to_sign_in(place: Place, page: str) -> None:
    assert place.browse(NOBODY, "GET", address_of(pages()[page])).status_code in {200, 302, 404}


def models() -> dict[str, Any]:
    return {f"{model._meta.app_label}.{model._meta.model_name}": model for model in admin.site._registry}


def test_every_model_of_the_back_office_has_a_row() -> None:
    assert set(BACK_OFFICE) == set(models())


@pytest.mark.parametrize("model", sorted(models()))
def test_staff_do_in_the_back_office_what_the_table_says_and_nobody_else_enters(place: Place, model: str) -> None:
    start = f"admin:{model.replace('.', '_')}"
    row = models()[model].objects.order_by("pk").first()
    addresses = {
        "list": reverse(f"{start}_changelist"),
        "add": reverse(f"{start}_add"),
        "change": reverse(f"{start}_change", args=[row.pk]),
        "delete": reverse(f"{start}_delete", args=[row.pk]),
    }
    found = {what: told(place.browse(STAFF, "GET", address), "") for what, address in addresses.items()}
    assert found == {what: BACK_OFFICE[model][what] for what in addresses}
    for who in set(CAST) - {STAFF}:
        for address in (*addresses.values(), reverse("admin:index")):
            assert told(place.browse(who, "GET", address), "") == SIGN_IN, (who, address)
            assert told(place.browse(who, "POST", address), "") == SIGN_IN, (who, address)
