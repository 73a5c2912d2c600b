"""Query parameters: read strictly, and every fault named."""

from uuid import UUID

import pytest
from django.http import QueryDict

from rest.query import QueryReader


def codes(reader: QueryReader) -> list[tuple[str, str]]:
    assert all(error.location == "query" and str(error.detail) for error in reader.errors)
    return [(error.code, error.pointer) for error in reader.errors]


class TestInteger:
    def test_reads_numbers_in_range(self) -> None:
        assert QueryReader(QueryDict("n=100")).integer("n", minimum=1, maximum=100) == 100

    @pytest.mark.parametrize("value", ["0", "101", "-1", "x", "1.0", "1e1", " 1", "%2B1", "٣", "9" * 5000, "%00"])
    def test_refuses_anything_else(self, value: str) -> None:
        reader = QueryReader(QueryDict(f"n={value}"))
        assert reader.integer("n", minimum=1, maximum=100) is None
        assert codes(reader) == [("out_of_range", "/n")]

    def test_takes_an_empty_value_for_an_absent_one(self) -> None:
        reader = QueryReader(QueryDict("n="))
        assert reader.integer("n", minimum=1, maximum=100) is None
        assert not reader.errors


class TestUUID:
    def test_reads_either_case(self) -> None:
        text = "9A0D3F3E-6f5c-4c8e-9f0e-0d2b9b6c1a11"
        assert QueryReader(QueryDict(f"key={text}")).uuid("key") == UUID(text)

    @pytest.mark.parametrize(
        "value", ["1", "{9a0d3f3e-6f5c-4c8e-9f0e-0d2b9b6c1a11}", "9a0d3f3e6f5c4c8e9f0e0d2b9b6c1a11", "%00"]
    )
    def test_refuses_other_spellings(self, value: str) -> None:
        reader = QueryReader(QueryDict(f"key={value}"))
        assert reader.uuid("key", required=True) is None
        assert codes(reader) == [("not_a_uuid", "/key")]


class TestEveryKind:
    def test_refuses_a_missing_one_that_is_required(self) -> None:
        reader = QueryReader(QueryDict(""))
        reader.uuid("key", required=True)
        reader.integer("n", minimum=1, maximum=2, required=True)
        assert codes(reader) == [("required", "/key"), ("required", "/n")]

    def test_refuses_one_given_twice(self) -> None:
        reader = QueryReader(QueryDict("n=1&n=1"))
        reader.integer("n", minimum=1, maximum=2)
        assert codes(reader) == [("repeated", "/n")]

    @pytest.mark.parametrize("word", ["legal_name", "LEGALNAME", "legal-name", "legalName"])
    def test_reads_choices_however_spelled(self, word: str) -> None:
        reader = QueryReader(QueryDict(f"sort={word}"))
        assert reader.choice("sort", choices={"legal_name": 1, "id": 2}, default=2) == 1

    def test_reads_choices_in_any_case_and_names_them_otherwise(self) -> None:
        reader = QueryReader(QueryDict("good=DESC&bad=up"))
        assert reader.choice("good", choices={"desc": True, "asc": False}, default=False) is True
        assert reader.choice("bad", choices={"desc": True, "asc": False}, default=False) is False
        assert codes(reader) == [("unknown_value", "/bad")]
        assert "desc, asc" in str(reader.errors[0].detail)
