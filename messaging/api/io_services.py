"""IO services over REST: which ones a caller sees, their settings, their keys (which only ever go in), resuming."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import django_filters  # type: ignore[import-untyped]
from django.db import transaction
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound

from messaging import configuring, rekeying, suspending
from messaging.api import representations
from messaging.api.instances import refusal
from messaging.api.io_services_schema import ActiveKeySerializer, IOServiceSettingsSerializer, NewKeySerializer
from messaging.configuring import NotEveryUse, configurable_by, shown_to
from messaging.models import ActiveKey, IOService
from messaging.moving import StateConflict
from messaging.rekeying import KeyUnusable
from registry.api.callers import Caller
from rest.errors import ErrorItem, pointer
from rest.filters import FilterSet, IdFilter, WordFilter
from rest.hal import Links
from rest.patching import patched
from rest.problems import Problem
from rest.writing import Faults, read

_SETTINGS = ("payment_cap_cents", "require_secure_channels", "test_taxcode")


class IOServiceFilterSet(FilterSet):
    organization_id = IdFilter(field_name="organization_id")
    io_service_id = django_filters.CharFilter(field_name="io_service_id", max_length=255)
    suspended = WordFilter(method="by_suspension", words={"true": True, "false": False})

    class Meta:
        model = IOService
        fields: tuple[str, ...] = ()

    def by_suspension(self, io_services: QuerySet[IOService], name: str, value: Any) -> QuerySet[IOService]:
        return io_services.filter(suspended_at__isnull=not value)


def visible_to(caller: Caller) -> QuerySet[IOService]:
    """Those of which the caller configures some use, and whether they configure every one; one statement."""
    every_use = Exists(configurable_by(caller.user).filter(pk=OuterRef("pk")))
    return shown_to(caller.user).annotate(may_configure=ExpressionWrapper(Q(every_use), output_field=BooleanField()))


def one(pk: int, *, caller: Caller) -> IOService:
    """Raises NotFound where it is not there or not visible."""
    io_service = visible_to(caller).filter(pk=pk).first()
    if io_service is None:
        raise NotFound
    return io_service


def shown(io_service: IOService, *, links: Links) -> dict[str, Any]:
    """The answer for one of `visible_to`."""
    may_configure: bool = io_service.may_configure  # type: ignore[attr-defined]  # annotated
    return representations.io_service(io_service, links=links, may_configure=may_configure)


# --- Changing --------------------------------------------------------------------------------------------------------


def check_changeable(pk: int, *, caller: Caller) -> None:
    """Before the body is looked at: raises NotFound, or Problem where the caller may see it and no more."""
    _changeable(one(pk, caller=caller))


def _changeable(io_service: IOService) -> IOService:
    if not io_service.may_configure:  # type: ignore[attr-defined]  # annotated
        raise refusal(NotEveryUse())
    return io_service


@contextmanager
def _changing(pk: int, *, caller: Caller) -> Iterator[IOService]:
    """The row, locked until the end; raises what `check_changeable` does. Two changes at once wait for one another."""
    with transaction.atomic():
        list(IOService.objects.select_for_update().filter(pk=pk).values_list("pk"))
        yield _changeable(one(pk, caller=caller))


def patch(pk: int, operations: Any, *, caller: Caller, links: Links) -> None:
    """Raises Problem with everything found wrong."""
    with _changing(pk, caller=caller) as io_service:
        document = shown(io_service, links=links)
        faults = Faults()
        asked = read(
            IOServiceSettingsSerializer,
            patched(document, operations),
            faults=faults,
            unchangeable={
                name: value
                for name, value in document.items()
                if name not in _SETTINGS and name not in {"id", "_links"}
            },
        )
        faults.check()
        configuring.set_up(
            io_service,
            payment_cap_cents=asked["payment_cap_cents"],
            require_secure_channels=asked["require_secure_channels"],
            test_taxcode=asked["test_taxcode"] or "",
            by=caller.user,
        )


def put_key(pk: int, which: ActiveKey, body: Any, *, caller: Caller) -> None:
    """Store a key in this slot. Raises Problem with everything found wrong."""
    faults = Faults()
    asked = read(NewKeySerializer, body, faults=faults)
    faults.check()
    with _changing(pk, caller=caller) as io_service:
        if rekeying.is_same_as_other(io_service, which, asked["key"]):
            detail = _("È la stessa chiave dell'altro posto: le due devono essere diverse.")
            faults.impossible_at("keys_equal", detail, "key")
        faults.check()
        seen = ActiveKey(asked.get("active_key", io_service.active_key))
        try:
            rekeying.store_key(io_service, which=which, key=asked["key"], seen_active=seen, by=caller.user)
        except StateConflict as conflict:
            raise refusal(conflict) from None


def switch(pk: int, body: Any, *, caller: Caller) -> None:
    """Call with this key from now on; nothing to do where it is so already. Raises Problem where there is no such key."""
    faults = Faults()
    asked = read(ActiveKeySerializer, body, faults=faults)
    faults.check()
    to = ActiveKey(asked["active_key"])
    with _changing(pk, caller=caller) as io_service:
        if to == io_service.active_key:
            return
        try:
            rekeying.switch_key(io_service, to=to, by=caller.user)
        except KeyUnusable:
            raise Problem(422, code="impossible", errors=[_NO_SUCH_KEY]) from None


def resume(pk: int, *, caller: Caller, at: datetime) -> None:
    """Send again. Raises Problem where sending was not suspended."""
    with _changing(pk, caller=caller) as io_service:
        try:
            suspending.resume(io_service, by=caller.user, at=at)
        except StateConflict:
            raise Problem(409, code="not_suspended", errors=[_NOT_SUSPENDED]) from None


_NO_SUCH_KEY = ErrorItem(
    "key_missing", pointer("active_key"), _("Questa chiave non c'è, o non si può aprire: prima inseriscila.")
)
_NOT_SUSPENDED = ErrorItem("not_suspended", "", _("L'invio non è sospeso: non abbiamo fatto nulla."), None)
