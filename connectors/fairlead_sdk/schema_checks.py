"""What a tool's schemas must be: objects that are closed at every depth, in a dialect that everybody reads alike."""

from collections.abc import Iterator
from typing import Any, NoReturn

import jsonschema_rs

from fairlead_sdk.contract import JsonSchema, Tool, input_schema, output_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_DEPTH = 32

_TYPED = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")
_CLOSING = ("additionalProperties", "unevaluatedProperties")

Said = Iterator[tuple[str, str]]  # code, message


def schema_faults(tool: Tool[Any, Any]) -> Said:
    for side, shape, read in (("input", tool.input, input_schema), ("output", tool.output, output_schema)):
        try:
            schema = read(tool)
        except TypeError as error:
            yield "not_a_schema", f"{side} has a type that JSON Schema cannot express: {error}"
            continue
        if isinstance(shape, JsonSchema) and (invalid := _invalid(schema)):
            yield "not_a_schema", f"{side} {invalid}"
            continue
        if not _is_object(schema, schema):
            yield "not_an_object", f"{side} is not an object: use a Struct, or a schema of type object"
        for place, what in _loose(schema, ""):
            yield "loose_schema", f"{side}{place} {what}"


def _invalid(schema: Any) -> str | None:
    """Why this is no JSON Schema 2020-12 that stands alone. Nothing is fetched."""
    if not isinstance(schema, dict):
        return "is not a JSON Schema"
    if schema.get("$schema", DIALECT) != DIALECT:
        return f"is of another dialect than {DIALECT}"
    if too_deep(schema) or _leads_away(schema):
        return f"nests deeper than {MAX_DEPTH} levels, or refers to elsewhere"
    try:
        if not jsonschema_rs.meta.is_valid(schema):
            return "is not a JSON Schema 2020-12"
        jsonschema_rs.Draft202012Validator(
            schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions(), mask="the value"
        )
    except ValueError as error:
        return f"cannot be used: {str(error).partition(chr(10))[0]}"
    return None


def too_deep(value: Any, left: int = MAX_DEPTH * 2) -> bool:
    """Each level of a schema is two of its JSON."""
    if left == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(too_deep(each, left - 1) for each in inner)


def _leads_away(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_leads_away, value))
    if not isinstance(value, dict):
        return False
    for key in ("$ref", "$dynamicRef"):
        if isinstance(target := value.get(key), str) and not target.startswith("#"):
            return True
    return isinstance(value.get("$id"), str) or any(map(_leads_away, value.values()))


def _refuse(_uri: str) -> NoReturn:
    raise ValueError("schemas do not refer to elsewhere")


def _is_object(schema: Any, whole: dict[str, Any], left: int = 8) -> bool:
    """Whether only objects fit. References lead to definitions of the same schema."""
    if not isinstance(schema, dict) or left == 0:
        return False
    if schema.get("type") == "object":
        return True
    if isinstance(reference := schema.get("$ref"), str):
        return _is_object(whole.get("$defs", {}).get(reference.removeprefix("#/$defs/")), whole, left - 1)
    either = schema.get("anyOf") or schema.get("oneOf") or ()
    return bool(either) and all(_is_object(each, whole, left - 1) for each in either)


def _loose(schema: Any, place: str) -> Said:
    """Where a schema lets anything pass: an object open to unknown fields, or a value without a type."""
    if schema is True:
        yield place, "allows any value: give it a type"
    if not isinstance(schema, dict):
        return
    types = schema.get("type", ())
    if "object" in ([types] if isinstance(types, str) else types) and not any(key in schema for key in _CLOSING):
        yield place, "allows unknown fields: say forbid_unknown_fields=True"
    if types == "array" and "items" not in schema and "prefixItems" not in schema:
        yield place, "allows any items: give them a type"
    if not any(key in schema for key in _TYPED):
        yield place, "allows any value: give it a type"
    for inner, below in _parts(schema):
        yield from _loose(below, place + inner)


def _parts(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ("properties", "$defs", "patternProperties"):
        for name, below in schema.get(key, {}).items():
            yield f"/{key}/{name}", below
    for key in ("items", *_CLOSING):
        if key in schema:
            yield f"/{key}", schema[key]
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, below in enumerate(schema.get(key, ())):
            yield f"/{key}/{number}", below
