"""The environment that tests run in: nothing of the developer's own, every secret a known test value."""

import ast
from collections.abc import MutableMapping
from functools import cache
from pathlib import Path

from tests.support.sources import ROOT

# Test values. The sealing key is the url-safe base64 of 32 bytes, as the product wants it, and opens nothing.
SECRETS = {
    "SECRET_KEY": "test-only-secret-key-of-no-installation-at-all-0123456789",
    "SEALING_KEYS": "dGVzdC1vbmx5LXNlYWxpbmcta2V5LW9mLW5vLXVzZSE=",
}


@cache
def variables_read() -> frozenset[str]:
    """Every environment variable that the product reads: the first argument of each call of a reader of `env.py`."""
    names: set[str] = set()
    for path in (ROOT / "govio_portal").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            reader = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if reader.startswith("env_") and isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.add(first.value)
                if reader in {"env_secret", "env_database"}:
                    names.add(f"{first.value}_FILE")
    return frozenset(names)


def enter(environ: MutableMapping[str, str], *, data_dir: Path, database_url: str, redis_url: str) -> None:
    """Replaces the product's variables. An empty `redis_url` stands for an installation without Redis."""
    for name in variables_read():
        environ.pop(name, None)
    environ.update(SECRETS)
    environ["DJANGO_SETTINGS_MODULE"] = "govio_portal.settings"
    environ["DATA_DIR"] = str(data_dir)
    environ["DATABASE_URL"] = database_url
    environ["LOG_LEVEL"] = "WARNING"
    # A test is faster than any caller; those whose subject they are set their own.
    environ["API_RATE_LIMIT"] = "0"
    environ["GUESS_LIMIT"] = "0"
    if redis_url:
        environ["REDIS_URL"] = redis_url
