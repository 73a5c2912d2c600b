"""The embedded default, before Django: what `manage.py serve` decides from the environment.

Nobody configured anything, so secrets are made, and, unless IO_API_BASE_URL names another IO, the sandbox is our IO.
"""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from govio_portal import local_secrets
from govio_portal.env import env_int, env_str

# Set for our own process by `prepare`; tells the command, and the pages, that IO is played.
SANDBOX_FLAG = "GOVIO_SANDBOX"


def stop(sentence: str) -> None:
    """End the start with one sentence, never with a traceback."""
    sys.exit(f"govio: {sentence}")


def prepare(environ: MutableMapping[str, str]) -> None:
    """Fill in what is missing; exits with one sentence when it cannot."""
    # Whatever this process writes (database, journal, sandbox) is its owner's alone.
    os.umask(0o077)
    try:
        data_dir = Path(env_str("DATA_DIR") or Path(__file__).resolve().parent.parent / "data").expanduser().resolve()
        local_secrets.ensure(data_dir)
        is_sandbox = not env_str("IO_API_BASE_URL")
        if is_sandbox:
            port = env_int("SANDBOX_PORT", default=env_int("PORT", default=8000) + 1, minimum=1, maximum=65535)
            environ["IO_API_BASE_URL"] = f"http://127.0.0.1:{port}/api/v1"
            environ[SANDBOX_FLAG] = "1"
        if not env_str("LOG_LEVEL"):
            # A person is at this console: what matters must not drown in what goes well.
            environ["LOG_LEVEL"] = "WARNING"
        if is_sandbox or env_str("DEMO") == "1":
            # The sandbox delivers in seconds, so the first questions come soon: a demo is there to be watched.
            environ.setdefault("IO_FIRST_POLLS", "2,4,8,15,30,60,300,1800,7200")
    except (ImproperlyConfigured, local_secrets.DataDirUnusable) as error:
        stop(str(error))
