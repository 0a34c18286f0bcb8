"""All checks of a route together: the one way from foreign data to a RouteDocument."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from jsonschema_rs import Draft202012Validator

from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.routing.document import Candidate, RouteDocument
from fairlead.domain.workflow.plain import plain_problems, pointer, secret_problems, unseen_problems
from fairlead.domain.workflow.schema import DIALECT, without_nulls
from fairlead.domain.workflow.schemas import compile_schema, problems_of

SCHEMA_ID = "urn:fairlead:route:1"
MAX_PROBLEMS = 200


@cache
def route_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the document. Treat as read-only: there is one."""
    (root,), components = msgspec.json.schema_components([RouteDocument], ref_template="#/$defs/{name}")
    definitions = {name: without_nulls(schema) for name, schema in sorted(components.items())}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **root, "$defs": definitions}


@cache
def _validator() -> Draft202012Validator:
    return compile_schema(route_schema())


def checked(document: Any) -> RouteDocument:
    """The route that plain data describes. Raises Invalid with every problem and its path, up to MAX_PROBLEMS."""
    _refuse(plain_problems(document))
    _refuse([*secret_problems(document), *unseen_problems(document)])
    _refuse([problem for error in _validator().iter_errors(document) for problem in problems_of(error, ())])
    route = msgspec.convert(document, RouteDocument)
    _refuse([*_candidate_problems(route), *_shares_problems(route), *_escalation_problems(route)])
    return route


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        distinct = {(problem.path, problem.code): problem for problem in problems}
        raise Invalid(tuple(distinct.values())[:MAX_PROBLEMS], "the route is not valid")


def _candidate_problems(route: RouteDocument) -> Iterator[Problem]:
    seen: set[str] = set()
    allowed = None if route.regions is None else set(route.regions)
    for index, candidate in enumerate(route.candidates):
        if candidate.id in seen:
            yield _problem("candidate_repeated", f"{candidate.id} is there twice", "candidates", index, "id")
        seen.add(candidate.id)
        yield from _fitting_problems(candidate, route, index)
        for place, region in enumerate(candidate.regions):
            if allowed is not None and region not in allowed:
                message = "is not among the regions of the route, so the candidate can never be asked"
                yield _problem("region_not_allowed", message, "candidates", index, "regions", place)


def _fitting_problems(candidate: Candidate, route: RouteDocument, index: int) -> Iterator[Problem]:
    for place, name in enumerate(candidate.task_classes):
        if route.task_classes and name not in route.task_classes:
            message = "is not among the task classes of the route"
            yield _problem("task_class_unknown", message, "candidates", index, "task_classes", place)
    rollout = candidate.rollout
    if rollout is not None and list(rollout.stages) != sorted(set(rollout.stages)):
        message = "each stage is larger than the one before"
        yield _problem("stages_not_rising", message, "candidates", index, "rollout", "stages")
    if rollout is not None and rollout.gates.max_call_usd_micros is not None:
        message = "a gate is about what was measured; the route's own bounds say what a call may cost"
        yield _problem("gate_unmeasured", message, "candidates", index, "rollout", "gates", "max_call_usd_micros")


def _shares_problems(route: RouteDocument) -> Iterator[Problem]:
    """Rolling two candidates out at once in one tier would mix up whose doing a figure is."""
    first: dict[int, str] = {}
    for index, candidate in enumerate(route.candidates):
        if candidate.rollout is None:
            continue
        if candidate.tier in first:
            message = f"{first[candidate.tier]} of the same tier is being rolled out already"
            yield _problem("two_rollouts", message, "candidates", index, "rollout")
        first.setdefault(candidate.tier, candidate.id)
        if not any(each.tier == candidate.tier and each.rollout is None for each in route.candidates):
            message = "somebody else of the tier has to take the calls that it does not get"
            yield _problem("rollout_alone", message, "candidates", index, "rollout")


def _escalation_problems(route: RouteDocument) -> Iterator[Problem]:
    if route.escalation is None:
        return
    if len({candidate.tier for candidate in route.candidates}) == 1:
        yield _problem("nowhere_to_escalate", "all candidates are of one tier", "escalation")
    if route.escalation.on == ("low_confidence",) and route.escalation.confidence_at is None:
        message = "where the answer says how sure it is"
        yield _problem("missing", message, "escalation", "confidence_at")


def _problem(code: str, message: str, *place: str | int) -> Problem:
    return Problem(path=pointer(place), code=code, message=message)
