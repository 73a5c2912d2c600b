"""The base of every API view, and the answer to addresses that do not exist."""

from typing import Any, NoReturn

from django.http import HttpRequest
from rest_framework.exceptions import NotFound
from rest_framework.views import APIView

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

    def get_exception_handler(self) -> Any:
        return handle


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
