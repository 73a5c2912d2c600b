"""Bodies of documents: all that is wrong is told, but no answer outgrows what was asked."""

from typing import Any

import pytest
from rest_framework import serializers

from rest.errors import MAX_ERRORS
from rest.fields import IdentifierField, ManyField, TextField
from rest.problems import Problem
from rest.writing import Faults, read


class Row(serializers.Serializer[Any]):
    name = TextField()
    number = IdentifierField()


class Document(serializers.Serializer[Any]):
    name = TextField(required=False)
    ids = ManyField(child=IdentifierField(), required=False)
    rows = ManyField(child=Row(), required=False, max_length=20)


class Counted(IdentifierField):
    """Counts how many values it was asked about."""

    asked = 0

    def to_internal_value(self, data: Any) -> int:
        Counted.asked += 1
        return super().to_internal_value(data)


class Counting(serializers.Serializer[Any]):
    ids = ManyField(child=Counted())


def refusal(body: Any) -> Problem:
    faults = Faults()
    read(Document, body, faults=faults)
    with pytest.raises(Problem) as caught:
        faults.check()
    return caught.value


def codes(problem: Problem) -> list[str]:
    return [error.code for error in problem.errors]


class TestAList:
    def test_is_read(self) -> None:
        faults = Faults()
        asked = read(Document, {"ids": list(range(1, 1_001))}, faults=faults)
        faults.check()
        assert len(asked["ids"]) == 1_000

    @pytest.mark.parametrize("value", [{"a": 1}, "1", 1, True])
    def test_is_nothing_else(self, value: Any) -> None:
        assert codes(refusal({"ids": value})) == ["not_a_list"]

    @pytest.mark.parametrize("body", [{"ids": [0] * 1_001}, {"rows": [{}] * 21}])
    def test_that_is_too_long_is_one_fault_whatever_it_holds(self, body: dict[str, Any]) -> None:
        assert codes(refusal(body)) == ["max_length"]

    def test_that_is_too_long_is_not_looked_into(self) -> None:
        Counted.asked = 0
        read(Counting, {"ids": [0] * 100_000}, faults=Faults())
        assert Counted.asked == 0

    def test_with_many_faults_tells_the_first(self) -> None:
        problem = refusal({"ids": [0] * 1_000})
        assert [error.pointer for error in problem.errors] == [f"/ids/{index}" for index in range(MAX_ERRORS)]
        assert "più di" in str(problem.text)


class TestFaults:
    def test_of_members_that_do_not_exist_are_told_up_to_a_number(self) -> None:
        faults = Faults()
        read(Document, {f"m{index}": 0 for index in range(100_000)}, faults=faults)
        assert len(faults.malformed) == MAX_ERRORS + 1
        problem = refusal({f"m{index}": 0 for index in range(100_000)})
        assert codes(problem) == ["unknown_member"] * MAX_ERRORS

    def test_that_a_verb_adds_are_kept_up_to_a_number(self) -> None:
        faults = Faults()
        for index in range(1_000):
            faults.impossible_at("unknown", "No.", "ids", index)
        assert len(faults.impossible) == MAX_ERRORS + 1

    def test_of_both_kinds_are_told_together(self) -> None:
        faults = Faults()
        faults.impossible_at("taken", "No.", "name")
        faults.malformed_at("type", "No.", "ids")
        with pytest.raises(Problem) as caught:
            faults.check()
        assert (caught.value.status_code, codes(caught.value)) == (400, ["type", "taken"])
