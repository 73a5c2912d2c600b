"""Which bodies IO's codec takes, and what it keeps of them."""

from typing import Any

import pytest

from io_sandbox.bodies import InvalidBody, read_message
from tests.io_sandbox.playing import TEXT, send_body

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PAYMENT = {"amount": 6212, "notice_number": "301000000000000017"}
REMOTE = {"id": "our-id", "configuration_id": ULID, "has_remote_content": True}


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"subject": "x" * 9}, "subject"),
            ({"subject": "x" * 121}, "subject"),
            ({"subject": "🎉" * 61}, "subject"),
            ({"subject": None}, "subject"),
            ({"markdown": "x" * 79}, "markdown"),
            ({"markdown": "x" * 10_001}, "markdown"),
            ({"require_secure_channels": "yes"}, "require_secure_channels"),
            ({"due_date": "2026-12-31"}, "due_date"),
            ({"due_date": "2026-02-31T10:00:00Z"}, "due_date"),
            ({"due_date": 1}, "due_date"),
            ({"payment_data": {"notice_number": PAYMENT["notice_number"]}}, "amount"),
            ({"payment_data": PAYMENT | {"amount": 0}}, "amount"),
            ({"payment_data": PAYMENT | {"amount": 62.12}}, "amount"),
            ({"payment_data": PAYMENT | {"amount": True}}, "amount"),
            ({"payment_data": PAYMENT | {"amount": 10_000_000_000}}, "amount"),
            ({"payment_data": PAYMENT | {"notice_number": 301000000000000017}}, "notice_number"),
            ({"payment_data": PAYMENT | {"notice_number": "401000000000000017"}}, "notice_number"),
            ({"payment_data": PAYMENT | {"payee": {"fiscal_code": "1"}}}, "payee.fiscal_code"),
            ({"third_party_data": {"configuration_id": ULID}}, "third_party_data.id"),
            ({"third_party_data": REMOTE | {"configuration_id": "u" * 26}}, "configuration_id"),
            ({"third_party_data": REMOTE | {"has_precondition": "NONE"}}, "has_precondition"),
            ({"feature_level_type": "PREMIUM"}, "feature_level_type"),
            ({"time_to_live": 60}, "time_to_live"),
            ({"default_addresses": {"email": "nobody"}}, "default_addresses.email"),
            ({"fiscal_code": "RSSMRA80Z01H501U"}, "fiscal_code"),
        ],
    )
    def test_a_field_against_its_rule_is_named(self, change: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidBody) as caught:
            read_message(send_body(**change))
        (fault,) = caught.value.faults
        assert field in fault

    @pytest.mark.parametrize("body", [None, [], "text", {}, {"content": None}, {"content": []}])
    def test_what_is_no_message_at_all(self, body: object) -> None:
        with pytest.raises(InvalidBody):
            read_message(body)

    def test_every_fault_is_told_at_once_and_no_value_is(self) -> None:
        with pytest.raises(InvalidBody) as caught:
            read_message(send_body(subject="Segreto", markdown="Riservato", payment_data={}))
        assert len(caught.value.faults) == 4
        assert not any(secret in str(caught.value.faults) for secret in ("Segreto", "Riservato"))


class TestKept:
    @pytest.mark.parametrize(
        ("subject", "markdown"), [("x" * 10, "x" * 80), ("x" * 120, "x" * 10_000), ("🎉" * 60, "🎉" * 5_000)]
    )
    def test_lengths_at_their_ends_in_utf16_units(self, subject: str, markdown: str) -> None:
        body = send_body(subject=subject, markdown=markdown)
        assert read_message(body) == body

    @pytest.mark.parametrize(
        ("written", "kept"),
        [
            ("2026-12-31T22:59:59Z", "2026-12-31T22:59:59.000Z"),
            ("2026-12-31T22:59:59.5Z", "2026-12-31T22:59:59.500Z"),
            ("2026-12-31T23:59:59+01:00", "2026-12-31T22:59:59.000Z"),
            ("2026-12-31T22:59:59", "2026-12-31T22:59:59.000Z"),
        ],
    )
    def test_dates_become_utc(self, written: str, kept: str) -> None:
        assert read_message(send_body(due_date=written))["content"] == {
            "subject": "Avviso di prova",
            "markdown": TEXT,
            "due_date": kept,
        }

    def test_a_null_counts_as_absent(self) -> None:
        assert read_message(send_body(due_date=None, payment_data=None)) == send_body()

    def test_a_whole_message(self) -> None:
        body = send_body(
            feature_level_type="ADVANCED",
            time_to_live=604_800,
            default_addresses={"email": "nessuno@example.it"},
            require_secure_channels=True,
            payment_data=PAYMENT | {"invalid_after_due_date": True, "payee": {"fiscal_code": "01234567890"}},
            third_party_data=REMOTE | {"has_precondition": "ONCE"},
        )
        assert read_message(body) == body
