"""Programs of integrators over REST."""

from datetime import datetime
from typing import Any, ClassVar, cast

import django_filters  # type: ignore[import-untyped]
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry import issuing
from registry.api import people_representations as representations
from registry.api.callers import Caller
from registry.api.people_access import (
    READS_PEOPLE,
    WRITES_PEOPLE,
    YesNoFilter,
    as_it_was,
    not_administered,
    taken,
    visible_consumer,
)
from registry.api.people_schema import ConsumerListSerializer, ConsumerSerializer, NewConsumerSerializer
from registry.api.permissions import HasScope, Scopes
from registry.granting import Gone
from registry.models import Consumer, User
from registry.querysets import ConsumerQuerySet
from rest import paging
from rest.filters import FilterSet, IdFilter
from rest.hal import Links
from rest.patching import PATCH_REQUEST, Patchable, patched
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, paging_parameters, path_id, problems, query_id
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

SORTS = {"id": "id", "name": "name", "unsorted": "id"}
CONSUMER = path_id()
_WRITTEN = ("name", "user_id", "amount_unit", "enabled")
# What answers have and nobody sets.
_ANSWERED = ("created_at",)


class ConsumerFilterSet(FilterSet):
    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains", max_length=255)
    enabled = YesNoFilter(field_name="is_active")
    user_id = IdFilter(field_name="user_id")

    class Meta:
        model = Consumer
        fields: tuple[str, ...] = ()


class Consumers(Resource):
    """Those that act for people whom the caller administers."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "POST": WRITES_PEOPLE}

    @extend_schema(
        operation_id="listConsumers",
        tags=["people"],
        summary="List consumers",
        description="The programs that act for people whose every authorization the caller administers.",
        parameters=[
            OpenApiParameter("q", str, description="Part of the name."),
            OpenApiParameter("enabled", bool),
            query_id("user_id"),
            *paging_parameters(SORTS),
        ],
        responses={**answers(ConsumerListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        caller = Caller.of(request)
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=Consumer, sorts=SORTS)
        visible = Consumer.objects.visible_to(caller.user, at=timezone.now())
        filterset = ConsumerFilterSet(request.query_params, queryset=visible)
        filterset.check(reader)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page = paging.fetch(cast("ConsumerQuerySet", filterset.qs), asked=asked)
        links = Links.of(request)
        items = [representations.consumer(row, links=links) for row in page.rows]
        return Response(paging.envelope(page, items, request=request))

    @extend_schema(
        operation_id="createConsumer",
        tags=["people"],
        summary="Register a consumer",
        description="For who administers every authorization of the person for whom it is to act. Then give it a key.",
        request={"application/json": NewConsumerSerializer},
        responses={
            **answers(ConsumerSerializer, 201),
            **problems(400, 401, 403, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "The registry office's program",
                request_only=True,
                value={"name": "Anagrafe", "user_id": 1, "amount_unit": "euro", "enabled": True},
            )
        ],
    )
    def post(self, request: Request) -> Response:
        caller, at = Caller.of(request), timezone.now()
        data = _data(body_of(request), caller=caller, at=at)
        try:
            made = issuing.register(data, by=caller.user, at=at)
        except issuing.NotAllowed:
            raise not_administered() from None
        except issuing.NameTaken:
            raise _name_taken() from None
        shown = representations.consumer(made, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class ConsumerDetail(Patchable):
    """One program."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "PATCH": WRITES_PEOPLE}

    @extend_schema(
        operation_id="readConsumer",
        tags=["people"],
        summary="Read a consumer",
        parameters=[CONSUMER],
        responses={**answers(ConsumerSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        row = visible_consumer(pk, caller=Caller.of(request), at=timezone.now())
        return Response(representations.consumer(row, links=Links.of(request)))

    @extend_schema(
        operation_id="updateConsumer",
        tags=["people"],
        summary="Change a consumer",
        description=(
            "Name, `enabled`, the person for whom it acts (both must be administered by the caller), and the unit of "
            "amounts as long as it has sent nothing."
        ),
        parameters=[CONSUMER],
        request=PATCH_REQUEST,
        responses={
            **answers(ConsumerSerializer, 200),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "Disable",
                request_only=True,
                value=[{"op": "replace", "path": "/enabled", "value": False}],
            )
        ],
    )
    def patch(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        row = visible_consumer(pk, caller=caller, at=at)
        links = Links.of(request)
        operations = body_of(request)
        # For whom it is to act, who has to be held with the others: that much the patch says by itself.
        person = _change(row, operations, caller=caller, links=links).user
        try:
            with transaction.atomic():
                # As it is now: what was switched off a moment ago stays so, whatever is changed here.
                row = issuing.held(row, caller.user, person)
                data = _change(row, operations, caller=caller, links=links)
                changed = issuing.change(row, data, by=caller.user, at=timezone.now())
        except issuing.Moved:
            return self.patch(request, pk)
        except Gone:
            raise NotFound from None
        except issuing.KeysOfOthers:
            detail = _(
                "Altri hanno chiavi di questa integrazione, e avrebbero ciò che ha questa persona: revocale, oppure crea "
                "un'altra integrazione."
            )
            raise taken("consumer_keys_of_others", detail, "user_id") from None
        except issuing.NotAllowed:
            raise not_administered() from None
        except issuing.NameTaken:
            raise _name_taken() from None
        except issuing.UnitInUse:
            detail = _(
                "Questa integrazione ha già inviato: cambiando unità i suoi importi cambierebbero significato. "
                "Crea un'altra integrazione."
            )
            raise taken("amount_unit_in_use", detail, "amount_unit") from None
        return Response(representations.consumer(changed, links=links))


def _change(row: Consumer, operations: Any, *, caller: Caller, links: Links) -> issuing.ConsumerData:
    """What the patch makes of the program as it is in this row."""
    before = representations.consumer(row, links=links)
    return _data(patched(before, operations), before=before, caller=caller, at=timezone.now())


def _data(body: Any, *, caller: Caller, at: datetime, before: dict[str, Any] | None = None) -> issuing.ConsumerData:
    """What the body asks for: all of a new one, or what a patch made of the document `before`."""
    faults = Faults()
    found = read(NewConsumerSerializer, body, faults=faults, ignored=_ANSWERED)
    if before is not None:
        if "enabled" not in found and not faults.names("enabled"):
            faults.malformed_at("required", _("Il campo è obbligatorio."), "enabled")
        kept = as_it_was(before, body, faults=faults)
        found.update({name: before[name] for name in _WRITTEN if name in kept})
    person = None
    if "user_id" in found:
        person = User.objects.visible_to(caller.user, at=at).filter(pk=found["user_id"]).first()
        if person is None:
            faults.impossible_at("unknown_id", _("Non esiste, o non è visibile a chi lo indica."), "user_id")
    faults.check()
    assert person is not None  # its absence is a fault
    return issuing.ConsumerData(
        name=found["name"],
        user=person,
        amount_unit=found["amount_unit"],
        is_active=found.get("enabled", True),
    )


def _name_taken() -> Problem:
    return taken("name_taken", _("C'è già un'integrazione con questo nome: scegline un altro."), "name")
