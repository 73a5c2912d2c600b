"""What a person may do, over REST: their grants, given, changed and taken away."""

from datetime import datetime
from typing import Any, ClassVar, NoReturn, TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from registry import granting
from registry.api import people_representations as representations
from registry.api.callers import Caller
from registry.api.people_access import READS_PEOPLE, WRITES_PEOPLE, not_administered, not_allowed, visible_person
from registry.api.people_representations import Sight
from registry.api.people_schema import (
    AuthorizationListSerializer,
    AuthorizationSerializer,
    NewAuthorizationSerializer,
)
from registry.api.permissions import HasScope, Scopes
from registry.api.users import PERSON
from registry.models import Grant, Organization, Role, Service, User
from registry.roles import BY_ID, BY_NAME
from rest import paging
from rest.errors import ErrorItem, pointer
from rest.hal import Links
from rest.problems import Problem
from rest.query import QueryReader
from rest.schema import answers, paging_parameters, path_id, problems
from rest.strict_json import body_of
from rest.views import Resource
from rest.writing import Faults, read

SORTS = {"id": "id", "role_name": "role", "unsorted": "id"}
GRANT = path_id("authorization_id")
# What answers have and nobody sets.
_ANSWERED = ("complete",)

_Named = TypeVar("_Named", bound=Model)

_ON_ONE_PLACE = OpenApiExample(
    "A sender of one organization and one service",
    request_only=True,
    value={
        "role": "govio_sender",
        "organizations": [1],
        "services": [1],
        "expiration_date": "2090-12-31T23:59:59+01:00",
    },
)


class UserAuthorizations(Resource):
    """Those of one person that the caller may see."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "POST": WRITES_PEOPLE}

    @extend_schema(
        operation_id="listAuthorizations",
        tags=["people"],
        summary="List a user's authorizations",
        description=(
            "Expired ones too. Of somebody else an administrator sees those that name one of their organizations."
        ),
        parameters=[PERSON, *paging_parameters(SORTS)],
        responses={**answers(AuthorizationListSerializer, 200), **problems(400, 401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        person = visible_person(pk, caller=caller, at=at)
        reader = QueryReader(request.query_params)
        asked = paging.read(reader, model=Grant, sorts=SORTS)
        if reader.errors:
            raise Problem(400, code="invalid", errors=reader.errors)
        page = paging.fetch(_visible(person, caller=caller, at=at), asked=asked)
        links, sight = Links.of(request), Sight.of(caller, page.rows, at=at)
        items = [representations.authorization(row, links=links, sight=sight) for row in page.rows]
        return Response(paging.envelope(page, items, request=request))

    @extend_schema(
        operation_id="createAuthorization",
        tags=["people"],
        summary="Give an authorization",
        description=(
            "Platform staff give anything. An administrator gives any role on organizations and services that they "
            "administer, every pair of them, and for no longer than they do; never all, and never to platform staff."
        ),
        parameters=[PERSON],
        request={"application/json": NewAuthorizationSerializer},
        responses={
            **answers(AuthorizationSerializer, 201),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[_ON_ONE_PLACE],
    )
    def post(self, request: Request, pk: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        person = visible_person(pk, caller=caller, at=at)
        wanted = _wanted(body_of(request), caller=caller, at=at)
        try:
            made = granting.grant(person, wanted, by=caller.user, at=at)
        except _REFUSALS as refused:
            _refuse(refused, wanted, caller=caller, at=at)
        shown = representations.authorization(made, links=Links.of(request))
        return Response(shown, status=201, headers={"Location": shown["_links"]["self"]["href"]})


class UserAuthorization(Resource):
    """One of them."""

    permission_classes = (HasScope,)
    scopes: ClassVar[Scopes] = {"GET": READS_PEOPLE, "PUT": WRITES_PEOPLE, "DELETE": WRITES_PEOPLE}

    @extend_schema(
        operation_id="readAuthorization",
        tags=["people"],
        summary="Read an authorization",
        parameters=[PERSON, GRANT],
        responses={**answers(AuthorizationSerializer, 200), **problems(401, 403, 404, 429, 500, 503)},
    )
    def get(self, request: Request, pk: int, authorization_id: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        held = _visible_grant(pk, authorization_id, caller=caller, at=at)
        sight = Sight.of(caller, [held], at=at)
        return Response(representations.authorization(held, links=Links.of(request), sight=sight))

    @extend_schema(
        operation_id="replaceAuthorization",
        tags=["people"],
        summary="Replace an authorization",
        description="For who could take the old one away and give the new one.",
        parameters=[PERSON, GRANT],
        request={"application/json": NewAuthorizationSerializer},
        responses={
            **answers(AuthorizationSerializer, 200),
            **problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
        },
        examples=[_ON_ONE_PLACE],
    )
    def put(self, request: Request, pk: int, authorization_id: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        old = _visible_grant(pk, authorization_id, caller=caller, at=at)
        wanted = _wanted(body_of(request), caller=caller, at=at)
        try:
            new = granting.replace(old, wanted, by=caller.user, at=at)
        except _REFUSALS as refused:
            _refuse(refused, wanted, caller=caller, at=at)
        return Response(representations.authorization(new, links=Links.of(request)))

    @extend_schema(
        operation_id="deleteAuthorization",
        tags=["people"],
        summary="Take an authorization away",
        description="It ends at once. For who administers every organization and service of it, together.",
        parameters=[PERSON, GRANT],
        request=None,
        responses={204: None, **problems(401, 403, 404, 429, 500, 503)},
    )
    def delete(self, request: Request, pk: int, authorization_id: int) -> Response:
        caller, at = Caller.of(request), timezone.now()
        old = _visible_grant(pk, authorization_id, caller=caller, at=at)
        try:
            granting.revoke(old, by=caller.user, at=at)
        except _REFUSALS as refused:
            _refuse(refused, None, caller=caller, at=at)
        return Response(status=204)


def _visible(person: User, *, caller: Caller, at: datetime) -> QuerySet[Grant]:
    grants = Grant.objects.visible_to(caller.user, at=at).filter(user=person)
    return grants.select_related("user").prefetch_related("organizations", "services")


def _visible_grant(pk: int, authorization_id: int, *, caller: Caller, at: datetime) -> Grant:
    person = visible_person(pk, caller=caller, at=at)
    held = _visible(person, caller=caller, at=at).filter(pk=authorization_id).first()
    if held is None:
        raise NotFound
    return held


def _wanted(body: Any, *, caller: Caller, at: datetime) -> granting.Wanted:
    """What the body asks for, with every fault at once. Raises Problem."""
    faults = Faults()
    found = read(NewAuthorizationSerializer, body, faults=faults, ignored=_ANSWERED)
    staff = caller.user.is_staff
    given = body if isinstance(body, dict) else {}
    organizations = _set_of(
        "organizations",
        given.get("organizations"),
        found,
        among=Organization.objects.all() if staff else Organization.objects.visible_to(caller.user, at=at),
        faults=faults,
    )
    services = _set_of(
        "services",
        given.get("services"),
        found,
        among=Service.objects.all() if staff else Service.objects.visible_to(caller.user, at=at),
        faults=faults,
    )
    role = _role(found.get("role"), faults=faults)
    expires_at = found.get("expiration_date")
    if expires_at is not None and expires_at <= at:
        faults.impossible_at(
            "expiration_date_past",
            _("La data è già passata: per togliere l'autorizzazione usa DELETE."),
            "expiration_date",
        )
    faults.check()
    assert role is not None  # its absence is a fault
    return granting.Wanted(
        role=role,
        organizations=organizations,
        services=services,
        all_organizations=found.get("all_organizations", False),
        all_services=found.get("all_services", False),
        expires_at=expires_at,
    )


def _role(named: int | str | None, *, faults: Faults) -> Role | None:
    known = BY_NAME.get(named.lower()) if isinstance(named, str) else BY_ID.get(named or 0)
    if known is None and named is not None:
        names = ", ".join(BY_NAME)
        faults.impossible_at(
            "role_unknown", _("Il ruolo non esiste; quelli da assegnare: %(names)s.") % {"names": names}, "role"
        )
    return known.role if known else None


def _set_of(
    member: str, given: Any, found: dict[str, Any], *, among: QuerySet[_Named], faults: Faults
) -> tuple[_Named, ...]:
    """The rows named, once each, in their order. Empty where all are meant. `given` is the member as it came."""
    asked: list[int] = found.get(member) or []
    is_all = found.get(f"all_{member}", False)
    rows = among.in_bulk(asked) if asked else {}
    for index, pk in enumerate(asked):
        if pk not in rows:
            faults.impossible_at("unknown_id", _("Non esiste, o non è visibile a chi lo indica."), member, index)
    flag = f"all_{member}"
    if is_all and asked:
        both = _("O tutti, o alcuni: con «%(flag)s» la lista va lasciata vuota.")
        faults.impossible_at("all_and_some", both % {"flag": flag}, member)
    if not is_all and not given and not faults.names(flag):
        none = _(
            "La lista è vuota e non darebbe nessun diritto: indica gli id, oppure «%(flag)s»: true per intenderli tutti."
        )
        faults.impossible_at("empty_set", none % {"flag": flag}, member)
    return tuple(rows[pk] for pk in dict.fromkeys(asked) if pk in rows)


_REFUSALS = (granting.NotYours, granting.ForStaffAlone, granting.HasPrograms, granting.Gone)


def _refuse(refused: Exception, wanted: granting.Wanted | None, *, caller: Caller, at: datetime) -> NoReturn:
    """`wanted` is what the body asked for, if there was one."""
    match refused:
        case granting.Gone():
            raise NotFound
        case granting.HasPrograms():
            detail = _(
                "Per questa persona agiscono integrazioni di cui altri hanno la chiave, e avrebbero anche questo "
                "diritto: se la amministri revocale ed emettile di nuovo, altrimenti chiedi al personale della "
                "piattaforma, o crea un altro utente."
            )
            raise Problem(409, code="user_has_consumers", detail=detail)
        case granting.ForStaffAlone():
            raise not_allowed(
                _(
                    "Le autorizzazioni su «tutti» e quelle del personale della piattaforma le dà e le toglie solo il "
                    "personale della piattaforma."
                )
            )
        case granting.NotYours(missing=missing) if missing:
            # An ente or a service of somebody else's right may be one that this caller is not shown.
            named = [_item(pair, wanted) for pair in _shown(missing, caller=caller, at=at)]
            if named:
                raise Problem(403, code="permission_denied", errors=named)
            raise not_administered()
    raise not_allowed(_("Serve il ruolo Amministrazione: chiedilo al personale della piattaforma."))


def _shown(pairs: tuple[granting.Pair, ...], *, caller: Caller, at: datetime) -> list[granting.Pair]:
    """Those of which the caller sees the ente and the service."""
    enti = Organization.objects.visible_to(caller.user, at=at).in_bulk([pair.organization.pk for pair in pairs])
    services = Service.objects.visible_to(caller.user, at=at).in_bulk([pair.service.pk for pair in pairs])
    return [pair for pair in pairs if pair.organization.pk in enti and pair.service.pk in services]


def _item(pair: granting.Pair, wanted: granting.Wanted | None) -> ErrorItem:
    detail = _(
        "Manca il ruolo Amministrazione per l'ente %(organization)s e il servizio %(service)s insieme, o dura meno di "
        "quanto vuoi dare: chiedilo al personale della piattaforma."
    ) % {"organization": pair.organization.pk, "service": pair.service.pk}
    if wanted is None or pair.organization not in wanted.organizations or pair.service not in wanted.services:
        return ErrorItem("permission_denied", "", detail, None)
    return ErrorItem(
        "permission_denied", pointer("organizations", wanted.organizations.index(pair.organization)), detail
    )
