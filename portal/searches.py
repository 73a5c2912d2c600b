"""Searches by fiscal code: posted, kept in the session under an id, so that the code is in no address, history or log."""

import secrets
from collections.abc import MutableMapping
from typing import Any

SESSION_KEY = "taxcode_searches"
# Enough for a few tabs; older ones are forgotten.
KEPT = 10


def remember(session: MutableMapping[str, Any], taxcode: str) -> str:
    """Keep this code for later pages; returns the id that the address may show."""
    search_id = secrets.token_urlsafe(9)
    kept = list(session.get(SESSION_KEY, {}).items())[-(KEPT - 1) :]
    session[SESSION_KEY] = {**dict(kept), search_id: taxcode}
    return search_id


def recall(session: MutableMapping[str, Any], search_id: str) -> str | None:
    """The code; None when the id is not of this session, or forgotten."""
    found = session.get(SESSION_KEY, {}).get(search_id)
    return found if isinstance(found, str) else None
