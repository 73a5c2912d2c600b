from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from messaging.validating import SendingRules, ValidMessage, Verdict, validate
from rest.strict_json import parse
from templates_app.findings import Severity
from templates_app.placeholders import Declaration, PlaceholderType
from templates_app.rendering import TemplateText
from templates_app.rome_time import read_instant

AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
CIE = TemplateText(
    "Scadenza CIE n. ${cie.uppercase}",
    "Salve, con la presente la informiamo che in data ${due_date} scadrà la Carta di Identità elettronica "
    "numero ${cie.uppercase}.",
    (Declaration("cie", PlaceholderType.STRING),),
    has_payment=True,
    has_due_date=True,
)
PLAIN = TemplateText(
    "Avviso dello sportello",
    "Lo sportello resta chiuso per lavori: ti preghiamo di prenotare un appuntamento dal sito del Comune, grazie.",
)
EURO = SendingRules(text=CIE, amount_unit="euro")
CENTS = SendingRules(text=CIE, amount_unit="cents")
DOCUMENT = b"""
{"taxcode": "PCRMJV76P12B782Z",
 "payment": {"amount": 62.12, "notice_number": 300012548634478200, "invalid_after_due_date": true, "payee_taxcode": 10000000001},
 "email": "name@gmail.com",
 "scheduled_expedition_date": "2025-07-07T00:08:33.513Z", "due_date": "2025-07-07T00:08:33.513Z",
 "placeholders": [{"name": "cie", "value": "CA000000AA"}]}
"""


def sound() -> dict[str, Any]:
    """A message without a blemish for the CIE template."""
    return {
        "taxcode": "RSSMRA80A01H501U",
        "payment": {"amount": Decimal("62.12"), "notice_number": "300012548634478200"},
        "due_date": "2026-04-30T23:59:59+02:00",
        "placeholders": [{"name": "cie", "value": "CA000000AA"}],
    }


def verdict(changes: dict[str, Any] | None = None, *, rules: SendingRules = EURO, **more: Any) -> Verdict:
    return validate(sound() | (changes or {}) | more, rules=rules, at=AT)


def paying(**payment: Any) -> dict[str, Any]:
    return {"payment": sound()["payment"] | payment}


def accepted(judged: Verdict, *warnings: str) -> ValidMessage:
    assert judged.errors == ()
    assert [warning.code for warning in judged.warnings] == list(warnings)
    assert all(warning.severity is Severity.WARNING and warning.detail for warning in judged.warnings)
    assert judged.message is not None
    return judged.message


def errors(judged: Verdict) -> list[tuple[str, str, str]]:
    assert judged.message is None
    assert judged.errors
    assert all(error.detail for error in judged.errors)
    return [(error.severity.value, error.code, error.pointer) for error in judged.errors]


def malformed(judged: Verdict) -> list[tuple[str, str]]:
    found = errors(judged)
    assert {severity for severity, _code, _pointer in found} == {"malformed"}
    assert judged.is_malformed
    return [(code, pointer) for _severity, code, pointer in found]


def impossible(judged: Verdict) -> list[tuple[str, str]]:
    found = errors(judged)
    assert {severity for severity, _code, _pointer in found} == {"impossible"}
    assert not judged.is_malformed
    return [(code, pointer) for _severity, code, pointer in found]


def test_accepts_our_users_own_document_with_a_warning_for_each_oddity_that_matters() -> None:
    judged = validate(parse(DOCUMENT), rules=EURO, at=AT)
    message = accepted(judged, "taxcode_check_character", "due_date_past")
    assert "non è valido dopo la scadenza" in judged.warnings[1].detail
    assert message.taxcode == "PCRMJV76P12B782Z"
    assert message.email == "name@gmail.com"
    assert message.scheduled_at == AT
    assert message.due_date == datetime(2025, 7, 7, 0, 8, 33, 513000, tzinfo=UTC)
    assert message.expires_at is None
    assert message.payment is not None
    assert (message.payment.amount_cents, message.payment.notice_number) == (6212, "300012548634478200")
    assert (message.payment.invalid_after_due_date, message.payment.payee_taxcode) == (True, "10000000001")
    assert message.values == {"cie": "CA000000AA"}
    assert message.subject == "Scadenza CIE n. CA000000AA"
    assert message.markdown == (
        "Salve, con la presente la informiamo che in data 07/07/2025 02:08 scadrà la Carta di Identità elettronica "
        "numero CA000000AA."
    )


def test_a_sound_message_has_no_warnings() -> None:
    message = accepted(verdict())
    assert message.scheduled_at == AT
    assert message.due_date == message.expires_at == read_instant("2026-04-30T21:59:59Z")
    assert message.email is None


def test_the_repr_tells_nothing_about_the_citizen() -> None:
    shown = repr(verdict())
    for secret in ("RSSMRA80A01H501U", "CA000000AA", "300012548634478200"):
        assert secret not in shown


class TestShape:
    @pytest.mark.parametrize("data", [None, [], "x", 1, True, Decimal("1.5")])
    def test_refuses_what_is_no_object(self, data: object) -> None:
        assert malformed(validate(data, rules=EURO, at=AT)) == [("type", "")]

    def test_reports_every_error_at_once_and_in_order(self) -> None:
        judged = validate(
            {
                "payment": {"amount": True, "notice_number": Decimal("3.0E+17"), "invalid_after_due_date": "true"},
                "email": "nessuna",
                "scheduled_expedition_date": 20260101,
                "due_date": "2026-04-30T23:59:59",
                "placeholders": [{"name": "cie"}, 3, {"value": "x"}],
            },
            rules=EURO,
            at=AT,
        )
        assert malformed(judged) == [
            ("required", "/taxcode"),
            ("type", "/payment/amount"),
            ("digits_lost", "/payment/notice_number"),
            ("type", "/payment/invalid_after_due_date"),
            ("type", "/scheduled_expedition_date"),
            ("datetime_without_offset", "/due_date"),
            ("email_invalid", "/email"),
            ("required", "/placeholders/0/value"),
            ("type", "/placeholders/1"),
            ("required", "/placeholders/2/name"),
        ]

    def test_reports_what_is_impossible_beside_what_is_malformed(self) -> None:
        assert errors(verdict(email="x", placeholders=None)) == [
            ("malformed", "email_invalid", "/email"),
            ("impossible", "placeholder_missing", "/placeholders"),
        ]

    def test_null_in_an_optional_field_means_absent(self) -> None:
        nothing = paying(invalid_after_due_date=None, payee_taxcode=None)
        message = accepted(verdict(nothing, email=None, scheduled_expedition_date=None))
        assert message.payment is not None
        assert (message.payment.invalid_after_due_date, message.payment.payee_taxcode) == (False, None)

    def test_of_very_many_unknown_fields_the_first_are_told(self) -> None:
        judged = verdict(paying() | {f"field{number}": 1 for number in range(1000)})
        accepted(judged, *["unknown_field"] * 50)

    def test_unknown_fields_are_ignored_with_a_warning_because_a_typo_must_not_pass_unseen(self) -> None:
        data = paying(payee_tax_code="10000000001") | {
            "due/date~": 1,
            "placeholders": [{"name": "cie", "value": "CA", "type": "string"}],
        }
        judged = verdict(data)
        accepted(judged, "unknown_field", "unknown_field", "unknown_field")
        assert [warning.pointer for warning in judged.warnings] == [
            "/due~1date~0",
            "/payment/payee_tax_code",
            "/placeholders/0/type",
        ]

    def test_the_idempotency_key_of_bulk_is_no_stranger(self) -> None:
        accepted(verdict(idempotency_key="9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11"))

    def test_no_detail_repeats_what_was_sent(self) -> None:
        judged = verdict(
            paying(notice_number="segreto1"),
            taxcode="segreto2",
            email="segreto3",
            placeholders=[{"name": "cie", "value": "segreto4\x00"}],
        )
        assert not any("segreto" in finding.detail for finding in judged.errors + judged.warnings)


class TestTaxcode:
    # The last two are omocodia: people who share a code get letters in place of digits.
    @pytest.mark.parametrize("taxcode", ["RSSMRA80A01H501U", "RSSMRA80A01H50MM", "RSSMRAULALMHRLMD"])
    def test_accepts_persons(self, taxcode: str) -> None:
        assert accepted(verdict(taxcode=taxcode)).taxcode == taxcode

    @pytest.mark.parametrize(
        "taxcode",
        [
            "rssmra80a01h501u",
            " RSSMRA80A01H501U",
            "RSSMRA80A01H501U\n",
            "12345678901",
            "",
            "RSSMRA80A01H501",
            "RSSMRA80Z01H501U",
            "٠" * 16,
        ],
    )
    def test_refuses_what_io_refuses(self, taxcode: str) -> None:
        assert malformed(verdict(taxcode=taxcode)) == [("taxcode_invalid", "/taxcode")]

    def test_tells_the_cure(self) -> None:
        assert "maiuscolo" in verdict(taxcode="rssmra80a01h501u").errors[0].detail
        assert "persona" in verdict(taxcode="12345678901").errors[0].detail

    @pytest.mark.parametrize("taxcode", [1, True, [], {}])
    def test_refuses_other_types(self, taxcode: object) -> None:
        assert malformed(verdict(taxcode=taxcode)) == [("type", "/taxcode")]

    def test_a_wrong_check_character_only_warns(self) -> None:
        accepted(verdict(taxcode="RSSMRA80A01H501A"), "taxcode_check_character")


class TestAmount:
    @pytest.mark.parametrize(
        ("written", "cents"),
        [
            ("62.12", 6212),
            ("62", 6200),
            ("62.1", 6210),
            ("62.120", 6212),
            ("0.01", 1),
            ("99999999.99", 9_999_999_999),
            ("1e2", 10_000),
            ("6.2e1", 6200),
            ("62.0", 6200),
        ],
    )
    def test_euro_are_read_exactly(self, written: str, cents: int) -> None:
        number = parse(written.encode())
        message = accepted(verdict(paying(amount=number)))
        assert message.payment is not None
        assert message.payment.amount_cents == cents

    @pytest.mark.parametrize(
        ("written", "code"),
        [("62.123", "amount_too_precise"), ("0.001", "amount_out_of_range"), ("0", "amount_out_of_range"), ("-1", "amount_out_of_range"),
         ("100000000", "amount_out_of_range"), ("0.0149999999999999999", "amount_too_precise"), ("1e20", "amount_out_of_range")],
    )  # fmt: skip
    def test_euro_that_are_no_amount(self, written: str, code: str) -> None:
        assert malformed(verdict(paying(amount=parse(written.encode())))) == [(code, "/payment/amount")]

    @pytest.mark.parametrize(
        "amount",
        [
            Decimal("1e999999"),
            Decimal("1e-999999"),
            Decimal("NaN"),
            Decimal("Infinity"),
            Decimal("1." + "0" * 60 + "1"),
            10**400,
        ],
    )
    def test_no_number_is_too_hostile(self, amount: object) -> None:
        assert errors(verdict(paying(amount=amount)))
        assert errors(verdict(paying(amount=amount), rules=CENTS))

    def test_cents_are_integers(self) -> None:
        message = accepted(verdict(paying(amount=6212), rules=CENTS))
        assert message.payment is not None
        assert message.payment.amount_cents == 6212

    @pytest.mark.parametrize("written", ["62.12", "62.0", "1e2"])
    def test_a_decimal_point_in_cents_is_refused_naming_the_unit(self, written: str) -> None:
        judged = verdict(paying(amount=parse(written.encode())), rules=CENTS)
        assert malformed(judged) == [("amount_not_in_cents", "/payment/amount")]
        assert "centesimi" in judged.errors[0].detail

    @pytest.mark.parametrize("amount", [True, False, "62.12", [62], {}, 62.12])
    @pytest.mark.parametrize("rules", [EURO, CENTS])
    def test_only_numbers_are_numbers(self, amount: object, rules: SendingRules) -> None:
        assert malformed(verdict(paying(amount=amount), rules=rules)) == [("type", "/payment/amount")]

    def test_above_the_cap_both_readings_are_named(self) -> None:
        judged = verdict(paying(amount=6212), rules=replace(EURO, payment_cap_cents=100_000))
        assert impossible(judged) == [("amount_above_cap", "/payment/amount")]
        for reading in ("6.212,00\u00a0€", "62,12\u00a0€", "1.000,00\u00a0€"):
            assert reading in judged.errors[0].detail

    def test_the_cap_itself_is_allowed_and_zero_allows_nothing(self) -> None:
        accepted(verdict(paying(amount=1_000), rules=replace(EURO, payment_cap_cents=100_000)))
        assert impossible(verdict(rules=replace(EURO, payment_cap_cents=0))) == [
            ("amount_above_cap", "/payment/amount")
        ]


class TestPayment:
    def test_a_payment_needs_amount_and_notice_number(self) -> None:
        assert malformed(verdict(payment={})) == [
            ("required", "/payment/amount"),
            ("required", "/payment/notice_number"),
        ]

    @pytest.mark.parametrize("payment", ["x", 1, [], True])
    def test_a_payment_is_an_object(self, payment: object) -> None:
        assert malformed(verdict(payment=payment)) == [("type", "/payment")]

    def test_a_payment_template_needs_a_payment(self) -> None:
        assert impossible(verdict(payment=None)) == [("payment_required", "/payment")]

    def test_a_placeholder_does_not_make_up_for_it(self) -> None:
        names = ("cie", "amount", "notice_number", "due_date")
        judged = verdict(
            payment=None, due_date=None, placeholders=[{"name": name, "value": "300012548634478200"} for name in names]
        )
        assert impossible(judged) == [("payment_required", "/payment"), ("due_date_required", "/due_date")]
        assert [warning.code for warning in judged.warnings] == ["placeholder_reserved"] * 3

    def test_a_payment_where_the_template_has_none_is_sent_with_a_warning(self) -> None:
        message = accepted(
            verdict(rules=SendingRules(PLAIN, "euro"), placeholders=None), "payment_unexpected", "due_date_unexpected"
        )
        assert message.payment is not None
        assert message.due_date is not None

    @pytest.mark.parametrize("number", ["300012548634478200", 300012548634478200, "000000000000000000"])
    def test_a_notice_number_is_text_or_integer(self, number: object) -> None:
        message = accepted(verdict(paying(notice_number=number)))
        assert message.payment is not None
        assert message.payment.notice_number == str(number)

    @pytest.mark.parametrize(
        ("number", "code"),
        [("30001254863447820", "notice_number_invalid"), ("400012548634478200", "notice_number_invalid"), ("3000 12548634478200", "notice_number_invalid"),
         ("3,00012E+17", "notice_number_invalid"), (12548634478200, "notice_number_invalid"), (-300012548634478200, "notice_number_invalid"),
         (Decimal("300012548634478200.0"), "digits_lost"), (Decimal("3E+17"), "digits_lost"), (True, "type"), ([], "type")],
    )  # fmt: skip
    def test_refuses_other_notice_numbers(self, number: object, code: str) -> None:
        assert malformed(verdict(paying(notice_number=number))) == [(code, "/payment/notice_number")]

    def test_leading_zeros_lost_in_a_number_are_named(self) -> None:
        assert "zeri" in verdict(paying(notice_number=12548634478200)).errors[0].detail
        assert "zeri" in verdict(paying(payee_taxcode=1)).errors[0].detail

    @pytest.mark.parametrize("payee", ["01199250158", 10000000001])
    def test_a_payee_is_text_or_integer(self, payee: object) -> None:
        message = accepted(verdict(paying(payee_taxcode=payee)))
        assert message.payment is not None
        assert message.payment.payee_taxcode == str(payee)

    @pytest.mark.parametrize(("payee", "code"), [("1", "payee_taxcode_invalid"), (1, "payee_taxcode_invalid"), ("RSSMRA80A01H501U", "payee_taxcode_invalid"),
                                                 (Decimal("1E+10"), "digits_lost"), (False, "type")])  # fmt: skip
    def test_refuses_other_payees(self, payee: object, code: str) -> None:
        assert malformed(verdict(paying(payee_taxcode=payee))) == [(code, "/payment/payee_taxcode")]

    def test_a_notice_that_ends_with_the_due_date_needs_one(self) -> None:
        judged = verdict(
            paying(invalid_after_due_date=True),
            due_date=None,
            placeholders=None,
            rules=SendingRules(replace(PLAIN, has_payment=True), "euro"),
        )
        assert impossible(judged) == [("due_date_required_by_notice", "/due_date")]


class TestDates:
    def test_a_template_with_a_due_date_needs_one(self) -> None:
        assert impossible(verdict(due_date=None)) == [("due_date_required", "/due_date")]

    def test_a_past_due_date_warns_and_cannot_expire(self) -> None:
        message = accepted(verdict(due_date="2026-03-10T08:59:59Z"), "due_date_past")
        assert message.expires_at is None

    def test_a_due_date_before_the_expedition_warns(self) -> None:
        message = accepted(
            verdict(due_date="2026-04-01T00:00:00Z", scheduled_expedition_date="2026-04-02T00:00:00Z"),
            "due_date_before_expedition",
        )
        assert message.expires_at == message.due_date

    @pytest.mark.parametrize("written", [None, "2020-01-01T00:00:00Z"])
    def test_an_absent_or_past_expedition_is_now(self, written: str | None) -> None:
        assert accepted(verdict(scheduled_expedition_date=written)).scheduled_at == AT

    def test_what_a_form_left_empty_counts_as_absent(self) -> None:
        payment = {"amount": 100, "notice_number": "300000000000000001", "payee_taxcode": ""}
        message = accepted(verdict(email="", scheduled_expedition_date="", payment=payment))
        assert (message.email, message.scheduled_at) == (None, AT)
        assert message.payment is not None
        assert message.payment.payee_taxcode is None

    def test_a_later_expedition_is_kept_in_utc(self) -> None:
        message = accepted(verdict(scheduled_expedition_date="2026-04-01T09:00:00+02:00"))
        assert message.scheduled_at == datetime(2026, 4, 1, 7, 0, tzinfo=UTC)
        assert message.scheduled_at.utcoffset() == timedelta()

    @pytest.mark.parametrize("field", ["due_date", "scheduled_expedition_date"])
    @pytest.mark.parametrize(
        ("written", "code"),
        [("2026-04-30", "datetime_invalid"), ("2026-04-30T23:59:59", "datetime_without_offset"), ("domani", "datetime_invalid"), (" ", "datetime_invalid"),
         ("2026-02-30T00:00:00Z", "datetime_invalid"), ("9999-12-31T23:59:59Z", "datetime_out_of_range"), (1782864000, "type"), (True, "type"), ([], "type")],
    )  # fmt: skip
    def test_refuses_other_dates(self, field: str, written: object, code: str) -> None:
        assert malformed(verdict({field: written})) == [(code, f"/{field}")]

    @pytest.mark.parametrize("year", ["0002", "1582", "1900", "9998"])
    def test_far_years_do_not_crash(self, year: str) -> None:
        message = verdict(due_date=f"{year}-07-01T00:00:00Z").message
        assert message is not None
        assert f"01/07/{year}" in message.markdown


class TestEmail:
    @pytest.mark.parametrize(
        "email",
        ["name@gmail.com", "nome.cognome+io@pec.comune.example.it", "città@società.it", "a@" + "b" * 60 + ".it"],
    )
    def test_accepts(self, email: str) -> None:
        assert accepted(verdict(email=email)).email == email

    @pytest.mark.parametrize(
        "email",
        [
            " ",
            "a",
            "a@b",
            "a b@c.it",
            "a@@c.it",
            "a@.it",
            "a@c..it",
            "a@c.it\n",
            "a\x00@c.it",
            "\ud800@c.it",
            "a@" + "b." * 130 + "it",
            "<a@c.it>",
        ],
    )
    def test_refuses(self, email: str) -> None:
        assert malformed(verdict(email=email)) == [("email_invalid", "/email")]

    def test_refuses_other_types(self) -> None:
        assert malformed(verdict(email=1)) == [("type", "/email")]


class TestPlaceholders:
    def cie(self, *entries: object) -> dict[str, Any]:
        return {"placeholders": list(entries)}

    @pytest.mark.parametrize("placeholders", [None, []])
    def test_a_mandatory_one_must_be_there(self, placeholders: object) -> None:
        assert impossible(verdict(placeholders=placeholders)) == [("placeholder_missing", "/placeholders")]

    def test_a_mandatory_one_must_not_be_blank(self) -> None:
        assert impossible(verdict(self.cie({"name": "cie", "value": " "}))) == [
            ("placeholder_empty", "/placeholders/0/value")
        ]

    @pytest.mark.parametrize("placeholders", [{}, "x", 1, {"cie": "CA"}])
    def test_they_are_a_list(self, placeholders: object) -> None:
        assert malformed(verdict(placeholders=placeholders)) == [("type", "/placeholders")]

    @pytest.mark.parametrize("value", [1, True, Decimal("1.5"), [], {}])
    def test_values_are_strings(self, value: object) -> None:
        assert malformed(verdict(self.cie({"name": "cie", "value": value}))) == [("type", "/placeholders/0/value")]

    @pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9f", "\ud800"])
    def test_no_control_character_nor_half_character_passes(self, character: str) -> None:
        assert malformed(verdict(self.cie({"name": "cie", "value": f"CA{character}"}))) == [
            ("control_character", "/placeholders/0/value")
        ]

    def test_another_missing_one_is_reported_beside_a_malformed_one(self) -> None:
        text = replace(
            PLAIN, declarations=(Declaration("a", PlaceholderType.STRING), Declaration("b", PlaceholderType.STRING))
        )
        judged = verdict(
            self.cie({"name": "a", "value": 1}), payment=None, due_date=None, rules=SendingRules(text, "euro")
        )
        assert errors(judged) == [
            ("malformed", "type", "/placeholders/0/value"),
            ("impossible", "placeholder_missing", "/placeholders"),
        ]

    def test_the_last_of_a_repeated_name_wins_with_a_warning(self) -> None:
        judged = verdict(self.cie({"name": "cie", "value": "AA"}, {"name": "cie", "value": "BB"}))
        assert accepted(judged, "placeholder_repeated").values == {"cie": "BB"}
        assert judged.warnings[0].pointer == "/placeholders/1/name"

    def test_names_that_the_template_lacks_are_ignored_with_a_warning(self) -> None:
        judged = verdict(
            self.cie(
                {"name": "cie", "value": "AA"},
                {"name": "cei", "value": "BB"},
                {"name": "due_date", "value": "2020-01-01T00:00:00Z"},
            )
        )
        message = accepted(judged, "placeholder_unknown", "placeholder_reserved")
        assert message.values == {"cie": "AA"}
        assert "30/04/2026" in message.markdown

    def test_an_optional_one_without_a_value_warns_of_the_blank(self) -> None:
        text = replace(
            CIE,
            declarations=(Declaration("cie", PlaceholderType.STRING, mandatory=False),),
            subject="Scadenza della CIE",
        )
        accepted(verdict(placeholders=None, rules=SendingRules(text, "euro")), "placeholder_blank")

    def test_a_value_must_suit_its_type(self) -> None:
        text = replace(CIE, declarations=(*CIE.declarations, Declaration("day", PlaceholderType.DATE)))
        judged = verdict(
            self.cie({"name": "cie", "value": "CA"}, {"name": "day", "value": "30/04/2026"}),
            rules=SendingRules(text, "euro"),
        )
        assert impossible(judged) == [("date_invalid", "/placeholders/1/value")]

    def test_a_title_too_long_after_rendering_is_impossible(self) -> None:
        assert impossible(verdict(self.cie({"name": "cie", "value": "A" * 105}))) == [("subject_length", "")]

    def test_there_are_not_hundreds(self) -> None:
        assert malformed(verdict(placeholders=[{"name": "cie", "value": "CA"}] * 501)) == [
            ("too_many", "/placeholders")
        ]
