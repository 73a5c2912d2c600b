"""Log lines: text for people, JSON for machines, ids in both, and nothing of a citizen, a text or a key in either."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from govio_portal.env import env_choice
from govio_portal.logs import JsonFormatter, TextFormatter
from govio_portal.redaction import RedactingFilter
from messaging import lanes, logs, tasks
from messaging.models import IOService, Message, SuspensionReason
from messaging.states import Delivery
from messaging.suspending import suspend
from tests import factories
from tests.factories.messages import CODES, SUBJECT
from tests.support.io_stand_in import Canned, StandIn

FORMATTERS: dict[str, logging.Formatter] = {
    "text": TextFormatter("{asctime} {levelname} {name} {message}", style="{"),
    "json": JsonFormatter(),
}
KEY = "giop_0123456789abcdefghij"
IO_KEY = "an-io-key-that-nobody-may-read"


@pytest.fixture(params=list(FORMATTERS))
def log_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(log_format: str) -> Iterator[StringIO]:
    """Whatever anybody logs at any level, as the product's own handler would write it."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(FORMATTERS[log_format])
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def lines(written: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


class TestText:
    @pytest.fixture(params=["text"])
    def log_format(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_carries_the_ids_after_the_sentence(self, written: StringIO) -> None:
        logs.group_recorded(3, "send", {11: "accepted", 12: "accepted", 13: "unknown"})
        (line,) = written.getvalue().splitlines()
        assert line.endswith(
            "INFO messaging.sending answers recorded io_account=3 message_ids=11,12,13 count=3 call=send "
            "outcomes=accepted:2,unknown:1"
        )

    def test_quotes_words_with_spaces(self, written: StringIO) -> None:
        logs.breaker_moved(3, "half open")
        assert written.getvalue().endswith('breaker moved io_account=3 position="half open"\n')


class TestJson:
    @pytest.fixture(params=["json"])
    def log_format(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_is_one_object_a_line(self, written: StringIO) -> None:
        logs.group_marked(3, {12, 11})
        logging.getLogger("elsewhere").warning("two\nlines, %s", 'and "quotes"')
        first, second = lines(written)
        assert first["message"] == "group marked"
        assert (first["io_account"], first["message_ids"], first["count"]) == (3, [11, 12], 2)
        assert (second["level"], second["logger"]) == ("WARNING", "elsewhere")
        assert second["message"] == 'two\nlines, and "quotes"'
        assert abs(datetime.fromisoformat(first["time"]) - datetime.now(UTC)).total_seconds() < 60

    def test_carries_ids_given_through_extra(self, written: StringIO) -> None:
        logging.getLogger("elsewhere").error("it broke", extra={"message_id": 7, "io_service": 2})
        (line,) = lines(written)
        assert (line["message_id"], line["io_service"]) == (7, 2)

    def test_keeps_the_traceback_in_its_object(self, written: StringIO) -> None:
        try:
            int(f"{CODES[0]}\t{KEY}")
        except ValueError:
            logging.getLogger("elsewhere").exception("it broke")
        (line,) = lines(written)
        assert "ValueError: invalid literal" in line["exception"]
        assert CODES[0] not in line["exception"]
        assert KEY not in line["exception"]


class TestNothingPersonal:
    def test_in_the_sentence_its_arguments_and_any_field(self, written: StringIO) -> None:
        log = logging.getLogger("elsewhere")
        log.warning("of %s with %s", CODES[0].lower(), {"key": KEY})
        log.warning(f"tax_code={CODES[0][:9]}&x=1\n{CODES[1]}")  # noqa: G004  (careless on purpose)
        log.warning("fields", extra={"reason": f"\n{CODES[0]}", "outcomes": {CODES[1]: KEY}, "message_ids": [CODES[2]]})
        text = written.getvalue().upper()
        assert text.count("FIELDS") == 1
        for secret in (*CODES, CODES[0][:9], KEY.upper()):
            assert secret not in text

    @pytest.mark.parametrize("before", ["", " ", "'", "/", "=", r"\n", r"\t", r"\u000a", "%20", "%0A"])
    def test_whatever_stands_before_a_fiscal_code(self, written: StringIO, before: str) -> None:
        logging.getLogger("elsewhere").warning("of %s, who", before + CODES[0])
        assert CODES[0] not in written.getvalue()

    def test_in_what_libraries_attach(self, written: StringIO) -> None:
        """Django attaches the request, Celery a task's arguments: none of them is a field of ours."""
        logging.getLogger("django.request").error("no", extra={"request": object(), "data": {"text": SUBJECT}})
        assert SUBJECT not in written.getvalue()

    def test_in_a_stack(self, written: StringIO) -> None:
        logging.getLogger("elsewhere").warning("here", stack_info=True, extra={"reason": CODES[0]})
        assert CODES[0] not in written.getvalue()

    @pytest.mark.django_db(transaction=True)
    def test_when_messages_leave_and_are_followed(self, io: StandIn, written: StringIO, log_format: str) -> None:
        """End to end, at DEBUG, with every answer of IO that has words of its own."""
        instance = factories.service_instance(
            io_service=factories.io_service(key=IO_KEY, of=(ente := factories.organization())), organization=ente
        )
        refused, unknown, fine = CODES
        io.answer(
            "send", Canned(status=400, body={"title": "bad", "detail": f"not for {refused}"}), fiscal_code=refused
        )
        io.answer("send", Canned(status=500, body={"detail": unknown}), fiscal_code=unknown)
        for code in CODES:
            factories.message(instance=instance, taxcode=code)
        until = time.monotonic() + 30
        while time.monotonic() < until and Message.objects.waiting().exists():
            tasks.dispatch()
            time.sleep(0.05)
        Message.objects.filter(delivery_state=Delivery.SENT).update(next_poll_at=datetime(2026, 1, 1, tzinfo=UTC))
        while time.monotonic() < until and not io.count("status"):
            tasks.poll()
            time.sleep(0.05)
        tasks.sweep()
        lanes.pause(instance.io_service.io_account_id, seconds=30)
        suspend(instance.io_service_id, reason=SuspensionReason.KEY_REFUSED, detail=f"of {fine}", at=datetime.now(UTC))
        assert set(Message.objects.values_list("delivery_state", flat=True)) == {
            "bad_request",
            "uncertain",
            "processed",
        }
        text = written.getvalue()
        for secret in (*CODES, SUBJECT, IO_KEY, "Carta di Identità", "CA000000AA"):
            assert secret not in text
        if log_format == "json":
            told = {line["message"]: line for line in lines(written)}
            assert told["account paused"]["io_account"] == instance.io_service.io_account_id
            assert told["IO service suspended"]["io_service"] == IOService.objects.get().pk
            assert told["IO service suspended"]["reason"] == "key_refused"
            statuses = [line for line in lines(written) if line.get("call") == "status"]
            assert statuses
            assert {pk for line in statuses for pk in line["message_ids"]} <= set(
                Message.objects.values_list("pk", flat=True)
            )


class TestFormat:
    def test_is_one_that_there_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOG_FORMAT", "xml")
        with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT must be text or json, not 'xml'"):
            env_choice("LOG_FORMAT", ("text", "json"), default="text")

    @pytest.mark.parametrize(("given", "chosen"), [("", "text"), ("JSON", "json"), (" text ", "text")])
    def test_is_text_unless_told(self, monkeypatch: pytest.MonkeyPatch, given: str, chosen: str) -> None:
        monkeypatch.setenv("LOG_FORMAT", given)
        assert env_choice("LOG_FORMAT", ("text", "json"), default="text") == chosen
