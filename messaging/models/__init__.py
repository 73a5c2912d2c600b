"""The message and everything around it."""

from messaging.models.content import MessageContent
from messaging.models.event import EventKind, MessageEvent
from messaging.models.idempotency import IdempotencyKey
from messaging.models.io_service import ActiveKey, IOService
from messaging.models.message import FeatureLevel, Message
from messaging.models.service_instance import InstanceApproval, ServiceInstance
from messaging.states import SuspensionReason

__all__ = [
    "ActiveKey",
    "EventKind",
    "FeatureLevel",
    "IOService",
    "IdempotencyKey",
    "InstanceApproval",
    "Message",
    "MessageContent",
    "MessageEvent",
    "ServiceInstance",
    "SuspensionReason",
]
