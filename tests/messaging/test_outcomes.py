"""What every answer of IO makes of a message, of its IO service and of the account: one test for each row of the table.

Messages start where only the call in question is made: `scheduled` for the profile, `recipient_allowed` for the send.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from messaging.dispatching import dispatch
from messaging.lanes import DEFAULT_PAUSE_SECONDS, PAUSE_JITTER, SLOWED_TO
from messaging.models import EventKind, Message, SuspensionReason
from messaging.states import Delivery, WaitingReason
from tests import factories
from tests.messaging.lifecycle import events, facts, fresh, lane_of, seconds_from_now, service_of, the_databases_present
from tests.support.io_stand_in import Canned, StandIn

pytestmark = pytest.mark.django_db

RETRY_SECONDS = 5


def problem(status: int, title: str, detail: str = "IO's words") -> Canned:
    return Canned(status, body={"status": status, "title": title, "detail": detail})


@dataclass(frozen=True)
class Row:
    """One answer and what must come of it. Words of a refusal are `title: detail`."""

    name: str
    answer: Canned
    state: Delivery
    events: Sequence[str] = ()
    waiting: str = WaitingReason.NONE
    detail: str = ""
    suspended: str = ""
    # Counted by the breaker, profiles and sends apart.
    failures: int = 0
    send_failures: int = 0
    # Waits before it is taken up again.
    backs_off: bool = False
    is_paused: bool = False


def parameters(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def is_as_the_row_says(message: Message, row: Row) -> None:
    there = fresh(message)
    assert (there.delivery_state, there.waiting_reason) == (row.state, row.waiting)
    assert events(message) == list(row.events)
    assert there.status_detail == row.detail
    assert there.lease_until is None
    assert there.retries == (1 if row.backs_off else 0)
    assert (seconds_from_now(there.not_before) > 0) == row.backs_off
    service, lane = service_of(message), lane_of(message)
    assert service.suspended_reason == row.suspended
    assert (service.suspended_at is None) == (not row.suspended)
    assert (lane.failures_in_row, lane.send_failures_in_row) == (row.failures, row.send_failures)
    assert (lane.paused_until is not None) == row.is_paused
    assert lane.holder is None


# --- profile -------------------------------------------------------------------------------------------------------

WAITS = Delivery.SCHEDULED
BACKS_OFF: dict[str, Any] = {"waiting": WaitingReason.UNAVAILABLE, "backs_off": True}
UNANSWERED: dict[str, Any] = {**BACKS_OFF, "failures": 1}
PERMISSION: dict[str, Any] = {
    "events": [EventKind.SUSPENDED],
    "waiting": WaitingReason.SUSPENDED,
    "suspended": SuspensionReason.PERMISSION_MISSING,
}
STAND_IN_WORDS = "Stand-in: Programmed by the test."

PROFILE_ROWS = [
    Row(
        "not_allowed",
        Canned(200, body={"sender_allowed": False, "preferred_languages": ["it_IT"]}),
        Delivery.SENDER_NOT_ALLOWED,
        [EventKind.NOT_ALLOWED],
    ),
    Row("404", Canned(404), Delivery.PROFILE_NOT_EXISTS, [EventKind.NOT_ON_IO]),
    Row("400", Canned(400), Delivery.BAD_REQUEST, [EventKind.REFUSED], detail=STAND_IN_WORDS),
    Row("422", Canned(422), Delivery.BAD_REQUEST, [EventKind.REFUSED], detail=STAND_IN_WORDS),
    Row(
        "401",
        Canned(401),
        WAITS,
        [EventKind.SUSPENDED],
        waiting=WaitingReason.SUSPENDED,
        suspended=SuspensionReason.KEY_REFUSED,
    ),
    Row(
        "403_recipient",
        problem(403, "Recipient forbidden"),
        Delivery.FORBIDDEN,
        [EventKind.REFUSED],
        detail="Recipient forbidden: IO's words",
    ),
    Row("403_permission", problem(403, "You are not allowed here"), WAITS, **PERMISSION),
    Row("403_production", problem(403, "Production call forbidden"), WAITS, **PERMISSION),
    Row(
        "403_unclear",
        problem(403, "Something new"),
        WAITS,
        [EventKind.SET_ASIDE],
        waiting=WaitingReason.SET_ASIDE,
    ),
    Row("429", Canned(429), WAITS, is_paused=True),
    Row("200_without_an_answer", Canned(200, body={}), WAITS, **UNANSWERED),
    Row("204", Canned(204, body=b""), WAITS, **UNANSWERED),
    Row("301", Canned(301, headers={"Location": "/elsewhere"}), WAITS, **UNANSWERED),
    Row("307", Canned(307, headers={"Location": "/elsewhere"}), WAITS, **UNANSWERED),
    *(Row(str(status), Canned(status), WAITS, **UNANSWERED) for status in (408, 500, 502, 503, 504)),
    Row(
        "404_of_the_gateway",
        Canned(404, body={"statusCode": 404, "message": "Resource not found"}),
        WAITS,
        **UNANSWERED,
    ),
    Row("reset", Canned(fault="reset_before"), WAITS, **UNANSWERED),
]


class TestProfile:
    @parameters(PROFILE_ROWS)
    def test_row_by_row(self, row: Row, io: StandIn) -> None:
        message = factories.message()
        io.answer("profile", row.answer)
        dispatch()
        is_as_the_row_says(message, row)
        assert io.count("profile") == 1
        assert io.count("send") == 0

    def test_allowed_goes_on_to_the_sending(self, io: StandIn) -> None:
        message = factories.message()
        dispatch()
        is_as_the_row_says(
            message, Row("200", Canned(), Delivery.SENT, [EventKind.PROFILE_ALLOWED, EventKind.MARKED, EventKind.SENT])
        )

    def test_no_answer_at_all_waits(self, io: StandIn, settings: Any) -> None:
        settings.IO_READ_TIMEOUT = 0.3
        message = factories.message()
        io.answer("profile", Canned(fault="never"))
        dispatch()
        is_as_the_row_says(message, Row("never", Canned(), WAITS, **UNANSWERED))

    def test_a_refused_connection_waits(self, io: StandIn) -> None:
        message = factories.message()
        io.stop()
        dispatch()
        is_as_the_row_says(message, Row("refused", Canned(), WAITS, **UNANSWERED))
        io.start()


# --- send ----------------------------------------------------------------------------------------------------------

MARKED = EventKind.MARKED
REFUSED = [MARKED, EventKind.REFUSED]
DOUBT: dict[str, Any] = {"events": [MARKED, EventKind.OUTCOME_UNKNOWN], "send_failures": 1}
SUSPENDED_BY_PERMISSION = {**PERMISSION, "events": [MARKED, EventKind.SUSPENDED]}

SEND_ROWS = [
    Row("400", Canned(400), Delivery.BAD_REQUEST, REFUSED, detail=STAND_IN_WORDS),
    Row("404", Canned(404), Delivery.BAD_REQUEST, REFUSED, detail=STAND_IN_WORDS),
    Row("413", Canned(413), Delivery.BAD_REQUEST, REFUSED, detail=STAND_IN_WORDS),
    Row("422", Canned(422), Delivery.BAD_REQUEST, REFUSED, detail=STAND_IN_WORDS),
    Row(
        "401",
        Canned(401),
        WAITS,
        [MARKED, EventKind.SUSPENDED],
        waiting=WaitingReason.SUSPENDED,
        suspended=SuspensionReason.KEY_REFUSED,
    ),
    Row(
        "403_recipient",
        problem(403, "Recipient forbidden"),
        Delivery.FORBIDDEN,
        REFUSED,
        detail="Recipient forbidden: IO's words",
    ),
    Row("403_permission", problem(403, "You are not allowed here"), WAITS, **SUSPENDED_BY_PERMISSION),
    Row("403_configuration", problem(403, "Not your configuration"), WAITS, **SUSPENDED_BY_PERMISSION),
    Row(
        "403_unclear",
        problem(403, "Something new"),
        WAITS,
        [MARKED, EventKind.SET_ASIDE],
        waiting=WaitingReason.SET_ASIDE,
    ),
    Row(
        "429",
        Canned(429),
        Delivery.RECIPIENT_ALLOWED,
        [MARKED, EventKind.THROTTLED],
        waiting=WaitingReason.THROTTLED,
        is_paused=True,
    ),
    Row("200", Canned(200), Delivery.UNCERTAIN, **DOUBT),
    Row("202", Canned(202), Delivery.UNCERTAIN, **DOUBT),
    Row("204", Canned(204, body=b""), Delivery.UNCERTAIN, **DOUBT),
    Row("302", Canned(302, headers={"Location": "/elsewhere"}), Delivery.UNCERTAIN, **DOUBT),
    Row("307", Canned(307, headers={"Location": "/elsewhere"}), Delivery.UNCERTAIN, **DOUBT),
    *(Row(str(status), Canned(status), Delivery.UNCERTAIN, **DOUBT) for status in (408, 500, 502, 503, 504)),
    Row("reset_before_io_took_it", Canned(fault="reset_before"), Delivery.UNCERTAIN, **DOUBT),
    Row("reset_after_io_took_it", Canned(fault="reset_after"), Delivery.UNCERTAIN, **DOUBT),
]


class TestSend:
    @parameters(SEND_ROWS)
    def test_row_by_row(self, row: Row, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", row.answer)
        dispatch()
        is_as_the_row_says(message, row)
        assert io.count("send") == 1
        assert io.count("profile") == 0

    def test_created_is_followed_by_the_id_of_the_body(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(201, body={"id": "01HBODY0000000000000000000"}))
        dispatch()
        is_as_the_row_says(message, Row("201", Canned(), Delivery.SENT, [MARKED, EventKind.SENT]))
        assert fresh(message).appio_message_id == "01HBODY0000000000000000000"
        assert 30 < seconds_from_now(fresh(message).next_poll_at) <= 60

    def test_created_without_an_id_in_the_body_is_followed_by_that_of_the_address(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(201, body={}))
        dispatch()
        assert fresh(message).appio_message_id == io.accepted[0].io_id != ""

    def test_created_without_any_id_is_sent_and_not_followed(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(201, body=b"", headers={"Location": ""}))
        dispatch()
        is_as_the_row_says(message, Row("201", Canned(), Delivery.SENT, [MARKED, EventKind.SENT]))
        assert fresh(message).appio_message_id == ""
        assert fresh(message).next_poll_at is None

    def test_no_answer_at_all_is_a_doubt(self, io: StandIn, settings: Any) -> None:
        settings.IO_SEND_TIMEOUT = 0.3
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(fault="never"))
        dispatch()
        is_as_the_row_says(message, Row("never", Canned(), Delivery.UNCERTAIN, **DOUBT))
        assert len(io.accepted) == 1

    def test_a_refused_connection_surely_sent_nothing(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.stop()
        dispatch()
        is_as_the_row_says(
            message,
            Row(
                "refused",
                Canned(),
                Delivery.RECIPIENT_ALLOWED,
                [MARKED, EventKind.RELEASED],
                send_failures=1,
                **BACKS_OFF,
            ),
        )
        io.start()

    def test_a_message_that_io_could_never_take_is_refused_without_a_call(self, io: StandIn) -> None:
        """Our own check of IO's limits: it says nothing about IO, so the breaker does not count it."""
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED, content={"subject": "breve"})
        dispatch()
        assert fresh(message).delivery_state == Delivery.BAD_REQUEST
        assert "content.subject" in fresh(message).status_detail
        assert io.requests == []
        assert lane_of(message).send_failures_in_row == 0

    def test_a_doubt_is_never_sent_again_by_itself(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(fault="reset_after"), times=1)
        dispatch()
        assert dispatch() == 0
        assert fresh(message).delivery_state == Delivery.UNCERTAIN
        assert io.count("send") == 1

    def test_a_redirect_is_not_followed(self, io: StandIn) -> None:
        factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(307, headers={"Location": f"{io.base_url}/profiles"}))
        dispatch()
        assert len(io.requests) == 1

    def test_io_s_words_and_number_are_in_the_history(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", problem(400, "Invalid", "too long"))
        dispatch()
        assert facts(message) == {"status": 400, "title": "Invalid", "detail": "too long"}

    def test_the_reason_of_a_suspension_is_in_io_s_words(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(401))
        dispatch()
        assert service_of(message).suspended_detail == "Access denied due to invalid subscription key."

    def test_no_fiscal_code_and_no_key_of_an_answer_reaches_the_history(self, io: StandIn) -> None:
        message = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", problem(400, "Invalid", f"{message.taxcode} with key-of-the-tests"))
        dispatch()
        kept = f"{facts(message)}{fresh(message).status_detail}"
        assert message.taxcode not in kept
        assert "key-of-the-tests" not in kept

    def test_after_a_suspension_the_others_of_the_service_wait_too(self, io: StandIn) -> None:
        first = factories.message_in(Delivery.RECIPIENT_ALLOWED)
        io.answer("send", Canned(401))
        dispatch()
        second = factories.message(instance=first.service_instance)
        assert dispatch() == 0
        assert fresh(second).delivery_state == Delivery.SCHEDULED
        assert io.count("send") == 1


# --- throttled -----------------------------------------------------------------------------------------------------

IN_90_SECONDS: Callable[[], str] = lambda: format_datetime(  # noqa: E731  (a header that depends on when it is asked for)
    datetime.now(UTC) + timedelta(seconds=90), usegmt=True
)
HINTS = {
    "x-rate-limit-retry-after": ({"x-rate-limit-retry-after": "17"}, 17.0),
    "Retry-After in seconds": ({"Retry-After": "42"}, 42.0),
    "Retry-After as a date": ({"Retry-After": IN_90_SECONDS}, 90.0),
    "IO's own before the standard one": ({"Retry-After": "300", "x-rate-limit-retry-after": "9"}, 9.0),
    "too long to be meant": ({"Retry-After": "999999"}, 3600.0),
}


def paused_until(message: Message) -> datetime:
    until = lane_of(message).paused_until
    assert until is not None
    return until


class TestThrottled:
    @pytest.mark.parametrize("call", ["profile", "send"])
    @pytest.mark.parametrize(("headers", "seconds"), HINTS.values(), ids=HINTS.keys())
    def test_the_account_pauses_for_as_long_as_io_says(
        self, headers: dict[str, Any], seconds: float, call: Any, io: StandIn
    ) -> None:
        message = factories.message_in(Delivery.SCHEDULED if call == "profile" else Delivery.RECIPIENT_ALLOWED)
        said = {name: value() if callable(value) else value for name, value in headers.items()}
        io.answer(call, Canned(429, headers=said))
        began = the_databases_present()
        dispatch()
        ended = the_databases_present()
        # A date has no fractions of a second.
        assert began + timedelta(seconds=seconds - 1) <= paused_until(message) <= ended + timedelta(seconds=seconds)

    def test_without_a_hint_for_five_seconds_and_a_little_chance(self, io: StandIn) -> None:
        message = factories.message()
        io.answer("profile", Canned(429))
        began = the_databases_present()
        dispatch()
        ended = the_databases_present()
        shortest = timedelta(seconds=DEFAULT_PAUSE_SECONDS)
        assert began + shortest <= paused_until(message) <= ended + shortest * (1 + PAUSE_JITTER)

    def test_the_rate_is_lowered_for_a_while_after_the_pause(self, io: StandIn) -> None:
        message = factories.message()
        io.answer("profile", Canned(429, headers={"Retry-After": "10"}))
        dispatch()
        lane = lane_of(message)
        assert lane.rate_factor == SLOWED_TO
        assert seconds_from_now(lane.slowed_until) > 60

    def test_while_paused_nothing_is_asked(self, io: StandIn) -> None:
        factories.message()
        io.answer("profile", Canned(429, headers={"Retry-After": "60"}))
        dispatch()
        assert dispatch() == 0
        assert io.count("profile") == 1

    def test_another_account_goes_on(self, io: StandIn) -> None:
        paused = factories.message()
        io.answer("profile", Canned(429, headers={"Retry-After": "60"}))
        dispatch()
        io.forget()
        going = factories.message()
        dispatch()
        assert fresh(going).delivery_state == Delivery.SENT
        assert fresh(paused).delivery_state == Delivery.SCHEDULED
