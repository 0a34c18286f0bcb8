"""Whether an answer is good enough, or the next tier is to be asked."""

from typing import Any

from fairlead.domain.routing.document import Cause, RouteDocument


def cause_to_escalate(
    document: RouteDocument, *, structured: Any = None, fits_schema: bool = True, tool_errors_in_a_row: int = 0
) -> Cause | None:
    """For `Wanted.escalations` when the step is asked again; None: the answer stands.

    `structured` is the answer's value where it has one. An answer without the confidence that the route looks for has
    none.
    """
    rules = document.escalation
    if rules is None:
        return None
    if "schema_failure" in rules.on and not fits_schema:
        return "schema_failure"
    if "tool_error" in rules.on and tool_errors_in_a_row >= rules.tool_errors:
        return "tool_error"
    if "low_confidence" in rules.on and rules.confidence_at is not None:
        confidence = _at(structured, rules.confidence_at)
        if confidence < rules.min_confidence:
            return "low_confidence"
    return None


def _at(value: Any, path: str) -> float:
    for part in path.split("/")[1:]:
        value = value.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value)
