"""Whether the process lives, and whether it can serve."""

import logging

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

log = logging.getLogger(__name__)


@never_cache
@require_GET
def livez(request: HttpRequest) -> JsonResponse:
    """The process answers. Asks nobody else, so that a database at rest does not get every process restarted."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_GET
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database (and Redis, where there is one) answer; else 503 naming what does not."""
    failing = [name for name, works in (("database", _database_answers), ("redis", _redis_answers)) if not works()]
    return JsonResponse({"status": "failing" if failing else "ok", "failing": failing}, status=503 if failing else 200)


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
