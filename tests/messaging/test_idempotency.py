"""What makes two requests the same: everything that was said, and how it is understood; never how it was spelt."""

from decimal import Decimal
from typing import Any

import pytest

from messaging.idempotency import canonical_hash

BODY = {"taxcode": "RSSMRA80A01H501U", "payment": {"amount": Decimal("62.1"), "notice_number": 300012548634478200}}


def of(body: Any, *, instance: int = 1, unit: str = "euro") -> str:
    return canonical_hash(body, service_instance_id=instance, amount_unit=unit)


def test_is_a_sha_256_in_hexadecimal() -> None:
    assert len(of(BODY)) == 64
    assert int(of(BODY), 16)


def test_the_order_of_names_does_not_count() -> None:
    assert of({"a": 1, "b": {"c": 2, "d": 3}}) == of({"b": {"d": 3, "c": 2}, "a": 1})


def test_the_order_of_a_list_counts() -> None:
    assert of({"a": [1, 2]}) != of({"a": [2, 1]})


@pytest.mark.parametrize("spelt", ["62.1", "62.10", "6.21E+1", "621E-1"])
def test_how_a_number_is_spelt_does_not_count(spelt: str) -> None:
    assert of({"n": Decimal(spelt)}) == of({"n": Decimal("62.1")})


@pytest.mark.parametrize("spelt", ["62", "62.0", "6.2E+1"])
def test_a_whole_decimal_is_the_integer(spelt: str) -> None:
    assert of({"n": Decimal(spelt)}) == of({"n": 62})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (62, "62"),
        (1, True),
        (0, False),
        (None, False),
        (None, "null"),
        ("", None),
        ({}, []),
        (Decimal("0.1"), Decimal("0.10000000000000000001")),
        (300012548634478200, 300012548634478201),
        ("a", "A"),
    ],
)
def test_another_value_is_another_request(one: object, other: object) -> None:
    assert of({"x": one}) != of({"x": other})


def test_a_name_left_out_and_a_null_are_different_requests() -> None:
    """Before any default: nobody guesses what the caller meant."""
    assert of({"a": 1}) != of({"a": 1, "b": None})


def test_its_own_key_is_left_out_so_that_single_and_bulk_agree() -> None:
    assert of({**BODY, "idempotency_key": "x"}) == of(BODY)


def test_a_key_of_that_name_further_down_counts() -> None:
    assert of({"payment": {"idempotency_key": 1}}) != of({"payment": {}})


def test_the_service_instance_and_the_unit_of_amounts_count() -> None:
    assert len({of(BODY), of(BODY, instance=2), of(BODY, unit="cents")}) == 3


def test_characters_of_any_kind_are_told_apart() -> None:
    assert len({of({"x": text}) for text in ("è", "e\u0300", "\ud800", "\\ud800", '"', "\\u00e8")}) == 6


def test_a_name_cannot_pretend_to_be_a_value() -> None:
    assert of({"a": "b", "c": "d"}) != of({'a":"b","c': "d"})
