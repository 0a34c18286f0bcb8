"""What a workflow may touch: its tools, what it forbids, what it may write, its policy, its input and output."""

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.domain.errors import Problem
from fairlead.domain.expressions import Expressions
from fairlead.domain.policy.checks import rule_problems, texts
from fairlead.domain.policy.document import MAX_RULES
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.plain import pointer
from fairlead.domain.workflow.schemas import schema_problems

Document = Mapping[str, Any]


def surface_problems(
    document: Document, tools: Mapping[str, ToolFacts], expressions: Expressions, tool_cap: int
) -> Iterator[Problem]:
    """Anything of the wrong type is left to the shape check."""
    yield from _tool_problems(document, tools, tool_cap)
    yield from _connection_problems(document)
    yield from _forbidden_problems(document)
    yield from _policy_problems(document, expressions)
    for key in ("input", "output"):
        yield from schema_problems(document.get(key), (key,))


def _tool_problems(document: Document, tools: Mapping[str, ToolFacts], tool_cap: int) -> Iterator[Problem]:
    named = texts(document.get("tools"))
    writes = {kind for _, kind in texts(document.get("writes"))}
    if len(named) > tool_cap:
        yield _problem("too_many_tools", f"{len(named)} tools, at most {tool_cap} are allowed", "tools")
    yield from _repeated(named, "tools", "tool_repeated")
    for index, name in named:
        if name not in tools:
            yield _problem("unknown_tool", f"no tool {name} is installed", "tools", index)
            continue
        for kind in sorted(set(tools[name].writes) - writes):
            yield _problem("write_not_declared", f"{name} writes {kind}, which is not in writes", "tools", index)


def _connection_problems(document: Document) -> Iterator[Problem]:
    allowed = {name for _, name in texts(document.get("tools"))}
    known = allowed | {name.partition(".")[0] for name in allowed}
    named = document.get("connections")
    for name in named if isinstance(named, dict) else ():
        if name not in known:
            message = f"{name} is neither a tool in tools nor the connector of one"
            yield _problem("connection_unused", message, "connections", name)


def _forbidden_problems(document: Document) -> Iterator[Problem]:
    allowed = {name for _, name in texts(document.get("tools"))}
    for index, name in texts(document.get("forbidden")):
        if name in allowed:
            yield _problem("forbidden_and_allowed", f"{name} is also in tools", "forbidden", index)


def _policy_problems(document: Document, expressions: Expressions) -> Iterator[Problem]:
    policy = document.get("policy")
    rules = policy.get("rules") if isinstance(policy, dict) else None
    listed = (
        [(index, rule) for index, rule in enumerate(rules[:MAX_RULES]) if isinstance(rule, dict)]
        if isinstance(rules, list)
        else []
    )
    allowed = {name for _, name in texts(document.get("tools"))}
    yield from rule_problems(rules, ("policy", "rules"), expressions, MAX_RULES)
    for index, rule in listed:
        for number, name in texts(rule.get("tools")):
            if name not in allowed:
                yield _problem("tool_not_allowed", f"{name} is not in tools", "policy", "rules", index, "tools", number)


def _repeated(named: list[tuple[int, str]], key: str, code: str, *rest: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in named:
        if name in seen:
            yield _problem(code, f"{name} is there twice", key, *rest, index)
        seen.add(name)


def _problem(code: str, message: str, *place: str | int) -> Problem:
    return Problem(path=pointer(place), code=code, message=message)
