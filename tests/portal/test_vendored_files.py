"""What we serve of others is what was taken, byte for byte."""

import hashlib
from pathlib import Path

from portal import vendored

STATIC = Path(vendored.__file__).parent / "static"
VENDOR = STATIC / "portal" / "vendor"


def sums() -> dict[str, str]:
    lines = (VENDOR / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name.removeprefix("./"): digest for digest, name in (line.split("  ") for line in lines)}


def test_every_vendored_file_is_listed_with_its_sum() -> None:
    present = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file() and path.parent != VENDOR}
    assert present == set(sums())
    for name, digest in sums().items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_each_vendored_folder_carries_its_licence() -> None:
    for folder in (vendored.BOOTSTRAP_ITALIA, vendored.HTMX):
        assert (STATIC / folder / "LICENSE").is_file()


def test_no_stylesheet_reaches_for_another_host() -> None:
    for sheet in STATIC.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "@import" not in text
        assert "url(http" not in text.replace('"', "").replace("'", "")
        assert "sourceMappingURL" not in text


def test_our_stylesheet_names_fonts_that_exist() -> None:
    sheet = STATIC / "portal" / "portal.css"
    named = [part.split('"')[0] for part in sheet.read_text(encoding="utf-8").split('url("')[1:]]
    assert len(named) == 5
    assert all((sheet.parent / name).is_file() for name in named)
