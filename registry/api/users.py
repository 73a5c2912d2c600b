"""People over REST: list, read, make, change."""

from typing import Any, ClassVar, cast

import django_filters  # type: ignore[import-untyped]
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry import enrolling
from registry.api import representations
from registry.api.callers import Caller
from registry.api.people_access import (
    READS_PEOPLE,
    WRITES_PEOPLE,
    YesNoFilter,
    as_it_was,
    not_administered,
    not_allowed,
    taken,
    visible_person,
)
from registry.api.people_schema import NewUserSerializer
from registry.api.permissions import HasScope, Scopes
from registry.api.schema import UserSerializer
from registry.granting import Gone, locked
from registry.models import User
from registry.querysets import UserQuerySet
from rest import paging
from rest.filters import FilterSet
from rest.hal import Links
from rest.patching import PATCH_REQUEST, Patchable, patched
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, list_of, paging_parameters, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

# The first is the default. `unsorted` promises no order to GovIO's clients; ours is stable all the same.
SORTS = {"id": "id", "full_name": "full_name", "unsorted": "id"}
UserListSerializer = list_of(UserSerializer, name="UserList")
PERSON = path_id()
# Member of a body -> field of the row.
_FIELDS = {"principal": "principal", "full_name": "full_name", "email": "email", "enabled": "is_active"}
_MEMBERS = {field: member for member, field in _FIELDS.items()}


class UserFilterSet(FilterSet):
    q = django_filters.CharFilter(method="by_name", max_length=255)
    enabled = YesNoFilter(field_name="is_active")

    class Meta:
        model = User
        fields: tuple[str, ...] = ()

    def by_name(self, people: UserQuerySet, name: str, value: str) -> UserQuerySet:
        return people.filter(Q(full_name__icontains=value) | Q(principal__icontains=value))


class Users(Resource):
    """The collection, as far as the caller sees it."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "POST": WRITES_PEOPLE}

    @extend_schema(
        operation_id="listUsers",
        tags=["people"],
        summary="List users",
        description=(
            "Oneself; for an administrator also the people with an authorization on their organizations and those they "
            "made; for platform staff everybody."
        ),
        parameters=[
            OpenApiParameter("q", str, description="Part of the full name or of the principal."),
            OpenApiParameter("enabled", bool),
            *paging_parameters(SORTS),
        ],
        responses={**answers(UserListSerializer, 200), **problems(400, 401, 403, 429, 500, 503)},
    )
    def get(self, request: Request) -> Response:
        caller = Caller.of(request)
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=User, sorts=SORTS)
        visible = User.objects.visible_to(caller.user, at=timezone.now())
        filterset = UserFilterSet(request.query_params, queryset=visible)
        filterset.check(reader)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page = paging.fetch(cast("UserQuerySet", filterset.qs), asked=asked)
        links = Links.of(request)
        items = [representations.user(person, links=links) for person in page.rows]
        return Response(paging.envelope(page, items, request=request))

    @extend_schema(
        operation_id="createUser",
        tags=["people"],
        summary="Make a user",
        description=(
            "Somebody without rights and without a password: give them authorizations, and an invitation. For "
            "administrators and platform staff."
        ),
        request={"application/json": NewUserSerializer},
        responses={
            **answers(UserSerializer, 201),
            **problems(400, 401, 403, 409, 413, 415, 429, 500, 503),
        },
        examples=[
            OpenApiExample(
                "A person",
                request_only=True,
                value={
                    "principal": "lucia.verdi",
                    "full_name": "Lucia Verdi",
                    "email": "lucia.verdi@ente.example.it",
                    "enabled": True,
                },
            )
        ],
    )
    def post(self, request: Request) -> Response:
        caller, at = Caller.of(request), timezone.now()
        if not enrolling.may_enrol(caller.user, at=at):
            raise _not_an_administrator()
        faults = Faults()
        found = _read(body_of(request), faults=faults)
        faults.check()
        try:
            made = enrolling.enrol(**{"is_active": True, **_fields(found)}, by=caller.user, at=at)
        except enrolling.NotAllowed:
            raise _not_an_administrator() from None
        except enrolling.PrincipalTaken:
            raise _principal_taken() from None
        shown = representations.user(made, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class UserDetail(Patchable):
    """One person."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "PATCH": WRITES_PEOPLE}

    @extend_schema(
        operation_id="readUser",
        tags=["people"],
        summary="Read a user",
        parameters=[PERSON],
        responses={**answers(UserSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        person = visible_person(pk, caller=Caller.of(request), at=timezone.now())
        return Response(representations.user(person, links=Links.of(request)))

    @extend_schema(
        operation_id="updateUser",
        tags=["people"],
        summary="Change a user",
        description=(
            "Full name and e-mail of oneself; these and `enabled` of those whose every authorization the caller "
            "administers; for platform staff also `principal`."
        ),
        parameters=[PERSON],
        request=PATCH_REQUEST,
        responses={
            **answers(UserSerializer, 200),
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
        person = visible_person(pk, caller=caller, at=at)
        links = Links.of(request)
        if not enrolling.changeable(person, by=caller.user, at=at):
            raise not_administered()
        operations = body_of(request)
        try:
            with transaction.atomic():
                # As they are now: who was disabled a moment ago stays so, whatever is changed here.
                _caller, person = locked(caller.user, person)
                faults = Faults()
                found = _changes(representations.user(person, links=links), operations, faults=faults)
                changed = enrolling.change(person, found, by=caller.user, at=timezone.now())
        except Gone:
            raise NotFound from None
        except enrolling.NotAllowed as refused:
            raise _not_changeable(refused.fields) from None
        except enrolling.DisablingOneself:
            faults.impossible_at("disabling_oneself", _("Nessuno può disabilitare sé stesso."), "enabled")
            faults.check()
            raise
        except enrolling.PrincipalTaken:
            raise _principal_taken() from None
        return Response(representations.user(changed, links=links))


def _read(body: Any, *, faults: Faults) -> dict[str, Any]:
    return read(NewUserSerializer, body, faults=faults)


def _changes(before: dict[str, Any], operations: Any, *, faults: Faults) -> dict[str, Any]:
    """The fields that the patch gives another value, checked. What it leaves as it was is not its fault."""
    after = patched(before, operations)
    found = _read(after, faults=faults)
    if "enabled" not in found and not faults.names("enabled"):
        faults.malformed_at("required", _("Il campo è obbligatorio."), "enabled")
    kept = as_it_was(before, after, faults=faults)
    faults.check()
    return {field: value for field, value in _fields(found).items() if _MEMBERS[field] not in kept}


def _fields(found: dict[str, Any]) -> dict[str, Any]:
    """What to write; an e-mail taken out, or null, is none."""
    return {"email": "", **{_FIELDS[member]: "" if value is None else value for member, value in found.items()}}


def _not_an_administrator() -> Problem:
    return not_allowed(_("Serve il ruolo Amministrazione: chiedilo al personale della piattaforma."))


def _not_changeable(fields: frozenset[str]) -> Problem:
    if not fields:
        return not_administered()
    if fields == {"principal"}:
        return not_allowed(_("Il nome utente lo cambia solo il personale della piattaforma."), "principal")
    return not_allowed(_("Di sé si cambiano solo nome ed e-mail: chiedi a chi ti amministra."), _MEMBERS[min(fields)])


def _principal_taken() -> Problem:
    return taken("principal_taken", _("C'è già un utente con questo nome utente: scegline un altro."), "principal")
