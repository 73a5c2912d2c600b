import pytest

from messaging.money import UnreadableAmount, both_readings, typed_cents


class TestTypedCents:
    @pytest.mark.parametrize(
        ("text", "cents"),
        [
            ("145,50", 14_550),
            ("145.50", 14_550),
            ("145.5", 14_550),
            ("145", 14_500),
            (" 145,50 € ", 14_550),
            ("€ 145,50", 14_550),
            ("€\N{NO-BREAK SPACE}145,50", 14_550),
            ("0,01", 1),
        ],
    )
    def test_reads_comma_and_point(self, text: str, cents: int) -> None:
        assert typed_cents(text) == cents

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            # 1.234 could be one euro or a thousand: nobody guesses.
            ("1.234", "amount_grouped"),
            ("1.234,50", "amount_grouped"),
            ("1 234,50", "amount_grouped"),
            ("", "amount_invalid"),
            ("-1", "amount_invalid"),
            ("1,234", "amount_invalid"),
            ("1e3", "amount_invalid"),
            ("١", "amount_invalid"),
            ("0", "amount_out_of_range"),
            ("100000000", "amount_out_of_range"),
        ],
    )
    def test_refuses(self, text: str, code: str) -> None:
        with pytest.raises(UnreadableAmount) as caught:
            typed_cents(text)
        assert caught.value.code == code
        assert caught.value.detail


def test_both_readings_show_a_factor_of_a_hundred() -> None:
    assert (
        both_readings(6212, unit="cents")
        == "6212 letto in centesimi vale 62,12\u00a0€; in euro varrebbe 6.212,00\u00a0€"
    )
