"""One bucket of tokens per IO account: a token is the right to make one call, whoever makes it.

In Redis when there is one (its clock), else in the account's lane row (the database's clock). A new or lost bucket
starts empty, so losing Redis slows sending for a moment and never bursts.
"""

import contextlib
import logging
from enum import IntEnum
from functools import lru_cache
from typing import Protocol

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry.models import Lane

log = logging.getLogger(__name__)

# How much a bucket holds, in seconds of its rate: enough to use the rate although we look a few times a second, little
# enough that IO's windows of five seconds never see much more than they grant.
DEPTH_SECONDS = 0.5
# Of the calls made while polls wait, one in ten is theirs.
SHARE_OF_POLLS = 0.1
# What one call of sending's then costs, its part for the polls included.
_COST_WITH_SHARE = 1 / (1 - SHARE_OF_POLLS)
# A bucket not used for this long is forgotten; the next use starts empty, which costs a fraction of a second.
FORGET_AFTER_MS = 60_000


class Pacer(Protocol):
    """Gives nothing when it cannot know: a bucket out of reach slows us down and never lets us burst."""

    def take(self, io_account: int, *, want: int, rate: float, polls_wait: bool = False) -> int:
        """Up to `want` tokens for sending; `rate` in calls per second. While polls wait, their tenth is laid aside."""

    def take_for_polls(self, io_account: int, *, want: int, rate: float, sending_waits: bool) -> int:
        """Up to `want` tokens for polls: all there are, or only what was laid aside for them while sending waits.

        A full bucket is nobody's loss: whatever sending waits for, it is not tokens.
        """

    def give_back(self, io_account: int, *, count: int) -> None:
        """Return tokens that turned out not to be needed."""


def depth(rate: float) -> float:
    return max(2.0, rate * DEPTH_SECONDS)


class _Use(IntEnum):
    """What tokens are taken for; the numbers are the script's too."""

    SENDING = 0
    SENDING_WHILE_POLLS_WAIT = 1
    POLLS = 2
    POLLS_WHILE_SENDING_WAITS = 3


# One bucket {tokens, polls}: the second is what sending laid aside for the polls, and no part of the first.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local rate, depth, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local use, cost = tonumber(ARGV[4]), tonumber(ARGV[5])
local row = redis.call('HMGET', KEYS[1], 'tokens', 'polls', 'at')
local tokens, polls, at = tonumber(row[1]) or 0, tonumber(row[2]) or 0, tonumber(row[3]) or now
tokens = math.min(depth, tokens + math.max(0, now - at) * rate / 1000)
if use == 3 and tokens >= depth then
  use = 2
end
if use == 0 or use == 2 then
  tokens, polls = math.min(depth, tokens + polls), 0
end
local given
if use == 3 then
  given = math.min(want, math.floor(polls))
  polls = polls - given
else
  if use ~= 1 then cost = 1 end
  given = math.min(want, math.floor(tokens / cost))
  tokens, polls = tokens - given * cost, math.min(depth, polls + given * (cost - 1))
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'polls', tostring(polls), 'at', tostring(math.max(now, at)))
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return given
"""


class RedisPacer:
    """The bucket as a hash, changed by one script, so that workers never race."""

    def __init__(self, client: "redis.Redis") -> None:
        self._script = client.register_script(_TAKE)

    def take(self, io_account: int, *, want: int, rate: float, polls_wait: bool = False) -> int:
        use = _Use.SENDING_WHILE_POLLS_WAIT if polls_wait else _Use.SENDING
        return self._take(io_account, want=want, rate=rate, use=use)

    def take_for_polls(self, io_account: int, *, want: int, rate: float, sending_waits: bool) -> int:
        use = _Use.POLLS_WHILE_SENDING_WAITS if sending_waits else _Use.POLLS
        return self._take(io_account, want=want, rate=rate, use=use)

    def _take(self, io_account: int, *, want: int, rate: float, use: _Use) -> int:
        if want <= 0:
            return 0
        arguments = [rate, depth(rate), want, int(use), _COST_WITH_SHARE, FORGET_AFTER_MS]
        try:
            return int(self._script(keys=[_name(io_account)], args=arguments))
        except redis.RedisError as error:
            log.warning("no tokens while Redis is away: %s", type(error).__name__)
            return 0

    def give_back(self, io_account: int, *, count: int) -> None:
        client = self._script.registered_client
        # A Redis that is away costs these tokens and nothing else: whoever returns them still has a lane to leave.
        with contextlib.suppress(redis.RedisError):
            # A bucket forgotten in the meantime must not come back half filled and without a date.
            if count > 0 and client.hexists(_name(io_account), "tokens"):
                client.hincrbyfloat(_name(io_account), "tokens", count)


class DatabasePacer:
    """The bucket in the lane row, under the row's lock."""

    def take(self, io_account: int, *, want: int, rate: float, polls_wait: bool = False) -> int:
        use = _Use.SENDING_WHILE_POLLS_WAIT if polls_wait else _Use.SENDING
        return self._take(io_account, want=want, rate=rate, use=use)

    def take_for_polls(self, io_account: int, *, want: int, rate: float, sending_waits: bool) -> int:
        use = _Use.POLLS_WHILE_SENDING_WAITS if sending_waits else _Use.POLLS
        return self._take(io_account, want=want, rate=rate, use=use)

    def _take(self, io_account: int, *, want: int, rate: float, use: _Use) -> int:
        if want <= 0:
            return 0
        with transaction.atomic():
            # Locked first and asked the time after: a wait for the lock must not count as time to refill.
            Lane.objects.select_for_update().only("pk").get(pk=io_account)
            lane = Lane.objects.annotate(now=Now()).get(pk=io_account)
            now = max(lane.now, lane.refilled_at or lane.now)
            since = (now - (lane.refilled_at or now)).total_seconds()
            tokens, polls = min(depth(rate), lane.tokens + since * rate), lane.poll_tokens
            if use is _Use.POLLS_WHILE_SENDING_WAITS and tokens >= depth(rate):
                use = _Use.POLLS
            if use in (_Use.SENDING, _Use.POLLS):
                tokens, polls = min(depth(rate), tokens + polls), 0.0
            if use is _Use.POLLS_WHILE_SENDING_WAITS:
                given = min(want, int(polls))
                polls -= given
            else:
                cost = _COST_WITH_SHARE if use is _Use.SENDING_WHILE_POLLS_WAIT else 1.0
                given = min(want, int(tokens / cost))
                tokens, polls = tokens - given * cost, min(depth(rate), polls + given * (cost - 1))
            Lane.objects.filter(pk=io_account).update(tokens=tokens, poll_tokens=polls, refilled_at=now)
        return given

    def give_back(self, io_account: int, *, count: int) -> None:
        if count > 0:
            Lane.objects.filter(pk=io_account).update(tokens=F("tokens") + count)


def _name(io_account: int) -> str:
    return f"govio:bucket:{io_account}"


@lru_cache(maxsize=2)
def _redis_pacer(url: str) -> RedisPacer:
    # Short and once: a worker that cannot reach Redis must find out before its marks grow old.
    once = Retry(NoBackoff(), 0)
    return RedisPacer(redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=once))


def pacer() -> Pacer:
    return _redis_pacer(settings.REDIS_URL) if settings.REDIS_URL else DatabasePacer()
