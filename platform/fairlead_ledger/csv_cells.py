"""The columns of an export as CSV, and what is in each: what writes them and what checks them go by this one table.

A cell that a spreadsheet could take for a formula, or that begins with an apostrophe, has an apostrophe put before it.
"""

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "position",
    "run_id",
    "stream",
    "stream_id",
    "version",
    "type",
    "at",
    "actor_kind",
    "actor_id",
    "commit_id",
    "causation_id",
    "correlation_id",
    "status",
    "step",
    "tool",
    "call_id",
    "approval_id",
    "question_id",
    "attempt",
    "verdict",
    "rule_id",
    "policy_version",
    "error_class",
    "code",
    "reason",
    "latency_us",
    "sealed",
    "data",
)
FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are full-width forms
STATUS_AFTER = {
    "run.started.v1": "running",
    "run.forked.v1": "running",
    "run.resumed.v1": "running",
    "run.paused.v1": "paused",
    "run.completed.v1": "completed",
    "run.failed.v1": "failed",
    "run.impossible.v1": "impossible",
    "run.cancelled.v1": "cancelled",
    "run.capped.v1": "capped",
    "run.expired.v1": "expired",
    "tool_call.asked.v1": "asked",
    "tool_call.ask_refused.v1": "denied",
    "tool_call.requested.v1": "requested",
    "tool_call.judged.v1": "judged",
    "tool_call.approval_requested.v1": "awaiting_approval",
    "tool_call.approved.v1": "judged",
    "tool_call.approval_voided.v1": "judged",
    "tool_call.dispatched.v1": "dispatched",
    "tool_call.held.v1": "held",
    "tool_call.started.v1": "started",
    "tool_call.completed.v1": "completed",
    "tool_call.verified.v1": "completed",
    "tool_call.failed.v1": "failed",
    "tool_call.connection_awaited.v1": "awaiting_connection",
    "tool_call.outcome_unknown.v1": "unknown",
    "tool_call.denied.v1": "denied",
    "tool_call.uncounted.v1": "uncounted",
    "tool_call.edited.v1": "failed",
    "tool_call.amended.v1": "requested",
    "tool_call.replayed.v1": "replayed",
    "tool_call.discarded.v1": "discarded",
    "tool_call.released.v1": "released",
    "tool_call.compensation_dispatched.v1": "undoing",
    "tool_call.compensated.v1": "undone",
    "tool_call.compensation_failed.v1": "undo_failed",
    "tool_call.compensation_left.v1": "left",
    "model_call.requested.v1": "requested",
    "model_call.routed.v1": "routed",
    "model_call.held.v1": "held",
    "model_call.completed.v1": "completed",
    "model_call.attempt_failed.v1": "attempt_failed",
    "model_call.resumed.v1": "requested",
    "model_call.failed.v1": "failed",
    "model_call.refused.v1": "denied",
    "model_call.released.v1": "released",
    "approval.requested.v1": "pending",
    "approval.signed.v1": "pending",
    "approval.granted.v1": "granted",
    "approval.denied.v1": "denied",
    "approval.changes_requested.v1": "changes_requested",
    "approval.edited.v1": "edited",
    "approval.escalated.v1": "pending",
    "approval.claimed.v1": "pending",
    "approval.reviewers_told.v1": "pending",
    "approval.due_soon.v1": "pending",
    "approval.expired.v1": "expired",
    "approval.withdrawn.v1": "withdrawn",
}
_FROM_EVENT = (
    "step", "tool", "call_id", "approval_id", "question_id", "verdict", "rule_id", "policy_version", "error_class",
    "code",
)  # fmt: skip


BEFORE_SEALS = tuple(name for name in COLUMNS if name != "sealed")  # of files that were made before there were any


def cells_of(envelope: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    """What a reader of CSV finds in each column but `sealed` and `data`."""
    said = envelope.get("actor")
    actor = said if isinstance(said, Mapping) else {}
    kind = str(data.get("type", ""))
    whole = {name: _number(data.get(name)) for name in ("attempt", "latency_us")}
    texts = {name: safe(data.get(name)) for name in _FROM_EVENT}
    return {
        **{name: str(envelope.get(name)) for name in ("position", "run_id", "stream", "stream_id", "version", "at")},
        **{name: safe(envelope.get(name)) for name in ("commit_id", "causation_id", "correlation_id")},
        "type": kind,
        "actor_kind": str(actor.get("kind", "")),
        "actor_id": safe(actor.get("id")),
        "status": STATUS_AFTER.get(kind, ""),
        "reason": safe(data.get("reason") or data.get("message") or data.get("comment")),
        **texts,
        **whole,
    }


def safe(value: Any) -> str:
    """Never a formula, and without NUL, which some readers stop at."""
    text = str(value) if isinstance(value, str) else ""
    if text and (text[0] in FORMULA_STARTS or text[0] == "'"):
        text = "'" + text
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _number(value: Any) -> str:
    return "" if value is None else str(value)
