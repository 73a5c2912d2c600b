from datetime import datetime

import pytest

from templates_app.placeholders import Declaration, InvalidValue, PlaceholderType, read_value
from templates_app.rendering import FixedValues, TemplateText, render
from templates_app.rome_time import read_instant

FIXED = FixedValues(
    taxcode="RSSMRA80A01H501U",
    expedition_date=read_instant("2026-01-10T08:00:00Z"),
    due_date=read_instant("2025-07-07T00:08:33.513Z"),
    notice_number="300012548634478200",
    amount_cents=123_456,
    invalid_after_due_date=True,
    payee="10000000001",
)
PADDING = " " + "Testo di prova per superare la lunghezza minima richiesta da IO nei messaggi. " * 2


def shown(hole: str, value: str = "", *, type: str = "string", **options: object) -> str:  # noqa: A002
    """What a template shows in the place of `hole`, in the title (where nothing is escaped)."""
    declarations = (Declaration("x", PlaceholderType(type), **options),) if hole.strip("${ ").startswith("x") else ()  # type: ignore[arg-type]
    text = TemplateText(f"Titolo: [{hole}]", PADDING, declarations, has_payment=True, has_due_date=True)
    subject = render(text, values={"x": value}, fixed=FIXED).subject
    return subject.removeprefix("Titolo: [").removesuffix("]")


def code_of(value: str, *, type: str, **options: object) -> str:  # noqa: A002
    with pytest.raises(InvalidValue) as caught:
        read_value(Declaration("x", PlaceholderType(type), **options), value)  # type: ignore[arg-type]
    assert caught.value.detail
    return caught.value.code


class TestForms:
    @pytest.mark.parametrize(
        ("hole", "type", "value", "expected"),
        [
            ("${x}", "string", "Città", "Città"),
            ("${x_upper}", "string", "Città", "CITTÀ"),
            ("${x.uppercase}", "string", "Città", "CITTÀ"),
            ("${x_lower}", "string", "Città", "città"),
            ("${x.lowercase}", "string", "Città", "città"),
            ("${ x }", "string", "Città", "Città"),
            ("${x}", "date", "2007-12-12", "12/12/2007"),
            ("${x_verbose}", "date", "2007-12-12", "mercoledì 12 dicembre 2007"),
            ("${x.verbose}", "date", "2007-12-01", "sabato 01 dicembre 2007"),
            ("${x}", "date", "0476-09-04", "04/09/0476"),
            ("${x}", "datetime", "2007-12-12T10:15:00+01:00", "12/12/2007 10:15"),
            ("${x_date}", "datetime", "2007-12-12T10:15:00", "12/12/2007"),
            ("${x.time}", "datetime", "2007-12-12T10:15:00", "10:15"),
            ("${x.date_verbose}", "datetime", "2007-12-12T10:15:00", "mercoledì 12 dicembre 2007"),
            ("${x_verbose}", "datetime", "2007-12-12T10:15:00", "mercoledì 12 dicembre 2007 alle ore 10:15"),
            # Shown on the Italian clock, whatever the offset it came with.
            ("${x}", "datetime", "2026-07-01T23:15:00Z", "02/07/2026 01:15"),
            ("${x}", "integer", "00184", "00184"),
            ("${x}", "integer", "-3", "-3"),
            ("${x}", "amount", "1234,50", "1.234,50"),
            ("${x.currency}", "amount", "1234.56", "1.234,56\u00a0€"),
            ("${x}", "boolean", "TRUE", "true"),
            ("${x.verbose}", "boolean", "false", "no"),
            ("${x.uppercase}", "choice", "tari", "TARI"),
        ],
    )
    def test_shows_a_value(self, hole: str, type: str, value: str, expected: str) -> None:  # noqa: A002
        assert shown(hole, value, type=type, **({"choices": ("imu", "tari")} if type == "choice" else {})) == expected

    @pytest.mark.parametrize(
        ("hole", "expected"),
        [
            ("${taxcode}", "RSSMRA80A01H501U"),
            ("${taxcode.lowercase}", "rssmra80a01h501u"),
            ("${expedition_date}", "10/01/2026 09:00"),
            ("${due_date}", "07/07/2025 02:08"),
            ("${due_date_date}", "07/07/2025"),
            ("${due_date.date}", "07/07/2025"),
            ("${due_date.verbose}", "lunedì 07 luglio 2025 alle ore 02:08"),
            ("${notice_number}", "300012548634478200"),
            # GovIO prints the cents here, and templates in use expect it.
            ("${amount}", "123456"),
            # GovIO forgot to divide by a hundred.
            ("${amount_currency}", "1.234,56\u00a0€"),
            ("${invalid_after_due_date}", "true"),
            ("${payee}", "10000000001"),
        ],
    )
    def test_shows_a_fact_of_the_message(self, hole: str, expected: str) -> None:
        assert shown(hole) == expected


class TestReadValue:
    @pytest.mark.parametrize(
        ("type", "value", "code"),
        [
            ("date", "12/12/2007", "date_invalid"),
            ("date", "2007-12-12T00:00:00Z", "date_invalid"),
            ("datetime", "2007-12-12", "datetime_invalid"),
            ("datetime", "2026-03-29T02:30:00", "local_time_nonexistent"),
            ("datetime", "2027-10-31T02:30:00", "local_time_ambiguous"),
            ("datetime", "9999-12-31T23:59:59Z", "datetime_out_of_range"),
            ("integer", "1.0", "integer_invalid"),
            ("integer", "1e3", "integer_invalid"),
            ("integer", "٣", "integer_invalid"),
            ("amount", "145", "amount_invalid"),
            ("amount", "1.234,50", "amount_invalid"),
            ("amount", "-1,00", "amount_invalid"),
            ("boolean", "sì", "boolean_invalid"),
            ("string", "a\x00b", "control_character"),
            ("string", "a\x1bb", "control_character"),
            ("string", "a\ud800b", "control_character"),
            ("string", "a" * 10_001, "value_too_long"),
        ],
    )
    def test_refuses(self, type: str, value: str, code: str) -> None:  # noqa: A002
        assert code_of(value, type=type) == code

    def test_an_offset_settles_the_repeated_hour(self) -> None:
        declaration = Declaration("x", PlaceholderType.DATETIME)
        for text in ("2027-10-31T02:30:00+02:00", "2027-10-31T02:30:00+01:00"):
            moment = read_value(declaration, text)
            assert isinstance(moment, datetime)
            assert moment.isoformat() == text

    def test_a_pattern_must_match_the_whole_value(self) -> None:
        declaration = Declaration("x", PlaceholderType.STRING, pattern="[A-Z]{2}[0-9]+")
        assert read_value(declaration, "CA12") == "CA12"
        assert code_of("CA12 ", type="string", pattern="[A-Z]{2}[0-9]+") == "pattern_mismatch"

    def test_an_empty_pattern_allows_everything(self) -> None:
        assert read_value(Declaration("x", PlaceholderType.STRING, pattern=""), "qualsiasi") == "qualsiasi"

    def test_a_broken_pattern_refuses_without_crashing(self) -> None:
        assert code_of("x", type="string", pattern="(") == "pattern_invalid"

    def test_a_choice_is_one_of_those_listed(self) -> None:
        assert code_of("TARI", type="choice", choices=("imu", "tari")) == "choice_invalid"

    def test_no_reason_repeats_the_value(self) -> None:
        for kind in PlaceholderType:
            with pytest.raises(InvalidValue) as caught:
                read_value(Declaration("x", kind, pattern="[a]", choices=("y",)), "segreto")
            assert "segreto" not in caught.value.detail + str(caught.value)
