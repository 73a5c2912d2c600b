"""For whom a request acts, and with which scopes: what every view needs to know of its caller."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request

from registry.models import AmountUnit, Consumer, ConsumerKey, Scope, User

# Asked for on every request; `Scope.values` is a new list each time.
_KNOWN = frozenset(Scope.values)


@dataclass(frozen=True, slots=True)
class Caller:
    """The person, the consumer through which they come (None without one), how they write amounts, what their key is for."""

    user: User
    consumer: Consumer | None
    amount_unit: AmountUnit
    scopes: frozenset[Scope]

    @classmethod
    def of(cls, request: Request) -> "Caller":
        """Principals without a consumer use cents, as GovIO's schema does, and have every scope: they show no key."""
        consumer = request.auth.consumer if isinstance(request.auth, ConsumerKey) else None
        return cls(
            user=cast("User", request.user),
            consumer=consumer,
            amount_unit=AmountUnit(consumer.amount_unit) if consumer else AmountUnit.CENTS,
            scopes=scopes_of(request),
        )


class TrustedPrincipal:
    """`request.auth` of a caller whom a trusted proxy names (GovShell mode): no key, hence no consumer and every scope."""


def scopes_of(request: Request) -> frozenset[Scope]:
    """Of the key shown; none where nobody is known."""
    match request.auth:
        case ConsumerKey():
            # A scope that a later release took away stays in old keys, and means nothing.
            return frozenset(Scope(scope) for scope in request.auth.scopes if scope in _KNOWN)
        case TrustedPrincipal():
            return frozenset(Scope)
    return frozenset()


def holds_one_of(request: Request, scopes: Collection[Scope]) -> bool:
    return not scopes_of(request).isdisjoint(scopes)
