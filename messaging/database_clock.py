"""The database's clock: leases, lanes and pauses are compared by workers on several hosts, so one clock decides."""

import time
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.functions import Now


def now_plus(seconds: float) -> Any:
    """An SQL expression: the database's present plus (or minus) some seconds."""
    return ExpressionWrapper(
        Now() + Value(timedelta(seconds=seconds)),
        output_field=DateTimeField(),
    )


class DatabaseClock:
    """The database's present, told once and carried on by this process's monotonic clock, for a few seconds."""

    def __init__(self, told: datetime) -> None:
        self._told = told
        self._since = time.monotonic()

    def now(self) -> datetime:
        return self._told + timedelta(seconds=time.monotonic() - self._since)
