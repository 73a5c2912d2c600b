"""`manage.py web`: the real arrangement, the web processes, on granian."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from govio_portal.production import refuse_incomplete


class Command(BaseCommand):
    help = "Real arrangement: the web processes, on granian."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_incomplete("web")
        self.check()
        os.execv(  # noqa: S606  (no shell is wanted: this process becomes that one)
            sys.executable,
            [
                sys.executable,
                "-m",
                "granian",
                "--interface",
                "wsgi",
                "--host",
                settings.HOST,
                "--port",
                str(settings.PORT),
                "--workers",
                str(settings.WEB_WORKERS),
                "--blocking-threads",
                str(settings.WEB_THREADS),
                "--no-ws",
                "govio_portal.wsgi:application",
            ],
        )
