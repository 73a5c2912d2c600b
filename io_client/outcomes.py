"""What a call to IO came to, in values that tell the caller what to do next, and the one table that decides it.

IO has no idempotency key and no search, so after a send the only safe question is "may the message exist?". The table
answers it by status code; `client` answers it for the cases without one, from whether a byte of the request left.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from io_client.answers import Answer


class Cause(Enum):
    """Who has to act on a refusal."""

    KEY = "key"  # 401: the key is missing, wrong or not active; every call with it will fail
    RECIPIENT = "recipient"  # 403 about this recipient only
    PERMISSION = "permission"  # 403 about the key, its permissions or our address; every call will fail
    UNCLEAR = "unclear"  # 403 that the table does not know
    NOT_FOUND = "not_found"  # 404: on a profile, not an IO user; on a status, no such message
    CONTENT = "content"  # any other 4xx, or a limit of IO checked here before the call


@dataclass(frozen=True, slots=True)
class Accepted:
    """IO took the message. The id is None when the answer carried none: arrived, but cannot be followed."""

    io_id: str | None


@dataclass(frozen=True, slots=True)
class Profile:
    """Whether this service may write to this citizen. Languages as IO writes them (`it_IT`), most wanted first."""

    sender_allowed: bool
    preferred_languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """Raw words of IO, upper case; its lists are open, so any other word may come. None where IO left a field out."""

    status: str
    read_status: str | None
    payment_status: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A definite no: nothing was created. `status` is 0 when we refused before calling; texts are IO's, cleaned."""

    status: int
    title: str
    detail: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Throttled:
    """A definite not now. `after` in seconds, None when IO did not say."""

    after: float | None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """On a send: surely not sent. On a read: ask again later."""

    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """The request left and no definite answer came: the message may exist. Only a send ends so."""

    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """`may_leave` said no at the last moment: no byte left."""


SendOutcome = Accepted | Refused | Throttled | Unavailable | OutcomeUnknown | Withheld
ProfileOutcome = Profile | Refused | Throttled | Unavailable
StatusOutcome = MessageStatus | Refused | Throttled | Unavailable


class Call(Enum):
    PROFILE = "profile"
    SEND = "send"
    STATUS = "status"


class _Verdict(Enum):
    SUCCESS = "success"
    THROTTLED = "throttled"
    REFUSED = "refused"
    NOTHING_CONCLUDED = "nothing concluded"


_EVERY_CALL: Final = frozenset(Call)

# The first row that fits. Whatever none names concludes nothing: other 2xx, every 3xx, 408, 5xx, and codes that HTTP
# does not have. After a send that is a doubt, after a read only a reason to ask again. A 500 is a doubt because IO may
# have stored the message before failing, a 408 because a gateway may write it on behalf of the server behind it.
_VERDICTS: Final[tuple[tuple[Container[Call], Container[int], _Verdict], ...]] = (
    ({Call.SEND}, {201}, _Verdict.SUCCESS),
    ({Call.PROFILE, Call.STATUS}, {200}, _Verdict.SUCCESS),
    (_EVERY_CALL, {429}, _Verdict.THROTTLED),
    (_EVERY_CALL, frozenset(range(400, 500)) - {408}, _Verdict.REFUSED),
)

_CAUSES: Final[Mapping[int, Cause]] = {401: Cause.KEY, 404: Cause.NOT_FOUND}

# A 403 tells its cause only by its title. Titles read in the public sources of IO's back end; one that is not here is
# UNCLEAR, so that a message nobody understood waits for a person instead of ending.
_FORBIDDEN: Final[tuple[tuple[Container[Call], re.Pattern[str], Cause], ...]] = (
    # The service is in trial and this person is not among its test recipients.
    ({Call.PROFILE, Call.SEND}, re.compile(r"recipient forbidden", re.I), Cause.RECIPIENT),
    # A group that the key lacks, an address outside `authorized_cidrs`, or a Premium or payee permission missing.
    (_EVERY_CALL, re.compile(r"you are not allowed here", re.I), Cause.PERMISSION),
    (_EVERY_CALL, re.compile(r"user has no valid scopes", re.I), Cause.PERMISSION),
    (_EVERY_CALL, re.compile(r"anonymous user", re.I), Cause.PERMISSION),
    (_EVERY_CALL, re.compile(r"production call forbidden", re.I), Cause.PERMISSION),
    # The remote configuration belongs to an account other than the service's.
    ({Call.SEND}, re.compile(r"not your configuration", re.I), Cause.PERMISSION),
    # The gateway's, for accounts that must present a certificate.
    (_EVERY_CALL, re.compile(r"invalid client certificate", re.I), Cause.PERMISSION),
)

# What the gateway says when the path is not one of its own. On a read it must not pass for "no such citizen", or one
# wrong character in the configured address would declare every citizen absent from IO.
_NO_SUCH_PATH: Final = re.compile(r"resource not found", re.I)

# IO's ids are ULIDs; whatever else it may choose one day must fit our column and a URL path.
ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_WORD: Final = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}([_-][0-9A-Za-z]{1,8})*", re.ASCII)


def of_send(answer: Answer) -> Accepted | Refused | Throttled | OutcomeUnknown:
    """The outcome of POST /messages."""
    match _verdict(Call.SEND, answer.status):
        case _Verdict.SUCCESS:
            return Accepted(answer.text("id", pattern=ID) or answer.location_id(pattern=ID))
        case _Verdict.THROTTLED:
            return Throttled(answer.retry_after())
        case _Verdict.REFUSED:
            return _refused(Call.SEND, answer)
        case _Verdict.NOTHING_CONCLUDED:
            return OutcomeUnknown(f"HTTP {answer.status}")


def of_profile(answer: Answer) -> ProfileOutcome:
    """The outcome of POST /profiles."""
    unsuccessful = _unsuccessful_read(Call.PROFILE, answer)
    if unsuccessful is not None:
        return unsuccessful
    allowed = answer.body.get("sender_allowed")
    if not isinstance(allowed, bool):
        return Unavailable("HTTP 200 without sender_allowed")
    languages = answer.body.get("preferred_languages")
    words = languages if isinstance(languages, list) else ()
    return Profile(allowed, tuple(word for word in words if isinstance(word, str) and _LANGUAGE.fullmatch(word)))


def of_status(answer: Answer) -> StatusOutcome:
    """The outcome of GET /messages/{fiscal_code}/{id}."""
    unsuccessful = _unsuccessful_read(Call.STATUS, answer)
    if unsuccessful is not None:
        return unsuccessful
    status = answer.text("status", pattern=_WORD)
    if status is None and "status" not in answer.body and isinstance(answer.body.get("message"), dict):
        # IO's own default while it has no record of the processing; its OpenAPI file makes the field optional.
        status = "ACCEPTED"
    if status is None:
        return Unavailable("HTTP 200 without a status")
    read_status = answer.text("read_status", pattern=_WORD)
    payment_status = answer.text("payment_status", pattern=_WORD)
    return MessageStatus(
        status=status.upper(),
        read_status=read_status.upper() if read_status else None,
        payment_status=payment_status.upper() if payment_status else None,
    )


def _verdict(call: Call, status: int) -> _Verdict:
    for calls, statuses, verdict in _VERDICTS:
        if call in calls and status in statuses:
            return verdict
    return _Verdict.NOTHING_CONCLUDED


def _unsuccessful_read(call: Call, answer: Answer) -> Refused | Throttled | Unavailable | None:
    match _verdict(call, answer.status):
        case _Verdict.SUCCESS:
            return None
        case _Verdict.THROTTLED:
            return Throttled(answer.retry_after())
        case _Verdict.REFUSED:
            if answer.status == 404 and answer.is_from_gateway and _NO_SUCH_PATH.search(answer.title):
                return Unavailable("HTTP 404 from the gateway: the configured address is not IO's API")
            return _refused(call, answer)
        case _Verdict.NOTHING_CONCLUDED:
            return Unavailable(f"HTTP {answer.status}")


def _refused(call: Call, answer: Answer) -> Refused:
    cause = _forbidden(call, answer.title) if answer.status == 403 else _CAUSES.get(answer.status, Cause.CONTENT)
    return Refused(status=answer.status, title=answer.title, detail=answer.detail, cause=cause)


def _forbidden(call: Call, title: str) -> Cause:
    for calls, pattern, cause in _FORBIDDEN:
        if call in calls and pattern.search(title):
            return cause
    return Cause.UNCLEAR
