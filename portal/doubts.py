"""Why the outcome of a message is uncertain: IO answered with an error, or its answer never came."""

import re
from collections.abc import Iterable
from typing import Final

from django.utils.translation import gettext as _

from messaging.models import EventKind, MessageEvent

# As `io_client` names an answer that concludes nothing.
_ANSWERED: Final = re.compile(r"HTTP ([0-9]{3})", re.ASCII)


def cause_in_words(reason: object) -> str:
    """`reason` is what the event of the doubt wrote down."""
    found = _ANSWERED.match(str(reason or ""))
    if found is None:
        return _("la risposta di IO non è arrivata")
    if found[1] < "400":
        return _("IO ha risposto in modo inatteso (%(status)s)") % {"status": found[1]}
    return _("IO ha risposto con un errore (%(status)s)") % {"status": found[1]}


def causes_of(messages: Iterable[int]) -> dict[int, str]:
    """The words of the last doubt of each of these messages; one query."""
    events = MessageEvent.objects.filter(message__in=list(messages), kind=EventKind.OUTCOME_UNKNOWN).order_by("pk")
    return {message: cause_in_words(data.get("reason")) for message, data in events.values_list("message", "data")}
