"""Django's own error handlers for the API: problem+json there, the given page elsewhere.

The root URLs name what these make: `handler404 = page_not_found(elsewhere=defaults.page_not_found)`.
"""

import sys
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse

from rest.problems import problem_of, respond, unexpected

Handler = Callable[[HttpRequest, Exception], HttpResponse]


def is_api(request: HttpRequest) -> bool:
    """Whether the address lies under the API, or under the folder that its versions share (`/api/v1/` -> `/api/`)."""
    mount = "/" + settings.API_PREFIX.strip("/")
    family = mount.rpartition("/")[0] or mount
    return f"{request.path_info}/".startswith(f"{family}/")


def bad_request(*, elsewhere: Handler) -> Handler:
    """For handler400."""
    return _either(lambda error: error if problem_of(error) else SuspiciousOperation(), elsewhere)


def permission_denied(*, elsewhere: Handler) -> Handler:
    """For handler403."""
    return _either(lambda error: error, elsewhere)


def page_not_found(*, elsewhere: Handler) -> Handler:
    """For handler404."""
    return _either(lambda error: Http404(), elsewhere)


def server_error(*, elsewhere: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """For handler500: what escaped every view, such as a fault in a middleware."""

    def handler(request: HttpRequest) -> HttpResponse:
        if not is_api(request):
            return elsewhere(request)
        error = sys.exc_info()[1]
        return _answer(error if isinstance(error, Exception) else RuntimeError())

    return handler


def _either(error_for_api: Callable[[Exception], Exception], elsewhere: Handler) -> Handler:
    def handler(request: HttpRequest, exception: Exception) -> HttpResponse:
        return _answer(error_for_api(exception)) if is_api(request) else elsewhere(request, exception)

    return handler


def _answer(error: Exception) -> HttpResponse:
    return respond(problem_of(error) or unexpected(error, where="middleware"))
