"""Runs, their calls, and calls that failed for good."""

from typing import Any

from fairlead.cli.output import Column, View


def about(event: Any) -> str:
    """The most telling field of an event, for a line in a list."""
    data = event.get("data") or {}
    named = [data[name] for name in ("tool", "step", "model", "name", "purpose") if isinstance(data.get(name), str)]
    said = next((data[name] for name in ("message", "reason", "verdict", "question", "code") if data.get(name)), None)
    return " · ".join([*named[:2], *([str(said)] if said else [])])


def _reason(run: Any) -> str:
    code = run.get("reason_code")
    if code in (None, run.get("status")):
        return str(run.get("reason") or "")
    return f"{code}: {run['reason']}" if run.get("reason") else str(code)


def _cost(run: Any) -> str | None:
    micros = run.get("cost_usd_micros")
    return f"{micros / 1_000_000:.6f} USD" if micros else None


def _undoing(run: Any) -> str | None:
    compensation = run.get("compensation")
    return None if compensation in (None, "none") else str(compensation)


def _parent(run: Any) -> str | None:
    parent = run.get("parent")
    return f"{parent['run_id']} at version {parent['version']}" if parent else None


RUN = View(
    identity="run_id",
    columns=(
        Column("RUN", "run_id"),
        Column("STATUS", "status"),
        Column("WORKFLOW", lambda run: f"{run['workflow_name']} v{run['workflow_version']}"),
        Column("STARTED", "started_at"),
        Column("ENDED", "ended_at"),
        Column("CALLS", "tool_calls", right=True),
        Column("REASON", _reason),
    ),
    details=(
        Column("MODEL CALLS", "model_calls"),
        Column("TOKENS", "tokens"),
        Column("MODELS COST", _cost),
        Column("UNDOING", _undoing),
        Column("PAUSED BECAUSE", "paused_reason"),
        Column("DEADLINE", "deadline_at"),
        Column("STARTED BY", "started_by.id"),
        Column("ENVIRONMENT", "environment_id"),
        Column("LABELS", "labels"),
        Column("FORK OF", _parent),
        Column("VERSION", "version"),
        Column("QUESTIONS", "awaited.questions"),
        Column("APPROVALS", "awaited.approvals"),
        Column("CONNECTIONS", "awaited.connections"),
        Column("WAITS", "awaited.waits"),
        Column("INPUT", "input"),
        Column("OUTPUT", "output"),
    ),
)


ANSWER = View(identity="run_id", columns=(Column("RUN", "run_id"), Column("STATUS", "status")))


SIGNALLED = View(identity="run_id", columns=(Column("RUN", "run_id"), Column("EFFECT", "effect")))


EVENT = View(
    identity="position",
    columns=(
        Column("POSITION", "position"),
        Column("AT", "at"),
        Column("#", "version", right=True),
        Column("EVENT", "type"),
        Column("BY", "actor.id"),
        Column("ABOUT", about),
    ),
)


CALL = View(
    identity="call_id",
    columns=(
        Column("CALL", "call_id"),
        Column("STEP", "step"),
        Column("TOOL", "tool"),
        Column("STATUS", "status"),
        Column("VERDICT", "verdict"),
        Column("RULE", "rule_id"),
        Column("TRY", "attempt", right=True),
        Column("READ BACK", "read_back"),
        Column("UNDONE", "compensation"),
        Column("ERROR", "error_code"),
    ),
)


LETTER = View(
    identity="letter_id",
    columns=(
        Column("LETTER", "letter_id"),
        Column("KIND", "kind"),
        Column("STATUS", "status"),
        Column("TOOL", "tool"),
        Column("CODE", "code"),
        Column("FAILED", "failed_at"),
        Column("MESSAGE", "message"),
    ),
    details=(
        Column("RUN", "run_id"),
        Column("RUN IS", "run_status"),
        Column("WORKFLOW", "workflow_name"),
        Column("STEP", "step"),
        Column("TRIES", "attempt"),
        Column("ARGUMENTS", "arguments"),
        Column("EDITED", "edited"),
        Column("REPLAYED UNDER", "replay_key"),
        Column("REPLAYED AS", "as_run_id"),
        Column("REASON", "reason"),
    ),
)


LETTER_ANSWER = View(
    identity="letter_id",
    columns=(
        Column("LETTER", "letter_id"),
        Column("STATUS", "status"),
        Column("RUN", "run_id"),
        Column("REPLAYED AS", "as_run_id"),
    ),
)
