"""HTTP manners that no server of ours adds by itself."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def head_without_body(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """To HEAD, the headers of GET and nothing more. Waitress sends whatever body it is given, and on a connection that
    stays open the client would read it as the beginning of the next answer. Outermost, so that Content-Length is set.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.method == "HEAD" and not response.streaming:
            response.content = b""
        return response

    return middleware
