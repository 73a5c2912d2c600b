"""RFC 9457: every refusal of the API is an `application/problem+json` made here, in the reader's language.

Ground knows no domain word: an app says with `register` how its own errors are answered.
"""

import itertools
import json
import logging
import secrets
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, InternalError, OperationalError, connections
from django.http import Http404, HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions

from rest.errors import MAX_ERRORS, ErrorItem, Text, pointer

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

# Where the meaning of each status is defined, as GovIO's own problems say it.
_RFC_9110 = "https://www.rfc-editor.org/rfc/rfc9110.html#name-"
TYPES = {
    400: _RFC_9110 + "400-bad-request",
    401: _RFC_9110 + "401-unauthorized",
    403: _RFC_9110 + "403-forbidden",
    404: _RFC_9110 + "404-not-found",
    405: _RFC_9110 + "405-method-not-allowed",
    406: _RFC_9110 + "406-not-acceptable",
    409: _RFC_9110 + "409-conflict",
    413: _RFC_9110 + "413-content-too-large",
    415: _RFC_9110 + "415-unsupported-media-type",
    422: _RFC_9110 + "422-unprocessable-content",
    429: "https://www.rfc-editor.org/rfc/rfc6585.html#section-4",
    500: _RFC_9110 + "500-internal-server-error",
    503: _RFC_9110 + "503-service-unavailable",
}
TITLES: dict[int, Text] = {
    400: _("Richiesta non valida"),
    401: _("Autenticazione necessaria"),
    403: _("Operazione non consentita"),
    404: _("Risorsa non trovata"),
    405: _("Metodo non ammesso"),
    406: _("Formato non disponibile"),
    409: _("Conflitto"),
    413: _("Richiesta troppo grande"),
    415: _("Formato del corpo non accettato"),
    422: _("Richiesta non eseguibile"),
    429: _("Troppe richieste"),
    500: _("Errore interno"),
    503: _("Servizio non disponibile"),
}


class Problem(exceptions.APIException):
    """A refusal, raised anywhere in a view. Without `errors` it holds one: its own code and detail.

    Of many errors it holds the first `MAX_ERRORS`, and its detail says that there are more.
    """

    def __init__(
        self,
        status: int,
        *,
        code: str,
        detail: Text | None = None,
        errors: Iterable[ErrorItem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        given = tuple(itertools.islice(errors, MAX_ERRORS + 1))
        self.errors = given[:MAX_ERRORS]
        if detail is None:
            detail = _several(given)
        if not self.errors:
            self.errors = (ErrorItem(code, "", detail, None),)
        # DRF's own constructor would turn the lazy sentence into text before the language is known.
        self.status_code = status
        self.text = detail
        self.headers = dict(headers or {})
        Exception.__init__(self, f"{status} {code}")

    def as_json(self) -> dict[str, Any]:
        """The members of RFC 9457, and `errors`."""
        return {
            "type": TYPES.get(self.status_code, "about:blank"),
            "title": str(TITLES.get(self.status_code, HTTPStatus(self.status_code).phrase)),
            "status": self.status_code,
            "detail": str(self.text),
            "errors": [error.as_json() for error in self.errors],
        }


def _several(errors: tuple[ErrorItem, ...]) -> Text:
    if len(errors) == 1:
        return errors[0].detail
    if len(errors) > MAX_ERRORS:
        return _("La richiesta contiene più di %(limit)s errori: i primi sono elencati in «errors».") % {
            "limit": MAX_ERRORS
        }
    return _("La richiesta contiene %(count)s errori, elencati in «errors».") % {"count": len(errors)}


_Error = TypeVar("_Error", bound=Exception)
_registered: dict[type[Exception], Callable[[Any], Problem | None]] = {}


def register(error: type[_Error], answer: Callable[[_Error], Problem | None]) -> None:
    """From now on an `error` that leaves a view is answered as `answer` says; subclasses too. None: it is unexpected."""
    _registered[error] = answer


def respond(problem: Problem) -> HttpResponse:
    """The one place where a problem becomes bytes. It ignores `Accept`: an error in another format helps nobody."""
    body = json.dumps(problem.as_json(), ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(
        body.encode("utf-8", "replace"),
        status=problem.status_code,
        content_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store"} | problem.headers,
    )


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER."""
    _roll_back()
    problem = problem_of(error)
    if problem is None:
        # Whatever watches for crashes (the test client, an error reporter) still sees this one.
        request = context.get("request")
        got_request_exception.send(sender=handle, request=getattr(request, "_request", request))
        problem = unexpected(error, where=type(context.get("view")).__name__)
    return respond(problem)


def _roll_back() -> None:
    """With ATOMIC_REQUESTS a request that is refused leaves nothing behind, although its exception ends here."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
            connection.set_rollback(True)


def problem_of(error: Exception) -> Problem | None:
    """How `error` is answered; None when nobody expected it."""
    if isinstance(error, Problem):
        return error
    for kind in type(error).__mro__:
        if kind in _registered:
            return _registered[kind](error)
    return None


def unexpected(error: BaseException, *, where: str) -> Problem:
    """500 with a code to quote. The log gets types and lines of code, never messages or values: they hold citizens' data."""
    reference = secrets.token_hex(4)
    logger.error("unexpected error %s in %s: %s", reference, where, _anonymous_traceback(error))
    detail = _("Errore inatteso, registrato con il codice %(reference)s: indicalo all'assistenza.")
    return Problem(500, code="unexpected", detail=detail % {"reference": reference})


def _anonymous_traceback(error: BaseException) -> str:
    causes: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 5:
        frames = "".join(traceback.format_tb(cause.__traceback__))
        causes.append(f"{type(cause).__module__}.{type(cause).__qualname__}\n{frames}")
        cause = cause.__cause__ or cause.__context__
    return "caused by ".join(causes)


def _from_drf(error: exceptions.APIException) -> Problem:
    headers: dict[str, str] = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, int(wait)))
    code = str(error.get_codes())
    return Problem(error.status_code, code=code, detail=_DETAILS.get(code) or str(error.detail), headers=headers)


# In our words: DRF's own are for developers of browsers, and do not tell the cure.
_DETAILS: dict[str, Text] = {
    "not_authenticated": _(
        "Manca la chiave: inviala nell'intestazione GovHub-Consumer-Principal, come Authorization: Bearer, "
        "o come password di Authorization: Basic."
    ),
    "permission_denied": _("Le autorizzazioni di questa chiave non consentono l'operazione."),
    "not_found": _("Non esiste, o non è visibile a chi la chiede."),
    "unsupported_media_type": _("Il corpo va inviato con Content-Type: application/json, in UTF-8 e non compresso."),
    "throttled": _("Troppe richieste: riprova dopo i secondi indicati in Retry-After."),
}


def _method_not_allowed(error: exceptions.MethodNotAllowed) -> Problem:
    return Problem(
        405,
        code="method_not_allowed",
        detail=_("Il metodo non è ammesso qui: quelli ammessi sono nell'intestazione Allow."),
    )


def _validation(error: exceptions.ValidationError) -> Problem:
    return Problem(400, code="invalid", errors=flatten(error.detail))


def flatten(detail: Any) -> list[ErrorItem]:
    """The faults that a serializer found, with their pointers: one more than are told, where there are more."""
    return list(itertools.islice(_flattened(detail), MAX_ERRORS + 1))


def _flattened(detail: Any, *steps: str | int) -> Iterator[ErrorItem]:
    match detail:
        case dict():
            for name in detail:
                yield from _flattened(detail[name], *steps, *(() if name == "non_field_errors" else (name,)))
        case list():
            nested = any(isinstance(item, dict) for item in detail)
            for index, item in enumerate(detail):
                yield from _flattened(item, *steps, *((index,) if nested else ()))
        case exceptions.ErrorDetail():
            yield ErrorItem(detail.code or "invalid", pointer(*steps), str(detail))


def _unavailable(error: Exception) -> Problem:
    logger.error("database not reachable: %s", type(error).__qualname__)
    detail = _("Il servizio è momentaneamente non raggiungibile: riprova fra poco con la stessa richiesta.")
    return Problem(503, code="unavailable", detail=detail, headers={"Retry-After": "5"})


# The database ended our transaction because it stood still or took too long: as if it had gone away.
_ENDED_BY_THE_DATABASE = frozenset({"25P03", "25P04"})


def _internal(error: InternalError) -> Problem | None:
    """Others are faults of ours. The code is where PostgreSQL's own error has it."""
    ended = getattr(error.__cause__, "sqlstate", None) in _ENDED_BY_THE_DATABASE
    return _unavailable(error) if ended else None


def _fixed(status: int, code: str, detail: Text) -> Callable[[Exception], Problem]:
    return lambda error: Problem(status, code=code, detail=detail)


register(exceptions.APIException, _from_drf)
register(exceptions.MethodNotAllowed, _method_not_allowed)
register(exceptions.ValidationError, _validation)
register(Http404, _fixed(404, "not_found", _DETAILS["not_found"]))
register(PermissionDenied, _fixed(403, "permission_denied", _DETAILS["permission_denied"]))
register(
    SuspiciousOperation,
    _fixed(400, "invalid", _("La richiesta non è accettabile: controlla indirizzo e intestazioni.")),
)
register(RequestDataTooBig, _fixed(413, "body_too_large", _("Il corpo è troppo grande: dividilo in più richieste.")))
register(OperationalError, _unavailable)
register(InterfaceError, _unavailable)
register(InternalError, _internal)
