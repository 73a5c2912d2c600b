"""How fast may we call? One bucket of tokens per IO account: a token is the right to make one call, whoever makes it.

In Redis when there is one (its clock), else in the account's lane row (the database's clock). Either way no trailing
window of IO's holds more tokens than the account is granted, whatever was idle, late, lost or restarted.
"""

from django.conf import settings

from messaging.bucket import LATE_AFTER_SECONDS, depth
from messaging.pacing_database import DatabasePacer
from messaging.pacing_redis import RedisPacer, redis_pacer
from messaging.tokens import Pacer, Wish

__all__ = ["LATE_AFTER_SECONDS", "DatabasePacer", "Pacer", "RedisPacer", "Wish", "depth", "pacer"]


def pacer() -> Pacer:
    return redis_pacer(settings.REDIS_URL) if settings.REDIS_URL else DatabasePacer()
