"""The buckets in the lane rows, under the rows' locks, by the database's clock: where there is no Redis."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from django.db import transaction
from django.db.models.functions import Now

from messaging.bucket import Bucket, Demand
from messaging.tokens import Pacer
from registry.models import Lane

# Coarser than in Redis: the row is rewritten with every taking, and this keeps the window within some hundred entries.
SLOT_MS = 50


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

    def _give_back(self, counts: Mapping[int, int]) -> None:
        with transaction.atomic():
            _lock(counts)
            buckets = {account: bucket for account, (bucket, _) in _read(counts).items()}
            for account, bucket in buckets.items():
                bucket.give_back(counts[account])
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
    rows = [
        Lane(
            pk=pk,
            tokens=bucket.tokens,
            poll_tokens=bucket.polls,
            refilled_at=None if bucket.at is None else datetime.fromtimestamp(bucket.at / 1000, UTC),
            grants=bucket.grants,
        )
        for pk, bucket in buckets.items()
    ]
    Lane.objects.bulk_update(rows, ["tokens", "poll_tokens", "refilled_at", "grants"])


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
