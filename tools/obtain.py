"""Gets Redis, curl and a browser onto this machine when it has none: playwright's own download, or the package manager.

Nothing is installed where the machine already has what is needed, and the package manager is used only where it can
work without asking: as root on Linux, or Homebrew. Everything is announced before it is done.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support import services

# A download that takes longer than this is not going to end.
DOWNLOAD_TIMEOUT = 900

REDIS_PACKAGES = {"apt-get": "redis-server", "dnf": "redis", "brew": "redis"}
CURL_PACKAGES = {"apt-get": "curl", "dnf": "curl", "brew": "curl"}
BROWSER_PACKAGES = {"apt-get": "chromium", "dnf": "chromium"}


def redis() -> None:
    """Raises ServiceMissing."""
    if services.first_on_path(services.REDIS_SERVERS) is None:
        install_package(REDIS_PACKAGES)
    if services.first_on_path(services.REDIS_SERVERS) is None:
        raise services.ServiceMissing(services.NO_REDIS)


def curl() -> None:
    """What the pages for integrators show, and the tests run. Raises ServiceMissing."""
    if shutil.which("curl") is None:
        install_package(CURL_PACKAGES)
    if shutil.which("curl") is None:
        raise services.ServiceMissing(services.NO_CURL)


def browser() -> str:
    """The executable of a browser that really starts. Raises ServiceMissing."""
    ways: tuple[Callable[[], object], ...] = (
        lambda: None,
        download_of_playwright,
        lambda: install_package(BROWSER_PACKAGES),
    )
    for way in ways:
        way()
        for path in services.browsers():
            if starts(path):
                return path
    raise services.ServiceMissing(services.NO_BROWSER)


def starts(browser_path: str) -> bool:
    """A browser may be on PATH and still be a stand-in for a package that is not there, or lack a library."""
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            playwright.chromium.launch(executable_path=browser_path).close()
    except Error as error:
        print(f"  {browser_path} does not start: {str(error).splitlines()[0]}", flush=True)
        return False
    return True


def download_of_playwright() -> None:
    with_libraries = ["--with-deps"] if os.geteuid() == 0 and shutil.which("apt-get") else []
    announce_and_run([sys.executable, "-m", "playwright", "install", *with_libraries, "chromium"])


def install_package(names: dict[str, str]) -> None:
    manager = services.first_on_path(tuple(names))
    if manager is None:
        return
    name = names[Path(manager).name]
    if manager.endswith("brew"):
        announce_and_run([manager, "install", name])
    elif os.geteuid() == 0:
        if manager.endswith("apt-get"):
            announce_and_run([manager, "-q", "update"])
            announce_and_run([manager, "-q", "install", "-y", "--no-install-recommends", name])
        else:
            announce_and_run([manager, "install", "-y", name])


def announce_and_run(command: list[str]) -> None:
    """A failure is told and no more: whether it matters shows in what is there afterwards."""
    print(f"  running: {' '.join(command)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=environment,
            timeout=DOWNLOAD_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        print(f"  it did not end within {DOWNLOAD_TIMEOUT} s", flush=True)
        return
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        telling = [line for line in lines if "rror" in line or line.startswith("E:")] or lines[-1:]
        print(f"  it ended with status {done.returncode}: {(telling or ['it said nothing'])[0]}", flush=True)
