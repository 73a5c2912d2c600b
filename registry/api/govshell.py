"""GovShell mode: a proxy in front has already authenticated the caller, and names their principal in clear.

It is believed only when the connection comes from one of its addresses *and* carries the shared secret. Where the mode
is on nothing else is believed: a key is no principal.
"""

import hmac
import logging
import re
import time

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from registry.models import User
from rest.client_address import peer_address

log = logging.getLogger(__name__)

SECRET_HEADER = "GovShell-Secret"  # noqa: S105  (its name)
COMPLAIN_EVERY_SECONDS = 60.0
# What user names are made of. A header that came twice reaches us as "one,other", which is nobody's.
_PRINCIPAL = re.compile(r"[\w.@+-]{1,255}")
_complained_at: dict[str, float] = {}


def is_on() -> bool:
    # Half a configuration stops the start (govio_portal.checks), and is off where nobody ran the checks.
    return bool(settings.GOVSHELL_PROXIES and settings.GOVSHELL_SECRET)


def user_named(principal: str | None, request: Request) -> User | None:
    """The person; None where the request names nobody. Raises AuthenticationFailed.

    Nothing is looked up for whoever is not the proxy, and whom the proxy names is not guessing: no failure is counted.
    """
    if principal is None:
        return None
    if problem := _distrust(request):
        _complain(problem)
        raise _refused()
    user = User.objects.filter(principal=principal, is_active=True).first() if _PRINCIPAL.fullmatch(principal) else None
    if user is None:
        raise _refused()
    return user


def _distrust(request: Request) -> str:
    """Why this request is not the proxy's; empty when it is."""
    # The peer, which nobody can forge, and not what is said of the client behind it.
    peer = peer_address(request)
    if peer is None or not any(peer in network for network in settings.GOVSHELL_PROXIES):
        return "it does not come from an address of GOVSHELL_PROXIES"
    shown = request.headers.get(SECRET_HEADER, "").encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(shown, settings.GOVSHELL_SECRET.encode()):
        return f"its {SECRET_HEADER} is not GOVSHELL_SECRET"
    return ""


def _complain(problem: str) -> None:
    """To whoever runs the portal, who cannot see why nobody gets in; seldom, since anybody can cause it."""
    now = time.monotonic()
    if now - _complained_at.get(problem, -COMPLAIN_EVERY_SECONDS) >= COMPLAIN_EVERY_SECONDS:
        _complained_at[problem] = now
        log.warning("a request with a principal was refused: %s", problem)


def _refused() -> AuthenticationFailed:
    return AuthenticationFailed(
        _(
            "L'utente indicato non è accettato: è sconosciuto o disabilitato, oppure la richiesta non viene da GovShell. "
            "Qui non si usano chiavi."
        ),
        code="principal_not_accepted",
    )
