"""System checks: what would be unsafe or could not work stops the start, saying which variable cures it."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sealed.boxes import is_usable

SHORTEST_GOVSHELL_SECRET = 32


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


@register()
def govshell_is_whole(**kwargs: Any) -> list[CheckMessage]:
    """Half of it would leave the door to keys open where somebody meant to close it, or believe whoever comes."""
    proxies, secret = settings.GOVSHELL_PROXIES, settings.GOVSHELL_SECRET
    found: list[CheckMessage] = []
    if bool(proxies) != bool(secret):
        missing = "GOVSHELL_SECRET" if proxies else "GOVSHELL_PROXIES"
        found.append(
            Error(
                f"GovShell mode is half configured: {missing} is not set.",
                hint="Set both GOVSHELL_PROXIES and GOVSHELL_SECRET, or neither.",
                id="govio.E005",
            )
        )
    if secret and len(secret) < SHORTEST_GOVSHELL_SECRET:
        found.append(
            Error(
                f"GOVSHELL_SECRET has fewer than {SHORTEST_GOVSHELL_SECRET} characters.",
                hint="`openssl rand -base64 48` prints a good one.",
                id="govio.E006",
            )
        )
    if any(network.prefixlen == 0 for network in proxies):
        found.append(
            Error(
                "GOVSHELL_PROXIES holds a network of all addresses: anybody could say who they are.",
                hint="Name the addresses of GovShell.",
                id="govio.E007",
            )
        )
    return found


@register(deploy=True)
def debug_is_off(**kwargs: Any) -> list[CheckMessage]:
    return (
        [Error("DEBUG=1 shows citizens' data in error pages.", hint="Unset DEBUG.", id="govio.E004")]
        if settings.DEBUG
        else []
    )
