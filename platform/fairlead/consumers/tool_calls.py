"""The calls of runs, one row each: part of the projection run_board."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from fairlead.consumers.rows import as_json
from fairlead.domain.instant import Instant
from fairlead.domain.runs import events as e
from fairlead.ports import AnyRecorded, SqlTx

# One statement for all calls of a batch: each reads the table's checks anew, which takes longer than to change a
# row. That rows may be missing makes it a join that can only look each of them up by its key: see `_FOLDING` in
# adapters/postgres.py.
_TOLD = """
MERGE INTO tool_calls AS c
USING json_to_recordset(%(rows)s) AS r (
       call_id text COLLATE "C", run_id text, step text, tool text, tool_version text, schema_hash text, effect text,
       idempotency text, arguments json, status text, verdict text, rule_id text, policy_version text,
       approval_id text, attempt integer, output json, output_sha256 text, read_back text, compensation text,
       error_class text, error_code text, error_message text, connection_id text, scope text, latency_us bigint,
       worker text, requested_at timestamptz, updated_at timestamptz, requested_sequence bigint, first_version bigint,
       last_version bigint)
   ON c.tenant_id = %(tenant)s AND c.call_id = r.call_id
 WHEN MATCHED AND c.stream_version < r.first_version THEN UPDATE
  SET status         = coalesce(r.status, c.status),
      arguments      = coalesce(r.arguments, c.arguments),
      verdict        = coalesce(r.verdict, c.verdict),
      rule_id        = coalesce(r.rule_id, c.rule_id),
      policy_version = coalesce(r.policy_version, c.policy_version),
      approval_id    = coalesce(r.approval_id, c.approval_id),
      attempt        = coalesce(r.attempt, c.attempt),
      output         = coalesce(r.output, c.output),
      output_sha256  = coalesce(r.output_sha256, c.output_sha256),
      read_back      = coalesce(r.read_back, c.read_back),
      compensation   = coalesce(r.compensation, c.compensation),
      error_class    = coalesce(r.error_class, c.error_class),
      error_code     = coalesce(r.error_code, c.error_code),
      error_message  = coalesce(r.error_message, c.error_message),
      connection_id  = coalesce(r.connection_id, c.connection_id),
      scope          = coalesce(r.scope, c.scope),
      latency_us     = coalesce(r.latency_us, c.latency_us),
      worker         = coalesce(r.worker, c.worker),
      updated_at     = r.updated_at,
      stream_version = r.last_version
 WHEN NOT MATCHED AND r.tool IS NOT NULL THEN INSERT (
      tenant_id, call_id, run_id, step, tool, tool_version, schema_hash, effect, idempotency, arguments, status,
      verdict, rule_id, policy_version, approval_id, attempt, output, output_sha256, read_back, compensation,
      error_class, error_code, error_message, connection_id, scope, latency_us, worker, requested_at, updated_at,
      requested_sequence, stream_version)
VALUES (
      %(tenant)s, r.call_id, r.run_id, r.step, r.tool, r.tool_version, r.schema_hash, r.effect, r.idempotency,
      coalesce(r.arguments, 'null'), r.status, r.verdict, r.rule_id, r.policy_version, r.approval_id,
      coalesce(r.attempt, 0), r.output, r.output_sha256, r.read_back, r.compensation, r.error_class, r.error_code,
      r.error_message, r.connection_id, r.scope, r.latency_us, r.worker, r.requested_at, r.updated_at,
      r.requested_sequence, r.last_version)
"""


class CallRow(Struct, kw_only=True, omit_defaults=True):
    """What a batch says of one call; what it does not say stays as it was. With its tool it is a new one."""

    call_id: str
    run_id: str
    updated_at: Instant
    first_version: int
    last_version: int
    step: str | None = None
    tool: str | None = None
    tool_version: str | None = None
    schema_hash: str | None = None
    effect: str | None = None
    idempotency: str | None = None
    arguments: Any = None
    status: str | None = None
    verdict: str | None = None
    rule_id: str | None = None
    policy_version: str | None = None
    approval_id: str | None = None
    attempt: int | None = None
    output: Any = None
    output_sha256: str | None = None
    read_back: str | None = None
    compensation: str | None = None
    error_class: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    connection_id: str | None = None
    scope: str | None = None
    latency_us: int | None = None
    worker: str | None = None
    requested_at: Instant | None = None
    requested_sequence: int | None = None


async def write_calls(tenant_id: str, batch: Sequence[AnyRecorded], tx: SqlTx) -> set[str]:
    """Ids of the runs that the batch leaves with a call at work; others may have one too."""
    rows: dict[str, CallRow] = {}
    for recorded in batch:
        for version, event in enumerate(recorded.commit.events, start=recorded.commit.first_version):
            if (says := _SAYS.get(type(event))) is not None:
                _tell(_row(rows, recorded, version, event.call_id), says(event))
            elif type(event) is e.CompensationPlanned:
                for each in event.calls:
                    _tell(_row(rows, recorded, version, each.call_id), {"compensation": "planned"})
    if rows:
        await tx.run(_TOLD, {"tenant": tenant_id, "rows": as_json(list(rows.values()))})
    return {row.run_id for row in rows.values() if row.status in _AT_WORK}


def _tell(row: CallRow, said: dict[str, Any]) -> None:
    for column, value in said.items():
        setattr(row, column, value)


def _row(rows: dict[str, CallRow], recorded: AnyRecorded, version: int, call_id: str) -> CallRow:
    at = recorded.commit.at
    if (row := rows.get(call_id)) is None:
        row = rows[call_id] = CallRow(
            call_id=call_id,
            run_id=recorded.commit.stream_id,
            requested_at=at,
            requested_sequence=recorded.sequence,
            updated_at=at,
            first_version=version,
            last_version=version,
        )
    row.updated_at, row.last_version = at, version
    return row


def _requested(event: e.ToolCallRequested) -> dict[str, Any]:
    return {
        "status": "requested",
        "step": event.step,
        "tool": event.tool,
        "tool_version": event.tool_version,
        "schema_hash": event.schema_hash,
        "effect": event.effect,
        "idempotency": event.idempotency,
        "arguments": event.arguments,
    }


def _judged(event: e.ToolCallJudged) -> dict[str, Any]:
    judged = {"verdict": event.verdict, "rule_id": event.rule_id, "policy_version": event.policy_version}
    return {"status": "judged", **judged}


def _completed(event: e.ToolCallCompleted) -> dict[str, Any]:
    return {
        "status": "verifying" if event.verifying else "completed",
        "attempt": event.attempt,
        "output": event.output,
        "output_sha256": event.output_sha256,
        "latency_us": event.latency_us,
        "worker": event.worker,
    }


def _failed(event: e.ToolCallFailed) -> dict[str, Any]:
    return {
        "status": "failed" if event.retry_at is None else "backing_off",
        "attempt": event.attempt,
        "error_class": event.error_class,
        "error_code": event.code,
        "error_message": event.message,
        "latency_us": event.latency_us,
        "worker": event.worker,
    }


def _connection_awaited(event: e.ToolCallConnectionAwaited) -> dict[str, Any]:
    error = {"error_class": "permission", "error_code": event.code, "error_message": event.message}
    missing = {"connection_id": event.connection_id, "scope": event.scope}
    return {"status": "awaiting_connection", "attempt": event.attempt, **error, **missing}


def _unknown(event: e.ToolCallOutcomeUnknown) -> dict[str, Any]:
    error = {"error_class": "unknown_outcome", "error_message": event.message}
    return {"status": "unknown", "attempt": event.attempt, **error}


def _compensated(event: e.ToolCallCompensated) -> dict[str, Any]:
    return {"compensation": {"call": "undone", "nothing_to_undo": "nothing_to_undo", "person": "by_hand"}[event.how]}


def _not_compensated(event: e.CompensationFailed) -> dict[str, Any]:
    status = {"compensation": "waiting_for_person" if event.retry_at is None else "under_way"}
    return status | {"connection_id": event.connection_id, "scope": event.scope} if event.connection_id else status


def _denied(event: e.ToolCallDenied) -> dict[str, Any]:
    error = {"error_class": "policy", "error_code": f"denied_by_{event.by}", "error_message": event.reason}
    return {"status": "denied", "rule_id": event.rule_id, **error}


_SAYS: dict[type, Callable[[Any], dict[str, Any]]] = {  # what each fact says of its call, by column
    e.ToolCallRequested: _requested,
    e.ToolCallJudged: _judged,
    e.ToolCallDispatched: lambda event: {"status": "dispatched", "attempt": event.attempt},
    e.ToolCallStarted: lambda event: {"status": "started", "attempt": event.attempt, "worker": event.worker},
    e.ToolCallCompleted: _completed,
    e.ToolCallVerified: lambda event: {"status": "completed", "read_back": event.verdict},
    e.ToolCallFailed: _failed,
    e.ToolCallConnectionAwaited: _connection_awaited,
    e.ToolCallOutcomeUnknown: _unknown,
    e.ToolCallDenied: _denied,
    e.ToolCallReplayed: lambda event: {"status": "requested"} if event.as_run is None else {},
    e.ToolCallReleased: lambda event: {"status": "released", "error_message": event.reason},
    e.ToolCallApprovalRequested: lambda event: {"status": "awaiting_approval", "approval_id": event.approval_id},
    e.ToolCallAmended: lambda event: {"status": "requested", "arguments": event.arguments},
    e.ToolCallApproved: lambda _: {"status": "judged"},
    e.ToolCallApprovalVoided: lambda _: {"status": "judged"},
    e.CompensationDispatched: lambda _: {"compensation": "under_way"},
    e.CompensationFailed: _not_compensated,
    e.ToolCallCompensated: _compensated,
    e.CompensationLeft: lambda _: {"compensation": "left"},
}
CALL_EVENTS = frozenset(_SAYS)
_AT_WORK = frozenset({"requested", "judged", "dispatched", "started", "verifying"})
