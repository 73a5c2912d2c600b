"""Factories: each builds the smallest valid thing; nothing random decides an outcome. Names count up where unique."""

from tests.factories.cast import Cast, grant, user
from tests.factories.messages import NOW, message, message_in
from tests.factories.setting import (
    consumer,
    consumer_key,
    io_account,
    io_service,
    organization,
    placeholder,
    service,
    service_instance,
    template,
)

__all__ = [
    "NOW",
    "Cast",
    "consumer",
    "consumer_key",
    "grant",
    "io_account",
    "io_service",
    "message",
    "message_in",
    "organization",
    "placeholder",
    "service",
    "service_instance",
    "template",
    "user",
]
