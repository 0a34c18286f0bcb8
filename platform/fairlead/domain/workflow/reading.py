"""From plain data to the document's Structs, and a walk over steps that does not stumble over broken ones."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fairlead.domain.workflow.document import STEP_KINDS, Workflow

Place = tuple[str | int, ...]
"""Where something is: the keys and indices that lead to it."""


def read(document: Mapping[str, Any]) -> Workflow:
    """The workflow that an already validated document describes. Worth keeping: it costs a full conversion."""
    copy = msgspec.json.decode(msgspec.json.encode(document))
    for _, step in walk_steps(copy.get("steps"), ("steps",)):
        step["kind"] = kind_of(step)
    return msgspec.convert(copy, Workflow)


def kind_of(step: Mapping[str, Any]) -> str | None:
    """The first of the kinds that the step has."""
    return next((kind for kind in STEP_KINDS if kind in step), None)


def steps_in(block: Any, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The steps of one list that are objects at all."""
    if isinstance(block, list):
        for index, step in enumerate(block):
            if isinstance(step, dict):
                yield (*place, index), step


def blocks_of(step: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Where a step may hold further lists of steps, and what is there."""
    for key in ("on_failure", "then", "else"):
        if key in step:
            yield (key,), step[key]
    for kind, key in (("each", "steps"), ("ask", "on_timeout"), ("wait", "on_timeout")):
        body = step.get(kind)
        if isinstance(body, dict) and key in body:
            yield (kind, key), body[key]
    parallel = step.get("parallel")
    branches = parallel.get("branches") if isinstance(parallel, dict) else None
    if isinstance(branches, dict):
        for name, block in branches.items():
            yield ("parallel", "branches", name), block


def walk_steps(block: Any, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every step at any depth, in document order."""
    for where, step in steps_in(block, place):
        yield where, step
        for inner, nested in blocks_of(step):
            yield from walk_steps(nested, (*where, *inner))
