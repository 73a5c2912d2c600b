"""Rows of an attempt, moved by its answer: from `sending`, or out of a doubt that the answer settles late."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_noop

from messaging.models import EventKind
from messaging.moving import move
from messaging.states import Delivery, WaitingReason

# What no ended message keeps, and what no message keeps that is not being sent any more.
NOT_ARRIVED_AFTER_ALL = gettext_noop(
    "Era stato segnato come arrivato, ma la richiesta non è partita o IO l’ha rifiutata: il cittadino non lo ha ricevuto."
)
ENDED: dict[str, Any] = {"waiting_reason": WaitingReason.NONE, "retries": 0}
UNMARKED: dict[str, Any] = {"lease_until": None}


def settle(
    facts: Mapping[int, Mapping[str, Any]],
    *,
    to: Delivery,
    kind: EventKind,
    attempts: Mapping[int, uuid.UUID],
    at: datetime,
    columns: Mapping[str, Any],
) -> list[int]:
    """Move rows that still belong to these attempts; those already in doubt are settled, and their event says so."""
    moved = move(
        list(facts),
        to=to,
        kind=kind,
        sources=[Delivery.SENDING],
        attempt_id={pk: attempts[pk] for pk in facts},
        at=at,
        data=facts,
        columns=columns,
    )
    if to is not Delivery.UNCERTAIN and len(moved) < len(facts):
        late = {pk: {**facts[pk], "answer": kind.value} for pk in facts.keys() - set(moved)}
        moved += move(
            list(late),
            to=to,
            kind=EventKind.LATE_ANSWER,
            sources=[Delivery.UNCERTAIN],
            attempt_id={pk: attempts[pk] for pk in late},
            at=at,
            data=late,
            columns=columns,
        )
    if to not in (Delivery.UNCERTAIN, Delivery.SENT) and len(moved) < len(facts):
        # A person took these as arrived, and they were not: back to the person, since nobody else may send them again.
        rest = {pk: {**facts[pk], "answer": kind.value} for pk in facts.keys() - set(moved)}
        move(
            list(rest),
            to=Delivery.UNCERTAIN,
            kind=EventKind.LATE_ANSWER,
            sources=[Delivery.SENT],
            attempt_id={pk: attempts[pk] for pk in rest},
            condition=Q(is_taken_as_arrived=True),
            at=at,
            data=rest,
            columns={
                "is_taken_as_arrived": False,
                "expedition_date": None,
                "next_poll_at": None,
                "status_detail": NOT_ARRIVED_AFTER_ALL,
            },
        )
    return moved
