"""The base of every API view, and the answer to addresses that do not exist."""

import hashlib
from typing import Any, ClassVar, NoReturn

from django.http import HttpRequest
from django.utils.cache import get_conditional_response
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rest import rate_limit
from rest.hal import HALRenderer, LenientNegotiation, PlainJSONRenderer
from rest.problems import handle
from rest.strict_json import StrictJSONParser


class Resource(APIView):
    """An API view with our conventions, whatever the settings say; who may call it is for settings and subclasses."""

    renderer_classes = (HALRenderer, PlainJSONRenderer)
    parser_classes = (StrictJSONParser,)
    content_negotiation_class = LenientNegotiation
    # No OPTIONS: what it would tell is in the OpenAPI document.
    metadata_class = None
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    # Whether answers to GET carry an ETag, so that asking again costs no bytes when nothing changed (304).
    has_etag: ClassVar[bool] = False

    def get_exception_handler(self) -> Any:
        return handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        rate_limit.show(request, answer)
        if self.has_etag and request.method in {"GET", "HEAD"} and answer.status_code == 200:
            # Of this caller alone, and to be asked about each time: rights may have changed since.
            answer.setdefault("Cache-Control", "private, no-cache")
            if isinstance(answer, Response):
                answer.add_post_render_callback(lambda rendered: _conditional(request, rendered))
        else:
            answer.setdefault("Cache-Control", "no-store")
        return answer


def _conditional(request: Request, answer: Any) -> Any:
    etag = f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    answer["ETag"] = etag
    answer = get_conditional_response(request._request, etag=etag, response=answer)  # noqa: SLF001  (DRF's name for it)
    # "Not modified" is another answer, with few of the headers of the first.
    rate_limit.show(request, answer)
    return answer


class UnknownPath(Resource):
    """The last route of the API: an unknown address is a 404 problem for everybody, whatever the method and DEBUG.

    Because it matches, Django never "repairs" an address by redirecting to one with a slash: a POST would lose its body.
    """

    authentication_classes = ()
    permission_classes = ()
    http_method_names = []

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotFound
