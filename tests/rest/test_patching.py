"""JSON Patch as GovIO takes it: what comes of a document, and what is no patch at all."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.response import Response

from rest.patching import Patchable, patched
from rest.problems import Problem
from rest.strict_json import body_of

DOCUMENT: dict[str, Any] = {"name": "a", "empty": None, "list": [1, 2], "inner": {"x": 1}, "a/b": 1, "m~n": 2}


class TestPatched:
    @pytest.mark.parametrize(
        ("operation", "changes"),
        [
            ({"op": "replace", "path": "/name", "value": "b"}, {"name": "b"}),
            ({"op": "REPLACE", "path": "/name", "value": None}, {"name": None}),
            ({"op": "replace", "path": "/new", "value": 1}, {"new": 1}),
            ({"op": "add", "path": "/new", "value": {"y": []}}, {"new": {"y": []}}),
            ({"op": "add", "path": "/name", "value": "b"}, {"name": "b"}),
            ({"op": "add", "path": "/list/0", "value": 0}, {"list": [0, 1, 2]}),
            ({"op": "add", "path": "/list/2", "value": 3}, {"list": [1, 2, 3]}),
            ({"op": "add", "path": "/list/-", "value": 3}, {"list": [1, 2, 3]}),
            ({"op": "replace", "path": "/list/1", "value": 9}, {"list": [1, 9]}),
            ({"op": "remove", "path": "/list/0"}, {"list": [2]}),
            ({"op": "replace", "path": "/inner/x", "value": Decimal("1.5")}, {"inner": {"x": Decimal("1.5")}}),
            ({"op": "replace", "path": "/a~1b", "value": 2}, {"a/b": 2}),
            ({"op": "replace", "path": "/m~0n", "value": 3}, {"m~n": 3}),
            ({"op": "add", "path": "/", "value": 1}, {"": 1}),
        ],
    )
    def test_changes_one_thing(self, operation: dict[str, Any], changes: dict[str, Any]) -> None:
        assert patched(DOCUMENT, [operation]) == {**DOCUMENT, **changes}

    def test_removes_a_member(self) -> None:
        assert "name" not in patched(DOCUMENT, [{"op": "remove", "path": "/name"}])

    def test_leaves_the_document_given_as_it_was(self) -> None:
        before = {**DOCUMENT, "list": [1, 2], "inner": {"x": 1}}
        patched(DOCUMENT, [{"op": "add", "path": "/list/-", "value": 3}, {"op": "remove", "path": "/inner/x"}])
        assert before == DOCUMENT

    def test_applies_operations_in_their_order(self) -> None:
        operations = [
            {"op": "add", "path": "/new", "value": {"x": 1}},
            {"op": "add", "path": "/new/y", "value": 2},
            {"op": "remove", "path": "/new/x"},
        ]
        assert patched(DOCUMENT, operations)["new"] == {"y": 2}

    @pytest.mark.parametrize("operations", [None, {}, [], "x", [{"op": "remove", "path": "/name"}] * 21], ids=str)
    def test_refuses_what_is_no_list_of_1_to_20(self, operations: Any) -> None:
        with pytest.raises(Problem) as refused:
            patched(DOCUMENT, operations)
        assert [error.code for error in refused.value.errors] == ["patch_not_a_list"]

    @pytest.mark.parametrize(
        ("operation", "code", "pointer"),
        [
            ("remove", "type", "/1"),
            ({"path": "/name", "value": 1}, "patch_operation_unknown", "/1/op"),
            ({"op": "test", "path": "/name", "value": "a"}, "patch_operation_unknown", "/1/op"),
            ({"op": "move", "from": "/name", "path": "/x"}, "patch_operation_unknown", "/1/op"),
            ({"op": 1, "path": "/name", "value": 1}, "patch_operation_unknown", "/1/op"),
            ({"op": "add", "value": 1}, "patch_path", "/1/path"),
            ({"op": "add", "path": "name", "value": 1}, "patch_path", "/1/path"),
            ({"op": "add", "path": "", "value": 1}, "patch_path", "/1/path"),
            ({"op": "replace", "path": "/name"}, "required", "/1/value"),
            ({"op": "remove", "path": "/nothing"}, "patch_path_missing", "/1/path"),
            ({"op": "add", "path": "/nothing/x", "value": 1}, "patch_path_missing", "/1/path"),
            ({"op": "add", "path": "/name/x", "value": 1}, "patch_path_missing", "/1/path"),
            ({"op": "add", "path": "/empty/x", "value": 1}, "patch_path_missing", "/1/path"),
            ({"op": "add", "path": "/list/3", "value": 1}, "patch_path_missing", "/1/path"),
            ({"op": "replace", "path": "/list/2", "value": 1}, "patch_path_missing", "/1/path"),
            ({"op": "replace", "path": "/list/-", "value": 1}, "patch_path_missing", "/1/path"),
            ({"op": "remove", "path": "/list/01"}, "patch_path_missing", "/1/path"),
            ({"op": "remove", "path": "/list/-1"}, "patch_path_missing", "/1/path"),
        ],
        ids=str,
    )
    def test_refuses_an_operation_and_says_which(self, operation: Any, code: str, pointer: str) -> None:
        with pytest.raises(Problem) as refused:
            patched(DOCUMENT, [{"op": "remove", "path": "/inner"}, operation])
        [error] = refused.value.errors
        assert (refused.value.status_code, error.code, error.pointer) == (400, code, pointer)


class Patched(Patchable):
    authentication_classes = ()
    permission_classes = ()

    def patch(self, request: Request) -> Response:
        return Response(body_of(request))

    def post(self, request: Request) -> Response:
        return Response(body_of(request))


class TestPatchable:
    def ask(self, method: str, content_type: str) -> Any:
        request = RequestFactory().generic(method, "/", b"[]", content_type=content_type)
        return Patched.as_view()(request)

    @pytest.mark.parametrize(
        ("method", "content_type", "status"),
        [
            ("PATCH", "application/json-patch+json", 200),
            ("PATCH", "application/json-patch+json; charset=utf-8", 200),
            ("PATCH", "application/json", 415),
            ("PATCH", "application/merge-patch+json", 415),
            ("POST", "application/json", 200),
            ("POST", "application/json-patch+json", 415),
        ],
    )
    def test_takes_patches_for_patch_alone(self, method: str, content_type: str, status: int) -> None:
        assert self.ask(method, content_type).status_code == status

    def test_says_which_type_is_right(self) -> None:
        assert b"application/json-patch+json" in self.ask("PATCH", "application/json").content
        assert b"json-patch" not in self.ask("POST", "text/plain").content
