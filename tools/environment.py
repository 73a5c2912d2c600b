"""Builds the virtual environment and installs the locked packages, only when something changed.

    python tools/environment.py [--dev]

Run by the Makefile with the interpreter that `find-python.sh` chose; needs nothing but the standard library. The
environment (VENV, `.venv` by default) carries a stamp: its own path, the version of its interpreter and the hash of
each lock it holds. A stamp is written after the packages are in and removed before they change, so an installation
that was interrupted is done again and never taken for a whole one.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ROOT / "requirements.txt"
DEVELOPMENT = ROOT / "requirements-dev.txt"

# Of pip's words on failure, the last ones name the cause.
LINES_OF_A_FAILURE = 12


class InstallationError(Exception):
    """Why the environment could not be made, as one sentence for the person at the keyboard."""


def digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def stamp_of(venv: Path) -> dict[str, str]:
    """The stamp as written, or an empty one where there is none or it cannot be read."""
    try:
        stamp = json.loads((venv / "govio-stamp.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in stamp.items()} if isinstance(stamp, dict) else {}


def write_stamp(venv: Path, stamp: dict[str, str]) -> None:
    unfinished = venv / "govio-stamp.json.part"
    unfinished.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(venv / "govio-stamp.json")


def require_writable(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InstallationError(
            f"The folder {folder} cannot be written ({reason}): use a copy of the project in a folder of yours, "
            "or name another place with VENV=/path/to/folder."
        ) from None


def create(venv: Path) -> None:
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and (not venv.is_dir() or any(venv.iterdir())):
        raise InstallationError(f"{venv} exists and is not a virtual environment: name another folder with VENV=.")
    print(f"Creating the virtual environment in {venv} with Python {platform.python_version()} ...", flush=True)
    # `sys._base_executable` is the interpreter behind an environment; an environment cannot rebuild itself.
    interpreter = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run(
        [interpreter, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InstallationError(
            f"{interpreter} could not create a virtual environment in {venv}: {words[-1] if words else 'no reason given'}"
        )


def install(venv: Path, locks: list[Path]) -> None:
    """Installs every package of the locks, wheels with the right hash alone, telling how far it is.

    Nothing is compiled to bytecode ahead (a third of the time): Python does it for the modules that are used.
    The locks are complete, so pip has nothing to resolve and `--no-deps` spares it the search.
    """
    total = len({name for lock in locks for name in re.findall(r"^[A-Za-z0-9][\w.\-]*(?===)", lock.read_text(), re.M)})
    print(f"Installing up to {total} packages ...", flush=True)
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--no-compile", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off"]
    for lock in locks:
        command += ["--requirement", str(lock)]
    started = time.monotonic()
    counter_on_one_line = sys.stdout.isatty()
    words: list[str] = []
    seen = 0
    # A habit of installing into the home folder (`pip config set global.user true`) has no place in an environment.
    variables = {**os.environ, "PIP_USER": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            words.append(line.rstrip())
            name = re.match(r"Collecting ([\w.\-]+)", line)
            if name:
                seen += 1
                if counter_on_one_line:
                    print(f"\r\033[K  {seen}/{total} {name[1]}", end="", flush=True)
                elif seen % 20 == 0:
                    print(f"  {seen}/{total} {name[1]}", flush=True)
            elif line.startswith("Installing collected packages"):
                print(("\r\033[K" if counter_on_one_line else "") + "  unpacking ...", flush=True)
    if pip.returncode != 0:
        print("\n".join(words[-LINES_OF_A_FAILURE:]), file=sys.stderr)
        raise InstallationError(
            "The packages could not be installed (pip's last words are above): check the network and the disk, "
            "then run the same command again."
        )
    print(f"Installed in {time.monotonic() - started:.0f} s.", flush=True)


def prepare(venv: Path, *, development: bool) -> None:
    wanted = {"path": str(venv), "python": platform.python_version(), "runtime": digest(RUNTIME)}
    if development:
        wanted["development"] = digest(DEVELOPMENT)
    stamp = stamp_of(venv)
    runs = (venv / "bin" / "python").exists()
    if runs and wanted.items() <= stamp.items():
        return
    require_writable(venv if venv.is_dir() else venv.parent)
    # Another `make` in the same checkout may be installing: wait for it, then look again. The lock file is only
    # a handle that two processes share; reading it is enough to hold it.
    with RUNTIME.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is installing into the same environment: waiting for it ...", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        stamp = stamp_of(venv)
        if runs and wanted.items() <= stamp.items():
            return
        # The development packages can join the runtime ones; every other change starts from an empty folder, so
        # that nothing which left the locks lingers.
        joins = runs and stamp == {key: value for key, value in wanted.items() if key != "development"}
        if not joins:
            create(venv)
        (venv / "govio-stamp.json").unlink(missing_ok=True)
        install(venv, [RUNTIME, DEVELOPMENT] if development else [RUNTIME])
        write_stamp(venv, wanted)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the virtual environment if it is not up to date.")
    parser.add_argument("--dev", action="store_true", help="also what tests, lint and types need")
    development: bool = parser.parse_args().dev
    venv = Path(os.environ.get("VENV") or ROOT / ".venv").absolute()
    try:
        prepare(venv, development=development)
    except InstallationError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the next command starts the installation again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
