"""Messages that may have arrived although their state does not say so."""

from collections.abc import Iterable

from messaging.models import EventKind, MessageEvent

# As many ids as one question to the database may name.
ASKED_AT_ONCE = 5_000


def left_in_doubt(messages: Iterable[int]) -> set[int]:
    """Of these messages, those that left once without anybody knowing what became of them: stopping them stops another
    sending, not the first."""
    kinds = [EventKind.OUTCOME_UNKNOWN, EventKind.LATE_ANSWER, EventKind.SETTLED_RESEND, EventKind.RESENT_BY_RULE]
    ids = list(messages)
    unknown: set[int] = set()
    told: set[int] = set()
    sent_again: set[int] = set()
    for start in range(0, len(ids), ASKED_AT_ONCE):
        some = ids[start : start + ASKED_AT_ONCE]
        events = MessageEvent.objects.filter(message__in=some, kind__in=kinds).order_by("pk")
        for message, kind in events.values_list("message", "kind"):
            if kind == EventKind.OUTCOME_UNKNOWN:
                unknown.add(message)
                told.discard(message)
            elif kind == EventKind.LATE_ANSWER:
                # What waits or may be sent after it had not arrived.
                unknown.discard(message)
                told.add(message)
            elif message not in told:
                sent_again.add(message)
    return unknown | sent_again
