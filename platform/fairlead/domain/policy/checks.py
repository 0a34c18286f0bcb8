"""All checks of a policy together: the one way from foreign data to a ScopePolicy."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from jsonschema_rs import Draft202012Validator

from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.expressions import ExpressionInvalid, Expressions
from fairlead.domain.policies import ScopeKind
from fairlead.domain.policy.cases import CaseResult, run_cases
from fairlead.domain.policy.compiled import CONDITION_VARIABLES
from fairlead.domain.policy.conflicts import conflicts, tool_problems
from fairlead.domain.policy.document import MAX_SCOPE_RULES, ScopePolicy
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.plain import plain_problems, pointer, secret_problems, unseen_problems
from fairlead.domain.workflow.schema import without_nulls
from fairlead.domain.workflow.schemas import compile_schema, problems_of

SCHEMA_ID = "urn:fairlead:policy:1"
MAX_PROBLEMS = 200
MAX_NAMED_TOOLS = 500  # that are looked up
_SAYING = ("verdict", "risk", "obligations")
Place = tuple[str | int, ...]


@cache
def policy_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the document. Treat as read-only: there is one."""
    (root,), components = msgspec.json.schema_components([ScopePolicy], ref_template="#/$defs/{name}")
    definitions = {name: without_nulls(schema) for name, schema in sorted(components.items())}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **root, "$defs": definitions}


@cache
def _validator() -> Draft202012Validator:
    return compile_schema(policy_schema())


def checked(
    document: Any,
    expressions: Expressions,
    tools: Mapping[str, ToolFacts] | None = None,
    kind: ScopeKind = "tenant",
    try_cases: bool = True,
) -> ScopePolicy:
    """The policy that plain data describes. Raises Invalid with every problem and its path, up to MAX_PROBLEMS.

    `tools` are those that the document names and that there are; None: what it says of tools is not looked at, and
    its cases are not tried.
    """
    refuse(plain_problems(document))
    refuse([*secret_problems(document), *unseen_problems(document)])
    problems = [problem for error in _validator().iter_errors(document) for problem in problems_of(error, ())]
    if isinstance(document, dict):
        problems += rule_problems(document.get("rules"), ("rules",), expressions, MAX_SCOPE_RULES)
    fits = not problems
    policy = msgspec.convert(document, ScopePolicy) if fits else None
    if policy is not None:
        problems += conflicts(policy.rules)
        if tools is not None:
            problems += tool_problems(policy.rules, tools)
        if tools is not None and try_cases:
            problems += _case_problems(run_cases(policy, kind, tools, expressions))
    refuse(problems)
    assert policy is not None, "it has no problems"
    return policy


def named_tools(document: Any) -> list[str]:
    """What a document that nobody has checked yet calls tools, as far as it can be told."""
    if not isinstance(document, dict):
        return []
    rules, cases = document.get("rules"), document.get("cases")
    found = [name for rule in _objects(rules) for _, name in texts(rule.get("tools"))]
    calls = [case.get("call") for case in _objects(cases)]
    found += [call["tool"] for call in calls if isinstance(call, dict) and isinstance(call.get("tool"), str)]
    before = [call.get("calls") for call in calls if isinstance(call, dict)]
    found += [name for made in before if isinstance(made, dict) for name in made if isinstance(name, str)]
    return list(dict.fromkeys(found))[:MAX_NAMED_TOOLS]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _case_problems(results: list[CaseResult]) -> Iterator[Problem]:
    for index, result in enumerate(results):
        if not result.passed:
            said = result.fault or f"expected {result.expected}, {result.rule_id} says {result.verdict}"
            yield problem("case_failed", f"{result.name}: {said}", "cases", index)


def refuse(problems: list[Problem]) -> None:
    if problems:
        distinct = {(problem.path, problem.code): problem for problem in problems}
        raise Invalid(tuple(distinct.values())[:MAX_PROBLEMS], "the policy is not valid")


def rule_problems(rules: Any, place: Place, expressions: Expressions, most: int) -> Iterator[Problem]:
    """What a schema cannot say of rules. Anything of the wrong type is left to the shape check."""
    seen: set[str] = set()
    for index, rule in enumerate(rules[:most] if isinstance(rules, list) else ()):
        if not isinstance(rule, dict):
            continue
        here = (*place, index)
        if isinstance(name := rule.get("id"), str):
            if name in seen:
                yield problem("rule_repeated", f"{name} is there twice", *here)
            seen.add(name)
        yield from _problems_of_rule(rule, here, expressions)


def _problems_of_rule(rule: Mapping[str, Any], here: Place, expressions: Expressions) -> Iterator[Problem]:
    if "approvals" in rule and rule.get("verdict") != "require_approval":
        yield problem("approvals_without_need", "only with the verdict require_approval", *here, "approvals")
    if rule.get("verdict") == "allow" and "at_most" in rule:
        message = "the rule applies to calls beyond the count: deny them or require approval"
        yield problem("at_most_allows", message, *here, "at_most")
    if not any(rule.get(key) for key in _SAYING):
        yield problem("rule_says_nothing", f"a rule has at least one of {', '.join(_SAYING)}", *here)
    for place, source in _expressions(rule):
        try:
            expressions.compile(source, CONDITION_VARIABLES)
        except ExpressionInvalid as fault:
            yield problem("expression_invalid", str(fault), *here, *place)


def _expressions(rule: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if isinstance(when := rule.get("when"), str):
        yield ("when",), when
    most = rule.get("at_most")
    if isinstance(most, dict) and isinstance(per := most.get("per"), str):
        yield ("at_most", "per"), per


def problem(code: str, message: str, *place: str | int) -> Problem:
    return Problem(path=pointer(place), code=code, message=message)


def texts(value: Any) -> list[tuple[int, str]]:
    """The strings of a list and where they stand."""
    return (
        [(index, text) for index, text in enumerate(value) if isinstance(text, str)] if isinstance(value, list) else []
    )
