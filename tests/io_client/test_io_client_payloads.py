"""What may be sent to IO, limit by limit."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from io_client.payloads import NewMessage, PaymentData, body_of, problems, utf16_length

MESSAGE = NewMessage(fiscal_code="RSSMRA80A01H501U", subject="Avviso di prova", markdown="Testo di prova. " * 6)
PAYMENT = PaymentData(amount=6212, notice_number="301000000000000017")


def body(message: NewMessage) -> dict[str, object]:
    assert problems(message) == []
    parsed = json.loads(body_of(message))
    assert isinstance(parsed, dict)
    return parsed


class TestLimits:
    def test_a_plain_message_has_no_problem(self) -> None:
        assert problems(MESSAGE) == []

    @pytest.mark.parametrize(
        "code", ["", "RSSMRA80A01H501", "rssmra80a01h501u", "RSSMRA80A01H501U\n", "12345678901", "RSSMRA80Z01H501U"]
    )
    def test_refuses_what_is_not_a_persons_code(self, code: str) -> None:
        assert [found.split(":")[0] for found in problems(replace(MESSAGE, fiscal_code=code))] == ["fiscal_code"]

    def test_accepts_omocodia_and_does_not_check_the_check_character(self) -> None:
        assert problems(replace(MESSAGE, fiscal_code="RSSMRAULALMHRLMX")) == []

    @pytest.mark.parametrize(("length", "fits"), [(9, False), (10, True), (120, True), (121, False)])
    def test_subject_length(self, length: int, fits: bool) -> None:
        assert (problems(replace(MESSAGE, subject="x" * length)) == []) is fits

    @pytest.mark.parametrize(("length", "fits"), [(79, False), (80, True), (10_000, True), (10_001, False)])
    def test_markdown_length(self, length: int, fits: bool) -> None:
        assert (problems(replace(MESSAGE, markdown="x" * length)) == []) is fits

    def test_lengths_are_counted_as_javascript_does(self) -> None:
        assert utf16_length("è") == 1
        assert utf16_length("🎉") == 2
        assert problems(replace(MESSAGE, subject="🎉" * 60)) == []
        assert problems(replace(MESSAGE, subject="🎉" * 61)) != []

    def test_refuses_half_a_surrogate_pair(self) -> None:
        assert problems(replace(MESSAGE, subject="Avviso di prova \ud83c")) != []

    @pytest.mark.parametrize(
        ("amount", "fits"), [(0, False), (1, True), (9_999_999_999, True), (10_000_000_000, False)]
    )
    def test_amount(self, amount: int, fits: bool) -> None:
        assert (problems(replace(MESSAGE, payment=replace(PAYMENT, amount=amount))) == []) is fits

    def test_a_boolean_is_no_amount(self) -> None:
        assert problems(replace(MESSAGE, payment=replace(PAYMENT, amount=True))) != []

    @pytest.mark.parametrize("number", ["", "30100000000000001", "3010000000000000177", "401000000000000017", "x" * 18])
    def test_refuses_a_wrong_notice_number(self, number: str) -> None:
        assert problems(replace(MESSAGE, payment=replace(PAYMENT, notice_number=number))) != []

    def test_payee_must_have_eleven_digits(self) -> None:
        assert problems(replace(MESSAGE, payment=replace(PAYMENT, payee_fiscal_code="0123456789"))) != []
        assert problems(replace(MESSAGE, payment=replace(PAYMENT, payee_fiscal_code="01234567890"))) == []

    def test_due_date_needs_a_zone_and_a_year_that_utc_has(self) -> None:
        ahead = timezone(timedelta(hours=2))
        assert problems(replace(MESSAGE, due_date=datetime(2026, 5, 1, 12, 0))) != []  # noqa: DTZ001
        assert problems(replace(MESSAGE, due_date=datetime(1, 1, 1, tzinfo=ahead))) != []

    def test_feature_level_is_one_that_we_know(self) -> None:
        assert problems(replace(MESSAGE, feature_level="PREMIUM")) != []
        assert problems(replace(MESSAGE, feature_level="ADVANCED")) == []

    def test_every_problem_is_told_at_once_and_no_value_is(self) -> None:
        message = NewMessage(
            fiscal_code="RSSMRA80A01H501",
            subject="Segreto",
            markdown="Riservato",
            payment=PaymentData(amount=0, notice_number="555", payee_fiscal_code="77"),
        )
        found = problems(message)
        assert len(found) == 6
        assert not any(secret in " ".join(found) for secret in ("RSSMRA", "Segreto", "Riservato", "555", "77"))


class TestBody:
    def test_says_only_what_the_message_has(self) -> None:
        assert body(MESSAGE) == {
            "fiscal_code": "RSSMRA80A01H501U",
            "feature_level_type": "STANDARD",
            "content": {"subject": MESSAGE.subject, "markdown": MESSAGE.markdown},
        }

    def test_a_whole_message(self) -> None:
        message = replace(
            MESSAGE,
            subject="Città è più bella",
            due_date=datetime(2026, 7, 31, 23, 59, 59, tzinfo=ZoneInfo("Europe/Rome")),
            payment=replace(PAYMENT, invalid_after_due_date=True, payee_fiscal_code="01234567890"),
            require_secure_channels=False,
            feature_level="ADVANCED",
        )
        assert body(message) == {
            "fiscal_code": "RSSMRA80A01H501U",
            "feature_level_type": "ADVANCED",
            "content": {
                "subject": "Città è più bella",
                "markdown": MESSAGE.markdown,
                "require_secure_channels": False,
                "due_date": "2026-07-31T21:59:59Z",
                "payment_data": {
                    "amount": 6212,
                    "notice_number": "301000000000000017",
                    "invalid_after_due_date": True,
                    "payee": {"fiscal_code": "01234567890"},
                },
            },
        }

    def test_dates_leave_in_utc_without_fractions(self) -> None:
        sent = body(replace(MESSAGE, due_date=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)))
        assert sent["content"]["due_date"] == "2026-01-02T03:04:05Z"  # type: ignore[index]


def test_the_repr_tells_nothing_about_the_citizen() -> None:
    shown = repr(replace(MESSAGE, payment=PAYMENT))
    assert not any(secret in shown for secret in ("RSSMRA", "Avviso", "Testo", "3010000"))
    assert "3010000" not in repr(PAYMENT)
