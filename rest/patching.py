"""JSON Patch (RFC 6902) as GovIO takes it: 1 to 20 operations, each `add`, `remove` or `replace`.

The result is a new document, to be validated as a whole: a patch is right when what it makes is right.
"""

import copy
import re
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import UnsupportedMediaType

from rest.errors import ErrorItem, Text, pointer
from rest.problems import Problem
from rest.strict_json import StrictJSONParser
from rest.views import Resource

MEDIA_TYPE = "application/json-patch+json"
MAX_OPERATIONS = 20
_OPERATIONS = ("add", "remove", "replace")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class JSONPatchParser(StrictJSONParser):
    media_type = MEDIA_TYPE


class Patchable(Resource):
    """A view whose PATCH takes JSON Patch, and nothing else (415); its other methods take what they always took."""

    def get_parsers(self) -> list[Any]:
        request = getattr(self, "request", None)
        if request is not None and request.method == "PATCH":
            return [JSONPatchParser()]
        return super().get_parsers()

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, UnsupportedMediaType) and self.request.method == "PATCH":
            detail = _("Il corpo di PATCH va inviato con Content-Type: %(media_type)s, in UTF-8 e non compresso.")
            exc = Problem(415, code="unsupported_media_type", detail=detail % {"media_type": MEDIA_TYPE})
        return super().handle_exception(exc)


class PatchOperationSerializer(serializers.Serializer[Any]):
    """One operation, for the OpenAPI document; `patched` is what reads them."""

    op = serializers.ChoiceField(_OPERATIONS)
    path = serializers.CharField(help_text="JSON Pointer (RFC 6901) to a member: `/enabled`.")
    value = serializers.JSONField(required=False, help_text="For `add` and `replace`.")


# The `request` of `extend_schema`, for every PATCH.
PATCH_REQUEST: dict[str, Any] = {
    MEDIA_TYPE: serializers.ListSerializer(child=PatchOperationSerializer(), min_length=1, max_length=MAX_OPERATIONS)
}


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    code: str
    step: str
    detail: Text


def patched(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """`document` after the operations, in order; the one given stays as it is. Raises Problem 400 naming the operation."""
    if not isinstance(operations, list) or not 1 <= len(operations) <= MAX_OPERATIONS:
        detail = _("Il corpo è un elenco da 1 a %(limit)s operazioni JSON Patch.") % {"limit": MAX_OPERATIONS}
        raise Problem(400, code="invalid", errors=[ErrorItem("patch_not_a_list", "", detail)])
    result = copy.deepcopy(document)
    for index, operation in enumerate(operations):
        try:
            _apply(result, operation)
        except _Refused as refused:
            steps = (index, refused.step) if refused.step else (index,)
            raise Problem(
                400, code="invalid", errors=[ErrorItem(refused.code, pointer(*steps), refused.detail)]
            ) from None
    return result


def _apply(document: dict[str, Any], operation: Any) -> None:
    if not isinstance(operation, dict):
        raise _Refused("type", "", _('Un\'operazione è un oggetto: {"op": "replace", "path": "/nome", "value": …}.'))
    kind = operation.get("op")
    if not isinstance(kind, str) or kind.lower() not in _OPERATIONS:
        raise _Refused("patch_operation_unknown", "op", _("op è uno fra add, remove e replace."))
    steps = _steps(operation.get("path"))
    if kind.lower() != "remove" and "value" not in operation:
        raise _Refused("required", "value", _("L'operazione ha bisogno di value."))
    _change(_parent(document, steps[:-1]), steps[-1], kind.lower(), operation.get("value"))


def _steps(path: Any) -> list[str]:
    if not isinstance(path, str) or not path.startswith("/"):
        raise _Refused("patch_path", "path", _("path è un JSON Pointer, ad esempio /description."))
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _parent(document: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and _INDEX.fullmatch(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            raise _missing()
    return document


def _change(parent: Any, name: str, kind: str, value: Any) -> None:
    match parent:
        case dict():
            if kind == "remove" and name not in parent:
                raise _missing()
            # `replace` of an absent member would be a fault; GovIO's clients send it for members that were never set.
            if kind == "remove":
                del parent[name]
            else:
                parent[name] = copy.deepcopy(value)
        case list() if name == "-" and kind == "add":
            parent.append(copy.deepcopy(value))
        case list() if _INDEX.fullmatch(name) and int(name) < len(parent) + (kind == "add"):
            position = int(name)
            if kind == "add":
                parent.insert(position, copy.deepcopy(value))
            elif kind == "replace":
                parent[position] = copy.deepcopy(value)
            else:
                del parent[position]
        case _:
            raise _missing()


def _missing() -> _Refused:
    return _Refused("patch_path_missing", "path", _("path indica qualcosa che non c'è."))
