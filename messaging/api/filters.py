"""The filters of GovIO's message list."""

from typing import Any

import django_filters  # type: ignore[import-untyped]
from django.core.validators import RegexValidator
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from messaging.models import Message
from messaging.querysets import MessageQuerySet
from messaging.states import STATES_FOR_API_STATUS
from rest.filters import FilterSet, IdFilter, MomentFilter, WordFilter

_CODE = RegexValidator(
    r"\A[A-Za-z0-9]{1,16}\Z", _("Serve un codice fiscale di 16 caratteri, o i suoi primi caratteri.")
)


class MessageFilterSet(FilterSet):
    scheduled_expedition_date_from = MomentFilter(field_name="scheduled_at", lookup_expr="gte")
    scheduled_expedition_date_to = MomentFilter(field_name="scheduled_at", lookup_expr="lte")
    expedition_date_from = MomentFilter(field_name="expedition_date", lookup_expr="gte")
    expedition_date_to = MomentFilter(field_name="expedition_date", lookup_expr="lte")
    tax_code = django_filters.CharFilter(method="by_tax_code", validators=[_CODE])
    service_id = IdFilter(field_name="service_instance__service_id")
    organization_id = IdFilter(field_name="service_instance__organization_id")
    service_q = django_filters.CharFilter(
        field_name="service_instance__service__service_name", lookup_expr="icontains", max_length=256
    )
    organization_q = django_filters.CharFilter(method="by_organization", max_length=256)
    status = WordFilter(field_name="delivery_state", words=STATES_FOR_API_STATUS)

    class Meta:
        model = Message
        fields: tuple[str, ...] = ()

    def by_tax_code(self, messages: MessageQuerySet, name: str, value: str) -> MessageQuerySet:
        """A whole code is looked up exactly, a shorter one as the beginning."""
        code = value.upper()
        return messages.filter(taxcode=code) if len(code) == 16 else messages.filter(taxcode__startswith=code)

    def by_organization(self, messages: MessageQuerySet, name: str, value: str) -> MessageQuerySet:
        ente = "service_instance__organization"
        named: Any = Q(**{f"{ente}__legal_name__icontains": value}) | Q(**{f"{ente}__tax_code__contains": value})
        return messages.filter(named)
