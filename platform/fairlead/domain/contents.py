"""Which fields of events are content: what came from outside about people or the business. It is sealed on the log.

By the event's permanent tag, so that what an older program wrote is still known. Everything else stays plain because
the platform works by it: ids, names, versions, times, verdicts, labels, and whatever configures the tenant.
"""

from collections.abc import Mapping

CONTENT: Mapping[str, tuple[str, ...]] = {
    "run.started.v1": ("input",),
    "run.forked.v1": ("reason", "edits"),
    "run.choice_made.v1": ("choice",),
    "tool_call.asked.v1": ("arguments",),
    "tool_call.requested.v1": ("arguments",),
    "tool_call.completed.v1": ("output",),
    "tool_call.verified.v1": ("reason",),
    "tool_call.failed.v1": ("message",),
    "tool_call.connection_awaited.v1": ("message",),
    "tool_call.outcome_unknown.v1": ("message",),
    "tool_call.denied.v1": ("reason",),
    "tool_call.edited.v1": ("arguments", "reason"),
    "tool_call.replayed.v1": ("reason",),
    "tool_call.discarded.v1": ("reason",),
    "tool_call.released.v1": ("reason",),
    "tool_call.amended.v1": ("arguments", "comment"),
    "tool_call.approval_voided.v1": ("reason",),
    "tool_call.compensated.v1": ("reason",),
    "tool_call.compensation_failed.v1": ("message",),
    "tool_call.compensation_left.v1": ("reason",),
    "model_call.requested.v1": ("request",),
    "model_call.completed.v1": ("answer",),
    "model_call.attempt_failed.v1": ("message",),
    "model_call.failed.v1": ("message",),
    "model_call.refused.v1": ("reason",),
    "model_call.released.v1": ("reason",),
    "run.question_asked.v1": ("question",),
    "run.question_answered.v1": ("answer",),
    "run.signal_received.v1": ("payload",),
    "run.step_repaired.v1": ("reason", "output"),
    "run.incident_reported.v1": ("message",),
    "run.paused.v1": ("reason",),
    "run.resumed.v1": ("reason",),
    "run.completed.v1": ("output",),
    "run.failed.v1": ("message",),
    "run.impossible.v1": ("reason",),
    "run.cancelled.v1": ("reason",),
    "approval.requested.v1": ("arguments", "evidence"),
    "approval.signed.v1": ("comment",),
    "approval.denied.v1": ("comment",),
    "approval.changes_requested.v1": ("comment",),
    "approval.edited.v1": ("arguments", "comment"),
    "approval.withdrawn.v1": ("reason",),
    "case.reported.v1": ("comment", "expected"),
    "case.imported.v1": ("comment", "bundle"),
    "Change": ("value",),
}

# Fields that hold others with content of their own: events, or structs that have no tag and go by their name.
NESTED: Mapping[str, tuple[str, ...]] = {
    "run.forked.v1": ("inherited",),
    "tool_call.verified.v1": ("difference",),
}
UNTAGGED: Mapping[tuple[str, str], str] = {("tool_call.verified.v1", "difference"): "Change"}

# JSON that is no content: tenants' configuration, names that lists are filtered by, and what the platform makes itself.
NOT_CONTENT: Mapping[str, tuple[str, ...]] = {
    "run.started.v1": ("labels",),
    "run.question_asked.v1": ("schema",),
    "retention.hold_placed.v1": ("labels",),
    "erasure.performed.v1": ("ledger_head",),
    "tool_call.judged.v1": ("places",),
    "workflow.published.v1": ("document", "tool_versions"),
    "policy.published.v1": ("document",),
    "prompt.published.v1": ("document",),
    "prices.published.v1": ("document",),
    "route.published.v1": ("document",),
    "connection.created.v1": ("config",),
    "connector.published.v1": ("manifest",),
    "toolset.defined.v1": ("definition",),
    "toolset.imported.v1": ("hints", "tools_by_effect"),
}
