"""For whom a request acts, as messages need to know it."""

from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request

from registry.models import AmountUnit, Consumer, ConsumerKey, User


@dataclass(frozen=True, slots=True)
class Caller:
    """The person, the consumer through which they come (None without one), and how they write amounts."""

    user: User
    consumer: Consumer | None
    amount_unit: AmountUnit

    @classmethod
    def of(cls, request: Request) -> "Caller":
        """Principals without a consumer use cents, as GovIO's schema does."""
        consumer = request.auth.consumer if isinstance(request.auth, ConsumerKey) else None
        unit = AmountUnit(consumer.amount_unit) if consumer else AmountUnit.CENTS
        return cls(user=cast("User", request.user), consumer=consumer, amount_unit=unit)
