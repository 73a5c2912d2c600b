"""`/metrics`: the operating view for Prometheus. Every process tells the same, since all of it is in the database.

Labels are ids and names of IO accounts and words of ours: nothing of a citizen, a message or a key, and as many series
as accounts times words.
"""

import hmac
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from django.conf import settings
from django.db import Error as DatabaseFailed
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from messaging import operating
from messaging.breaker import Position
from messaging.operating import Account, Measured
from messaging.states import Priority

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ACCOUNT = ("io_account", "name")
# Of operating.Queue and of operating.Instance.
STATES = ("due", "held", "planned")
STUCK = ("set_aside", "silent", "lost")


@never_cache
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """404 where no token is set, 401 without the right one, 503 when the database does not answer."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not _is_right(request.headers.get("Authorization", "")):
        answer = HttpResponse("Show the token: Authorization: Bearer ...\n", status=401, content_type="text/plain")
        answer["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return answer
    try:
        return HttpResponse(exposition(), content_type=CONTENT_TYPE)
    except DatabaseFailed:
        return HttpResponse("The database does not answer.\n", status=503, content_type="text/plain")


def _is_right(authorization: str) -> bool:
    scheme, _space, token = authorization.partition(" ")
    given, known = token.strip().encode("utf-8", "surrogatepass"), settings.METRICS_TOKEN.encode()
    # Compared in constant time, the scheme last: how long it takes tells nothing about the token.
    return hmac.compare_digest(given, known) and scheme.lower() == "bearer"


def exposition() -> bytes:
    """Prometheus's text format. A fixed number of queries, most of them only every ten seconds."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OperatingView())
    return bytes(generate_latest(registry))


class _OperatingView(Collector):
    def collect(self) -> Iterator[Metric]:
        view = operating.measured()
        labels = {account.pk: (str(account.pk), account.name) for account in view.accounts}
        yield from _queues(view, labels)
        yield from _of_accounts(view, labels)
        yield from _troubles(view, labels)
        yield from _counted(labels)
        yield from _ticks()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering asks no database."""
        return ()


def _queues(view: Measured, labels: dict[int, tuple[str, str]]) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "govio_queue_messages",
        "Messages waiting: due (the pace alone keeps them), held (their time has come, their way is closed), planned.",
        labels=(*ACCOUNT, "priority", "state"),
    )
    oldest = GaugeMetricFamily(
        "govio_queue_oldest_due_seconds",
        "How long the oldest message that is due has been waiting; 0 when none is.",
        labels=(*ACCOUNT, "priority"),
    )
    waiting: Counter[tuple[int, Priority, str]] = Counter()
    since: dict[tuple[int, Priority], datetime] = {}
    for queue in view.queues:
        for state in STATES:
            waiting[queue.io_account, queue.priority, state] += getattr(queue, state)
        if queue.oldest_due:
            place = (queue.io_account, queue.priority)
            since[place] = min(queue.oldest_due, since.get(place, queue.oldest_due))
    for account, priority in itertools.product(labels, Priority):
        name = (*labels[account], priority.name.lower())
        for state in STATES:
            depth.add_metric((*name, state), waiting[account, priority, state])
        oldest.add_metric(name, (view.at - since.get((account, priority), view.at)).total_seconds())
    yield depth
    yield oldest


def _of_accounts(view: Measured, labels: dict[int, tuple[str, str]]) -> Iterator[Metric]:
    def gauge(name: str, text: str, values: Iterable[tuple[Account, float]]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=ACCOUNT)
        for account, value in values:
            family.add_metric(labels[account.pk], value)
        return family

    accounts, at = view.accounts, view.at
    yield gauge(
        "govio_rate_granted", "Calls per second that the account is set to.", ((a, a.granted) for a in accounts)
    )
    yield gauge(
        "govio_rate_effective",
        "Calls per second made at most now: fewer than granted after IO asked to slow down.",
        ((a, a.rate) for a in accounts),
    )
    yield gauge(
        "govio_pause_seconds",
        "Seconds until the account may call again, after IO asked to wait; 0 when it may.",
        ((a, (a.paused_until - at).total_seconds() if a.paused_until else 0.0) for a in accounts),
    )
    breaker = GaugeMetricFamily(
        "govio_breaker", "1 at the position of the account's breaker, 0 at the others.", labels=(*ACCOUNT, "position")
    )
    for account in accounts:
        for position in Position:
            is_there = float(account.breaker is position)
            breaker.add_metric((*labels[account.pk], position.name.lower()), is_there)
    yield breaker
    yield gauge(
        "govio_poll_lag_seconds",
        "How late the longest-waiting question about a sent message is; 0 when none is late.",
        ((a, (at - a.oldest_poll).total_seconds() if a.oldest_poll else 0.0) for a in accounts),
    )
    yield gauge(
        "govio_suspended_services",
        "IO services of the account that send nothing until a person resumes them.",
        ((a, a.suspended_services) for a in accounts),
    )


def _troubles(view: Measured, labels: dict[int, tuple[str, str]]) -> Iterator[Metric]:
    uncertain = GaugeMetricFamily(
        "govio_uncertain_messages", "Messages whose outcome nobody knows: a person decides.", labels=ACCOUNT
    )
    stuck = GaugeMetricFamily(
        "govio_stuck_messages",
        "Messages that go on only if somebody looks: set_aside (refused for no clear reason), silent (IO took them and "
        "says no more), lost (past their lease, and no sweep has been there).",
        labels=(*ACCOUNT, "kind"),
    )
    found: Counter[tuple[int, str]] = Counter()
    for instance in view.instances:
        for kind in ("uncertain", *STUCK):
            found[instance.io_account, kind] += getattr(instance, kind)
    for account, name in labels.items():
        uncertain.add_metric(name, found[account, "uncertain"])
        for kind in STUCK:
            stuck.add_metric((*name, kind), found[account, kind])
    yield uncertain
    yield stuck


def _counted(labels: dict[int, tuple[str, str]]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "govio_io_calls", "Calls to IO that ended, by what they came to.", labels=(*ACCOUNT, "call", "outcome")
    )
    for made in operating.calls_made():
        if made.io_account in labels:
            calls.add_metric((*labels[made.io_account], made.call, made.outcome), made.count)
    tokens = CounterMetricFamily("govio_tokens_used", "Calls that the account's pace was used for.", labels=ACCOUNT)
    for account, count in operating.tokens_used().items():
        if account in labels:
            tokens.add_metric(labels[account], count)
    yield calls
    yield tokens


def _ticks() -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "govio_tick_age_seconds",
        "Seconds since a worker last handled the tick to its end; none before the first.",
        labels=("tick",),
    )
    for name, seconds in operating.tick_ages().items():
        if seconds is not None:
            age.add_metric((name,), seconds)
    yield age
