"""Logos of enti and services over REST: show, store, remove."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar, TypeVar

from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.exceptions import NotFound, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from registry import images, logos
from registry.api.callers import Caller
from registry.api.organizations_rights import editor_of, locked, require_editor
from registry.api.permissions import READS_REGISTRY, HasScope, Scopes
from registry.models import Logo, LogoKind, Organization, Scope, Service
from registry.models.logo import MAX_BYTES
from rest.problems import Problem
from rest.schema import path_id, problems
from rest.strict_json import StrictJSONParser, body_of
from rest.views import Resource

ID = path_id()
_HEADERS = {
    "Cache-Control": "private, no-cache",
    # Shown by itself, a picture runs nothing, whatever a browser believes that it is.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class PictureParser(BaseParser):
    """The bytes as they are, one more than a logo may have at most."""

    media_type = "image/*"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return bytes(stream.read(max(MAX_BYTES.values()) + 1))


class AnyBytesParser(PictureParser):
    """For clients that only know that they send bytes."""

    media_type = "application/octet-stream"


class LogoView(Resource):
    """One picture of one owner; a subclass says which."""

    permission_classes = (HasScope,)
    parser_classes: tuple[type[BaseParser], ...] = (PictureParser, AnyBytesParser, StrictJSONParser)  # type: ignore[assignment]  # wider than its base, which only reads JSON
    scopes: ClassVar[Scopes] = {"GET": READS_REGISTRY, "PUT": (Scope.ADMIN_WRITE,), "DELETE": (Scope.ADMIN_WRITE,)}
    has_etag = True
    model: ClassVar[type[Organization | Service]]
    kind: ClassVar[LogoKind]

    def get(self, request: Request, pk: int) -> HttpResponseBase:
        logo: Logo | None = getattr(self._owner(request, pk, with_picture=True), self.kind.value)
        if logo is None:
            raise NotFound
        answer = HttpResponse(bytes(logo.content), content_type=logo.media_type, headers=_HEADERS)
        answer["ETag"] = f'"{logo.digest[:32]}"'
        shown = get_conditional_response(request._request, etag=answer["ETag"], response=answer)  # noqa: SLF001  (DRF's name for it)
        assert shown is not None
        return shown

    def put(self, request: Request, pk: int) -> HttpResponse:
        caller = Caller.of(request)
        owner = self._owner(request, pk)
        require_editor(caller.user, owner, at=timezone.now())
        picture = _picture_in(request, self.kind)
        with transaction.atomic():
            # Asked again: a right taken away while this waited for its turn is not used.
            owner = locked(owner)
            logos.put(owner, self.kind, picture, by=editor_of(owner, caller.user))
        return HttpResponse(status=204)

    def delete(self, request: Request, pk: int) -> HttpResponse:
        """Also where there is none: whoever asks twice because the answer got lost is told the same."""
        caller = Caller.of(request)
        owner = self._owner(request, pk)
        require_editor(caller.user, owner, at=timezone.now())
        with transaction.atomic():
            owner = locked(owner)
            logos.remove(owner, self.kind, by=editor_of(owner, caller.user))
        return HttpResponse(status=204)

    def _owner(self, request: Request, pk: int, *, with_picture: bool = False) -> Organization | Service:
        rows: Any = self.model.objects.readable_by(Caller.of(request).user, at=timezone.now())
        if with_picture:
            rows = rows.select_related(self.kind.value)
        owner: Organization | Service | None = rows.filter(pk=pk).first()
        if owner is None:
            raise NotFound
        return owner


def _picture_in(request: Request, kind: LogoKind) -> images.Picture:
    """Raises Problem 400, 413, 415, 422."""
    content = _content_of(request)
    try:
        picture = logos.examine(content, kind)
    except logos.TooManyBytes:
        detail = _("L'immagine supera %(limit)s byte: riducila.") % {"limit": MAX_BYTES[kind]}
        raise Problem(413, code="body_too_large", detail=detail) from None
    except images.NotAPicture:
        raise _not_taken() from None
    except images.BrokenPicture:
        broken = _("L'immagine è rotta, incompleta o seguita da altro: salvala di nuovo.")
        raise Problem(400, code="picture_broken", detail=broken) from None
    except logos.TooManyPixels:
        detail = _("L'immagine supera %(limit)s pixel di lato: riducila.") % {"limit": images.MAX_SIDE}
        raise Problem(422, code="picture_too_large", detail=detail) from None
    declared = request.content_type.partition(";")[0].strip().lower()
    if declared.startswith("image/") and declared != picture.media_type:
        detail = _("Il contenuto è %(found)s, e Content-Type dice altro: correggilo.") % {"found": picture.media_type}
        raise Problem(415, code="picture_mislabelled", detail=detail)
    return picture


def _content_of(request: Request) -> bytes:
    """Raw, or in base64 as a JSON string (GovRegistry's way)."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise _not_taken()
    if request.stream is None:
        raise Problem(400, code="body_missing", detail=_("Il corpo è vuoto: serve l'immagine."))
    try:
        body = body_of(request)
    except UnsupportedMediaType:
        raise _not_taken() from None
    if isinstance(body, bytes):
        return body
    try:
        return base64.b64decode(body, validate=True) if isinstance(body, str) else _not_base64()
    except (binascii.Error, ValueError):
        return _not_base64()


def _not_base64() -> bytes:
    raise Problem(400, code="not_base64", detail=_("Il documento JSON è una stringa con l'immagine in base64."))


def _not_taken() -> Problem:
    detail = _("Serve un'immagine PNG o JPEG, non compressa, con il suo Content-Type: altri formati non si accettano.")
    return Problem(415, code="unsupported_media_type", detail=detail)


_View = TypeVar("_View", bound=type[LogoView])

# A single transparent pixel.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNgYAAAAAMAASsJTYQAAAAASUVORK5CYII="


def _documented(name: str, *, tag: str, what: str) -> Callable[[_View], _View]:
    """The three operations, as `downloadOrganizationLogo`; `name` ends the operation's id as GovIO has it."""

    def decorate(view: _View) -> _View:
        limit = MAX_BYTES[view.kind]
        return extend_schema_view(
            get=extend_schema(
                operation_id=f"download{name}",
                tags=[tag],
                summary=f"Show {what}",
                parameters=[ID],
                responses={
                    **{
                        (200, media_type): OpenApiResponse(OpenApiTypes.BINARY, description="The picture.")
                        for media_type in images.MEDIA_TYPES
                    },
                    **problems(401, 403, 404, 429, 500, 503),
                },
            ),
            put=extend_schema(
                operation_id=f"update{name}",
                tags=[tag],
                summary=f"Store {what}",
                description=(
                    f"PNG or JPEG, at most {limit:,} bytes and {images.MAX_SIDE:,} pixels a side, as bytes or as a JSON "
                    "string in base64. What it is is told by its content."
                ),
                parameters=[ID],
                request={
                    **dict.fromkeys(images.MEDIA_TYPES, OpenApiTypes.BINARY),
                    "application/json": {"type": "string", "contentEncoding": "base64"},
                },
                responses={204: None, **problems(400, 401, 403, 404, 413, 415, 422, 429, 500, 503)},
                examples=[
                    OpenApiExample(
                        "One pixel, in base64", request_only=True, media_type="application/json", value=_PIXEL
                    )
                ],
            ),
            delete=extend_schema(
                operation_id=f"remove{name}",
                tags=[tag],
                summary=f"Remove {what}",
                description="Also answered with 204 where there is none.",
                parameters=[ID],
                responses={204: None, **problems(401, 403, 404, 429, 500, 503)},
            ),
        )(view)

    return decorate


@_documented("OrganizationLogo", tag="organizations", what="the logo of an organization")
class OrganizationLogo(LogoView):
    model = Organization
    kind = LogoKind.FULL


@_documented("OrganizationLogoMiniature", tag="organizations", what="the small logo of an organization")
class OrganizationLogoMiniature(LogoView):
    model = Organization
    kind = LogoKind.MINIATURE


@_documented("ServiceLogo", tag="services", what="the logo of a service")
class ServiceLogo(LogoView):
    model = Service
    kind = LogoKind.FULL


@_documented("ServiceLogoMiniature", tag="services", what="the small logo of a service")
class ServiceLogoMiniature(LogoView):
    model = Service
    kind = LogoKind.MINIATURE
