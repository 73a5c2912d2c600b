"""`manage.py beat`: the real arrangement, the clock. Another one does no harm."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from govio_portal.production import refuse_incomplete


class Command(BaseCommand):
    help = "Real arrangement: the clock. Another one does no harm."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_incomplete("beat")
        self.check()
        os.execv(  # noqa: S606  (no shell is wanted: this process becomes that one)
            sys.executable,
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "govio_portal",
                "beat",
                "--scheduler",
                "celery.beat:Scheduler",
                "--loglevel",
                settings.LOG_LEVEL,
            ],
        )
