"""From this release on a user name is one however it is written: the migration says which are in its way, and stops."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

BEFORE, AFTER = ("registry", "0004_lane_wanted"), ("registry", "0005_people")

pytestmark = pytest.mark.django_db(transaction=True)


def migrate(*targets: tuple[str, str]) -> Any:
    """Returns the models as they were then."""
    executor = MigrationExecutor(connection)
    return executor.migrate(list(targets)).apps


def applied() -> set[tuple[str, str]]:
    return set(MigrationExecutor(connection).loader.applied_migrations)


@pytest.fixture
def before() -> Iterator[Any]:
    """The database of the release before, and this one's again afterwards."""
    newest = list(MigrationExecutor(connection).loader.graph.leaf_nodes())
    models = migrate(BEFORE)
    try:
        yield models
    finally:
        models.get_model("registry", "User").objects.all().delete()
        migrate(*newest)


def test_names_that_differ_by_capitals_stop_it_and_are_named(before: Any) -> None:
    people = before.get_model("registry", "User").objects
    rossi, capital, _other = (people.create(principal=name) for name in ("m.rossi", "M.Rossi", "g.verdi"))
    with pytest.raises(CommandError) as refused:
        migrate(AFTER)
    assert f"“m.rossi” (id {rossi.pk}) / “M.Rossi” (id {capital.pk})" in str(refused.value)
    assert "g.verdi" not in str(refused.value)
    assert AFTER not in applied()
    with connection.cursor() as cursor:
        columns = {one.name for one in connection.introspection.get_table_description(cursor, "registry_user")}
    assert "created_by_id" not in columns
    people.filter(pk=capital.pk).update(principal="m.rossi.2")
    migrate(AFTER)
    assert AFTER in applied()
