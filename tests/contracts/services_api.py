"""IO's published services API as something to hold requests and answers against.

The file is Swagger 2.0, whose schemas are JSON Schema draft 4 with a few words of IO's own. Where the file is known to
be wrong, or to say less than the back end does, the correction is here and says why.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft4Validator, FormatChecker  # type: ignore[import-untyped]  # no stubs in the lock

_FILE: Final = Path(__file__).with_name("io-services-api.yaml")

# Statuses that the back end gives and the file does not list, by operation.
UNLISTED: Final[Mapping[str, frozenset[int]]] = {
    "submitMessageforUserWithFiscalCodeInBody": frozenset({404}),  # unknown remote configuration
    "submitMessageforUser": frozenset({404}),
    "getProfileByPOST": frozenset({400}),  # malformed fiscal code
    "getProfile": frozenset({400}),
    "getMessage": frozenset({400, 500}),  # malformed fiscal code; failed look-up of a payment
}

_formats = FormatChecker(formats=())


@_formats.checks("FiscalCode")
def _is_fiscal_code(value: object) -> bool:
    # The parameter of the same name has the pattern; the definition has only the name of this format.
    pattern = str(document()["parameters"]["FiscalCode"]["pattern"])
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


@_formats.checks("OrganizationFiscalCode")
def _is_organization_code(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]{11}", value) is not None


@_formats.checks("UTCISODateFromString")
def _is_timestamp(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) is not None


@_formats.checks("Ulid")
def _is_ulid(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", value, re.I) is not None


@cache
def document() -> dict[str, Any]:
    parsed = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    assert isinstance(parsed, dict)
    return parsed


def check_schemas() -> None:
    """Raises jsonschema's SchemaError when a definition of the file is itself malformed."""
    for definition in document()["definitions"].values():
        Draft4Validator.check_schema(definition)


def operation_of(method: str, path: str) -> dict[str, Any]:
    """The operation of a request whose path starts after the base path; LookupError when IO has none."""
    for template, operations in document()["paths"].items():
        pattern = re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(template))
        if method.lower() in operations and re.fullmatch(pattern, path):
            return dict(operations[method.lower()])
    raise LookupError(f"IO has no {method} {path}")


def faults_in_request(method: str, path: str, body: object) -> list[str]:
    """What the file says against a request. Fields that it does not know are faults too: IO drops them in silence."""
    operation = operation_of(method, path)
    for parameter in operation.get("parameters", ()):
        if parameter.get("in") == "body":
            return [*_faults(parameter["schema"], body), *_unknown_fields(parameter["schema"], body, "body")]
    return [] if body is None else ["a body where none is expected"]


def faults_in_answer(method: str, path: str, status: int, body: object) -> list[str]:
    """What the file says against an answer."""
    operation = operation_of(method, path)
    responses = operation["responses"]
    if str(status) in responses:
        schema = responses[str(status)].get("schema")
    elif status in UNLISTED.get(operation["operationId"], ()):
        schema = {"$ref": "#/definitions/ProblemJson"}
    else:
        return [f"status {status} is not one of {sorted(responses)}"]
    if schema is None:
        return []
    if status == 404 and isinstance(body, dict) and "statusCode" in body:
        return []  # the gateway's, which knows nothing of the file
    return [*_faults(schema, body), *_unknown_fields(schema, body, "answer")]


def _faults(schema: Mapping[str, Any], value: object) -> list[str]:
    whole = {**_corrected(schema), "definitions": _corrected(document()["definitions"])}
    validator = Draft4Validator(whole, format_checker=_formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def _corrected(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_corrected(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    corrected = {name: _corrected(value) for name, value in schema.items()}
    if corrected.pop("x-one-of", False):
        # The file writes allOf and means one of them: taken literally, no status could exist.
        corrected["anyOf"] = corrected.pop("allOf")
    if "x-extensible-enum" in corrected:
        # IO may add words; we and our stand-in use none that are not there today.
        corrected["enum"] = corrected.pop("x-extensible-enum")
    return corrected


def _unknown_fields(schema: Mapping[str, Any], value: object, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    known = _properties(schema)
    for name, item in value.items():
        if name not in known:
            yield f"{where}.{name}: unknown to IO"
        else:
            yield from _unknown_fields(known[name], item, f"{where}.{name}")


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _properties(document()["definitions"][schema["$ref"].rsplit("/", 1)[1]])
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        found |= _properties(part)
    return found
