"""What every test stands on: the environment, the servers, a loopback-only network.

Where the database and Redis come from (CONTRIBUTING.md tells the same to people):

- TEST_DATABASE_URL: a PostgreSQL of yours whose user may create databases; the word `sqlite` for SQLite without
  Redis, the arrangement of `make run`; unset, the packaged PostgreSQL is started.
- TEST_REDIS_URL: a Redis of yours, whose databases the tests empty; unset, one of this machine is started.

All of this happens while this file is imported, because Django reads its settings once and early.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support import environment, network, services

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
ON_SQLITE = os.environ.get("TEST_DATABASE_URL") == "sqlite"

DATA_DIR = Path(tempfile.mkdtemp(prefix="govio-data-"))
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)
_own_servers: list[services.Server] = []


def _address(variable: str, server: type[services.Server]) -> str:
    """The address given, or that of a server of ours, which the workers of a parallel run inherit."""
    if not os.environ.get(variable):
        _own_servers.append(server())
        os.environ[variable] = _own_servers[-1].url
    return os.environ[variable]


def _redis_database_of_this_worker(url: str) -> str:
    """Workers share the server and keep apart by the number of the database: 0 alone, else 1, 2, ..."""
    number = int(WORKER.removeprefix("gw")) % 15 + 1 if WORKER else 0
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}")) if WORKER else url


if ON_SQLITE:
    REDIS_URL = ""
    DATABASE_URL = f"sqlite:///{DATA_DIR / 'govio.sqlite3'}"
else:
    DATABASE_URL = _address("TEST_DATABASE_URL", services.PostgreSQL)
    REDIS_URL = _redis_database_of_this_worker(_address("TEST_REDIS_URL", services.Redis))

network.forbid(except_for=() if ON_SQLITE else (DATABASE_URL, REDIS_URL))
environment.enter(os.environ, data_dir=DATA_DIR, database_url=DATABASE_URL, redis_url=REDIS_URL)

from django.conf import settings  # noqa: E402  (only now do the settings find their environment)

# pytest-django sets Django up only where the settings have been read; and read before, they would be of another process.
assert settings.REDIS_URL == REDIS_URL
# The cast signs in for many tests; how slowly a password is hashed is not what they test.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_configure(config: pytest.Config) -> None:
    # A parallel run collects in its workers, which cannot start what they share.
    if getattr(config.option, "numprocesses", None):
        _start_own_servers()
        # With it workers would read the settings before this file, from our environment: all in one database of Redis,
        # which none of them empties.
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, without calling them skipped, the tests of the other kind of database."""
    elsewhere = {"postgresql", "redis"} if ON_SQLITE else {"sqlite"}
    here = [item for item in items if not any(item.get_closest_marker(mark) for mark in elsewhere)]
    if len(here) < len(items):
        kept = set(here)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = here


def pytest_collection_finish(session: pytest.Session) -> None:
    # Pure tests run at once; the servers are for the others.
    if not WORKER and any(_uses_servers(item) for item in session.items):
        _start_own_servers()


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in _own_servers:
        server.stop()


def _uses_servers(item: pytest.Item) -> bool:
    fixtures = {"db", "transactional_db", "live_server", "database_url", "redis_url"}
    marks = ("django_db", "postgresql", "redis")
    named = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & named) or any(item.get_closest_marker(mark) for mark in marks)


def _start_own_servers() -> None:
    try:
        for server in _own_servers:
            server.start()
    except services.ServiceMissing as missing:
        raise pytest.UsageError(str(missing)) from None


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """On SQLite, a file as in production: the default, memory, has other locks and no journal."""
    if ON_SQLITE:
        settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(DATA_DIR / f"test{WORKER}.sqlite3")


@pytest.fixture(scope="session")
def database_url() -> str:
    """The server's own database, for tests that start processes of the product. Tests with `db` use another one."""
    return DATABASE_URL


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Empty on SQLite, where the product runs without Redis."""
    return REDIS_URL


@pytest.fixture(scope="session")
def browser_executable() -> str:
    return services.find_browser()


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> None:
    """What the database forgets after each test, Redis forgets before the next."""
    if REDIS_URL and _uses_servers(request.node):
        import redis

        with redis.Redis.from_url(REDIS_URL) as client:
            client.flushdb()
            # Emptied for the tests, it is trusted all the same: half a second of caution in each would add up.
            client.hset("govio:buckets", mapping={"run": client.info("server")["run_id"], "since": 0})


@pytest.fixture(autouse=True)
def _a_new_look() -> None:
    """What the operating view keeps for some seconds is of the test before, and so are the pauses a process heard of."""
    from messaging import lanes, operating  # only once Django is set up

    operating.forget()
    lanes.forget()


@pytest.fixture(autouse=True)
def _italian() -> Iterator[None]:
    """Each test starts in the language of the sources, whatever the test before it activated."""
    from django.utils import translation

    with translation.override(settings.LANGUAGE_CODE):
        yield


def pytest_report_header() -> list[str]:
    def shown(url: str) -> Any:
        return urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()

    return [f"database: {shown(DATABASE_URL)}", f"redis: {shown(REDIS_URL) or 'none'}"]
