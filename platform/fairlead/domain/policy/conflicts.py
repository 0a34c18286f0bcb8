"""Rules that can never decide, that contradict each other, or that speak of what tools do not have."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairlead.domain.errors import Problem
from fairlead.domain.policy.document import Rule
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.plain import pointer
from fairlead.domain.workflow.references import paths

_STRICTNESS = {"deny": 0, "require_approval": 1, "allow": 2}
_SCOPES = ("tools", "effects", "connectors", "kinds", "principals", "environments")
_OPEN = ("$ref", "anyOf", "oneOf", "allOf", "if")
_CONDITIONS = ("when", "after", "at_most")
COMPARED = 300  # rules that are compared with each other; each pair costs a look


def conflicts(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Each rule against those that win over it."""
    deciding = [(place, rule) for place, rule in enumerate(rules[:COMPARED]) if rule.verdict is not None]
    for place, rule in deciding:
        for other_place, other in deciding:
            if other is rule:
                continue
            if _same_calls(rule, other) and rule.verdict != other.verdict:
                if place > other_place:
                    yield _problem("rules_contradict", f"{other.id} says {other.verdict} of the same calls", place)
            elif _wins(other, other_place, rule, place) and _covers(other, rule) and not _adds(rule):
                yield _problem("rule_unreachable", f"{other.id} decides wherever this rule applies", place)
                break


def tool_problems(rules: Sequence[Rule], tools: Mapping[str, ToolFacts]) -> Iterator[Problem]:
    """Tools that are not there, and arguments that none of a rule's tools takes."""
    for place, rule in enumerate(rules):
        for index, name in enumerate(rule.tools):
            if name not in tools:
                yield Problem(
                    path=pointer(("rules", place, "tools", index)),
                    code="unknown_tool",
                    message=f"no tool {name} is installed",
                )
        known = [tools[name] for name in rule.tools if name in tools]
        if rule.when is None or not known or len(known) < len(rule.tools):
            continue
        for path in paths(rule.when, ("args",)):
            fields = path.split(".")[1:]
            if fields and not any(_takes(tool.input_schema, fields) for tool in known):
                message = f"none of its tools takes {'.'.join(fields)}"
                yield Problem(path=pointer(("rules", place, "when")), code="unknown_field", message=message)


def _takes(root: dict[str, Any], fields: list[str]) -> bool:
    """Whether arguments may have the field. Where the schema leaves it open, they may."""
    schema: Any = root
    for name in fields:
        schema = _resolved(root, schema)
        if not isinstance(schema, dict) or any(word in schema for word in _OPEN):
            return True
        properties = schema.get("properties", {})
        if name not in properties:
            return schema.get("additionalProperties", True) is not False
        schema = properties[name]
    return True


def _resolved(root: dict[str, Any], schema: Any) -> Any:
    if not isinstance(schema, dict) or not isinstance(place := schema.get("$ref"), str):
        return schema
    return root.get("$defs", {}).get(place.removeprefix("#/$defs/"))


def _same_calls(one: Rule, other: Rule) -> bool:
    scopes = all(set(getattr(one, name)) == set(getattr(other, name)) for name in _SCOPES)
    return scopes and all(getattr(one, name) == getattr(other, name) for name in _CONDITIONS)


def _wins(other: Rule, other_place: int, rule: Rule, place: int) -> bool:
    assert other.verdict is not None, "only rules with a verdict are compared"
    assert rule.verdict is not None, "only rules with a verdict are compared"
    return (_STRICTNESS[other.verdict], other_place) < (_STRICTNESS[rule.verdict], place)


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether `other` applies to every call that `rule` applies to."""
    if any(getattr(other, name) not in (None, getattr(rule, name)) for name in _CONDITIONS):
        return False
    return all(_within(getattr(rule, name), getattr(other, name)) for name in _SCOPES)


def _within(inner: Sequence[object], outer: Sequence[object]) -> bool:
    return not outer or (bool(inner) and set(inner) <= set(outer))


def _adds(rule: Rule) -> bool:
    """Whether it counts even where another decides."""
    return rule.risk > 0 or rule.obligations is not None


def _problem(code: str, message: str, place: int) -> Problem:
    return Problem(path=pointer(("rules", place)), code=code, message=message)
