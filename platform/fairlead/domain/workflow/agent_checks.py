"""What the section `agent` needs of the rest of its document."""

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.domain.errors import Problem
from fairlead.domain.workflow.plain import pointer
from fairlead.domain.workflow.reading import walk_steps

# Paths of a model's own steps begin with these.
OWN_WORDS = frozenset({"turn", "call", "ask", "summary", "left_out", "summed_up", "checked", "handed", "handover"})


def agent_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Anything of the wrong type is left to the shape check."""
    agent = document.get("agent")
    if not isinstance(agent, dict):
        return
    if bool(agent.get("route")) == bool(agent.get("candidates")):
        yield _problem("exclusive", "either a route or candidates", "agent", "route")
    thresholds = agent.get("thresholds")
    for name, limit in (thresholds if isinstance(thresholds, dict) else {}).items():
        if isinstance(limit, dict) and limit.get("then") == "steps" and not document.get("steps"):
            yield _problem("no_steps", "there are no steps to go on with", "agent", "thresholds", name, "then")
    for place, step in walk_steps(document.get("steps"), ("steps",)):
        if step.get("id") in OWN_WORDS:
            yield _problem("reserved_word", f"{step['id']} is a word of the planner's own", *place, "id")


def _problem(code: str, message: str, *place: str | int) -> Problem:
    return Problem(path=pointer(place), code=code, message=message)
