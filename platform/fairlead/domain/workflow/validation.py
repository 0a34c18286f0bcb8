"""All checks of a document together: the one way from foreign data to a Workflow."""

from collections.abc import Mapping
from typing import Any

from fairlead.domain.errors import Invalid, Problem
from fairlead.domain.expressions import Expressions
from fairlead.domain.policy.checks import texts
from fairlead.domain.tools import ToolFacts
from fairlead.domain.workflow.agent_checks import agent_problems
from fairlead.domain.workflow.document import DEFAULT_TOOL_CAP, Workflow
from fairlead.domain.workflow.flow import flow_problems
from fairlead.domain.workflow.plain import plain_problems, secret_problems, unseen_problems
from fairlead.domain.workflow.reading import read
from fairlead.domain.workflow.shape import shape_problems
from fairlead.domain.workflow.surface import surface_problems

MAX_PROBLEMS = 200
MAX_NAMED_TOOLS = 200  # that are looked up; more than any workflow may have


def validate(
    document: Any, tools: Mapping[str, ToolFacts], expressions: Expressions, tool_cap: int = DEFAULT_TOOL_CAP
) -> Workflow:
    """The workflow that plain data describes. Raises Invalid with every problem and its path, up to MAX_PROBLEMS.

    Data that is not plain, or too large or deep, is refused before anything else looks at it. Problems never repeat
    a value of the document, only names.
    """
    _refuse(plain_problems(document))
    _refuse(secret_problems(document))
    problems = list(shape_problems(document))
    if isinstance(document, dict):
        problems += surface_problems(document, tools, expressions, tool_cap)
        problems += flow_problems(document, tools, expressions)
        problems += agent_problems(document)
        problems += unseen_problems(document.get("policy"), ("policy",))
    _refuse(problems)
    return read(document)


def named_tools(document: Any) -> list[str]:
    """What a document that nobody has checked yet calls its tools, as far as it can be told."""
    listed = document.get("tools") if isinstance(document, dict) else None
    return [name for _, name in texts(listed)[:MAX_NAMED_TOOLS]]


def _refuse(problems: list[Problem]) -> None:
    if problems:
        distinct = {(problem.path, problem.code): problem for problem in problems}
        raise Invalid(tuple(distinct.values())[:MAX_PROBLEMS], "the workflow document is not valid")
