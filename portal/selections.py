"""Messages chosen together: which ones they are travels with the page that asks, so that the yes is to exactly those.

The account of what was done with them stays in the session, for the page that shows it and the list of those it was too
late for. Ids only: neither tells anything of anybody.
"""

import base64
import secrets
import zlib
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from messaging.deciding import Stopped
from messaging.states import Delivery

# At most so many at once: what a person can wait for with the page open.
MAX_CHOSEN: Final = 100_000
# Of those it was too late for, so many can be looked at in the list.
MAX_LISTED: Final = 10_000
SESSION_KEY: Final = "cancellations"
# Enough for a few tabs; older ones are forgotten.
KEPT: Final = 5
# Digits and a comma each; what says more than this was not written by us.
_LONGEST: Final = MAX_CHOSEN * 12
# Past what the database can be asked about.
_NO_ID_FROM: Final = 2**63


def packed(ids: Iterable[int]) -> str:
    """These ids in a few characters each: the steps from one to the next, compressed."""
    steps, last = [], 0
    for pk in sorted(set(ids)):
        steps.append(str(pk - last))
        last = pk
    return base64.urlsafe_b64encode(zlib.compress(",".join(steps).encode())).decode()


def unpacked(text: str) -> list[int]:
    """The ids of a `packed` text, ascending; none where it is not one. Whoever forges it gains nothing: rights are asked again."""
    try:
        reader = zlib.decompressobj()
        steps = reader.decompress(base64.urlsafe_b64decode(text.encode()), _LONGEST).decode("ascii")
    except (ValueError, zlib.error):
        return []
    ids, last = [], 0
    for step in steps.split(","):
        if not step.isdigit() or len(step) > 18:
            return []
        last += int(step)
        if last >= _NO_ID_FROM:
            return []
        ids.append(last)
    return ids[:MAX_CHOSEN]


@dataclass(frozen=True, slots=True)
class CancelAccount:
    """What became of a cancellation of many. `late_ids` may be fewer than the numbers of `late` add up to."""

    cancelled: int
    # Of those, how many had left once in doubt.
    left_in_doubt: int
    late: Mapping[Delivery, int]
    late_ids: tuple[int, ...]


def keep(session: MutableMapping[str, Any], stopped: Stopped, *, left_in_doubt: int) -> str:
    """Keep the account for later pages; returns the word that their addresses show."""
    word = secrets.token_urlsafe(9)
    kept = list(session.get(SESSION_KEY, {}).items())[-(KEPT - 1) :]
    account = {
        "cancelled": len(stopped.cancelled),
        "left_in_doubt": left_in_doubt,
        "late": {state.value: number for state, number in stopped.late_by_state.items()},
        "late_ids": packed(sorted(stopped.too_late, reverse=True)[:MAX_LISTED]) if stopped.too_late else "",
    }
    session[SESSION_KEY] = {**dict(kept), word: account}
    return word


def recall(session: MutableMapping[str, Any], word: str) -> CancelAccount | None:
    """None when the word is not of this session, or forgotten."""
    found = session.get(SESSION_KEY, {}).get(word)
    if not isinstance(found, dict):
        return None
    return CancelAccount(
        cancelled=found["cancelled"],
        left_in_doubt=found.get("left_in_doubt", 0),
        late={Delivery(state): number for state, number in found["late"].items()},
        late_ids=tuple(unpacked(found["late_ids"])),
    )


def late_ids(session: MutableMapping[str, Any], word: str | None) -> tuple[int, ...] | None:
    """Those that this cancellation came too late for; none of any where the word is not known, None without a word."""
    if not word:
        return None
    account = recall(session, word)
    return account.late_ids if account else ()
