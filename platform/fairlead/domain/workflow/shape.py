"""Faults of shape: fields that are missing, unknown, of the wrong type or out of bounds."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from fairlead.domain.errors import Problem
from fairlead.domain.workflow.document import STEP_KINDS
from fairlead.domain.workflow.plain import pointer
from fairlead.domain.workflow.schema import document_schema
from fairlead.domain.workflow.schemas import compile_schema, problems_of

_ONE_OF = {
    "wait": ("wait_kind", "exactly one of signal, seconds, until"),
    "model": ("model_kind", "exactly one of route and use, and exactly one of prompt and messages"),
}


@cache
def _validator() -> Draft202012Validator:
    return compile_schema(document_schema())


def shape_problems(document: Any) -> Iterator[Problem]:
    """Every difference from the document's own JSON Schema."""
    for error in _validator().iter_errors(document):
        match error.kind.name:
            case "anyOf":
                message = f"a step has one of {', '.join(STEP_KINDS)}"
                yield Problem(path=pointer(tuple(error.instance_path)), code="step_kind", message=message)
            case "oneOf":
                place = tuple(error.instance_path)
                code, message = _ONE_OF["model" if place[-1:] == ("model",) else "wait"]
                yield Problem(path=pointer(place), code=code, message=message)
            case "falseSchema":
                place = tuple(error.instance_path)
                message = f"{place[-1]} is not for this planner"
                yield Problem(path=pointer(place), code="not_for_planner", message=message)
            case _:
                yield from problems_of(error, ())
