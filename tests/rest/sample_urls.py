"""A tiny API that goes wrong in every way, for the tests of the conventions."""

from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from rest import handlers, urls
from rest.errors import MAX_ERRORS, ErrorItem
from rest.hal import Links
from rest.problems import Problem
from rest.views import Resource

SECRET = "RSSMRA80A01H501U"


class Nobody(BaseAuthentication):
    def authenticate(self, request: Request) -> None:
        return None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="test"'


class Open(Resource):
    authentication_classes = ()
    permission_classes = ()


class Body(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=3)
    items = serializers.ListField(child=serializers.DictField(child=serializers.IntegerField()))


class Echo(Open):
    def get(self, request: Request) -> Response:
        return Response({"links": Links.of(request).to("messages", 1), "nothing": None, "euro": "è"})

    def post(self, request: Request) -> Response:
        return Response({"read": repr(request.data)})


class Validated(Open):
    def post(self, request: Request) -> Response:
        Body(data=request.data).is_valid(raise_exception=True)
        return Response({})


class Closed(Resource):
    authentication_classes = (Nobody,)

    def check_permissions(self, request: Request) -> None:
        self.permission_denied(request)


def failing(error: Exception) -> Any:
    class Failing(Open):
        def get(self, request: Request) -> Response:
            raise error

    return Failing.as_view()


class OfTheDriver(Exception):
    """As psycopg's: it has the code of PostgreSQL."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"about {SECRET}")
        self.sqlstate = sqlstate


def ended(sqlstate: str) -> InternalError:
    error = InternalError(f"about {SECRET}")
    error.__cause__ = OfTheDriver(sqlstate)
    return error


def faulty(count: int) -> Problem:
    return Problem(422, code="impossible", errors=[ErrorItem("x", f"/{index}", "No.") for index in range(count)])


def elsewhere(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return HttpResponse("a page", status=404)


API = [
    path("echo", Echo.as_view()),
    path("validated", Validated.as_view()),
    path("closed", Closed.as_view()),
    path("problem", failing(Problem(409, code="taken", detail="Occupato."))),
    path("crash", failing(RuntimeError(f"about {SECRET}"))),
    path("database", failing(OperationalError(f"about {SECRET}"))),
    *(path(f"ended/{sqlstate}", failing(ended(sqlstate))) for sqlstate in ("25P02", "25P03", "25P04")),
    *(path(f"faulty/{count}", failing(faulty(count))) for count in (MAX_ERRORS, MAX_ERRORS + 1)),
    path("throttled", failing(exceptions.Throttled(wait=7))),
    path("suspicious", failing(SuspiciousOperation("no"))),
    path("forbidden", failing(exceptions.PermissionDenied())),
]

urlpatterns = [
    *(re_path(f"^api/v1/{route.pattern}$", route.callback) for route in API),
    re_path(r"^api/v1/", urls.last.callback),
]

handler400 = handlers.bad_request(elsewhere=elsewhere)
handler403 = handlers.permission_denied(elsewhere=elsewhere)
handler404 = handlers.page_not_found(elsewhere=elsewhere)
handler500 = handlers.server_error(elsewhere=elsewhere)
