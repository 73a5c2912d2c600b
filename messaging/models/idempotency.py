from django.db import models
from django.db.models import Q

from messaging.models.message import Message
from messaging.models.service_instance import ServiceInstance
from registry.models import Consumer, User


class IdempotencyKey(models.Model):
    """That a request was already honoured: the same key of the same principal means the same message, for ever.

    The principal is the consumer, or the person where there is no consumer. Outlives the message's content.
    """

    consumer = models.ForeignKey(Consumer, models.PROTECT, null=True, related_name="+", db_index=False)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    key = models.UUIDField()
    # SHA-256, hexadecimal, of the parsed body, the service instance and the amount unit.
    body_hash = models.CharField(max_length=64)
    service_instance = models.ForeignKey(ServiceInstance, models.PROTECT, related_name="+", db_index=False)
    message = models.ForeignKey(Message, models.PROTECT, related_name="idempotency_keys")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(consumer__isnull=False, user=None) | Q(consumer=None, user__isnull=False),
                name="idempotency_one_principal",
            ),
            models.UniqueConstraint(
                fields=["consumer", "key"], name="idempotency_once_per_consumer", condition=Q(consumer__isnull=False)
            ),
            models.UniqueConstraint(
                fields=["user", "key"], name="idempotency_once_per_user", condition=Q(user__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"key of message {self.message_id}"
