"""Service instances over REST: which ones a caller sees, making one, and what a PATCH comes to.

An IO key that arrives here goes to `messaging.configuring` and nowhere else: into no answer, no error, no log.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar

import django_filters  # type: ignore[import-untyped]
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Model, Q, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound

from messaging import configuring
from messaging.api import representations
from messaging.api.instances_schema import ChangedServiceInstanceSerializer, NewServiceInstanceSerializer
from messaging.configuring import Refused
from messaging.models import ServiceInstance
from messaging.models.service_instance import ServiceInstanceQuerySet
from messaging.moving import StateConflict
from registry.api.callers import Caller
from registry.models import Organization, Service
from registry.permissions import Action, can, covered
from rest.errors import ErrorItem, Text, pointer
from rest.filters import FilterSet, IdFilter, WordFilter
from rest.hal import Links
from rest.patching import patched
from rest.problems import Problem
from rest.writing import Faults, read
from templates_app.models import Template

_Row = TypeVar("_Row", bound=Model)

# Related rows that each embedded part needs.
_NEEDED = {
    "service": ("service",),
    "organization": ("organization",),
    "template": ("template__current_version", "template__draft"),
}
# Answers tell it, nobody sets it.
_READ_ONLY = ("permissions",)


class ServiceInstanceFilterSet(FilterSet):
    service_id = IdFilter(field_name="service_id")
    organization_id = IdFilter(field_name="organization_id")
    io_service_id = django_filters.CharFilter(field_name="io_service__io_service_id", max_length=255)
    enabled = WordFilter(field_name="enabled", words={"true": (True,), "false": (False,)})
    q = django_filters.CharFilter(method="by_name", max_length=255)

    class Meta:
        model = ServiceInstance
        fields: tuple[str, ...] = ()

    def by_name(self, instances: ServiceInstanceQuerySet, name: str, value: str) -> ServiceInstanceQuerySet:
        return instances.filter(
            Q(service__service_name__icontains=value)
            | Q(template__name__icontains=value)
            | Q(organization__legal_name__icontains=value)
            | Q(organization__tax_code__contains=value)
        )


def visible_to(caller: Caller, *, at: datetime, embed: Collection[str]) -> ServiceInstanceQuerySet:
    """Those of which the caller has any role, with what the caller may do with each and all that is shown; one statement."""

    def may(action: Action) -> "ExpressionWrapper[Any]":
        rule = covered(caller.user, action, organization="organization_id", service="service_id", at=at)
        return ExpressionWrapper(rule, output_field=BooleanField())

    return (
        ServiceInstance.objects.open_to(caller.user, Action.SEE_CONFIGURATION, at=at)
        .select_related("io_service", *(path for name in sorted(embed) for path in _NEEDED[name]))
        .annotate(may_send=may(Action.SEND_MESSAGES), may_configure=may(Action.CONFIGURE_SENDING))
    )


def one(pk: int, *, caller: Caller, at: datetime) -> ServiceInstance:
    """With everything embedded. Raises NotFound where it is not there or not visible."""
    instance = visible_to(caller, at=at, embed=_NEEDED).filter(pk=pk).first()
    if instance is None:
        raise NotFound
    return instance


def shown(
    instance: ServiceInstance, *, links: Links, embed: Collection[str] = representations.INSTANCE_EMBEDDABLE
) -> dict[str, Any]:
    """The answer for one of `visible_to`."""
    represented = representations.service_instance(instance, links=links, embed=embed)
    represented["permissions"] = {
        "send": instance.may_send,  # type: ignore[attr-defined]  # annotated
        "configure": instance.may_configure,  # type: ignore[attr-defined]  # likewise
    }
    return represented


# --- Making and changing ---------------------------------------------------------------------------------------------


def make(body: Any, *, caller: Caller, at: datetime) -> ServiceInstance:
    """Raises Problem with everything found wrong."""
    faults = Faults()
    asked = read(NewServiceInstanceSerializer, body, faults=faults, ignored=_READ_ONLY)
    organization = _known(Organization.objects.readable_by(caller.user, at=at), asked, "organization_id", faults=faults)
    service = _known(Service.objects.readable_by(caller.user, at=at), asked, "service_id", faults=faults)
    if faults.malformed:
        faults.check()
    if organization is not None and service is not None:
        wanted = ServiceInstance(organization=organization, service=service)
        if not can(caller.user, Action.CONFIGURE_SENDING, on=wanted, at=at):
            raise not_allowed()
    template = None
    if organization is not None:
        usable = Template.objects.filter(Q(organization=None) | Q(organization=organization))
        template = _known(usable, asked, "template_id", faults=faults)
        if organization.io_account_id is None:
            faults.impossible_at("io_account_missing", configuring.IOAccountMissing.cure, "organization_id")
    faults.check()
    # Or there was a fault.
    assert organization is not None
    assert service is not None
    assert template is not None
    try:
        made = configuring.connect(
            organization=organization,
            service=service,
            template=template,
            io_service_id=asked["io_service_id"],
            key=asked["apiKey"],
            enabled=asked["enabled"],
            by=caller.user,
        )
    except (Refused, StateConflict) as refused:
        raise refusal(refused) from None
    return one(made.pk, caller=caller, at=at)


def check_changeable(pk: int, *, caller: Caller, at: datetime) -> None:
    """Before the body is looked at: raises NotFound, or Problem where the caller may see it and no more."""
    _changeable(one(pk, caller=caller, at=at))


def _changeable(instance: ServiceInstance) -> ServiceInstance:
    if not instance.may_configure:  # type: ignore[attr-defined]  # annotated
        raise not_allowed()
    return instance


def patch(pk: int, operations: Any, *, caller: Caller, at: datetime) -> ServiceInstance:
    """Raises Problem with everything found wrong. Two at once wait for one another."""
    with transaction.atomic():
        # Before it is read: one statement for both would not find it where its IO service has just changed.
        list(ServiceInstance.objects.select_for_update().filter(pk=pk).values_list("pk"))
        instance = _changeable(one(pk, caller=caller, at=at))
        fixed = {
            "organization_id": instance.organization_id,
            "service_id": instance.service_id,
            "template_id": instance.template_id,
        }
        document = {
            "id": instance.pk,
            **fixed,
            "io_service_id": instance.io_service.io_service_id,
            "enabled": instance.enabled,
        }
        faults = Faults()
        asked = read(
            ChangedServiceInstanceSerializer,
            patched(document, operations),
            faults=faults,
            ignored=_READ_ONLY,
            unchangeable=fixed,
        )
        faults.check()
        try:
            configuring.change(
                instance,
                enabled=asked["enabled"],
                io_service_id=asked["io_service_id"],
                key=asked.get("apiKey"),
                by=caller.user,
                at=at,
            )
        except (Refused, StateConflict) as refused:
            raise refusal(refused) from None
    return one(pk, caller=caller, at=at)


def _known(rows: "QuerySet[_Row]", asked: dict[str, Any], name: str, *, faults: Faults) -> _Row | None:
    """The row that a member names; one that is not there, or not for the caller to know, is a fault."""
    if name not in asked:
        return None
    found = rows.filter(pk=asked[name]).first()
    if found is None:
        faults.impossible_at(f"{name.removesuffix('_id')}_unknown", _UNKNOWN[name], name)
    return found


_UNKNOWN: dict[str, Text] = {
    "organization_id": _("L'ente non esiste, o non è visibile a chi lo indica."),
    "service_id": _("Il servizio non esiste, o non è visibile a chi lo indica."),
    "template_id": _("Il modello non esiste, o non è di questo ente né condiviso."),
}


# --- Refusals --------------------------------------------------------------------------------------------------------


def not_allowed() -> Problem:
    detail = _(
        "Manca il ruolo Configurazione per questo ente e questo servizio insieme: lo assegna chi ha il ruolo "
        "Amministrazione."
    )
    return Problem(403, code="permission_denied", detail=detail)


def refusal(refused: Refused | StateConflict) -> Problem:
    """How the API tells what a verb refused."""
    status, error = _REFUSALS[type(refused)]
    return Problem(status, code=error.code, errors=[error])


_REFUSALS: dict[type[Exception], tuple[int, ErrorItem]] = {
    configuring.IOAccountMissing: (
        422,
        ErrorItem("io_account_missing", pointer("io_service_id"), configuring.IOAccountMissing.cure),
    ),
    configuring.OtherAccount: (
        409,
        ErrorItem("io_account_differs", pointer("io_service_id"), configuring.OtherAccount.cure),
    ),
    configuring.OtherOrganization: (
        409,
        ErrorItem("io_service_taken", pointer("io_service_id"), configuring.OtherOrganization.cure),
    ),
    configuring.KeyDiffers: (409, ErrorItem("api_key_differs", pointer("apiKey"), configuring.KeyDiffers.cure)),
    configuring.KeyNeeded: (422, ErrorItem("api_key_needed", pointer("apiKey"), configuring.KeyNeeded.cure)),
    configuring.NotEveryUse: (403, ErrorItem("permission_denied", "", configuring.NotEveryUse.cure, None)),
    configuring.AlreadyConnected: (
        409,
        ErrorItem("service_instance_exists", pointer("template_id"), configuring.AlreadyConnected.cure),
    ),
    StateConflict: (
        409,
        ErrorItem(
            "state_conflict",
            "",
            _("Qualcuno lo ha cambiato nello stesso momento: non abbiamo fatto nulla. Rileggilo e riprova."),
            None,
        ),
    ),
}
