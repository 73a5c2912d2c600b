"""System checks: what would be unsafe or could not work stops the start, saying which variable cures it."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sealed.boxes import is_usable


@register()
def secrets_are_usable(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.SEALING_KEYS:
        found.append(
            Error(
                "SEALING_KEYS is not set: IO's keys could not be stored.",
                hint="Set SEALING_KEYS (or SEALING_KEYS_FILE); `python manage.py new_sealing_key` prints one.",
                id="govio.E001",
            )
        )
    elif not all(is_usable(key) for key in settings.SEALING_KEYS):
        found.append(
            Error(
                "SEALING_KEYS holds a value that is not a key (url-safe base64 of 32 bytes).",
                hint="`python manage.py new_sealing_key` prints one; separate several with commas, newest first.",
                id="govio.E002",
            )
        )
    return found


@register()
def public_url_is_whole(**kwargs: Any) -> list[CheckMessage]:
    if settings.PUBLIC_URL and not settings.PUBLIC_URL.startswith(("https://", "http://")):
        return [Error("PUBLIC_URL must start with https:// or http://.", id="govio.E003")]
    return []


@register(deploy=True)
def debug_is_off(**kwargs: Any) -> list[CheckMessage]:
    return (
        [Error("DEBUG=1 shows citizens' data in error pages.", hint="Unset DEBUG.", id="govio.E004")]
        if settings.DEBUG
        else []
    )
