"""Whether the arguments of a call can fit the tool's schema, as far as literals tell."""

from collections.abc import Iterator
from typing import Any

from jsonschema_rs import ValidationError

from fairlead.domain.errors import Problem
from fairlead.domain.workflow.reading import Place
from fairlead.domain.workflow.references import expression_of
from fairlead.domain.workflow.schemas import compile_schema, problems_of

_SURE_ABOVE_A_HOLE = frozenset(
    {
        "type",
        "required",
        "additionalProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "minItems",
        "maxItems",
    }
)


def argument_problems(arguments: dict[str, Any], schema: dict[str, Any], place: Place) -> list[Problem]:
    """Faults that no value of the expressions can mend."""
    holes = frozenset(_holes(arguments, ()))
    errors = compile_schema(schema).iter_errors(arguments)
    return [problem for error in errors if _sure(error, holes) for problem in problems_of(error, place)]


def _holes(value: Any, place: Place) -> Iterator[Place]:
    if expression_of(value) is not None:
        yield place
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _holes(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _holes(inner, (*place, index))


def _sure(error: ValidationError, holes: frozenset[Place]) -> bool:
    """Not about an expression's own text, and not about a whole that an expression may still change."""
    here = tuple(error.instance_path)
    if any(here[: len(hole)] == hole for hole in holes):
        return False
    return error.kind.name in _SURE_ABOVE_A_HOLE or not any(hole[: len(here)] == here for hole in holes)
