"""The buckets in the lane rows, under the rows' locks, by the database's clock: where there is no Redis."""

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from messaging.bucket import Bucket, Demand
from messaging.tokens import Pacer, Spare
from registry.models import Lane

# Coarser than in Redis: the row is rewritten with every taking, and this keeps the window within two hundred entries. No
# coarser than the half of the jitter that late calls leave, by which what is given back may be wrong.
SLOT_MS = 25


class DatabasePacer(Pacer):
    def _take(self, demands: Mapping[int, Demand]) -> dict[int, int]:
        if not demands:
            return {}
        # Looked at first, without a lock: a look that finds nothing, as many do, must write nothing.
        if not _take(demands, _read(demands))[1]:
            return {}
        with transaction.atomic():
            # Locked first and asked the time after: a wait for the lock must not count as time to refill.
            _lock(demands)
            given, changed = _take(demands, _read(demands))
            _write(changed)
        return given

    def _give_back(self, spare: Mapping[int, Spare]) -> None:
        with transaction.atomic():
            _lock(spare)
            buckets = {}
            for account, (bucket, now) in _read(spare).items():
                bucket.give_back(spare[account].count, now=now, age_ms=spare[account].age_ms)
                buckets[account] = bucket
            _write(buckets)


def _take(
    demands: Mapping[int, Demand], read: Mapping[int, tuple[Bucket, int]]
) -> tuple[dict[int, int], dict[int, Bucket]]:
    """What each is given, and the buckets that must be written."""
    given, changed = {}, {}
    for account, (bucket, now) in read.items():
        is_new = bucket.at is None
        given[account] = bucket.take(demands[account], now=now)
        if given[account] or is_new or demands[account].late:
            changed[account] = bucket
    return given, changed


def _lock(accounts: Collection[int]) -> None:
    # In one order, so that two callers never wait for each other.
    list(Lane.objects.select_for_update().filter(pk__in=list(accounts)).order_by("pk").values_list("pk"))


def _read(accounts: Collection[int]) -> dict[int, tuple[Bucket, int]]:
    """Each bucket with the database's present."""
    rows = Lane.objects.filter(pk__in=list(accounts)).values_list(
        "pk", "tokens", "poll_tokens", "refilled_at", "grants", Now()
    )
    return {
        pk: (Bucket(SLOT_MS, tokens, polls, _milliseconds(at) if at else None, grants), _milliseconds(now))
        for pk, tokens, polls, at, grants, now in rows
    }


def _write(buckets: Mapping[int, Bucket]) -> None:
    # Row by row in one go: the ORM's one UPDATE for all takes a CASE for each row and column, and ten times as long.
    rows = [
        (
            bucket.tokens,
            bucket.polls,
            None if bucket.at is None else _column(datetime.fromtimestamp(bucket.at / 1000, UTC)),
            json.dumps(bucket.grants),
            pk,
        )
        for pk, bucket in sorted(buckets.items())
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE registry_lane SET tokens = %s, poll_tokens = %s, refilled_at = %s, grants = %s WHERE io_account_id = %s",
            rows,
        )


def _column(moment: datetime) -> Any:
    """As the database keeps it."""
    return Lane._meta.get_field("refilled_at").get_db_prep_value(moment, connection)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
