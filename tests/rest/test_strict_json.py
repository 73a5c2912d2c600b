"""Strict JSON: what is taken, what is refused, and that every refusal says where and how to cure it."""

import time
from decimal import Decimal

import pytest

from rest.strict_json import MAX_VALUES, Malformed, parse


def faults(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(Malformed) as refused:
        parse(body)
    for error in refused.value.errors:
        assert str(error.detail)
    return [(error.code, error.pointer) for error in refused.value.errors]


class TestAccepts:
    def test_keeps_integers_exact(self) -> None:
        assert parse(b'{"notice_number": 300012548634478225}') == {"notice_number": 300012548634478225}

    def test_keeps_other_numbers_as_exact_decimals(self) -> None:
        value = parse(b"[62.12, 1e2, -0.5]")
        assert value == [Decimal("62.12"), Decimal(100), Decimal("-0.5")]
        assert all(isinstance(number, Decimal) for number in value)

    def test_skips_a_byte_order_mark(self) -> None:
        assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}

    def test_joins_the_halves_of_a_surrogate_pair(self) -> None:
        assert parse(b'"\\ud83d\\ude00"') == "\U0001f600"

    def test_reads_an_escaped_backslash_as_text(self) -> None:
        assert parse(rb'"\\u0000"') == r"\u0000"

    def test_takes_depth_20_and_integers_of_20_digits(self) -> None:
        parse(b"[" * 20 + b"]" * 20)
        assert parse(b"-12345678901234567890") == -12345678901234567890

    def test_ignores_commas_inside_strings_when_counting_values(self) -> None:
        text = "," * (MAX_VALUES + 1)
        assert parse(f'[["{text}"]]'.encode()) == [[text]]

    def test_ignores_brackets_inside_strings_when_measuring_depth(self) -> None:
        assert parse(b'["' + b"[" * 100 + b'\\"{{{"]') == ["[" * 100 + '"{{{']


class TestRefuses:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", ("body_missing", "")),
            (b" \r\n\t", ("body_missing", "")),
            (b'{"a": "\xe0"}', ("invalid_utf8", "")),
            ('{"a": 1}'.encode("utf-16"), ("invalid_utf8", "")),
            (b'{"a": 1', ("invalid_json", "")),
            (b"{'a': 1}", ("invalid_json", "")),
            (b'{"a": 1,}', ("invalid_json", "")),
            (b'{"a": 1} trailing', ("invalid_json", "")),
            (b'{"a": 1}{"a": 1}', ("invalid_json", "")),
            (b'{"a": "line\nbreak"}', ("invalid_json", "")),
            (b'{"a": "\x00"}', ("invalid_json", "")),
            (b'{"a": "\\x41"}', ("invalid_json", "")),
            (b'{"a": 01}', ("invalid_json", "")),
            (b'{"a": +1}', ("invalid_json", "")),
            (b'{"a": .5}', ("invalid_json", "")),
            (b"{/* no */}", ("invalid_json", "")),
            (b'{"a": NaN}', ("number_not_finite", "/a")),
            (b'{"a": [1, -Infinity]}', ("number_not_finite", "/a/1")),
            (b'{"a": 123456789012345678901}', ("number_too_long", "/a")),
            (b'{"a": 1e999999999}', ("number_too_long", "/a")),
            (b'{"a": 1e-999999999999999999999}', ("number_too_long", "/a")),
            (b'{"a": 0.000000000000000000001}', ("number_too_long", "/a")),
            (b'{"a": "\\u0000"}', ("nul_character", "/a")),
            (b'{"\\u0000": 1}', ("nul_character", "/\ufffd")),
            (b'{"a": "\\ud800"}', ("lone_surrogate", "/a")),
            (b'{"a": "\\ude00\\ud83d"}', ("lone_surrogate", "/a")),
            (b'{"a": 1, "a": 1}', ("duplicate_key", "/a")),
            (b'[{"a/b~": 1, "a/b~": 2}]', ("duplicate_key", "/0/a~1b~0")),
            (b"[" * 21 + b"]" * 21, ("too_deep", "")),
        ],
    )
    def test_with_code_and_pointer(self, body: bytes, expected: tuple[str, str]) -> None:
        assert faults(body) == [expected]

    @pytest.mark.parametrize("value", [b"0", b"{}", b'"a,b"', b'{"a":1}'])
    def test_more_values_than_any_request_has_before_building_them(self, value: bytes) -> None:
        assert faults(b"[" + (value + b",") * MAX_VALUES + value + b"]") == [("too_many_values", "")]

    def test_naming_every_fault_at_once(self) -> None:
        body = b'{"a": NaN, "b": [1e99, {"c": "\\u0000", "d": 1, "d": 2}]}'
        assert faults(body) == [
            ("number_not_finite", "/a"),
            ("number_too_long", "/b/0"),
            ("duplicate_key", "/b/1/d"),
            ("nul_character", "/b/1/c"),
        ]

    def test_with_the_line_and_column_of_a_syntax_error(self) -> None:
        with pytest.raises(Malformed) as refused:
            parse(b'{"a": 1,\n "b" 2}')
        assert "2, colonna 6" in str(refused.value.errors[0].detail)

    def test_with_a_pointer_that_is_safe_to_print_and_short(self) -> None:
        body = ('{"' + "\\ud800" * 500 + '": NaN}').encode()
        for _code, pointer in faults(body):
            assert len(pointer) <= 65
            pointer.encode()

    def test_without_telling_the_text_in_the_exception(self) -> None:
        with pytest.raises(Malformed) as refused:
            parse(b'{"taxcode": "RSSMRA80A01H501U", "a": NaN}')
        assert "RSSMRA" not in str(refused.value)

    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 1_000_000,
            b'{"a":' * 200_000,
            b'"' + b'\\"' * 500_000,
            b"[" * 20 + b"[" * 0 + b'{"a": "' + b'\\"' * 500_000 + b"\\",
            b"1" * 1_000_000,
            b"[" + b"1e999999999," * 80_000 + b"1]",
            b"[" + b'"\\ud800",' * 100_000 + b"1]",
            b'{"a":1' + b',"a":1' * 150_000 + b"}",
        ],
        ids=["deep", "deep objects", "no end", "no end, deep", "long number", "exponents", "surrogates", "duplicates"],
    )
    def test_hostile_bodies_of_a_megabyte_quickly(self, body: bytes) -> None:
        started = time.perf_counter()
        faults(body)
        assert time.perf_counter() - started < 2
