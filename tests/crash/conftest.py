"""Real processes of the product, on databases of their own, with an IO that counts what it receives.

The models are imported inside the fixtures: pytest reads this file before Django is set up.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

from tests.crash.scenarios import Endings, chosen, played

if TYPE_CHECKING:
    from tests.crash.stage import Theatre


@pytest.fixture(scope="session")
def theatre(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator["Theatre"]:
    from tests.crash.stage import Theatre

    # The databases are made and dropped here, beside the one that pytest-django keeps.
    with (
        django_db_blocker.unblock(),
        Theatre(database_url=database_url, redis_url=redis_url, folder=tmp_path_factory.mktemp("crash")) as theatre,
    ):
        yield theatre


@pytest.fixture(scope="session")
def endings(request: pytest.FixtureRequest, theatre: "Theatre") -> Iterator[Endings]:
    """How the scenarios of all selected tests end. They begin when the first test asks."""
    with played(theatre, chosen(request.session.items)) as endings:
        yield endings
