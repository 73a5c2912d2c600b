"""Keys of programs over REST: each is shown once, when it is made."""

from typing import ClassVar

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry import issuing
from registry.api import people_representations as representations
from registry.api.callers import Caller
from registry.api.consumers import CONSUMER
from registry.api.people_access import READS_PEOPLE, WRITES_PEOPLE, not_administered, visible_consumer
from registry.api.people_schema import (
    ConsumerKeyListSerializer,
    ConsumerKeySerializer,
    IssuedConsumerKeySerializer,
    NewConsumerKeySerializer,
)
from registry.api.permissions import HasScope, Scopes
from registry.models import Consumer, ConsumerKey, Scope
from rest import paging
from rest.errors import ErrorItem, pointer
from rest.hal import Links, utc_milliseconds
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, paging_parameters, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

SORTS = {"id": "id", "unsorted": "id"}
KEY = path_id("key_id")


class ConsumerKeys(Resource):
    """The keys of one program, those that ended included."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "POST": WRITES_PEOPLE}

    @extend_schema(
        operation_id="listConsumerKeys",
        tags=["people"],
        summary="List a consumer's keys",
        description="Never the keys themselves: their first characters, scopes and dates.",
        parameters=[CONSUMER, *paging_parameters(SORTS)],
        responses={**answers(ConsumerKeyListSerializer, 200), **problems(400, 401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        at = timezone.now()
        consumer = visible_consumer(pk, caller=Caller.of(request), at=at)
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=ConsumerKey, sorts=SORTS)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page = paging.fetch(consumer.keys.all(), asked=asked)
        links = Links.of(request)
        items = [representations.consumer_key(row, links=links, at=at) for row in page.rows]
        return Response(paging.envelope(page, items, request=request))

    @extend_schema(
        operation_id="createConsumerKey",
        tags=["people"],
        summary="Issue a key",
        description=(
            "The answer has the key itself, once: only its digest is kept. Its scopes are among those of the key that "
            "asks, and it ends no later than that one. At most two keys are live at a time: one in use, one to move over to."
        ),
        parameters=[CONSUMER],
        request={"application/json": NewConsumerKeySerializer},
        responses={
            **answers(IssuedConsumerKeySerializer, 201),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "For sending and reading",
                request_only=True,
                value={"scopes": ["messages:send", "messages:read"], "expires_at": "2090-12-31T23:59:59+01:00"},
            )
        ],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        consumer = visible_consumer(pk, caller=caller, at=at)
        faults = Faults()
        found = read(NewConsumerKeySerializer, body_of(request), faults=faults)
        expires_at = found.get("expires_at")
        if expires_at is not None and expires_at <= at:
            faults.impossible_at("expires_at_past", _("La data è già passata."), "expires_at")
        faults.check()
        scopes = frozenset(Scope(scope) for scope in found["scopes"])
        try:
            row, clear = issuing.issue(
                consumer, scopes=scopes, expires_at=expires_at, asking=_asking(request), by=caller.user, at=at
            )
        except issuing.NotAllowed:
            raise not_administered() from None
        except issuing.ScopesNotHeld as refused:
            raise _scopes_not_held(refused) from None
        except issuing.OutlivesAskingKey as refused:
            raise _outlives(refused) from None
        except issuing.TooManyLiveKeys:
            detail = _("Ci sono già %(limit)s chiavi attive: revocane una.") % {"limit": issuing.LIVE_KEYS}
            raise Problem(409, code="too_many_live_keys", detail=detail) from None
        shown = {**representations.consumer_key(row, links=Links.of(request), at=at), "key": clear}
        return Response(
            shown, status=201, headers={"Location": shown["_links"]["self"]["href"], "Cache-Control": "no-store"}
        )


class ConsumerKeyDetail(Resource):
    """One key."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "DELETE": WRITES_PEOPLE}

    @extend_schema(
        operation_id="readConsumerKey",
        tags=["people"],
        summary="Read a key's dates and scopes",
        parameters=[CONSUMER, KEY],
        responses={**answers(ConsumerKeySerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int, key_id: int) -> Response:
        at = timezone.now()
        row = _key(visible_consumer(pk, caller=Caller.of(request), at=at), key_id)
        return Response(representations.consumer_key(row, links=Links.of(request), at=at))

    @extend_schema(
        operation_id="revokeConsumerKey",
        tags=["people"],
        summary="Revoke a key",
        description="From the next request on it opens nothing. It stays in the list; revoking it again changes nothing.",
        parameters=[CONSUMER, KEY],
        request=None,
        responses={204: None, **problems(401, 403, 404, 429, 500, 503)},
    )
    def delete(self, request: Request, pk: int, key_id: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        row = _key(visible_consumer(pk, caller=caller, at=at), key_id)
        try:
            issuing.revoke(row, by=caller.user, at=at)
        except issuing.NotAllowed:
            raise not_administered() from None
        return Response(status=204)


def _key(consumer: Consumer, pk: int) -> ConsumerKey:
    row = consumer.keys.filter(pk=pk).first()
    if row is None:
        raise NotFound
    return row


def _asking(request: Request) -> issuing.Asking:
    key = request.auth
    return issuing.Asking(Caller.of(request).scopes, key.expires_at if isinstance(key, ConsumerKey) else None)


def _outlives(refused: issuing.OutlivesAskingKey) -> Problem:
    detail = _("La chiave che chiede scade il %(until)s: quella nuova non può scadere dopo, né restare senza scadenza.")
    until = {"until": utc_milliseconds(refused.until)}
    return Problem(
        403, code="expiry_not_held", errors=[ErrorItem("expiry_not_held", pointer("expires_at"), detail % until)]
    )


def _scopes_not_held(refused: issuing.ScopesNotHeld) -> Problem:
    detail = _("La chiave che chiede non ha questi ambiti, quindi non può darli: %(scopes)s.") % {
        "scopes": ", ".join(refused.scopes)
    }
    return Problem(403, code="scope_not_held", detail=detail)
