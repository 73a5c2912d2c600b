"""The filters of GovIO's message list."""

from typing import Any

import django_filters  # type: ignore[import-untyped]
from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from messaging.listing import Narrowing
from messaging.models import Message, ServiceInstance
from messaging.querysets import MessageQuerySet
from messaging.states import STATES_FOR_API_STATUS
from rest.filters import FilterSet, IdFilter, MomentFilter, WordFilter

_CODE = RegexValidator(
    r"\A[A-Za-z0-9]{1,16}\Z", _("Serve un codice fiscale di 16 caratteri, o i suoi primi caratteri.")
)

_DATES = (
    "scheduled_expedition_date_from",
    "scheduled_expedition_date_to",
    "expedition_date_from",
    "expedition_date_to",
)


class InstanceFilterSet(FilterSet):
    """What the list asks of service instances: they are few, and looked up first."""

    service_id = IdFilter(field_name="service_id")
    organization_id = IdFilter(field_name="organization_id")
    service_q = django_filters.CharFilter(field_name="service__service_name", lookup_expr="icontains", max_length=256)
    organization_q = django_filters.CharFilter(method="by_organization", max_length=256)

    class Meta:
        model = ServiceInstance
        fields: tuple[str, ...] = ()

    def by_organization(self, instances: QuerySet[ServiceInstance], name: str, value: str) -> QuerySet[ServiceInstance]:
        named: Any = Q(organization__legal_name__icontains=value) | Q(organization__tax_code__contains=value)
        return instances.filter(named)


class MessageFilterSet(FilterSet):
    """What it asks of the messages themselves."""

    scheduled_expedition_date_from = MomentFilter(field_name="scheduled_at", lookup_expr="gte")
    scheduled_expedition_date_to = MomentFilter(field_name="scheduled_at", lookup_expr="lte")
    expedition_date_from = MomentFilter(field_name="expedition_date", lookup_expr="gte")
    expedition_date_to = MomentFilter(field_name="expedition_date", lookup_expr="lte")
    tax_code = django_filters.CharFilter(method="by_tax_code", validators=[_CODE])
    status = WordFilter(field_name="delivery_state", words=STATES_FOR_API_STATUS)

    class Meta:
        model = Message
        fields: tuple[str, ...] = ()

    @property
    def narrowing(self) -> Narrowing:
        """What of it decides how the messages are looked for; only once `check` found no fault."""
        asked = self.form.cleaned_data
        ends = [asked[name] for name in ("scheduled_expedition_date_to", "expedition_date_to") if asked[name]]
        return Narrowing(
            states=asked["status"],
            by_recipient=bool(asked["tax_code"]),
            by_date=any(asked[name] for name in _DATES),
            until=min(ends, default=None),
        )

    def by_tax_code(self, messages: MessageQuerySet, name: str, value: str) -> MessageQuerySet:
        """A whole code is looked up exactly, a shorter one as the beginning."""
        code = value.upper()
        return messages.filter(taxcode=code) if len(code) == 16 else messages.filter(taxcode__startswith=code)
