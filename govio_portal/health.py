"""Whether the process lives, and whether it can serve."""

import logging

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from messaging import operating

log = logging.getLogger(__name__)


@never_cache
@require_GET
def livez(request: HttpRequest) -> JsonResponse:
    """The process answers. Asks nobody else, so that a database at rest does not get every process restarted."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_GET
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database (and Redis, where there is one) answer; else 503 naming what does not.

    Tells the age of the last ticks too, and `degraded` when one is old; that alone is no 503, since taking every web
    process away because the workers are dead would only make things worse. `workers` is for whoever watches those.
    """
    return _answer(*_look(), ticks_count=False)


@never_cache
@require_GET
def workers(request: HttpRequest) -> JsonResponse:
    """Like `readyz`, and 503 also when no worker has handled one of the ticks for a minute."""
    return _answer(*_look(), ticks_count=True)


def _look() -> tuple[list[str], dict[str, float | None]]:
    failing = [name for name, works in (("database", _database_answers), ("redis", _redis_answers)) if not works()]
    nothing_known: dict[str, float | None] = dict.fromkeys(operating.TICKS)
    return failing, nothing_known if "database" in failing else operating.tick_ages()


def _answer(failing: list[str], ages: dict[str, float | None], *, ticks_count: bool) -> JsonResponse:
    # Where the database is silent nothing is known of the workers: its own failure is the news.
    degraded = [] if "database" in failing else operating.old_ticks(ages)
    is_failing = bool(failing or (ticks_count and degraded))
    body = {
        "status": "failing" if is_failing else "degraded" if degraded else "ok",
        "failing": failing,
        "degraded": degraded,
        # Seconds since a worker last handled each; null for never.
        "ticks": {name: None if age is None else round(age, 1) for name, age in ages.items()},
    }
    return JsonResponse(body, status=503 if is_failing else 200)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("readyz: the database does not answer: %s", type(error).__name__)
        return False
    return True


def _redis_answers() -> bool:
    if not settings.REDIS_URL:
        return True
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2).ping()
    except redis.RedisError as error:
        log.warning("readyz: redis does not answer: %s", type(error).__name__)
        return False
    return True
