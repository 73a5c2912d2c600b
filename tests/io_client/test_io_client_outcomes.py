"""The table of outcomes, row by row, and how an answer is read."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from io_client.answers import LONGEST_PAUSE, TEXT_LIMIT, Answer
from io_client.outcomes import (
    Accepted,
    Cause,
    MessageStatus,
    OutcomeUnknown,
    Profile,
    Refused,
    Throttled,
    Unavailable,
    of_profile,
    of_send,
    of_status,
)

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
CODE = "RSSMRA80A01H501U"
LOCATION = f"/api/v1/messages/{CODE}/{ULID}"
# 1xx never reach us as an answer, save 101.
INCONCLUSIVE = [101, 200, 202, 203, 204, 206, 299, 300, 301, 302, 303, 304, 307, 308, 408, 500, 501, 502, 503, 504, 599]


def answer(status: int, body: object = b"", headers: Mapping[str, str] | None = None, *, secret: str = "") -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers=CIMultiDict(headers or {}), content=content, secret=secret)


class TestSend:
    def test_201_is_accepted_with_the_id_of_the_body(self) -> None:
        assert of_send(answer(201, {"id": ULID}, {"location": "/api/v1/messages/X/OTHER"})) == Accepted(ULID)

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b"[]", b'{"id":', {"id": None}, {"id": ""}, {"id": 7}, {"id": "../x"}]
    )
    def test_201_without_a_usable_id_takes_it_from_location(self, body: object) -> None:
        assert of_send(answer(201, body, {"LOCATION": LOCATION})) == Accepted(ULID)

    @pytest.mark.parametrize(
        "location", [f"https://api.io.example{LOCATION}", f"{LOCATION}/?x=1", LOCATION.lstrip("/")]
    )
    def test_location_may_be_absolute_or_relative(self, location: str) -> None:
        assert of_send(answer(201, b"", {"Location": location})) == Accepted(ULID)

    @pytest.mark.parametrize(
        "location", ["", "/", f"/api/v1/messages/{CODE}", "/a/b%20c", "/a/..", "http://[x", "/" + "a" * 65]
    )
    def test_201_with_no_id_at_all_is_accepted_all_the_same(self, location: str) -> None:
        assert of_send(answer(201, b"", {"Location": location})) == Accepted(None)

    @pytest.mark.parametrize("status", INCONCLUSIVE)
    def test_what_concludes_nothing_is_a_doubt(self, status: int) -> None:
        assert of_send(answer(status, {"id": ULID, "title": "Internal server error"})) == OutcomeUnknown(
            f"HTTP {status}"
        )

    def test_429_is_throttled(self) -> None:
        assert of_send(answer(429, b"", {"Retry-After": "3"})) == Throttled(3.0)
        assert of_send(answer(429)) == Throttled(None)

    def test_401_is_about_the_key(self) -> None:
        body = {"statusCode": 401, "message": "Access denied due to invalid subscription key."}
        assert of_send(answer(401, body)) == Refused(401, str(body["message"]), "", Cause.KEY)

    @pytest.mark.parametrize("status", [400, 402, 405, 406, 409, 410, 411, 413, 414, 415, 417, 418, 422, 431, 451, 499])
    def test_other_4xx_are_about_the_content(self, status: int) -> None:
        refused = of_send(answer(status, {"title": "Invalid message structure", "detail": "content.subject"}))
        assert refused == Refused(status, "Invalid message structure", "content.subject", Cause.CONTENT)

    def test_404_is_not_found(self) -> None:
        assert of_send(answer(404, b"")) == Refused(404, "", "", Cause.NOT_FOUND)

    @pytest.mark.parametrize(
        ("title", "cause"),
        [
            ("Recipient forbidden", Cause.RECIPIENT),
            ("You are not allowed here", Cause.PERMISSION),
            ("User has no valid scopes", Cause.PERMISSION),
            ("Anonymous user", Cause.PERMISSION),
            ("Production call forbidden", Cause.PERMISSION),
            ("Not your configuration", Cause.PERMISSION),
            ("Forbidden", Cause.UNCLEAR),
            ("", Cause.UNCLEAR),
        ],
    )
    def test_403_tells_its_cause_by_its_title(self, title: str, cause: Cause) -> None:
        assert of_send(answer(403, {"status": 403, "title": title})) == Refused(403, title, "", cause)

    def test_403_of_the_gateway_about_the_certificate(self) -> None:
        refused = of_send(answer(403, {"statusCode": 403, "message": "Invalid client certificate"}))
        assert isinstance(refused, Refused)
        assert refused.cause is Cause.PERMISSION

    @pytest.mark.parametrize(
        "body", [b"", b"<html>403</html>", b'"Recipient forbidden"', {"title": ["Recipient forbidden"]}]
    )
    def test_403_that_cannot_be_read_is_unclear(self, body: object) -> None:
        assert of_send(answer(403, body)) == Refused(403, "", "", Cause.UNCLEAR)


class TestProfile:
    @pytest.mark.parametrize("allowed", [True, False])
    def test_200_says_whether_the_service_may_write(self, allowed: bool) -> None:
        body = {"sender_allowed": allowed, "preferred_languages": ["it_IT", "de_DE"], "email": "x@example.com"}
        assert of_profile(answer(200, body)) == Profile(allowed, ("it_IT", "de_DE"))

    @pytest.mark.parametrize("languages", [None, "it_IT", [7, None], ["\x00"], {}])
    def test_languages_are_optional_and_odd_ones_are_left_out(self, languages: object) -> None:
        assert of_profile(answer(200, {"sender_allowed": True, "preferred_languages": languages})) == Profile(True, ())

    @pytest.mark.parametrize(
        "body", [b"", b"\xff", b"<html>", b"[true]", b"[" * 100_000, b"9" * 10_000, {}, {"sender_allowed": "true"}]
    )
    def test_200_that_cannot_be_understood_is_asked_again(self, body: object) -> None:
        assert of_profile(answer(200, body)) == Unavailable("HTTP 200 without sender_allowed")

    @pytest.mark.parametrize("status", [201, *(status for status in INCONCLUSIVE if status != 200)])
    def test_what_concludes_nothing_is_asked_again(self, status: int) -> None:
        assert of_profile(answer(status, {"sender_allowed": True})) == Unavailable(f"HTTP {status}")

    def test_404_means_not_on_io(self) -> None:
        refused = of_profile(answer(404, {"status": 404, "title": "Profile not found", "detail": "…"}))
        assert refused == Refused(404, "Profile not found", "…", Cause.NOT_FOUND)
        assert of_profile(answer(404)) == Refused(404, "", "", Cause.NOT_FOUND)

    def test_404_of_the_gateway_says_nothing_about_the_citizen(self) -> None:
        outcome = of_profile(answer(404, {"statusCode": 404, "message": "Resource not found"}))
        assert isinstance(outcome, Unavailable)

    def test_429_is_throttled(self) -> None:
        assert of_profile(answer(429, b"", {"X-Rate-Limit-Retry-After": "2"})) == Throttled(2.0)

    @pytest.mark.parametrize(
        ("title", "cause"),
        [("Recipient forbidden", Cause.RECIPIENT), ("Not your configuration", Cause.UNCLEAR), ("Boh", Cause.UNCLEAR)],
    )
    def test_403_goes_through_the_table_of_its_own_call(self, title: str, cause: Cause) -> None:
        assert of_profile(answer(403, {"title": title})) == Refused(403, title, "", cause)


class TestStatus:
    def test_200_gives_the_words_of_io(self) -> None:
        body = {"message": {}, "status": "PROCESSED", "read_status": "UNREAD", "payment_status": "NOT_PAID"}
        assert of_status(answer(200, body)) == MessageStatus("PROCESSED", "UNREAD", "NOT_PAID")

    def test_words_that_we_do_not_know_pass(self) -> None:
        body = {"message": {}, "status": "parked", "read_status": "LISTENED"}
        assert of_status(answer(200, body)) == MessageStatus("PARKED", "LISTENED", None)

    def test_a_message_without_status_is_accepted(self) -> None:
        assert of_status(answer(200, {"message": {"id": ULID}})) == MessageStatus("ACCEPTED", None, None)

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", {}, {"status": 7, "message": {}}, {"status": "a b", "message": {}}]
    )
    def test_200_that_cannot_be_understood_is_asked_again(self, body: object) -> None:
        assert of_status(answer(200, body)) == Unavailable("HTTP 200 without a status")

    @pytest.mark.parametrize("status", [201, *(status for status in INCONCLUSIVE if status != 200)])
    def test_what_concludes_nothing_is_asked_again(self, status: int) -> None:
        assert of_status(answer(status, {"status": "PROCESSED"})) == Unavailable(f"HTTP {status}")

    def test_refusals(self) -> None:
        assert of_status(answer(404)) == Refused(404, "", "", Cause.NOT_FOUND)
        assert of_status(answer(401)) == Refused(401, "", "", Cause.KEY)
        forbidden = of_status(answer(403, {"title": "You are not allowed here"}))
        assert forbidden == Refused(403, "You are not allowed here", "", Cause.PERMISSION)
        assert of_status(answer(429)) == Throttled(None)


class TestRetryAfter:
    AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("5", 5.0),
            (" 2.5 ", 2.5),
            ("0", 0.0),
            ("-7", 0.0),
            ("999999", LONGEST_PAUSE),
            ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
            ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
            ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("inf", None),
            ("1e3", None),
            ("٣", None),
            ("9" * 400, None),
            ("Sat, 99 Nov 2026 12:00:30 GMT", None),
            ("Fri, 31 Dec 99999999999 23:59:59 GMT", None),
        ],
    )
    def test_seconds_or_a_date(self, value: str, seconds: float | None) -> None:
        assert answer(429, b"", {"Retry-After": value}).retry_after(at=self.AT) == seconds

    def test_ios_own_header_comes_first_unless_it_is_garbage(self) -> None:
        assert answer(429, b"", {"Retry-After": "9", "x-rate-limit-retry-after": "4"}).retry_after(at=self.AT) == 4.0
        assert answer(429, b"", {"Retry-After": "9", "x-rate-limit-retry-after": "?"}).retry_after(at=self.AT) == 9.0


class TestTextsOfIO:
    def test_fiscal_codes_are_hidden_in_any_case_and_place(self) -> None:
        refused = of_send(answer(400, {"title": f"For {CODE}.", "detail": f"x{CODE.lower()}y RSSMRAULALMHRLMX"}))
        assert refused == Refused(400, "For ***.", "x***y ***", Cause.CONTENT)

    def test_the_key_is_hidden(self) -> None:
        refused = of_send(answer(400, {"title": "Key s3cr3t refused"}, secret="s3cr3t"))
        assert refused == Refused(400, "Key *** refused", "", Cause.CONTENT)

    def test_long_texts_are_cut(self) -> None:
        refused = of_send(answer(400, {"title": "è " * 500, "detail": "à " * 500}))
        assert isinstance(refused, Refused)
        assert (len(refused.title), len(refused.detail)) == (TEXT_LIMIT, TEXT_LIMIT)

    def test_a_fiscal_code_across_the_cut_does_not_show_its_beginning(self) -> None:
        refused = of_send(answer(400, {"detail": "d" * (TEXT_LIMIT - 8) + CODE}))
        assert isinstance(refused, Refused)
        assert "RSSM" not in refused.detail

    def test_what_no_database_stores_is_left_out(self) -> None:
        refused = of_send(answer(400, b'{"title": "a\\u0000b\\ud800c\\r\\nd"}'))
        assert refused == Refused(400, "a b c d", "", Cause.CONTENT)
