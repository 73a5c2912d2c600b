"""Who is calling: a consumer key, in any of three headers; in GovShell mode whom the proxy names instead."""

import base64
import binascii
import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from registry.api import govshell
from registry.api.callers import TrustedPrincipal
from registry.models import ConsumerKey, User
from registry.models.consumer import digest_of
from rest.client_address import origin_of
from rest.guessing import Door
from rest.rate_limit import count_request

logger = logging.getLogger(__name__)

PRINCIPAL_HEADER = "GovHub-Consumer-Principal"
LAST_USED_PRECISION = timedelta(minutes=1)

door = Door("key")


class Authentication(BaseAuthentication):
    """`request.user` is the person for whom the request acts, `request.auth` the `ConsumerKey` with its consumer.

    Where a trusted proxy names the person, `request.auth` is a `TrustedPrincipal`. Each request is looked up anew, so
    that what was revoked ends with the request before. Whoever gets in is counted (429 beyond API_RATE_LIMIT).
    """

    def authenticate(self, request: Request) -> tuple[User, ConsumerKey | TrustedPrincipal] | None:
        if govshell.is_on():
            user = govshell.user_named(_principal(request), request)
            if user is None:
                return None
            count_request(request, f"user:{user.pk}")
            return user, TrustedPrincipal()
        presented = _presented(request)
        if presented is None:
            return None
        key = _live_key(digest_of(presented), origin=origin_of(request), at=(at := timezone.now()))
        count_request(request, f"consumer:{key.consumer_id}")
        _note_use(key, at=at)
        return key.consumer.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="govio", Basic realm="govio", charset="UTF-8"'


def _live_key(digest: str, *, origin: str, at: datetime) -> ConsumerKey:
    """The key is looked up by its digest in one statement, so there is no secret whose comparison could be timed."""
    door.check(origin, digest)
    key = ConsumerKey.objects.live(at).select_related("consumer__user").filter(digest=digest).first()
    if key is None:
        door.failed(origin, digest)
        # One sentence for unknown, expired, revoked and disabled: a stranger learns nothing about other people's keys.
        raise AuthenticationFailed(
            _(
                "La chiave non è valida: è sconosciuta, scaduta, revocata o disabilitata. Chiedine una all'amministratore."
            ),
            code="key_not_valid",
        )
    door.opened(origin, digest)
    return key


def _principal(request: Request | HttpRequest) -> str | None:
    return request.META.get(f"HTTP_{PRINCIPAL_HEADER.upper().replace('-', '_')}", "").strip() or None


def _presented(request: Request | HttpRequest) -> str | None:
    """The key as sent; None when there is none at all."""
    principal = _principal(request)
    authorization = _from_authorization(request.META.get("HTTP_AUTHORIZATION", "").strip())
    if principal and authorization and principal != authorization:
        raise AuthenticationFailed(
            _("La richiesta porta due chiavi diverse: inviane una sola."), code="two_different_keys"
        )
    return principal or authorization


def _from_authorization(header: str) -> str | None:
    scheme, _space, credentials = header.partition(" ")
    match scheme.lower():
        case "":
            return None
        case "bearer":
            return credentials.strip() or None
        case "basic":
            return _password(credentials.strip())
    raise AuthenticationFailed(
        _("Lo schema di Authorization non è ammesso: usa Bearer o Basic."), code="scheme_not_supported"
    )


def _password(credentials: str) -> str:
    """The password of HTTP Basic; the user name is free."""
    try:
        _name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = password = ""
    if not colon or not password:
        raise AuthenticationFailed(
            _("Authorization: Basic non è leggibile: serve base64 di «nome:chiave»."), code="basic_not_readable"
        )
    return password


def _note_use(key: ConsumerKey, *, at: datetime) -> None:
    """Once a minute at most, in a statement of its own before any transaction of the request; it may fail, the request not."""
    if key.last_used_at is not None and at - key.last_used_at < LAST_USED_PRECISION:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_PRECISION)
    try:
        ConsumerKey.objects.filter(stale, pk=key.pk).update(last_used_at=at)
    except OperationalError:
        logger.warning("last use of key %s not recorded: the database was busy", key.prefix)


class AuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's hook
    """How the OpenAPI document tells it."""

    target_class = "registry.api.authentication.Authentication"
    name = ["principal", "bearer", "basic"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {
                "type": "apiKey",
                "in": "header",
                "name": PRINCIPAL_HEADER,
                "description": "The consumer key; any one of the three ways will do.",
            },
            {"type": "http", "scheme": "bearer", "description": "The consumer key; any one of the three ways will do."},
            {
                "type": "http",
                "scheme": "basic",
                "description": "Any user name, the consumer key as password; any one of the three ways will do.",
            },
        ]
