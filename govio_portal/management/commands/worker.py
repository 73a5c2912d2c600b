"""`manage.py worker`: the real arrangement, one worker process, for all queues."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from govio_portal.production import refuse_incomplete


class Command(BaseCommand):
    help = "Real arrangement: one worker process, for all queues."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_incomplete("worker")
        self.check()
        os.execv(  # noqa: S606  (no shell is wanted: this process becomes that one)
            sys.executable,
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "govio_portal",
                "worker",
                "--pool",
                "threads",
                "--concurrency",
                str(settings.WORKER_THREADS),
                "--queues",
                "dispatch,poll,upkeep",
                "--loglevel",
                settings.LOG_LEVEL,
                "--without-mingle",
                "--without-gossip",
            ],
        )
