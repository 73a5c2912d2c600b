"""Pages of messages at a cost that does not grow with their number.

In one go, whoever sees little of many would have all the rest read through, and a rare state would be looked for among
all others: PostgreSQL takes what is asked for to be spread evenly. So the way is chosen by what is known:

1. Which service instances, first: they are few, and their ids are constants to the planner.
2. How many messages, counted to 10,001 in no order, by whatever index finds them.
3. Of no more than 10,000, all are found by the same index and sorted: nothing else is read.
4. Of more, the first of each service instance (a *stream*, and where states are asked for one of each state) by the index
   that has them in order, then the first of those; or newest first until the page is full, which is soon.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from messaging.models import Message, ServiceInstance
from messaging.querysets import MessageQuerySet
from messaging.states import LISTED_BY_STATE
from rest import paging
from rest.paging import EXACT_TOTAL, Page, PageRequest

# So many entries of an index streams may read for one page, or so many whole rows.
_MOST_READ = 50_000
_MOST_LOOKED_AT = 2_000

_Statement = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What the filters of a list ask for, as far as it decides the way: which states (None: any), and what else.

    `until` is the last date asked for: where that is past, newer messages would be read through in vain.
    """

    states: Collection[str] | None = None
    by_recipient: bool = False
    by_date: bool = False
    until: datetime | None = None

    @property
    def listed_states(self) -> list[str]:
        """Those asked for, where `message_by_state` has them all; else none."""
        states = [str(state) for state in self.states or ()]
        return sorted(states) if LISTED_BY_STATE.issuperset(states) else []


def page(
    messages: MessageQuerySet,
    *,
    instances: QuerySet[ServiceInstance],
    narrowing: Narrowing,
    asked: PageRequest,
    at: datetime,
) -> Page[Message]:
    """The page of these messages that belong to these service instances.

    Three statements: the service instances, the bounded count (none where a cursor goes on), the rows.
    """
    numbers = list(instances.order_by().values_list("pk", flat=True))
    return paging.fetch(messages, asked=asked, way=_Way(numbers, narrowing=narrowing, at=at))


class _Way:
    """Of messages of all service instances, those of ours."""

    def __init__(self, instances: list[int], *, narrowing: Narrowing, at: datetime) -> None:
        self._instances = instances
        self._narrowing = narrowing
        self._at = at

    def count(self, messages: QuerySet[Message], *, limit: int) -> int:
        return self._mine(messages).order_by().values("pk")[:limit].count()

    def rows(self, ordered: QuerySet[Message], *, asked: PageRequest, total: int | None) -> QuerySet[Message]:
        first, last = asked.offset, asked.offset + asked.limit + 1
        if connection.vendor != "postgresql":
            return self._mine(ordered)[first:last]
        try:
            sql, params = self._ids(ordered, asked=asked, is_few=total is not None and total <= EXACT_TOTAL)
        except EmptyResultSet:
            # In one of no states, as GovIO's `denied`: nothing to ask.
            return ordered.none()
        # An array is made once and before all else: of a subquery the planner might first join all that is shown with it.
        # The filters stay; for a hundred rows they cost nothing.
        among = f'"messaging_message"."id" = ANY(ARRAY({sql}))'
        return ordered.filter(RawSQL(among, params, output_field=BooleanField()))  # noqa: S611  (the ORM's own words)

    def _mine(self, messages: QuerySet[Message]) -> QuerySet[Message]:
        return messages.filter(service_instance__pk__among=self._instances)

    def _ids(self, ordered: QuerySet[Message], *, asked: PageRequest, is_few: bool) -> _Statement:
        """The ids of the page."""
        narrowing, by_id = self._narrowing, asked.sort.field == "id"
        if is_few or (not by_id and (narrowing.by_recipient or narrowing.listed_states)):
            return self._gathered(ordered, asked)
        if by_id and (narrowing.by_recipient or narrowing.by_date):
            is_past = narrowing.until is not None and narrowing.until < self._at
            return self._gathered(ordered, asked) if is_past else self._in_order(ordered, asked)
        return self._streams(ordered, asked) or self._in_order(ordered, asked)

    def _gathered(self, ordered: QuerySet[Message], asked: PageRequest) -> _Statement:
        """All of them, then the page: the planner may not hope to come upon the page while it reads in order."""
        found, params = _keys(self._mine(ordered), asked).order_by().query.sql_with_params()
        return f"WITH found AS MATERIALIZED ({found}) SELECT found.id FROM found {_page_of(asked)}", params  # noqa: S608

    def _in_order(self, ordered: QuerySet[Message], asked: PageRequest) -> _Statement:
        """As the planner likes, which for many is one after the other until the page is full."""
        page = _keys(self._mine(ordered), asked)[asked.offset : asked.offset + asked.limit + 1]
        found, params = page.query.sql_with_params()
        return f"SELECT found.id FROM ({found}) AS found", params  # noqa: S608

    def _streams(self, ordered: QuerySet[Message], asked: PageRequest) -> _Statement | None:
        """The first of each stream, then the page; None where that would be many rows."""
        states = self._narrowing.listed_states
        # Any other state has to be read from each row.
        most_read = _MOST_READ if states or self._narrowing.states is None else _MOST_LOOKED_AT
        depth = asked.offset + asked.limit + 1
        if len(self._instances) * max(len(states), 1) * depth > most_read:
            return None
        source = "unnest(%s::bigint[]) AS stream(instance)"
        params: list[Any] = [self._instances]
        own = ordered.filter(service_instance=RawSQL("stream.instance", ()))
        if states:
            source += " CROSS JOIN unnest(%s::text[]) AS one(state)"
            params.append(states)
            own = own.filter(delivery_state=RawSQL("one.state", ()))
        found, found_params = _keys(own, asked)[:depth].query.sql_with_params()
        return (
            f"SELECT found.id FROM {source} CROSS JOIN LATERAL ({found}) AS found {_page_of(asked)}",  # noqa: S608
            (*params, *found_params),
        )


def _keys(messages: QuerySet[Message], asked: PageRequest) -> QuerySet[Message, Any]:
    """What they are ordered by, all of it in the index."""
    return messages.select_related(None).values_list(*dict.fromkeys(("id", asked.sort.field)))


def _page_of(asked: PageRequest) -> str:
    direction = "DESC" if asked.sort.descending else "ASC"
    order = ", ".join(f"found.{column} {direction}" for column in dict.fromkeys((asked.sort.field, "id")))
    return f"ORDER BY {order} LIMIT {asked.limit + 1} OFFSET {asked.offset}"
