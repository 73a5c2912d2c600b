"""Migrations are complete, and say in their names what they do."""

import re

import pytest
from django.apps import apps
from django.core.management import call_command

from tests.support.sources import PRODUCT, ROOT


@pytest.mark.django_db
def test_none_is_missing() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=1)


def test_each_one_is_named_in_words() -> None:
    ours = [config for config in apps.get_app_configs() if config.name in PRODUCT]
    written = [path for config in ours for path in (ROOT / config.name / "migrations").glob("[0-9]*.py")]
    unnamed = [path.relative_to(ROOT).as_posix() for path in written if re.search(r"_auto_|^\d+$", path.stem)]
    assert unnamed == []
