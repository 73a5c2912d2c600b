"""Every route of the API, as the URL configuration has it: what tables about routes are compared with."""

import re
from collections.abc import Iterator

from django.urls import URLPattern

from govio_portal.urls import api

METHODS = ("get", "post", "put", "patch", "delete")
# The answer to whatever has no route of its own.
CATCH_ALL = "unknown"


def plain(route: str) -> str:
    """A route without the names of its parameters, which differ between the URL configuration and the documents."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "{}", "/" + route.strip("/"))


def operations() -> Iterator[tuple[str, str]]:
    """(method, plain route) of everything that answers."""
    for pattern in api:
        assert isinstance(pattern, URLPattern)
        if pattern.name == CATCH_ALL:
            continue
        view = pattern.callback.view_class  # type: ignore[attr-defined]  # as_view() sets it
        route = plain(re.sub(r"^\^|/\?\$$", "", str(pattern.pattern)))
        for method in METHODS:
            if method in view.http_method_names and hasattr(view, method):
                yield method.upper(), route
