"""The least that a POST can be: DRF, the same key looked up, the same body read and validated, one INSERT.

No right is asked for, no key of idempotency is kept, no text and no history are stored, and the table has neither
indexes nor foreign keys. It runs on the same server with the same settings: `benchmarks.post` compares with it.
"""

import os
from typing import Any, ClassVar

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "govio_portal.settings")

from django.conf import settings

settings.ROOT_URLCONF = __name__

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()

from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from messaging.composing import rules_for  # noqa: E402
from messaging.models import ServiceInstance  # noqa: E402
from messaging.validating import SendingRules, validate  # noqa: E402
from registry.models import AmountUnit  # noqa: E402
from rest.strict_json import StrictJSONParser  # noqa: E402

TABLE = "bare_message"


class BareMessage(models.Model):
    """As many columns as one would begin with."""

    id = models.BigAutoField(primary_key=True)
    service_instance = models.BigIntegerField()
    sender = models.BigIntegerField()
    taxcode = models.CharField(max_length=16)
    status = models.CharField(max_length=32)
    subject = models.CharField(max_length=255)
    markdown = models.TextField()
    amount_cents = models.BigIntegerField(null=True)
    notice_number = models.CharField(max_length=18, blank=True)
    email = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    scheduled_at = models.DateTimeField()
    due_date = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["BareMessage"]] = models.Manager()

    class Meta:
        app_label = "bare"
        db_table = TABLE

    def __str__(self) -> str:
        return f"{self.pk}"


_rules: dict[int, SendingRules] = {}


class Bare(APIView):
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)

    permission_classes = ()

    def post(self, request: Request) -> Response:
        at = timezone.now()
        pk = int(request.query_params["service_instance"])
        if pk not in _rules:
            instance = ServiceInstance.objects.with_everything().get(pk=pk)
            _rules[pk] = rules_for(instance, amount_unit=AmountUnit.EURO)
        message = validate(request.data, rules=_rules[pk], at=at).message
        if message is None:
            return Response(status=400)
        payment: Any = message.payment
        row = BareMessage.objects.create(
            service_instance=pk,
            sender=request.user.pk,
            taxcode=message.taxcode,
            status="scheduled",
            subject=message.subject,
            markdown=message.markdown,
            amount_cents=payment.amount_cents if payment else None,
            notice_number=payment.notice_number if payment else "",
            email=message.email or "",
            created_at=at,
            scheduled_at=message.scheduled_at,
            due_date=message.due_date,
        )
        return Response({"id": row.pk, "subject": row.subject, "markdown": row.markdown}, status=201)


urlpatterns = [path("api/v1/messages", Bare.as_view())]
