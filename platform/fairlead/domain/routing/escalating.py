"""Whether an answer is sure enough, or the next tier is to be asked."""

from typing import Any

from fairlead.domain.routing.document import RouteDocument


def is_unsure(document: RouteDocument, structured: Any) -> bool:
    """`structured` is the answer's value. One without the confidence that the route looks for has none."""
    rules = document.escalation
    if rules is None or "low_confidence" not in rules.on or rules.confidence_at is None:
        return False
    return _at(structured, rules.confidence_at) < rules.min_confidence


def _at(value: Any, path: str) -> float:
    for part in path.split("/")[1:]:
        value = value.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value)
