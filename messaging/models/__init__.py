"""The message and everything around it."""

from messaging import among as _among  # noqa: F401  (registers the lookup)
from messaging.models.content import MessageContent
from messaging.models.event import EventKind, MessageEvent
from messaging.models.idempotency import IdempotencyKey
from messaging.models.io_service import ActiveKey, IOService
from messaging.models.message import FeatureLevel, Message
from messaging.models.operating import CallTally, Heartbeat, MinuteTally, TokenTally
from messaging.models.service_instance import InstanceApproval, OnDoubt, ServiceInstance
from messaging.states import SuspensionReason

__all__ = [
    "ActiveKey",
    "CallTally",
    "EventKind",
    "FeatureLevel",
    "Heartbeat",
    "IOService",
    "IdempotencyKey",
    "InstanceApproval",
    "Message",
    "MessageContent",
    "MessageEvent",
    "MinuteTally",
    "OnDoubt",
    "ServiceInstance",
    "SuspensionReason",
    "TokenTally",
]
