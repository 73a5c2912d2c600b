"""Writes the committed copy of the API's contract; a test fails while it lags behind the code."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from rest.schema import as_yaml, document


class Command(BaseCommand):
    help = "Scrive docs/openapi.yaml, la copia versionata del contratto dell'API."

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR) / "docs" / "openapi.yaml"
        path.write_text(as_yaml(document()), encoding="utf-8")
        self.stdout.write(str(path))
