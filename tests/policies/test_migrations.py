"""Migrations are complete, and say in their names what they do."""

import re
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command

from tests.support.sources import PRODUCT, ROOT


@pytest.mark.django_db
def test_none_is_missing() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=1)


def test_none_stops_those_who_send_while_it_builds_an_index() -> None:
    """A message table of years takes minutes to index. Those up to 0008 are older than any such table."""
    written = sorted((ROOT / "messaging" / "migrations").glob("[0-9]*.py"))
    later = [path for path in written if int(path.name[:4]) >= 9]
    stopping = [path.name for path in later if re.search(r"migrations\.(Add|Remove)Index\(\n", path.read_text())]
    assert stopping == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_indexes_of_lists_are_built_while_others_write() -> None:
    made = StringIO()
    call_command("sqlmigrate", "messaging", "0009", stdout=made)
    statements = [line for line in made.getvalue().splitlines() if re.match("(CREATE|DROP) INDEX", line)]
    assert len([line for line in statements if line.startswith("CREATE")]) == 3
    assert all(re.match("(CREATE|DROP) INDEX CONCURRENTLY", line) for line in statements)


def test_each_one_is_named_in_words() -> None:
    ours = [config for config in apps.get_app_configs() if config.name in PRODUCT]
    written = [path for config in ours for path in (ROOT / config.name / "migrations").glob("[0-9]*.py")]
    unnamed = [path.relative_to(ROOT).as_posix() for path in written if re.search(r"_auto_|^\d+$", path.stem)]
    assert unnamed == []
