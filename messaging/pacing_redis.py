"""The buckets in Redis, by its clock, changed by one script, so that workers never race.

What an account has there: a hash {tokens, polls, at, sum} and a list of its grants, "instant:count", oldest first. The
arithmetic is `bucket.Bucket`'s. One key more tells since when this Redis can be believed: an emptied one has forgotten
it, a restarted one (with old data, or the replica that took over) has another run id. Then every bucket starts empty,
and for one window what IO still counts of ours is taken to be the most that it can be.
"""

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from messaging.bucket import CLOCK_STEP_MS, COST_WITH_SHARE, COUNTED_MS, Demand, depth, limit, refill
from messaging.tokens import Pacer, Spare

log = logging.getLogger(__name__)

SLOT_MS = 10
# A bucket not used for this long is forgotten; the next use starts empty, which costs a fraction of a second.
FORGET_AFTER_MS = 60_000
# To connect, and again to answer: a thread is never held longer than both together.
TIMEOUT_SECONDS = 1.0
# Redis that failed is let alone for as long as the failing took, and at least for this.
SHORTEST_REST_SECONDS = 0.2
COMPLAIN_EVERY_SECONDS = 10.0

SINCE = "govio:buckets"
CLOCK = "redis.call('TIME')"

_COMMON = """
local now = math.floor(clock[1] * 1000 + clock[2] / 1000)
local counted, slot, step, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

-- Where INFO is forbidden, only an emptied Redis is noticed.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or 'untold'
local known = redis.call('HMGET', KEYS[1], 'run', 'since')
local since = tonumber(known[2])
if not since or known[1] ~= run or since > now + step then
  since = now
  redis.call('HSET', KEYS[1], 'run', run, 'since', since)
end

local function reduce(grants, count, granted_by)
  local left, index = count, -1
  while left > 0 do
    local grant = redis.call('LINDEX', grants, index)
    if not grant then break end
    local at, there = string.match(grant, '(%d+):(%d+)')
    if math.floor(at / slot) > math.floor(granted_by / slot) then
      index = index - 1
    else
      local fewer = math.min(left, tonumber(there))
      left = left - fewer
      if tonumber(there) > fewer then
        redis.call('LSET', grants, index, at .. ':' .. string.format('%d', there - fewer))
      else
        redis.call('LSET', grants, index, 'gone')
        redis.call('LREM', grants, -1, 'gone')
      end
    end
  end
  return count - left
end

local function append(grants, at, count)
  if count <= 0 then return end
  local newest = redis.call('LINDEX', grants, -1)
  if newest then
    local before, there = string.match(newest, '(%d+):(%d+)')
    if math.floor(before / slot) == math.floor(at / slot) then
      redis.call('LSET', grants, -1, string.format('%d:%d', at, there + count))
      return
    end
  end
  redis.call('RPUSH', grants, string.format('%d:%d', at, count))
end
"""

# KEYS: the believing, then a hash and a list for each account. ARGV: the common ones, the cost of a call with its share,
# then want, rate's depth, limit and refill, use, late and its age for each account. Returns what is given to each.
_TAKE = """
local share = tonumber(ARGV[5])
local answer = {}
for i = 1, (#KEYS - 1) / 2 do
  local hash, grants, a = KEYS[2 * i], KEYS[2 * i + 1], 7 * i - 1
  local want, depth, limit = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local refill, use = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local late, late_age = tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])

  local row = redis.call('HMGET', hash, 'tokens', 'polls', 'at', 'sum')
  local tokens, polls, at, sum = tonumber(row[1]), tonumber(row[2]), tonumber(row[3]), tonumber(row[4])
  if not at or at < since then
    tokens, polls, at, sum = 0, 0, now, 0
    redis.call('DEL', grants)
  elseif at > now + step then
    tokens, polls, at, sum = 0, 0, now, limit
    redis.call('DEL', grants)
    append(grants, now, limit)
  end
  local present = math.max(now, at)

  local oldest = redis.call('LINDEX', grants, 0)
  while oldest do
    local taken, count = string.match(oldest, '(%d+):(%d+)')
    if tonumber(taken) > present - counted then break end
    sum = sum - count
    redis.call('LPOP', grants)
    oldest = redis.call('LINDEX', grants, 0)
  end
  if not oldest then sum = 0 end
  if late > 0 then
    sum = sum - reduce(grants, late, present - late_age) + late
    append(grants, present, late)
  end

  tokens = math.min(depth, tokens + (present - at) * refill)
  local room = limit - sum
  if since + counted > present then
    -- The most that a bucket can have given in what is left of the window before we knew.
    room = room - math.min(limit, depth + refill * (since + counted - present))
  end
  if use == 3 and tokens >= depth and room - polls >= math.min(limit, depth) then use = 2 end
  if use == 0 or use == 2 then
    tokens, polls = math.min(depth, tokens + polls), 0
  end
  local given
  if use == 3 then
    given = math.min(want, math.floor(polls), math.floor(room))
  elseif use == 1 then
    given = math.min(want, math.floor(tokens / share), math.ceil((math.floor(room) + 1 - polls) / share) - 1)
  else
    given = math.min(want, math.floor(tokens), math.floor(room))
  end
  given = math.max(0, given)
  if use == 3 then
    polls = polls - given
  elseif use == 1 then
    tokens, polls = tokens - given * share, math.min(depth, polls + given * (share - 1))
  else
    tokens = tokens - given
  end
  append(grants, present, given)
  redis.call('HSET', hash, 'tokens', string.format('%.17g', tokens), 'polls', string.format('%.17g', polls),
    'at', string.format('%d', present), 'sum', string.format('%d', sum + given))
  redis.call('PEXPIRE', hash, keep)
  redis.call('PEXPIRE', grants, keep)
  answer[i] = given
end
return answer
"""

# Nothing comes back to a bucket that was forgotten, nor while its window is not known: it would be counted twice.
_GIVE_BACK = """
for i = 1, (#KEYS - 1) / 2 do
  local hash, grants = KEYS[2 * i], KEYS[2 * i + 1]
  local at = tonumber(redis.call('HGET', hash, 'at'))
  if at and at >= since and at <= now + step and since + counted <= now then
    local fewer = reduce(grants, tonumber(ARGV[2 * i + 3]), math.max(now, at) - tonumber(ARGV[2 * i + 4]))
    if fewer > 0 then
      redis.call('HINCRBYFLOAT', hash, 'tokens', fewer)
      redis.call('HINCRBY', hash, 'sum', -fewer)
    end
  end
end
"""


class RedisPacer(Pacer):
    """Redis that is away gives nothing; whoever asks meanwhile is answered at once, most of the time."""

    def __init__(self, client: "redis.Redis") -> None:
        clock = f"local clock = {CLOCK}"
        self._take_script = client.register_script(clock + _COMMON + _TAKE)
        self._give_back_script = client.register_script(clock + _COMMON + _GIVE_BACK)
        # What could not be told: account -> how many calls left late, when the oldest of their tokens was asked for and
        # when the last of them was told (monotonic).
        self._untold: dict[int, tuple[int, float, float]] = {}
        self._untold_lock = threading.Lock()
        self._rests_until = 0.0
        self._complained_at = -COMPLAIN_EVERY_SECONDS

    def _take(self, demands: Mapping[int, Demand]) -> dict[int, int]:
        if not demands:
            return {}
        demands = {account: self._with_untold(account, demand) for account, demand in demands.items()}
        arguments: list[float] = [COST_WITH_SHARE]
        for demand in demands.values():
            rate = demand.rate
            arguments += [demand.want, depth(rate), limit(rate), refill(rate), int(demand.use)]
            arguments += [demand.late, demand.late_age_ms]
        given = self._run(self._take_script, demands, arguments)
        if given is None:
            self._remember_untold(demands)
            return {}
        return dict(zip(demands, given, strict=True))

    def _with_untold(self, account: int, demand: Demand) -> Demand:
        with self._untold_lock:
            late, asked_at, told_at = self._untold.pop(account, (0, 0.0, 0.0))
        now = time.monotonic()
        if not late or now - told_at > COUNTED_MS / 1000:
            return demand
        age_ms = max(demand.late_age_ms, math.ceil((now - asked_at) * 1000))
        return replace(demand, late=demand.late + late, late_age_ms=age_ms)

    def _remember_untold(self, demands: Mapping[int, Demand]) -> None:
        """Redis is away. Who asks next in this process tells them: they count in full, however late."""
        now = time.monotonic()
        with self._untold_lock:
            for account, demand in demands.items():
                if demand.late > 0:
                    late, asked_at, told_at = self._untold.get(account, (0, now, now))
                    asked_at = min(asked_at, now - demand.late_age_ms / 1000)
                    self._untold[account] = late + demand.late, asked_at, told_at

    def _give_back(self, spare: Mapping[int, Spare]) -> None:
        # A Redis that is away costs these tokens and nothing else: whoever returns them still has a lane to leave.
        arguments = [part for each in spare.values() for part in (each.count, each.age_ms)]
        self._run(self._give_back_script, spare, arguments)

    def _run(self, script: Any, accounts: Mapping[int, Any], arguments: list[Any]) -> Any:
        """What the script returns; None while Redis is away."""
        began = time.monotonic()
        if began < self._rests_until:
            return None
        keys = [SINCE, *(key for account in accounts for key in (name(account), f"{name(account)}:grants"))]
        try:
            return script(keys=keys, args=[COUNTED_MS, SLOT_MS, CLOCK_STEP_MS, FORGET_AFTER_MS, *arguments])
        except redis.RedisError as error:
            now = time.monotonic()
            self._rests_until = now + max(SHORTEST_REST_SECONDS, now - began)
            if now - self._complained_at >= COMPLAIN_EVERY_SECONDS:
                self._complained_at = now
                log.warning("no tokens while Redis is away: %s", type(error).__name__)
            return None


def name(io_account: int) -> str:
    return f"govio:bucket:{io_account}"


@lru_cache(maxsize=2)
def redis_pacer(url: str) -> RedisPacer:
    # Short and once: a worker that cannot reach Redis must find out before its marks grow old.
    once = Retry(NoBackoff(), 0)
    return RedisPacer(
        redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=once)
    )
