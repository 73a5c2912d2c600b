"""The files of the project as policies see them: what a person wrote, without what tools leave behind."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

PRODUCT = (
    "govio_portal",
    "portal",
    "messaging",
    "templates_app",
    "registry",
    "rest",
    "io_client",
    "sealed",
    "io_sandbox",
)

_NOT_OURS = {".git", ".venv", "data", "vendor", "node_modules", "htmlcov", "__pycache__"}


def files() -> Iterator[Path]:
    pending = [ROOT]
    while pending:
        for path in pending.pop().iterdir():
            if path.is_dir():
                ours = path.name not in _NOT_OURS and not path.name.endswith("_cache")
                # An environment may have another name than usual.
                if ours and not path.is_symlink() and not (path / "pyvenv.cfg").exists():
                    pending.append(path)
            else:
                yield path


def python_files(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))
