"""Whether a round kept the promises, message by message."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from messaging.models import EventKind, Message, MessageEvent
from messaging.states import FOLLOWED, MOVES, Delivery
from tests.crash.chaos.ledger import Ledger

# A violation of one kind is told with so many examples.
EXAMPLES = 3
TAKEN_BY_IO = FOLLOWED | {Delivery.PROCESSED}

History = Sequence[tuple[str, str]]


@dataclass
class Verdict:
    """How many messages broke which promise, and a few of them with their histories."""

    broken: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    doubts: int = 0
    # Doubts whose answer IO itself withheld.
    withheld: int = 0
    # Rows that were in doubt for a while, the others included.
    ever_in_doubt: int = 0

    def add(self, promise: str, message: int, state: str, taken: int, history: History) -> None:
        self.broken[promise] += 1
        if self.broken[promise] <= EXAMPLES:
            told = " ".join(f"{kind}>{to}" if to else kind for kind, to in history)
            self.examples.append(f"{promise}: message {message} is {state}, IO took it {taken} times: {told}")


def judge(*, posted: Collection[int], taken: Iterable[str], withheld: Collection[str], ledger: Ledger) -> Verdict:
    """`taken` are the fiscal codes of what IO took, one for each time; `withheld` those it left without an answer."""
    verdict = Verdict()
    times = Counter(taken)
    histories = _histories()
    rows = Message.objects.order_by("pk").values_list("pk", "taxcode", "delivery_state", "attempt_id")
    seen = set()
    for pk, code, word, attempt in rows:
        seen.add(pk)
        state, history, count = Delivery(word), histories[pk], times.pop(code, 0)
        promises = list(_broken(state, count, history))
        if any(to == Delivery.UNCERTAIN for _, to in history):
            verdict.ever_in_doubt += 1
        if state is Delivery.UNCERTAIN:
            verdict.doubts += 1
            if code in withheld:
                verdict.withheld += 1
            elif (pk, attempt) not in ledger.excused:
                promises.append("in doubt without a reason")
        for promise in promises:
            verdict.add(promise, pk, state, count, history)
    for pk in set(posted) - seen:
        verdict.add("lost", pk, "gone", 0, ())
    verdict.broken["taken, and not in the database"] += len(times)
    verdict.broken += Counter()  # keeps what is positive
    return verdict


def _histories() -> Mapping[int, list[tuple[str, str]]]:
    histories: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for pk, kind, state in MessageEvent.objects.order_by("pk").values_list("message_id", "kind", "state").iterator():
        histories[pk].append((kind, state))
    return histories


def _broken(state: Delivery, count: int, history: History) -> Iterable[str]:
    if count > 1:
        yield "doubled"
    if state not in TAKEN_BY_IO and state is not Delivery.UNCERTAIN:
        yield "lost" if count == 0 else "lying: taken by IO, and not sent here"
    if state in TAKEN_BY_IO and count == 0:
        yield "lying: sent here, and never taken by IO"
    if state in FOLLOWED:
        yield "not followed to its end"
    if any(kind == EventKind.POSSIBLE_DOUBLE for kind, _ in history):
        yield "said to be doubled"
    if not _is_legal(history, state):
        yield "a history that does not lead here"


def _is_legal(history: History, state: Delivery) -> bool:
    """The rows were made as scheduled; every event with a state is a move that the states allow, and the last one counts."""
    at = Delivery.SCHEDULED
    for _, word in history:
        if not word:
            continue
        to = Delivery(word)
        if to not in MOVES[at]:
            return False
        at = to
    return at is state
