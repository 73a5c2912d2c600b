"""How fast messages leave: profile and send, every check and durability on, one process, no rate limit to speak of.

The limit it is compared to is the client alone, making the same two calls for each message at the same concurrency,
against the same stand-in, in the same run.
"""

import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import environment, services

MESSAGES = 2_000
ROUNDS = 5
CONCURRENCY = 100


def main() -> None:
    with _servers() as (database_url, redis_url), _stand_in() as io, tempfile.TemporaryDirectory() as folder:
        environment.enter(os.environ, data_dir=Path(folder), database_url=database_url, redis_url=redis_url)
        os.environ["IO_API_BASE_URL"] = io
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        bare, product = [], []
        for _ in range(ROUNDS):
            bare.append(_bare_client(io))
            product.append(_product())
    print(f"Dispatch: {MESSAGES} messages a round, {ROUNDS} rounds, stand-in answering after 20 ms")
    print(f"  {platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    _print("bare client, two calls a message", bare)
    _print("product, one worker process", product)
    ratios = sorted(ours / limit for ours, limit in zip(product, bare, strict=True))
    print(f"  ratio to the limit: median {statistics.median(ratios):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}]")


def _print(what: str, rates: list[float]) -> None:
    print(f"  {what}: median {statistics.median(rates):,.0f} messages/s [{min(rates):,.0f}-{max(rates):,.0f}]")


@contextmanager
def _servers() -> Iterator[tuple[str, str]]:
    database, redis = services.PostgreSQL(), services.Redis()
    try:
        database.start()
        redis.start()
        yield database.url, redis.url
    finally:
        redis.stop()
        database.stop()


@contextmanager
def _stand_in() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stand_in"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def _bare_client(io: str) -> float:
    """Messages per second of the client alone."""
    from io_client.client import IOClient
    from io_client.payloads import NewMessage

    letter = NewMessage(fiscal_code="RSSMRA80A01H501U", subject="Scadenza CIE n. CA000000AA", markdown="x" * 120)

    async def run() -> float:
        client = IOClient(io, connections=CONCURRENCY)
        left = iter(range(MESSAGES))

        async def one() -> None:
            for _ in left:
                await client.profile(letter.fiscal_code, key="key")
                await client.send(letter, key="key", may_leave=lambda: True)

        since = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(CONCURRENCY)))
        elapsed = time.perf_counter() - since
        await client.close()
        return MESSAGES / elapsed

    return asyncio.run(run())


def _product() -> float:
    """Messages per second from due rows to recorded outcomes."""
    from messaging.dispatching import dispatch
    from messaging.models import Message
    from messaging.states import WAITING, Delivery

    _fill()
    since = time.perf_counter()
    while Message.objects.filter(delivery_state__in=[*WAITING, Delivery.SENDING]).exists():
        dispatch()
    elapsed = time.perf_counter() - since
    sent = Message.objects.filter(delivery_state=Delivery.SENT).count()
    assert sent == MESSAGES, f"{sent} of {MESSAGES} were sent"
    Message.objects.all().delete()
    return MESSAGES / elapsed


def _fill() -> None:
    from datetime import UTC, datetime

    from messaging.models import Message, MessageContent, ServiceInstance
    from messaging.states import Delivery, Priority
    from registry.models import User
    from tests import factories

    instance = ServiceInstance.objects.first() or factories.service_instance()
    sender = User.objects.first() or factories.user()
    now = datetime.now(UTC)
    messages = Message.objects.bulk_create(
        Message(
            service_instance=instance,
            sender=sender,
            io_account_id=instance.io_service.io_account_id,
            taxcode="RSSMRA80A01H501U",
            delivery_state=Delivery.SCHEDULED,
            priority=Priority.BULK,
            created_at=now,
            updated_at=now,
            scheduled_at=now,
            not_before=now,
        )
        for _ in range(MESSAGES)
    )
    version = instance.template.current_version
    MessageContent.objects.bulk_create(
        MessageContent(message=message, version=version, subject="Scadenza CIE n. CA000000AA", markdown="x" * 120)
        for message in messages
    )
