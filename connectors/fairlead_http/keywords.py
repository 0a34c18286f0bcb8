"""Keywords of a schema without schemas in them: taken as they are meant, and left out where they mean nothing."""

import re
from typing import Any

from fairlead_sdk.importing import Schema

from fairlead_http.pointing import CannotImport

MAX_TEXT = 500
MAX_INTEGER = 2**53 - 1  # beyond it canonical JSON has no integers
_MOST = 10**300

NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})

_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_BACKTRACKING = re.compile(r"\(\?<?[=!]|\\[1-9]|\\k<")  # what no matcher in linear time can do


def plain_keyword(key: str, value: Any, path: str) -> Schema:
    """Nothing for a keyword that is none of these. Raises CannotImport for a type that is none."""
    if key in NUMBERS:
        return _number(key, value)
    if key in COUNTS:
        return (
            {key: value} if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER else {}
        )
    match key, value:
        case "type", _:
            return {"type": _type(value, path)}
        case "required", list():
            return {"required": list(dict.fromkeys(each for each in value if isinstance(each, str)))}
        case "enum", list() if value:
            return {"enum": [plain_numbers(each) for each in value]}
        case "const", _:
            return {"const": plain_numbers(value)}
        case "x-sensitive", True:
            return {"x-sensitive": True}
        case "uniqueItems", bool():
            return {"uniqueItems": value}
    return _text(key, value) if isinstance(value, str) else {}


def _text(key: str, value: str) -> Schema:
    match key:
        case "format":
            return {"format": value}
        case "pattern" if not _BACKTRACKING.search(value):
            return {"pattern": value}
        case "title" | "description" if value.strip():
            return {key: value.strip()[:MAX_TEXT]}
    return {}


def plain_numbers(value: Any) -> Any:
    """With integers that canonical JSON cannot write as the nearest number that it can."""
    if isinstance(value, dict):
        return {key: plain_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain_numbers(each) for each in value]
    is_large = isinstance(value, int) and abs(value) > MAX_INTEGER
    return float(max(min(value, _MOST), -_MOST)) if is_large else value


def _number(key: str, value: Any) -> Schema:
    """A truth value beside `minimum` is how OpenAPI 3.0 says that it is excluded."""
    if isinstance(value, bool):
        return {key: value} if key.startswith("exclusive") else {}
    if not isinstance(value, int | float) or (key == "multipleOf" and value <= 0):
        return {}
    return {key: plain_numbers(value)}


def _type(value: Any, path: str) -> Any:
    types = value if isinstance(value, list) else [value]
    if not types or not all(isinstance(each, str) and each in _TYPES for each in types):
        raise CannotImport(path, "schema_unusable", "type is none of JSON's")
    return list(dict.fromkeys(value)) if isinstance(value, list) else value
