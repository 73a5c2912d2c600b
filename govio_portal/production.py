"""What the real arrangement must have before anything starts."""

import os

from govio_portal.embedded import stop

REQUIRED = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SEALING_KEYS")


def refuse_incomplete(command: str) -> None:
    """Exit with one sentence naming every variable that is missing."""
    missing = [name for name in REQUIRED if not (os.environ.get(name) or os.environ.get(f"{name}_FILE"))]
    if missing:
        stop(
            f"`make {command}` needs {', '.join(missing)}: see docs/configuration.md. To try the product, use `make run`."
        )
