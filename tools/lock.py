"""Writes requirements.txt and requirements-dev.txt from their `.in` files: `make lock`.

One universal file each, for Python 3.11 to 3.14 on every platform, wheels only, every file with its hash. The hashes
and not the address of a registry say what is installed, so the addresses stay out.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def lock(name: str) -> None:
    """Raises CalledProcessError after uv has said what is wrong."""
    command = [sys.executable, "-m", "uv", "pip", "compile", f"{name}.in", "--output-file", f"{name}.txt", "--quiet"]
    command += ["--universal", "--python-version", "3.11", "--only-binary", ":all:", "--generate-hashes", "--upgrade"]
    command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    # uv must take the interpreters that are here, not fetch others.
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"})


def main() -> int:
    try:
        for name in ("requirements", "requirements-dev"):
            print(f"Choosing versions for {name}.txt ...", flush=True)
            lock(name)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
