"""What `make test` runs: every check of the project, one after the other, with one summary and one verdict.

    python -m tools.check [--static] [step ...]

A step that fails does not keep the next ones from running, so that one run tells everything there is to mend. Each
check counts as one in the last line; a skipped test counts as failed, because it proves nothing.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.support import environment, services
from tests.support.sources import PRODUCT, ROOT
from tools import obtain

# The tests of what `make run` does on SQLite: the same rules on another database.
ON_SQLITE = (
    "tests/api",
    "tests/messaging",
    "tests/registry",
    "tests/rest",
    "tests/sealed",
    "tests/templates_app",
    "tests/policies/test_migrations.py",
)
# Real processes and a real browser, one test at a time, in steps of their own.
APART = ("crash", "journeys")

# Seconds that an interrupted pytest has to clean up.
PATIENCE = 20


@dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    words: str = ""

    @property
    def is_good(self) -> bool:
        return self.passed > 0 and not self.failed and not self.skipped


@dataclass
class Run:
    """One invocation: the steps that were chosen, the servers they share, what came out."""

    servers: ExitStack
    folder: Path
    addresses: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """That of this process without the product's variables: tests set their own."""
        inherited = {name: value for name, value in os.environ.items() if name not in environment.variables_read()}
        inherited.pop("DJANGO_SETTINGS_MODULE", None)
        return {**inherited, "PYTHONUNBUFFERED": "1", **self.addresses, **more}

    def for_commands(self) -> dict[str, str]:
        """For `manage.py` and the type checker, which read the settings outside of pytest."""
        values = self.environment()
        database = f"sqlite:///{self.folder / 'commands.sqlite3'}"
        environment.enter(values, data_dir=self.folder, database_url=database, redis_url="")
        return values

    def command(self, *words: str) -> Outcome:
        """Runs a check to its end in silence; its output matters only when it fails."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=self.for_commands(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        good = done.returncode == 0
        return Outcome(passed=int(good), failed=int(not good), words="" if good else done.stdout.rstrip())

    def pytest(self, *words: str, **more: str) -> Outcome:
        """Runs pytest before the reader's eyes and counts from its report, not from its words."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *words]
        status = self._until_it_ends(command, self.environment(**more))
        outcome = Outcome()
        if report.exists():
            for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314  our own file
                count = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
                outcome.failed += count["failures"] + count["errors"]
                outcome.skipped += count["skipped"]
                outcome.passed += count["tests"] - count["failures"] - count["errors"] - count["skipped"]
        if status != 0 and not outcome.failed:
            outcome.failed = 1
            outcome.words = f"pytest ended with status {status}"
        return outcome

    @staticmethod
    def _until_it_ends(command: list[str], variables: dict[str, str]) -> int:
        """When we are interrupted, pytest gets the time to end the processes that its tests started."""
        with subprocess.Popen(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                raise

    def need(self, variable: str, server: type[services.Server]) -> None:
        """Starts the server unless the environment names one. Raises ServiceMissing."""
        if variable not in self.addresses:
            given = os.environ.get(variable)
            self.addresses[variable] = given or self.servers.enter_context(server().running())

    def need_servers(self) -> None:
        if not os.environ.get("TEST_REDIS_URL"):
            obtain.redis()
        self.need("TEST_DATABASE_URL", services.PostgreSQL)
        self.need("TEST_REDIS_URL", services.Redis)


# --- Steps without servers ---------------------------------------------------------------------------------------


def lint(run: Run) -> Outcome:
    return run.command("-m", "ruff", "check", ".")


def format_(run: Run) -> Outcome:
    return run.command("-m", "ruff", "format", "--check", ".")


def imports(run: Run) -> Outcome:
    return run.command("-c", "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())")


def types(run: Run) -> Outcome:
    return run.command("-m", "mypy", *(name for name in (*PRODUCT, "tests", "tools") if (ROOT / name).is_dir()))


def migrations(run: Run) -> Outcome:
    return run.command("manage.py", "makemigrations", "--check", "--dry-run")


def translations(run: Run) -> Outcome:
    return run.command("-m", "tools.translations", "--check")


# --- Steps with servers ------------------------------------------------------------------------------------------


def postgresql(run: Run) -> Outcome:
    run.need_servers()
    obtain.curl()
    return run.pytest("-n", "2", "--dist", "worksteal", *(f"--ignore=tests/{name}" for name in APART), "tests")


def sqlite(run: Run) -> Outcome:
    obtain.curl()
    return run.pytest("-n", "2", "--dist", "worksteal", *ON_SQLITE, TEST_DATABASE_URL="sqlite")


def crash(run: Run) -> Outcome:
    run.need_servers()
    return run.pytest("tests/crash")


def browser(run: Run) -> Outcome:
    run.need_servers()
    return run.pytest("tests/journeys", TEST_BROWSER=obtain.browser())


def coverage(run: Run) -> Outcome:
    run.need_servers()
    apart = (f"--ignore=tests/{name}" for name in APART)
    return run.pytest("-n", "2", "--cov", "--cov-report=term-missing:skip-covered", *apart, "tests")


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    action: Callable[[Run], Outcome]
    is_static: bool = False


STEPS = (
    Step("types", "types (mypy)", types, is_static=True),
    Step("lint", "lint (ruff check)", lint, is_static=True),
    Step("format", "format (ruff format --check)", format_, is_static=True),
    Step("imports", "floors (import-linter)", imports, is_static=True),
    Step("migrations", "no missing migration", migrations, is_static=True),
    Step("translations", "translations complete", translations, is_static=True),
    Step("postgresql", "tests on PostgreSQL and Redis", postgresql),
    Step("sqlite", "tests on SQLite, without Redis", sqlite),
    Step("crash", "processes killed and stopped on PostgreSQL and Redis", crash),
    Step("browser", "journeys in a headless browser", browser),
)
ON_REQUEST = (Step("coverage", "tests with coverage", coverage),)


def measured(step: Step, run: Run) -> Outcome:
    started = time.monotonic()
    try:
        outcome = step.action(run)
    except services.ServiceMissing as missing:
        outcome = Outcome(failed=1, words=str(missing))
    outcome.seconds = time.monotonic() - started
    return outcome


def outcomes(steps: list[Step], run: Run) -> Iterator[tuple[Step, Outcome]]:
    """Static steps side by side, since one of them is as long as all the others; then the rest, each alone."""
    static = [step for step in steps if step.is_static]
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures: list[tuple[Step, Future[Outcome]]] = [(step, pool.submit(measured, step, run)) for step in static]
        for step, future in sorted(futures, key=lambda pair: pair[0].name == "types"):
            outcome = future.result()
            print(f"==> {step.title}: {'ok' if outcome.is_good else 'FAILED'} ({outcome.seconds:.0f} s)", flush=True)
            if outcome.words:
                print(outcome.words, flush=True)
            yield step, outcome
    for step in steps:
        if not step.is_static:
            print(f"\n==> {step.title}", flush=True)
            outcome = measured(step, run)
            if outcome.words:
                print(outcome.words, flush=True)
            yield step, outcome


def summarise(results: list[tuple[Step, Outcome]], seconds: float) -> int:
    print(f"\nSummary, {seconds:.0f} s in all")
    for step, outcome in results:
        counts = "" if step.is_static else f"  {outcome.passed} passed, {outcome.failed} failed"
        if outcome.skipped:
            counts += f", {outcome.skipped} skipped (each counts as failed: run it or remove it)"
        print(f"  {'ok    ' if outcome.is_good else 'FAILED'}  {step.title:<54} {outcome.seconds:6.1f} s{counts}")
    passed = sum(outcome.passed for _, outcome in results)
    failed = sum(outcome.failed + outcome.skipped for _, outcome in results)
    # A step that ran nothing is no proof either.
    failed += sum(1 for _, outcome in results if not outcome.passed and not outcome.failed and not outcome.skipped)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


@contextmanager
def one_run() -> Iterator[Run]:
    with ExitStack() as servers, tempfile.TemporaryDirectory(prefix="govio-check-") as folder:
        yield Run(servers=servers, folder=Path(folder))


def stop(_number: int, _frame: FrameType | None) -> None:
    """Being asked to end, leave through every `finally`: servers must not stay behind."""
    raise KeyboardInterrupt


def main() -> int:
    every = {step.name: step for step in (*STEPS, *ON_REQUEST)}
    parser = argparse.ArgumentParser(description="Check the project.")
    parser.add_argument("steps", nargs="*", choices=[[], *every], help="all, if none is named")
    parser.add_argument("--static", action="store_true", help="only what needs no server")
    arguments = parser.parse_args()
    chosen = [every[name] for name in arguments.steps] or [s for s in STEPS if s.is_static or not arguments.static]
    signal.signal(signal.SIGTERM, stop)
    started = time.monotonic()
    try:
        with one_run() as run:
            results = list(outcomes(chosen, run))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return summarise(results, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
