"""`manage.py new_sealing_key`: print a key for SEALING_KEYS."""

from typing import Any

from django.core.management import BaseCommand

from sealed.boxes import new_key


class Command(BaseCommand):
    help = "Print a new key for SEALING_KEYS; put it first and keep the old ones after it."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(new_key())
