"""Calls of tools as they are shown, from the read model."""

from typing import Annotated, Any, Literal

from fairlead_sdk.contract import Effect, Idempotency
from fairlead_tenants.ids import EnvironmentId, WorkspaceId
from msgspec import Meta, Struct

from fairlead.domain.ids import ApprovalId, CallId, RunId
from fairlead.domain.instant import Instant
from fairlead.domain.runs.events import ErrorClass, ReadBackVerdict, Verdict
from fairlead.ports import SqlTx

CallStatus = Literal[
    "requested",
    "judged",
    "awaiting_approval",
    "dispatched",
    "started",
    "backing_off",
    "unknown",
    "awaiting_connection",
    "verifying",
    "completed",
    "failed",
    "denied",
    "released",
]

Undone = Literal["planned", "under_way", "waiting_for_person", "undone", "nothing_to_undo", "by_hand", "left"]

_CALL = """
SELECT c.call_id, c.run_id, c.step, c.tool, c.tool_version, c.schema_hash, c.effect, c.idempotency, c.arguments,
       c.status, c.verdict, c.rule_id, c.policy_version, c.approval_id, c.attempt, c.output, c.output_sha256,
       c.read_back, c.compensation, c.error_class, c.error_code, c.error_message, c.connection_id, c.scope,
       c.latency_us, c.worker,
       c.requested_at, c.updated_at, b.workspace_id, b.environment_id
  FROM tool_calls AS c
  JOIN run_board AS b ON b.tenant_id = c.tenant_id AND b.run_id = c.run_id
 WHERE c.call_id = %(call_id)s
"""
# Calls of a run are numbered as they are requested, at the end of their ids.
_CALLS_OF_RUN = """
SELECT call_id, run_id, step, tool, tool_version, schema_hash, effect, idempotency, arguments, status, verdict,
       rule_id, policy_version, approval_id, attempt, output, output_sha256, read_back, compensation, error_class,
       error_code, error_message, connection_id, scope, latency_us, worker, requested_at, updated_at
  FROM tool_calls
 WHERE run_id = %(run_id)s AND (length(call_id), call_id) > (length(%(after)s), %(after)s)
 ORDER BY length(call_id), call_id
 LIMIT %(limit)s
"""


class ToolCall(Struct, frozen=True, kw_only=True):
    """Arguments and output are as they were recorded: redacted. `latency_us` is of the last attempt."""

    call_id: CallId
    run_id: RunId
    step: str
    tool: str
    tool_version: str
    schema_hash: str
    effect: Effect
    idempotency: Idempotency
    arguments: Any
    status: CallStatus
    verdict: Verdict | None
    rule_id: str | None
    policy_version: str | None
    approval_id: ApprovalId | None
    attempt: int
    output: Any
    output_sha256: str | None
    read_back: Annotated[
        ReadBackVerdict | None, Meta(description="What reading the counterpart back came to, where the tool can.")
    ]
    compensation: Annotated[
        Undone | None, Meta(description="How far undoing it is, where the run ended without completing.")
    ]
    error_class: ErrorClass | None
    error_code: str | None
    error_message: str | None
    connection_id: Annotated[str | None, Meta(description="The account that access was missing to, if it ever was.")]
    scope: Annotated[str | None, Meta(description="What was not granted of it; empty where all of it was missing.")]
    latency_us: int | None
    worker: str | None
    requested_at: Instant
    updated_at: Instant


class Placed(Struct, frozen=True):
    """A call and whose run it is of."""

    call: ToolCall
    workspace_id: WorkspaceId
    environment_id: EnvironmentId


async def call_of(tx: SqlTx, call_id: str) -> Placed | None:
    return await tx.row(_CALL, {"call_id": call_id}, _placed)


async def calls_of_run(tx: SqlTx, run_id: str, after: str, limit: int) -> list[ToolCall]:
    """In the order in which they were requested, past the call `after`; an empty text is before all."""
    return await tx.rows(_CALLS_OF_RUN, {"run_id": run_id, "after": after, "limit": limit}, ToolCall)


def _placed(*, workspace_id: WorkspaceId, environment_id: EnvironmentId, **columns: Any) -> Placed:
    return Placed(ToolCall(**columns), workspace_id, environment_id)
