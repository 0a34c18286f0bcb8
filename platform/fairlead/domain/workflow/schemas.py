"""JSON Schemas that other people wrote: checked before use, never fetching anything, never repeating a value."""

from collections.abc import Iterator
from typing import Any, NoReturn

import jsonschema_rs
from jsonschema_rs import Draft202012Validator, ValidationError

from fairlead.domain.errors import Problem
from fairlead.domain.workflow.plain import pointer
from fairlead.domain.workflow.reading import Place
from fairlead.domain.workflow.schema import DIALECT

_MASK = "the value"
_CODES = {
    "required": "missing",
    "additionalProperties": "unknown_field",
    "type": "wrong_type",
    "enum": "not_allowed",
    "const": "not_allowed",
    "pattern": "wrong_form",
    "format": "wrong_form",
}


def compile_schema(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator that stays on this machine, matches patterns in linear time and masks what it rejects.

    Raises ValueError for a schema that is not one.
    """
    return Draft202012Validator(
        schema, retriever=_refuse, mask=_MASK, pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True
    )


def _refuse(_uri: str) -> NoReturn:
    raise ValueError("schemas do not refer to elsewhere")


_META = compile_schema({"$ref": DIALECT})


def faults(validator: Draft202012Validator, value: Any, place: Place = ()) -> list[Problem]:
    """Everything about `value` that the schema refuses, under `place`."""
    return [problem for error in validator.iter_errors(value) for problem in problems_of(error, place)]


def problems_of(error: ValidationError, place: Place) -> Iterator[Problem]:
    """A missing or unknown field is named by its own path, one problem each."""
    kind = error.kind
    here = (*place, *error.instance_path)
    code = _CODES.get(kind.name, "out_of_bounds" if kind.name.startswith(("max", "min", "exclusive")) else "invalid")
    match kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            yield Problem(path=pointer((*here, name)), code=code, message=f"{name} is missing")
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            for name in names:
                yield Problem(path=pointer((*here, name)), code=code, message="there is no such field")
        case _:
            yield Problem(path=pointer(here), code=code, message=error.message)


def schema_problems(schema: Any, place: Place) -> list[Problem]:
    """Why this is not a JSON Schema 2020-12 that stands alone. Anything but an object is for the shape check."""
    if not isinstance(schema, dict):
        return []
    found = [*faults(_META, schema, place), *_foreign(schema, place)]
    if found:
        return found
    try:
        compile_schema(schema)
    except ValueError as error:
        return [Problem(path=pointer(place), code="invalid_schema", message=_first_line(error))]
    return []


def _foreign(value: Any, place: Place) -> Iterator[Problem]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _foreign(inner, (*place, index))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and _leads_away(key, inner):
                message = f"{key} must stay within this schema"
                yield Problem(path=pointer((*place, key)), code="remote_reference", message=message)
            yield from _foreign(inner, (*place, key))


def _leads_away(key: str, target: str) -> bool:
    """`$id` would give local references another base; another `$schema` another meaning."""
    if key in ("$ref", "$dynamicRef"):
        return not target.startswith("#")
    return key == "$id" or (key == "$schema" and target != DIALECT)


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0]
